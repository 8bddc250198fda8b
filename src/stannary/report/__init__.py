"""Reports: every projection of a result. Nothing in them is typed by hand.

What belongs here: one module a format with `render(result, context) -> str`, the escaping that
all of them share (`escape.py`), the words and numbers they share (`wording.py`), the order in which
files and findings are shown (`outline.py`).
What does not: checks of its own, decisions, exit codes, printing.
Everything that comes from an artifact (names, messages, evidence) is hostile text: it passes
through `escape.py` before it reaches a page, a terminal or a machine.
To add a format: `NAME.py` with `render`, a line in `interface.FORMATS`; a plug-in registers the same
function in the `stannary.reports` entry-point group.
"""

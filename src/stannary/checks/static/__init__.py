"""Static checks: what can be known about an artifact without loading it.

`walk.py` reads a file into facts (through `stannary.formats`), `judges/` and the rule files in
`rules/` turn facts into findings, `verdict.py` turns findings and coverage into a verdict.
Facts never depend on rules, so cached facts are judged again when the rules change.
To add a rule: `rules/ID.toml` (see `ruleset.py` for the fields), then `./dev rules`.
To add pickle knowledge: `tools/knowledge.py`, never by hand.
"""

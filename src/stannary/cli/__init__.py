"""The command line: options in, exit code out.

What belongs here: one module a command, the configuration loader, talk on stderr, progress.
What does not: decisions, SQL, reading of models; a command is one call of a room's public function.
To add a command: `NAME.py` with a click command called `command`, a line in `group.COMMANDS`.
Commands return their exit code; errors are raised and mapped to codes in `main.py`.
"""

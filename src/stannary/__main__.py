"""`python -m stannary`: the command line, for an interpreter whose scripts are not on the path."""

from __future__ import annotations

import sys

from stannary.cli.main import run

if __name__ == "__main__":
    sys.exit(run())

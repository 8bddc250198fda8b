"""The command as users call it, and the report card that it writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import jsonschema

from stannary.cli.schema import schema_of


def stannary(*arguments: object):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    line = [sys.executable, "-m", "stannary", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, env=environment, timeout=300, check=False)


def card(*arguments: object, rc: int = 0):
    """Return the card of `stannary evaluate`, which has to follow its schema."""
    done = stannary("evaluate", *arguments, "--format", "json")
    assert done.returncode == rc, done.stderr
    found = json.loads(done.stdout)
    jsonschema.validate(found, schema_of("evaluate"))
    return found

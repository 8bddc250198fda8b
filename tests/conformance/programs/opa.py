"""A real OPA decides. Runs in .venv-oracles; reads lines of JSON {"rego", "input"}, prints {"deny", "allow"} for each."""

import json
import sys

from opa_bindings.engine import OpaEngine

for line in sys.stdin:
    case = json.loads(line)
    engine = OpaEngine()
    engine.add_policy("gate.rego", case["rego"])
    deny = engine.eval_document("stannary.gate.deny", case["input"])
    allow = engine.eval_document("stannary.gate.allow", case["input"])
    engine.close()
    print(json.dumps({"deny": sorted(deny), "allow": allow}))  # noqa: T201 - the answer

"""Our gate and a real OPA decide the same, by the policy that `--export-rego` writes and the input of `--export-input`."""

import importlib.util
import json
import subprocess
from pathlib import Path

from stannary.policy.decide import decide
from stannary.policy.rego import input_document, module_of

HERE = Path(__file__).parent
_SPEC = importlib.util.spec_from_file_location("gate_cases", HERE / "gate_cases.py")
cases = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(cases)
CASES = 2000


def test_two_engines_agree_on_generated_cases(oracles):
    made = [cases.case(seed) for seed in range(CASES)]
    lines = [
        json.dumps({"rego": module_of(policy), "input": input_document(cases.SUBJECT, evidence, waivers, cases.NOW)})
        for policy, evidence, waivers in made
    ]
    done = subprocess.run(
        [oracles / "python", HERE / "programs" / "opa.py"], input="\n".join(lines), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == CASES
    allowed = 0
    for seed, ((policy, evidence, waivers), theirs) in enumerate(zip(made, answers, strict=True)):
        decision = decide(policy, cases.SUBJECT, evidence, waivers, cases.NOW)
        ours = {"deny": sorted({r.rule for r in decision.reasons if not r.ok}), "allow": decision.verdict == "allow"}
        assert ours == theirs, f"case {seed}"
        allowed += decision.verdict == "allow"
    # The cases are worth something only while both answers are common.
    assert CASES * 0.3 < allowed < CASES * 0.7

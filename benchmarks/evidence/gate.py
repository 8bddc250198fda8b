"""The gate beside Rego, and the reach of a revocation: `./dev bench evidence gate`.

The peer is the same decision by other engines: a real OPA (its library, in .venv-oracles, time of evaluation alone, policy
and input already read) and regopy (a process for each decision, as the gate runs it). 200 pieces of evidence, the policy
`high-risk`. Lineage: 100,000 artifacts, each made from one before it.
"""

import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from stannary.core.evidence import Check, Evidence, Measurement, SeverityCounts, seal
from stannary.core.model import Digest
from stannary.policy.decide import decide
from stannary.policy.library import load
from stannary.policy.rego import input_document, module_of
from stannary.store.lineage_db import LineageStore, StoredEdge

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 11, 25, tzinfo=UTC)
SUBJECT = Digest("a" * 64)
EVIDENCE, RUNS, EDGES = 200, 200, 20_000 if "--small" in sys.argv else 100_000
OPA = """
import json, sys, time
from opa_bindings.engine import OpaEngine
case = json.load(sys.stdin)
engine = OpaEngine()
engine.add_policy("gate.rego", case["rego"])
engine.eval_document("stannary.gate.deny", case["input"])
times = []
for _ in range(30):
    started = time.process_time()
    engine.eval_document("stannary.gate.deny", case["input"])
    times.append(time.process_time() - started)
print(json.dumps(sorted(times)[15]))
"""


def evidence():
    rng = random.Random(5)
    kinds = ("model-scan", "model-signature", "cyclonedx", "statement", "training-run", "eval-result")
    checks = {"statement": ("approval", "impact-assessment"), "eval-result": ("robustness", "privacy", "fairness")}
    for number in range(EVIDENCE):
        kind = kinds[number % len(kinds)]
        yield seal(
            Evidence(
                id=Digest(f"{number:064x}"),
                subject=SUBJECT,
                subject_name="m",
                kind=kind,
                predicate_type="t",
                check=Check(id=rng.choice(checks.get(kind, (kind,))), version="1"),
                outcome="passed",
                verdict="approve" if kind == "statement" else "",
                issued=NOW - timedelta(hours=EVIDENCE - number),
                counts=SeverityCounts(),
                measurements=tuple(Measurement(metric=f"m{n}", value=0.5, low=0.4, high=0.6, n=1000) for n in range(5)),
            ),
            keyid="k",
            identity=("ann", "bob", "ci", "dan")[number // 6 % 4] if kind != "training-run" else "builder",
            index=number,
        )


def median(call, runs):
    times = []
    for _ in range(runs):
        started = time.process_time()
        call()
        times.append(time.process_time() - started)
    return statistics.median(times)


def children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def gate():
    policy = load("high-risk", None, frozenset())
    items = list(evidence())
    denied = [reason for reason in decide(policy, SUBJECT, items, (), NOW).reasons if not reason.ok]
    assert not denied, denied
    ours = median(lambda: decide(policy, SUBJECT, items, (), NOW), RUNS)
    document = input_document(SUBJECT, items, (), NOW)
    module = module_of(policy)
    rows = [("stannary: the decision", f"{ours * 1000:.2f} CPU ms", "0.5 ms")]
    size = len(msgspec.json.encode(document)) / 1000
    oracle = Path(os.environ.get("STANNARY_ORACLES") or ROOT / ".venv-oracles") / "bin" / "python"
    if oracle.exists():
        case = json.dumps({"rego": module, "input": document})
        done = subprocess.run([oracle, "-c", OPA], input=case, capture_output=True, text=True, check=True)
        theirs = json.loads(done.stdout)
        rows.append(
            (f"OPA: the same policy in Rego, {size:.0f} kB of input", f"{theirs * 1000:.2f} CPU ms, {theirs / ours:.0f} x", "")
        )
    else:
        rows.append(("OPA", "not measured: .venv-oracles is not there (`./dev test` makes it)", ""))
    from stannary.evidence.engines.regopy_ import Regopy

    before = children()
    assert Regopy().deny(module, document) == []
    rows.append(("regopy, its process included", f"{children() - before:.2f} CPU s", ""))
    return rows


def lineage():
    rng = random.Random(6)
    digests = [f"{number:064x}" for number in range(EDGES + 1)]
    edges = [
        StoredEdge(digests[n], digests[rng.randrange(max(0, n - 5000), n)], "fine-tuned-from", True, digests[n])  # noqa: FBT003
        for n in range(1, EDGES + 1)
    ]
    with tempfile.TemporaryDirectory() as folder:
        store = LineageStore(Path(folder) / "lineage.db")
        store.add(edges, (), (), {})
        rows = []
        for name, start in (("all of them", 0), ("from the middle", EDGES // 2), ("a leaf", EDGES)):
            reach = store.reached(digests[start])
            used = median(lambda s=start: store.reached(digests[s]), 7)
            rows.append((f"blast radius among {EDGES:,} edges, {name}: {reach:,} reached", f"{used * 1000:.1f} CPU ms", "100 ms"))
        store.close()
    return rows


print("| what | measured | floor |\n|---|---|---|")
for row in (*gate(), *lineage()):
    print(f"| {' | '.join(row)} |", flush=True)

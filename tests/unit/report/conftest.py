"""Results to render: a mixed one, a clean one, one of hostile names, and a large one."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from stannary.checks.static.result import FileResult, Missed, ScanFinding, ScanResult, Summary, TargetResult, Tool
from stannary.checks.static.ruleset import Examples, Rule
from stannary.report.interface import Context

TOOL = Tool(version="0.1.0", ruleset="sha256:" + "a" * 64, jail="landlock")
HOSTILE = "evil\x1b[31m\u202egnp.lkp\u2066<script>alert(1)</script>`|@admin](https://evil.example)\n## x\x07\x9b\U000e0041"

CALL = Rule(
    id="PKL001",
    title="Loading runs a command",
    severity="critical",
    what="The pickle calls a function that runs commands of the operating system.",
    why="Whoever loads the file runs the command with their own rights. No method of the model has to be called.",
    exploit="An attacker publishes fine-tuned weights under a popular name; the first load on a build agent sends its keys away.",
    fix="Do not load this file. Ask for safetensors, or for the code that makes the model.",
    message="calls {global}",
    examples=Examples("pickle.os_system", "pickle.plain"),
    cwe=("CWE-502", "CWE-78"),
    atlas=("AML.T0011.000",),
    owasp=("LLM03:2025",),
)
UNKNOWN = Rule(
    id="PKL050",
    title="A class nobody knows",
    severity="low",
    what="The pickle names a class that is in no library we know.",
    why="What its constructor does cannot be told from the file.",
    exploit="A package of that name, published by somebody else, is imported on load.",
    fix="Check where the class comes from.",
    message="names {global}",
    examples=Examples("pickle.unknown_class", "pickle.plain"),
    cwe=("CWE-502",),
)
RULES = {rule.id: rule for rule in (CALL, UNKNOWN)}


def finding(**changes: object) -> ScanFinding:
    values: dict[str, object] = {
        "rule": "PKL001",
        "severity": "critical",
        "file": "model.pkl",
        "offset": 12,
        "message": "calls posix.system with a shell command: 'echo pwned'",
        "evidence": {"global": "posix.system", "arguments": ["echo pwned"]},
        "cwe": ("CWE-502", "CWE-78"),
        "atlas": ("AML.T0011.000",),
        "owasp": ("LLM03:2025",),
        "fingerprint": "0123456789abcdef0123456789abcdef",
    }
    return ScanFinding(**{**values, **changes})  # type: ignore[arg-type]


def file(path: str, verdict: str = "clean", **changes: object) -> FileResult:
    values: dict[str, object] = {
        "path": path,
        "format": "pickle",
        "sha256": "b" * 64,
        "size": 1234,
        "status": "scanned",
        "verdict": verdict,
    }
    return FileResult(**{**values, **changes})  # type: ignore[arg-type]


def outcome(*targets: TargetResult, seconds: float = 1.3) -> ScanResult:
    files = [f for t in targets for f in t.files]
    found = [f for t in targets for f in t.findings]
    counts = {s: sum(f.severity == s and f.waived is None for f in found) for s in ("critical", "high", "medium", "low", "info")}
    return ScanResult(
        tool=TOOL,
        targets=targets,
        summary=Summary(
            files=len(files),
            bytes=sum(f.size for f in files),
            seconds=seconds,
            waived=sum(f.waived is not None for f in found),
            **counts,
        ),
    )


@pytest.fixture
def build() -> SimpleNamespace:
    """The builders, for tests that need a result of their own."""
    return SimpleNamespace(file=file, finding=finding, outcome=outcome)


@pytest.fixture
def mixed() -> ScanResult:
    """One folder of five files with every verdict, and one single file."""
    folder = TargetResult(
        path="downloads",
        digest="sha256:" + "c" * 64,
        kind="model",
        size=2_100_000_000,
        verdict="unsafe",
        files=(
            file("model.pkl", "unsafe"),
            file("clean.safetensors", format="safetensors", size=2_000_000_000),
            file("weights/odd.pt", "suspicious", format="zip", formats=("zip", "archive/data.pkl:pickle")),
            file("broken.h5", "incomplete", format="hdf5", missed=(Missed("needs 12 bytes, 3 are left", "model_config", 96),)),
            file("custom.pkl", "unverified"),
            file("locked.bin", "incomplete", format="", sha256=None, status="failed", reason="permission denied"),
        ),
        findings=(
            finding(),
            finding(
                rule="PKL050",
                severity="low",
                file="custom.pkl",
                message="names acme.models.Thing",
                offset=3,
                evidence={"global": "acme.models.Thing"},
            ),
            finding(
                rule="ZIP010",
                severity="medium",
                file="weights/odd.pt",
                part="archive/data.pkl",
                offset=7,
                message="two entries have one name",
            ),
            finding(rule="TXT001", severity="info", file="model.pkl", line=4, offset=None, message="protocol 2"),
            finding(rule="PKL001", file="custom.pkl", message="calls builtins.eval", waived="reviewed by the owner"),
        ),
    )
    single = TargetResult(
        path="one.npy",
        digest=None,
        kind="model",
        size=128,
        verdict="clean",
        files=(file("one.npy", format="numpy", size=128),),
        findings=(),
    )
    return outcome(folder, single)


@pytest.fixture
def clean() -> ScanResult:
    """One clean file."""
    return outcome(
        TargetResult(
            path="one.npy",
            digest=None,
            kind="model",
            size=128,
            verdict="clean",
            files=(file("one.npy", format="numpy", size=128),),
            findings=(),
        )
    )


@pytest.fixture
def hostile() -> ScanResult:
    """Everything that an artifact can name is an attack on the report."""
    return outcome(
        TargetResult(
            path=f"dir/{HOSTILE}",
            digest=None,
            kind="model",
            size=1,
            verdict="unsafe",
            files=(
                file(HOSTILE, "unsafe", format="x\x1b", reason=HOSTILE, missed=(Missed(HOSTILE, HOSTILE, 3),)),
                file("name-\udcff.pkl", "clean", reason=HOSTILE),
            ),
            findings=(
                finding(
                    file=HOSTILE,
                    part=HOSTILE,
                    message=f"calls {HOSTILE}",
                    evidence={HOSTILE: HOSTILE, "big": 1 << 80, "raw": b"\x00\x1b"},
                ),
                finding(file="name-\udcff.pkl", message="x\udcff", waived=HOSTILE),
            ),
            errors=(HOSTILE,),
            source={HOSTILE: HOSTILE},
        )
    )


@pytest.fixture
def large() -> ScanResult:
    """5,000 files of which 2,000 have several findings."""
    files = tuple(
        file(f"models/group-{i // 100:03d}/model-{i:05d}-of-05000.pkl", "unsafe" if i % 5 < 2 else "clean") for i in range(5000)
    )
    found = tuple(
        finding(file=f.path, rule=f"PKL{n:03d}", message=f"calls module_{n}.function with 'echo {n} {f.path}'", offset=n)
        for f in files
        if f.verdict == "unsafe"
        for n in range(6)
    )
    return outcome(
        TargetResult(
            path="models", digest="sha256:" + "d" * 64, kind="model", size=9_000_000, verdict="unsafe", files=files, findings=found
        )
    )


@pytest.fixture
def context() -> Context:
    """A context with the rules and fixed times."""
    return Context(
        rules=RULES,
        exit_code=1,
        started=datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC),
        finished=datetime(2026, 11, 22, 10, 0, 1, 300_000, tzinfo=UTC),
        command=("stannary", "scan", "downloads", "one.npy"),
    )

"""The bill of materials of a large repository, beside other generators: `./dev bench evidence bom [--small]`.

10,000 files as research repositories mix them (code, configurations, documents, data, checkpoints). What is measured is
the whole command as a user starts it, its start and the document included; every program in turn, medians of the rounds.
`sha256sum` over the same files is what reading them costs at least. Then what stands in the documents of a small, whole
repository whose card says all of it. The other generators are installed on first use, each into an environment of its own
under `.venv-peers/`; one that cannot be installed or fails is reported as that.
"""

import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from stannary.report.bom.validate import validate
from stannary.testing.hub_repository import write_large, write_repository

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".venv-peers"
STANNARY = str(Path(sys.executable).with_name("stannary"))
FILES, ROUNDS = (1_000, 3) if "--small" in sys.argv else (10_000, 5)
# What keeps the others from the network and from calling home.
QUIET = {"AISBOM_OFFLINE": "1", "AISBOM_NO_TELEMETRY": "1", "AI_BOM_TELEMETRY": "0", "NO_COLOR": "1"}
# What is installed, its program and its arguments; {0} is the folder, {1} the document.
PEERS = {
    "airom": ("airom==0.5.0", "airom", "fs {0} --offline -q -o cyclonedx={1}"),
    "aisbom": ("aisbom-cli==1.7.0", "aisbom", "scan {0} --offline --no-fail-on-risk --output {1}"),
    "ai-bom": ("ai-bom==3.6.0", "ai-bom", "scan {0} --no-telemetry -q -f cyclonedx -o {1}"),
}
# What the card, the lock and the files of the small repository say → how it reads in a document.
SAID = {
    "its data set": '"imdb"',
    "its base model": "google-bert/bert-base-uncased",
    "its licence": '"apache-2.0"',
    "its accuracy": '"0.931"',
    "parameters": '"1632"',
    "torch as pinned": "torch==2.4.0",
    "limitations": "english only.",
}


def ensure(name):
    """Make the environment of a peer; return why it is not there, or nothing."""
    wanted, program, _ = PEERS[name]
    folder = HOME / name
    if (folder / "bin" / program).exists():
        return ""
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", wanted],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": ""})
        if done.returncode:
            shutil.rmtree(folder, ignore_errors=True)
            return f"not installed: {(done.stderr.strip().splitlines() or ['no reason given'])[-1][:100]}"
    return ""


def peer(name, folder, document):
    _, program, arguments = PEERS[name]
    return [str(HOME / name / "bin" / program), *arguments.format(folder, document).split()]


def once(command, work):
    """Return seconds by the clock and CPU seconds of a command and its children; None when it fails."""
    start = time.perf_counter()
    own = command[0] == STANNARY
    process = subprocess.Popen(
        command,
        cwd=work,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **QUIET, **({} if own else {"PYTHONPATH": ""})},
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return None if process.returncode else (time.perf_counter() - start, usage.ru_utime + usage.ru_stime)


def commands(there):
    """Return what is run on the large repository: name → command."""
    ours = [STANNARY, "bom", "model", "--timestamp", "1764000000"]
    return {
        "stannary, CycloneDX, one process": [*ours, "--jobs", "1", "-o", "bom.json"],
        "stannary, CycloneDX, two processes": [*ours, "--jobs", "2", "-o", "two.json"],
        "stannary, SPDX, one process": [*ours, "--jobs", "1", "--format", "spdx", "-o", "spdx.json"],
        "stannary, validating that CycloneDX document": [STANNARY, "bom", "validate", "bom.json"],
        **{name: peer(name, "model", f"{name}.json") for name in there},
        "`sha256sum` of every file": ["sh", "-c", "find model -type f -print0 | xargs -0 sha256sum"],
    }


def cost(work, there):
    """Print what each command costs; return the CPU seconds of the one that has a floor."""
    write_large(work / "model", FILES)
    rows = commands(there)
    found = {name: [] for name in rows}
    for _ in range(ROUNDS):
        for name, command in rows.items():
            found[name].append(once(command, work))
    assert (work / "bom.json").read_bytes() == (work / "two.json").read_bytes()
    base = 0.0
    print("| what | by the clock | CPU | times stannary's CPU | files with their SHA-256 |\n|---|---|---|---|---|")
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (work / "model").rglob("*") if path.is_file()}
    for name, times in found.items():
        if None in times:
            print(f"| {name} | failed | | | |")
            continue
        wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
        base = base or cpu
        document = work / f"{name}.json" if name in PEERS else work / ("spdx.json" if "SPDX" in name else "bom.json")
        text = document.read_text() if name in PEERS or "process" in name else ""
        hashed = f"{sum(digest in text for digest in digests):,} of {len(digests):,}" if text else ""
        print(f"| {name} | {wall:.2f} s | {cpu:.2f} s | {cpu / base:.1f} | {hashed} |")
    return base


def content(work, there):
    """Print what stands in the documents about a repository whose card, locks and files say all of it."""
    repository = write_repository(work / "small")
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in repository.iterdir()]
    rows = {"stannary": [STANNARY, "bom", "small", "-o", "stannary.json"]}
    rows |= {name: peer(name, "small", f"{name}.json") for name in there}
    print(f"\n| document of | by its schema | files with their SHA-256 | {' | '.join(SAID)} |\n|{'---|' * (3 + len(SAID))}")
    for name, command in rows.items():
        (work / f"{name}.json").unlink(missing_ok=True)
        if once(command, work) is None:
            print(f"| {name} | failed |{' |' * (1 + len(SAID))}")
            continue
        raw = (work / f"{name}.json").read_bytes()
        document = json.loads(raw)
        pinned = [f"{row.get('name')}=={row.get('version')}" for row in document.get("components", ())]
        text = json.dumps([document, pinned], ensure_ascii=False).lower()
        verdict = validate(raw)
        said = " | ".join("yes" if mark.lower() in text else "no" for mark in SAID.values())
        hashed = f"{sum(digest in text for digest in digests)} of {len(digests)}"
        print(f"| {name} | CycloneDX {verdict.version}, {'valid' if verdict.valid else 'not valid'} | {hashed} | {said} |")


def main():
    missing = {name: ensure(name) for name in PEERS}
    there = [name for name, problem in missing.items() if not problem]
    for name, problem in missing.items():
        print(f"{name}: {problem or PEERS[name][0]}")
    print()
    with tempfile.TemporaryDirectory() as scratch:
        base = cost(Path(scratch), there)
        content(Path(scratch), there)
    return 0 if base <= 3 * FILES / 10_000 else 1


if __name__ == "__main__":
    sys.exit(main())

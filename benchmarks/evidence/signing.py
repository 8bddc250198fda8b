"""Signing and verifying beside model_signing: a large model, one of many files, one that did not change.

    ./dev bench evidence signing [--small] [--many]

Every program runs as a user starts it, in turn, on the same files, whose pages are in memory. What counts is CPU
seconds (user and system, children included) of the whole process, medians of the rounds; a busy machine changes
them little. --many leaves the large model out. model_signing runs in .venv-oracles (STANNARY_ORACLES names another folder).
"""

import compileall
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import stannary
from stannary.crypto.keys import generate

ROOT = Path(__file__).resolve().parents[2]
ORACLES = Path(os.environ.get("STANNARY_ORACLES") or ROOT / ".venv-oracles") / "bin"
STANNARY = Path(sys.executable).with_name("stannary")
SMALL = "--small" in sys.argv
GIB, FILES, ROUNDS = (0.25, 2_000, 3) if SMALL else (2, 10_000, 7)
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def cost(command):
    """Return (CPU seconds, wall seconds) of a process and its children."""
    start = time.perf_counter()
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=ENVIRONMENT)
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command}: {said.decode()}")
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - start


def large(folder):
    block = os.urandom(32 << 20)
    for number in range(4):
        with (folder / f"model-{number}.safetensors").open("wb") as file:
            for part in range(int(GIB * 8)):
                file.write(bytes([number, part]) + block[2:])


def many(folder):
    for number in range(FILES):
        path = folder / f"{number // 500:03}" / f"part-{number:05}.bin"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(os.urandom(8192))


def commands(work, model):
    """Return what is run: name → command."""
    theirs, ours = work / f"{model.name}.theirs.sig", work / f"{model.name}.sig"
    private, public = work / "k.pem", work / "k.pub"
    peer, sign, verify = (
        ORACLES / "model_signing",
        [STANNARY, "sign", model, "--key", private, "-o", ours],
        [STANNARY, "verify", model],
    )
    return {
        "model_signing sign": [peer, "sign", "key", model, "--private_key", private, "--signature", theirs],
        "stannary sign": [*sign, "--no-cache"],
        "stannary sign, nothing changed": sign,
        "model_signing verify": [peer, "verify", "key", model, "--public_key", public, "--signature", theirs],
        "stannary verify": [*verify, "--key", public, "--signature", ours],
        "stannary verifies model_signing's": [*verify, "--key", public, "--signature", theirs],
        "model_signing verifies stannary's": [peer, "verify", "key", model, "--public_key", public, "--signature", ours],
        "openssl dgst -sha256": ["sh", "-c", f"find {model} -type f -print0 | xargs -0 openssl dgst -sha256 -r"],
        "model_signing --version": [peer, "--version"],
        "stannary sign, one small file": [STANNARY, "sign", public, "--key", private, "-o", work / "x.sig"],
    }


FLOORS = {
    ("large", "stannary sign"): 1.0,
    ("large", "stannary verify"): 1.0,
    ("large", "stannary sign, nothing changed"): 10.0,
    ("many", "stannary sign"): 4.0,
    ("many", "stannary verify"): 4.0,
    ("many", "stannary sign, nothing changed"): 10.0,
}


def measure(work, kind, title):
    model = work / kind
    model.mkdir()
    {"large": large, "many": many}[kind](model)
    time.sleep(2.5)  # a cache believes no file that was written just now
    found = {name: [] for name in commands(work, model)}
    cost(commands(work, model)["stannary sign"])  # pages in memory
    cost(commands(work, model)["stannary sign, nothing changed"])  # what it will find unchanged
    for _ in range(ROUNDS):
        for name, command in commands(work, model).items():
            found[name].append(cost(command))
    cpu = {name: statistics.median(item[0] for item in rows) for name, rows in found.items()}
    wall = {name: statistics.median(item[1] for item in rows) for name, rows in found.items()}
    print(f"\n### {title}\n\n| what | CPU s | wall s | times the peer's CPU speed | floor |\n|---|---|---|---|---|")
    missed = []
    for name in found:
        peer = cpu["model_signing verify" if "verif" in name else "model_signing sign"]
        ratio = peer / cpu[name]
        floor = FLOORS.get((kind, name))
        if floor and ratio < floor:
            missed.append(f"{title}, {name}: {ratio:.1f} of {floor}")
        compared = "small file" not in name and ("stannary" in name or not name.startswith("model_signing "))
        shown = f"{ratio:.1f} x" if compared else ""
        print(f"| {name} | {cpu[name]:.2f} | {wall[name]:.2f} | {shown} | {f'{floor:.0f} x' if floor else ''} |", flush=True)
    return missed


def main():
    if not (ORACLES / "model_signing").exists():
        sys.exit(f"{ORACLES} has no model_signing: `./dev test` makes it, STANNARY_ORACLES names another")
    compileall.compile_dir(Path(stannary.__file__).parent, quiet=2)
    with tempfile.TemporaryDirectory(prefix="stannary-bench-") as name:
        work = Path(name)
        ENVIRONMENT.update(XDG_CACHE_HOME=str(work / "cache"), XDG_STATE_HOME=str(work / "state"))
        key = generate()
        key.write(work / "k.pem", None)
        (work / "k.pub").write_bytes(key.public.pem())
        missed = [] if "--many" in sys.argv else measure(work, "large", f"{GIB} GiB in 4 files")
        missed += measure(work, "many", f"{FILES:,} files of 8 KiB")
    for line in missed:
        print(f"below its floor: {line}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

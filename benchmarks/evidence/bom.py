"""The bill of materials of a large repository: `./dev bench evidence bom`.

10,000 files as research repositories mix them (code, configurations, documents, data, checkpoints). What is measured is
the whole command, its start and the document included, with one process and with two; `sha256sum` over the same files is
what reading them costs at least.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from stannary.testing.hub_repository import write_large

FILES, RUNS = (1_000, 3) if "--small" in sys.argv else (10_000, 5)
STANNARY = [sys.executable, "-c", "import sys; from stannary.cli.main import run; sys.exit(run())"]


def once(command, folder):
    """Return seconds by the clock and CPU seconds of a command and its children."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_large(folder / "model", FILES)
        rows = {
            "CycloneDX, one process": [*STANNARY, "bom", "model", "--jobs", "1", "-o", "bom.json"],
            "CycloneDX, two processes": [*STANNARY, "bom", "model", "--jobs", "2", "-o", "bom.json"],
            "SPDX, one process": [*STANNARY, "bom", "model", "--jobs", "1", "--format", "spdx", "-o", "bom.json"],
            "validate the CycloneDX document": [*STANNARY, "bom", "validate", "kept.json"],
            "sha256sum of every file": ["sh", "-c", "find model -type f -print0 | xargs -0 sha256sum"],
        }
        once(rows["CycloneDX, one process"], folder)
        (folder / "bom.json").replace(folder / "kept.json")
        found = {name: [] for name in rows}
        for _ in range(RUNS):
            for name, command in rows.items():
                found[name].append(once(command, folder))
        components = len(json.loads((folder / "kept.json").read_text())["components"])
        print(f"{FILES:,} files, {components:,} components; medians of {RUNS}\n")
        print("| what | seconds by the clock | CPU seconds |\n|---|---|---|")
        for name, times in found.items():
            wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
            print(f"| {name} | {wall:.2f} | {cpu:.2f} |")
        return 0 if statistics.median(cpu for _, cpu in found["CycloneDX, one process"]) <= 3 * FILES / 10_000 else 1


if __name__ == "__main__":
    sys.exit(main())

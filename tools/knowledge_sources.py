"""Fetch the distributions of requirements/corpus-knowledge.txt and keep only what is read of them.

    python tools/knowledge_sources.py CACHE_DIR [NAME...]
    python tools/knowledge_sources.py CACHE_DIR --installed SITE_PACKAGES FOLDER NAME==VERSION

The second form takes a package that has no wheel from an environment where it was built.

A wheel is asked for by name through pip, without its dependencies, and never installed or
imported. What stays in CACHE_DIR/NAME-VERSION.zip: the `.py`, `.pyx` and `.pxd` files, and for
each extension module a `.names` file with the identifiers of its string table (Cython stores
the qualified name of every class, and `__pyx_unpickle_*`, in plain text).
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

LIST = Path(__file__).parent.parent / "requirements" / "corpus-knowledge.txt"
SOURCES = (".py", ".pyx", ".pxd", ".pxi", ".tp")
PLATFORMS = {
    "m": ["macosx_14_0_x86_64"],
    "a": ["macosx_14_0_arm64"],
    "l": ["manylinux2014_x86_64", "manylinux_2_28_x86_64"],
    "s": [],
}
LARGE = 40_000_000
NAMES = re.compile(rb"[A-Za-z_][\w.]{2,120}")


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of the files worth reading in a wheel or source archive."""
    if path.suffix in {".whl", ".zip"}:
        with zipfile.ZipFile(path) as box:
            for info in box.infolist():
                if info.filename.endswith((*SOURCES, ".so", ".pyd")):
                    yield info.filename, box.read(info)
        return
    with tarfile.open(path) as tape:
        for entry in tape:
            if entry.isfile() and entry.name.endswith(SOURCES):
                handle = tape.extractfile(entry)
                if handle is not None:
                    yield entry.name.partition("/")[2].removeprefix("src/"), handle.read()


def reduce(path: Path, target: Path) -> None:
    """Write the readable part of the archive at `path` to the zip `target`."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in members(path):
            if name.endswith((".so", ".pyd")):
                if len(data) < LARGE and b"__pyx" in data:
                    found = sorted(set(NAMES.findall(data)))
                    out.writestr(name + ".names", b"\n".join(found))
            else:
                out.writestr(name, data)


def fetch(line: str, cache: Path) -> str:
    """Download one line's distribution and return what came of it."""
    spec, python, platform = line.split()
    name, _, version = spec.partition("==")
    if (cache / f"{name}-{version}.zip").exists():
        return "there"
    with tempfile.TemporaryDirectory(dir=cache) as tmp:
        kind = ["--no-binary=:all:"] if platform == "s" else ["--only-binary=:all:", "--python-version", python]
        tags = [arg for tag in PLATFORMS[platform] for arg in ("--platform", tag)]
        base = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", tmp]
        run = subprocess.run([*base, *kind, *tags, spec], capture_output=True, text=True, check=False)
        got = [p for p in Path(tmp).iterdir() if p.is_file()]
        if run.returncode or not got:
            return "failed: " + (run.stderr.strip().splitlines() or ["?"])[-1]
        reduce(got[0], cache / "part")
        shutil.move(cache / "part", cache / f"{name}-{version}.zip")
        return f"{got[0].stat().st_size / 1e6:.1f} MB"


def main() -> None:
    """Fetch every line that the cache does not hold yet."""
    cache = Path(sys.argv[1])
    cache.mkdir(parents=True, exist_ok=True)
    wanted = sys.argv[2:]
    if wanted[:1] == ["--installed"]:
        site, folder, spec = Path(wanted[1]), wanted[2], wanted[3]
        with zipfile.ZipFile(cache / f"{spec.replace('==', '-')}.zip", "w", zipfile.ZIP_DEFLATED) as out:
            for path in sorted((site / folder).rglob("*")):
                if path.name.endswith(SOURCES):
                    out.write(path, path.relative_to(site))
                elif path.name.endswith((".so", ".pyd")):
                    out.writestr(f"{path.relative_to(site)}.names", b"\n".join(sorted(set(NAMES.findall(path.read_bytes())))))
        return
    for raw in LIST.read_text(encoding="utf-8").splitlines():
        line = raw.partition("#")[0].strip()
        if line and (not wanted or re.split(r"==|\s", line)[0] in wanted):
            print(line, fetch(line, cache), flush=True)


if __name__ == "__main__":
    main()

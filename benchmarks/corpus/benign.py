"""Make real benign models with the real libraries, in whatever versions this environment has.

    python benchmarks/corpus/benign.py OUT [--subset ci] [--group sklearn,torch] [--tag py311]

Run it in several environments with different tags (requirements/corpus-*.txt names the versions):
what is not installed is left out and named. Every file is written by the library's own function;
the content is seeded, so that a second run makes the same models.
It runs on Python 3.7 and newer, hence its plain syntax.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import warnings
from pathlib import Path

from benign_out import Out

# Group -> the module that makes it, and what must be importable. CI makes the marked ones.
GROUPS = {
    "stdlib": ("benign_stdlib", (), True),
    "arrays": ("benign_arrays", ("numpy",), True),
    "frames": ("benign_frames", ("pandas",), True),
    "sklearn": ("benign_sklearn", ("sklearn",), True),
    "boosting": ("benign_boosting", ("numpy",), False),
    "torch": ("benign_torch", ("torch",), True),
    "hub": ("benign_hub", ("torch", "transformers"), False),
    "keras": ("benign_keras", ("keras",), False),
    "others": ("benign_others", ("numpy",), False),
    "classic": ("benign_classic", ("sklearn",), False),
    "learned": ("benign_learned", ("torch", "sklearn"), False),
    "series": ("benign_series", ("pandas",), False),
    "large": ("benign_large", ("sklearn", "joblib"), False),
}


def installed(name: str) -> bool:
    """Say whether `name` can be imported here."""
    try:
        importlib.import_module(name)
    except Exception:  # noqa: BLE001 - a broken installation is as good as none
        return False
    return True


def main() -> int:
    """Make the groups asked for; the exit code is 1 when nothing was made."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--subset", choices=["all", "ci"], default="all")
    parser.add_argument("--group", default="", help="comma-separated names; default: all but large")
    parser.add_argument("--tag", default="py%d%d" % sys.version_info[:2])
    args = parser.parse_args()
    wanted = [g for g in args.group.split(",") if g] or [
        g for g in GROUPS if g != "large" and (GROUPS[g][2] or args.subset == "all")
    ]
    warnings.simplefilter("ignore")
    total = 0
    for group in wanted:
        module, needs, _ = GROUPS[group]
        missing = [name for name in needs if not installed(name)]
        if missing:
            print(f"{group}: left out, no {', '.join(missing)}")
            continue
        start = time.monotonic()
        out = Out(args.out, f"{args.tag}-{group}", small=args.subset == "ci")
        importlib.import_module(module).make(out)
        total += out.count
        missing = sorted(set(out.missing))
        print(
            f"{group}: {out.count} files in {time.monotonic() - start:.1f} s; not installed: {' '.join(missing) or '-'}",
            *(f"\n    {p}" for p in out.problems),
            flush=True,
        )
    return 0 if total else 1


if __name__ == "__main__":
    sys.exit(main())

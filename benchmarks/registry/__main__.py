"""What a registry costs: every part of this folder, one after the other.

./dev bench registry [PART...] [--small]
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PARTS = {path.stem: path for path in sorted(HERE.glob("*.py")) if not path.stem.startswith("_")}


def main(arguments):
    options = [item for item in arguments if item.startswith("-")]
    names = [item for item in arguments if not item.startswith("-")] or list(PARTS)
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"no such part: {', '.join(unknown)}; there are: {', '.join(PARTS)}", file=sys.stderr)
        return 2
    codes = []
    for name in names:
        print(f"\n## {name}\n", flush=True)
        codes.append(subprocess.run([sys.executable, PARTS[name], *options], check=False).returncode)
    return max(codes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Write the digests of the console's static files into its manifest, by which pages name them.

    python tools/build_console.py [--check]

What is vendored keeps the line that says where it is from; a file that is not in the manifest is our own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from pathlib import Path

STATIC = Path(__file__).resolve().parent.parent / "src" / "stannary" / "server" / "console" / "static"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".txt": "text/plain"}


def main() -> int:
    """Write the manifest, or with `--check` say whether it is what would be written."""
    path = STATIC / "manifest.json"
    text = path.read_text(encoding="utf-8")
    known = json.loads(text)
    made = {}
    for item in sorted(STATIC.iterdir()):
        if item.suffix in _TYPES:
            content = item.read_bytes()
            made[item.name] = {
                "type": _TYPES[item.suffix],
                "sha256": hashlib.sha256(content).hexdigest(),
                "integrity": "sha384-" + base64.b64encode(hashlib.sha384(content).digest()).decode(),
                "from": known.get(item.name, {}).get("from", "our own"),
            }
    wanted = json.dumps(made, indent=2) + "\n"
    if "--check" in sys.argv:
        return int(wanted != text)
    path.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

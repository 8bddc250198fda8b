"""Reduce a release of the MITRE ATLAS data to the table that is shipped: technique ids and their names.

Run as `python tools/build_atlas.py ATLAS.yaml`, which is `dist/ATLAS.yaml` of a release of the mitre-atlas/atlas-data repository.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml

TARGET = Path(__file__).resolve().parent.parent / "src/stannary/checks/static/data/atlas.json"


def main(source: str) -> None:
    """Write the table, sorted by id; a sub-technique's name is given with its parent's."""
    data = yaml.safe_load(Path(source).read_text(encoding="utf-8"))
    techniques = {item["id"]: item for matrix in data["matrices"] for item in matrix["techniques"]}
    names = {
        key: f"{techniques[item['subtechnique-of']]['name']}: {item['name']}" if "subtechnique-of" in item else item["name"]
        for key, item in sorted(techniques.items())
    }
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"version": str(data["version"]), "techniques": names}, indent=1, ensure_ascii=False)
    TARGET.write_text(text + "\n", encoding="utf-8")
    print(f"{TARGET.name}: {len(names)} techniques of ATLAS {data['version']}")


if __name__ == "__main__":
    main(sys.argv[1])

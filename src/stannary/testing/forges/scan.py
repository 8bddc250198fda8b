"""Artifacts whose names, not contents, are the point. Links cannot be forged as bytes: the tests make those."""

from __future__ import annotations

import json

from stannary.testing.forges import forge

__all__: list[str] = []

_FAMILY = "artifact names"
_NOTES = json.dumps({"notes": "nothing here"}).encode()


@forge("scan.plain_folder", filename="plain", family=_FAMILY, malicious=False)
def _plain() -> dict[str, bytes]:
    return {"notes.json": _NOTES, "docs/README.md": b"# A model\n"}


@forge("scan.deep_json", filename="deep", family=_FAMILY, malicious=True)
def _deep() -> dict[str, bytes]:
    return {"config.json": b'{"layers":' + b"[" * 100_000}


@forge("scan.control_characters", filename="names", family=_FAMILY, malicious=True)
def _control() -> dict[str, bytes]:
    return {"notes.json": _NOTES, "READ\x1b[2KME.md": b"# A model\n"}


@forge("scan.right_to_left", filename="names", family=_FAMILY, malicious=True)
def _right_to_left() -> dict[str, bytes]:
    return {"notes.json": _NOTES, "weights\u202enosj.md": b"# A model\n"}

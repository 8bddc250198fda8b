"""Write a golden example for each kind of evidence that has none yet, and one more where the example has grown since.

Those that are there are never written again.

Run as `python tools/build_golden.py`. Each new example is signed with a key made for it and thrown away;
its public key stands beside it. tests/unit/evidence/test_golden.py verifies all of them, for ever.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path

import msgspec

from stannary.core.model import Digest, Json
from stannary.crypto import dsse
from stannary.crypto.keys import generate
from stannary.evidence.predicates.table import KINDS
from stannary.evidence.statement import encode, subject_resource
from stannary.evidence.verify import verify_envelope
from stannary.testing.statements import EXAMPLES, SUBJECT_HEX

TARGET = Path(__file__).resolve().parent.parent / "tests/golden/evidence"


def _free(first: str, predicate: dict[str, Json]) -> str:
    """Return the name for an example that is not there yet, empty where one says the same."""
    for number in count(1):
        stem = first if number == 1 else f"{first}-{number}"
        path = TARGET / f"{stem}.dsse.json"
        if not path.exists():
            return stem
        statement = msgspec.json.decode(dsse.payload_of(dsse.decode(path.read_bytes())))
        if statement["predicate"] == predicate:
            return ""
    raise AssertionError


def main() -> None:
    """Write what is missing."""
    TARGET.mkdir(parents=True, exist_ok=True)
    for name, predicate in EXAMPLES.items():
        row = KINDS[name]
        stem = _free(f"{name}-{row.predicate_type.replace('/', ':').rpartition(':')[2]}", predicate)
        if not stem:
            continue
        path = TARGET / f"{stem}.dsse.json"
        key = generate("ed25519" if len(name) % 2 else "ecdsa-p256-sha256")
        subject = subject_resource(Digest(SUBJECT_HEX), "claims")
        envelope = dsse.sign(encode([subject], row.predicate_type, predicate), key)
        found = verify_envelope(envelope, {key.public.keyid: (key.public, "golden")})
        path.write_bytes(msgspec.json.format(dsse.encode(envelope), indent=2) + b"\n")
        (TARGET / f"{stem}.pub").write_bytes(key.public.pem())
        seen = msgspec.json.format(msgspec.json.encode(msgspec.to_builtins(found.value, str_keys=True)), indent=2)
        (TARGET / f"{stem}.evidence.json").write_bytes(seen + b"\n")
        print(f"wrote {path.name}")


if __name__ == "__main__":
    main()

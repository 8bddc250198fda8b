"""Anybody's documents, broken at random: validating and comparing them ends with a verdict or an InputError, never otherwise."""

import copy
import json
import lzma
import random
from pathlib import Path

import pytest

from stannary.core.errors import InputError
from stannary.report.bom.diff import compare, load, table
from stannary.report.bom.documents import ValidationDocument
from stannary.report.bom.validate import validate
from stannary.report.json_ import dump

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
TEXTS = [
    *json.loads(lzma.decompress((GOLDEN / "cyclonedx" / "fixtures.json.xz").read_bytes())).values(),
    *((GOLDEN / "bom" / name).read_text() for name in ("sentiment.spdx-3.0.1.json", "spdx-2.3-example.json")) ,
]  # fmt: skip
ODD = (
    None,
    True,
    0,
    -1,
    1.5,
    2**70,
    "",
    "x y",
    [],
    {},
    [{}],
    [[1]],
    {"a": 1},
    {"bom-ref": []},
    ["a"],
    "a" * 64,
    "\ud800",
    "\x1b[31m",
)


def broken(text: str, rng: random.Random) -> bytes:
    """Return a document with one to three of its values replaced."""
    document = json.loads(text)
    for _ in range(rng.randrange(1, 4)):
        places, todo = [], [document]
        while todo:
            node = todo.pop()
            for key in list(node) if isinstance(node, dict) else range(len(node)):
                places.append((node, key))
                if isinstance(node[key], (dict, list)):
                    todo.append(node[key])
        node, key = rng.choice(places)
        node[key] = copy.deepcopy(rng.choice(ODD))
    return json.dumps(document).encode()


@pytest.mark.parametrize("seed", range(8))
def test_broken_documents(seed):
    rng = random.Random(seed)
    judged = 0
    for _ in range(250):
        one, other = broken(rng.choice(TEXTS), rng), broken(rng.choice(TEXTS), rng)
        try:
            found = validate(one, "x")
        except InputError:
            continue
        judged += 1
        assert found.valid or any(row.check == "schema" for row in found.problems)
        assert "\x1b" not in dump(ValidationDocument(documents=(found,)))
        try:
            difference = compare(load(one, "x"), load(other, "y"))
        except InputError:
            continue
        assert "\x1b" not in table(difference)
        assert json.loads(dump(difference))["schema"] == "stannary.bom-diff/1"
    assert judged > 150


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_what_only_python_takes_for_json_is_refused(text):
    with pytest.raises(InputError, match="no number of JSON"):
        validate(f'{{"bomFormat": "CycloneDX", "specVersion": "1.6", "version": {text}}}'.encode())

"""Every forge of HDF5, Keras, ONNX, TensorFlow, Core ML, Paddle, Caffe, OpenVINO and PMML gets the verdict it deserves."""

from __future__ import annotations

import random

import pytest

from stannary.checks.static.ruleset import RuleSet, _Packed, compile_sources
from stannary.checks.static.verdict import findings_of, verdict_of
from stannary.checks.static.walk import read_file, read_view
from stannary.formats.interface import Limits, View
from stannary.testing.forges import all_forges, write

FAMILIES = ("hdf5.", "keras.", "onnx.", "tensorflow.", "coreml.", "paddle.", "caffe.", "openvino.", "pmml.")
FORGES = {name: item for name, item in all_forges().items() if name.startswith(FAMILIES)}
OWN_RULES = ("HDF", "KER", "ONX", "TFM", "CML", "PDL", "CAF", "OVN", "PMM", "XML")
# Benign, but with something that only the author can vouch for.
UNVERIFIED = {
    "keras.custom_registered",
    "keras.lambda_named",
    "keras.vocabulary_beside",
    "onnx.unknown_operator",
    "pmml.unknown_function",
    "tensorflow.unknown_operator",
}


@pytest.fixture(scope="module")
def rules():
    import msgspec

    packed = msgspec.json.decode(compile_sources(), type=_Packed)
    return RuleSet(packed.rules, packed.sets, "")


def assay(name, folder, rules):
    """Return the worst verdict over the files of a forge, and all rules that fired."""
    root = write(name, folder)
    order = ("clean", "unverified", "incomplete", "suspicious", "unsafe")
    worst, fired = "clean", set()
    for path in [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file()):
        report = read_file(str(path), name=path.name, strict=True)
        found = findings_of(report, rules, path.name)
        fired |= {finding.rule for finding in found}
        worst = max(worst, verdict_of(found, missed=bool(report.missed)), key=order.index)
    return worst, fired


@pytest.mark.parametrize("name", sorted(FORGES))
def test_verdict(name, tmp_path, rules):
    verdict, _ = assay(name, tmp_path, rules)
    if FORGES[name].malicious:
        assert verdict in {"suspicious", "unsafe"}
    elif FORGES[name].malicious is None:
        assert verdict != "clean"
    else:
        assert verdict == ("unverified" if name in UNVERIFIED else "clean")


def own_rules():
    return sorted(rule_id for rule_id in _all_rules() if rule_id.startswith(OWN_RULES))


def _all_rules():
    import msgspec

    packed = msgspec.json.decode(compile_sources(), type=_Packed)
    return {rule.id: rule for rule in packed.rules}


@pytest.mark.parametrize("rule_id", own_rules())
def test_examples_of_rules(rule_id, tmp_path, rules):
    examples = rules.rules[rule_id].examples
    _, fired = assay(examples.yes, tmp_path / "yes", rules)
    assert rule_id in fired
    _, fired = assay(examples.no, tmp_path / "no", rules)
    assert rule_id not in fired


@pytest.mark.parametrize("name", sorted(FORGES))
def test_broken_content_never_escapes(name):
    """Cut, overwritten and repeated bytes end in facts or in what was missed, never in an exception."""
    content = FORGES[name].build()
    items = [(FORGES[name].filename, content)] if isinstance(content, bytes) else list(content.items())
    chance = random.Random(name)  # the same every time
    for filename, whole in items:
        data = whole[:8192]
        for _ in range(12):
            broken = bytearray(data)
            for _ in range(chance.choice((1, 2, 8))):
                broken[chance.randrange(len(broken))] = chance.choice((0, 0x7F, 0x80, 0xFF, chance.randrange(256)))
            if chance.random() < 0.3:
                del broken[chance.randrange(len(broken)) :]
            read_view(View(bytes(broken), filename), strict=True, limits=Limits(seconds=20))


@pytest.mark.parametrize(
    "filename",
    [
        "m.h5",
        "m.keras",
        "m.onnx",
        "saved_model.pb",
        "m.meta",
        "m.mlmodel",
        "m.pdmodel",
        "m.pdiparams",
        "m.xml",
        "m.pmml",
        "m.index",
    ],
)
@pytest.mark.parametrize("content", [b"", b"\xc3\x28\xa0\xff" * 20, b"\x00" * 64], ids=["empty", "wrong magic", "zeros"])
def test_no_model_is_not_clean(filename, content):
    report = read_view(View(content, filename), strict=True)
    assert report.missed

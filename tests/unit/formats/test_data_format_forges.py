"""Every forge of the data formats gets the verdict it deserves, whole, cut short and with bytes changed."""

from __future__ import annotations

import random
import time

import pytest

from stannary.checks.static.ruleset import RuleSet, _Packed, compile_sources
from stannary.checks.static.verdict import findings_of, verdict_of
from stannary.checks.static.walk import read_file, read_view
from stannary.formats.interface import View
from stannary.testing.forges import all_forges, write

FAMILIES = (
    *("gguf.", "jinja.", "safetensors.", "skops.", "xgboost.", "lightgbm.", "catboost.", "tensorrt.", "mxnet.", "flax.", "torch7."),
    *("rdata.", "tflite.", "executorch.", "ort.", "arrow.", "parquet.", "executable.", "media.", "pyc."),
)
FORGES = {name: item for name, item in all_forges().items() if name.startswith(FAMILIES)}
HOSTILE = sorted(name for name, item in FORGES.items() if item.malicious)
BENIGN = sorted(name for name, item in FORGES.items() if item.malicious is False)
BROKEN = sorted(name for name, item in FORGES.items() if item.malicious is None)


@pytest.fixture(scope="module")
def rules():
    import msgspec

    packed = msgspec.json.decode(compile_sources(), type=_Packed)
    return RuleSet(packed.rules, packed.sets, "")


def assay(name, folder, rules):
    path = write(name, folder)
    report = read_file(str(path), name=path.name, strict=True)
    found = findings_of(report, rules, path.name)
    return verdict_of(found, missed=bool(report.missed)), found, report


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_is_flagged(name, tmp_path, rules):
    assert assay(name, tmp_path, rules)[0] in {"suspicious", "unsafe"}


@pytest.mark.parametrize("name", BENIGN)
def test_benign_is_clean_and_quiet(name, tmp_path, rules):
    verdict, found, report = assay(name, tmp_path, rules)
    assert [(f.rule, f.message) for f in found if f.severity != "info"] == []
    assert report.missed == ()
    assert verdict == "clean"


@pytest.mark.parametrize("name", BROKEN)
def test_broken_or_opaque_is_never_clean(name, tmp_path, rules):
    assert assay(name, tmp_path, rules)[0] != "clean"


def test_every_family_has_all_three():
    for family in FAMILIES:
        kinds = {FORGES[name].malicious for name in FORGES if name.startswith(family)}
        assert True in kinds, family
        assert False in kinds or family == "tensorrt.", family  # an engine is never more than unverified


@pytest.mark.parametrize("name", sorted(FORGES))
def test_cut_short_and_changed_content_never_breaks_a_reader(name):
    content = FORGES[name].build()
    if len(content) > 100_000:
        pytest.skip("too large to change byte by byte")
    generator = random.Random(name)
    variants = [content[:length] for length in range(0, len(content), max(1, len(content) // 24))]
    for _ in range(24):
        changed = bytearray(content)
        for _ in range(generator.randint(1, 4)):
            changed[generator.randrange(len(changed))] = generator.choice((0, 0x7F, 0x80, 0xFF, generator.randrange(256)))
        variants.append(bytes(changed))
    started = time.process_time()
    for variant in variants:
        read_view(View(variant, FORGES[name].filename), strict=True)
    assert time.process_time() - started < 20


# A prefix of these is a whole file of its own, or the format has no end of its own.
_NO_END = ("jinja.", "media.", "gguf.ggml", "gguf.ggla", "executable.", "lightgbm.", "torch7.ascii")
_EXACT = sorted(name for name in (*HOSTILE, *BENIGN) if not name.startswith(_NO_END) and "trailing" not in name)


@pytest.mark.parametrize("name", _EXACT)
def test_a_truncated_file_is_not_clean(name, rules):
    content = FORGES[name].build()
    clean = []
    for length in range(16, len(content) - 9, max(1, len(content) // 40)):
        report = read_view(View(content[:length], FORGES[name].filename))
        if verdict_of(findings_of(report, rules, "x"), missed=bool(report.missed)) == "clean":
            clean.append(length)
    # Padding behind the last tensor, and the mark that ends a stream, may be missing; a program cut in its header is none.
    assert not clean or name in {"gguf.padding", "gguf.nested_arrays", "arrow.stream", "tflite.appended"}

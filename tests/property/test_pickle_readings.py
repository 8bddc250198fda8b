"""Every stream that CPython loads, ours reads to the same imports; no mutation of a payload is called clean."""

from __future__ import annotations

import pickle
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from stannary.checks.static.ruleset import load as load_rules
from stannary.checks.static.verdict import findings_of, verdict_of
from stannary.checks.static.walk import read_view
from stannary.formats.interface import Budget, View
from stannary.formats.pickle_machine import Machine
from stannary.formats.pickle_real import read_for_real
from stannary.formats.pickle_record import Recorder

leaf = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.dates()
    | st.decimals(allow_nan=False)
    | st.uuids()
)
values = st.recursive(
    leaf,
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner) | st.frozensets(st.integers() | st.text())
    ),
    max_leaves=30,
)


def first(content: bytes) -> list[tuple[str, str]]:
    recorder = Recorder()
    Machine(memoryview(content), 0, recorder, Budget()).run()
    return recorder.sequence


@given(values, st.integers(0, 5))
def test_both_readings_name_the_same(value: Any, protocol: int) -> None:
    content = pickle.dumps(value, protocol)
    real = read_for_real(memoryview(content), 0, len(content), [])
    assert real.error == ""
    assert first(content) == real.names


class _Runs(Exception):
    pass


class _Called:
    def __call__(self, *_args: Any) -> None:
        raise _Runs

    def __reduce__(self) -> str:
        return "never"


class _Oracle(pickle.Unpickler):
    """CPython's unpickler, telling whether the marked function would be called."""

    def find_class(self, module: str, name: str, /) -> Any:
        if (module, name) == ("os", "system"):
            return _Called()
        raise pickle.UnpicklingError(name)


def runs(content: bytes) -> bool:
    import io

    try:
        _Oracle(io.BytesIO(content)).load()
    except _Runs:
        return True
    except Exception:  # noqa: BLE001 - any other end means that the payload did not run
        return False
    return False


SEEDS = [
    b"\x80\x02cos\nsystem\n(X\x04\x00\x00\x00echotR.",
    b"\x80\x04\x95\x1b\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94\x8c\x06system\x94\x93\x94\x8c\x04echo\x85R.",
    b"(S'echo'\nios\nsystem\n.",
    b"(cos\nsystem\nS'echo'\no.",
    b"\x80\x02}q\x00X\x01\x00\x00\x00acos\nsystem\nq\x01X\x04\x00\x00\x00echoq\x02\x85q\x03Rq\x04s.",
    b"\x80\x04\x8c\x02osq\x05\x8c\x06systemq\x070h\x05h\x07\x93\x8c\x04echo\x85R.",
]


@settings(max_examples=600)
@given(st.sampled_from(SEEDS), st.integers(0, 2**32))
def test_no_mutation_that_runs_is_clean(seed: bytes, entropy: int) -> None:
    content = mutate(seed, random.Random(entropy))
    report = read_view(View(content, "model.pkl"), strict=True)
    found = findings_of(report, load_rules(), "model.pkl")
    if runs(content):
        assert verdict_of(found, missed=bool(report.missed)) in {"unsafe", "suspicious"}


def mutate(seed: bytes, rng: random.Random) -> bytes:
    """Change a stream the way a fuzzer that knows pickles does: bytes, opcodes, splices, copies, cuts."""
    out = bytearray(seed)
    interesting = b"\x80\x95\x94\x93\x8c\x85\x86\x81\x92bRoi0(2Ntl]})ue.\x88\x89K\x00X"
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(out))
        match rng.randrange(6):
            case 0:
                out[at] = rng.randrange(256)
            case 1:
                out.insert(at, rng.choice(interesting))
            case 2:
                del out[at]
            case 3:
                out[at:at] = rng.choice(
                    [
                        b"N0",
                        b"(1",
                        b"K\x010",
                        b"\x95\x00\x00\x00\x00\x00\x00\x00\x00",
                        b"\x80\x04",
                        b"\x80\x00",
                        b"\x940",
                        b"20",
                        b"]a",
                        b"I1\n0",
                        b"(0",
                    ]
                )
            case 4:
                other = rng.choice(SEEDS)
                out[at:at] = other[rng.randrange(len(other)) :]
            case _:
                out = out[: max(2, at)] + rng.choice([b"", b"."])
        if len(out) < 2:
            out += b".."
    return bytes(out)


def test_truncations_never_raise() -> None:
    for seed in SEEDS:
        for end in range(len(seed)):
            report = read_view(View(seed[:end], "model.pkl"), strict=True)
            found = findings_of(report, load_rules(), "model.pkl")
            if runs(seed[:end]):
                assert verdict_of(found, missed=bool(report.missed)) in {"unsafe", "suspicious"}

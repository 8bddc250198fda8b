"""No content keeps a reader busy for long: processor time and memory end the reading, and what was seen is kept."""

import gc
import subprocess
import sys
import time

import msgspec
import pytest

import stannary
from stannary.checks.static import knowledge, ruleset, scan_worker, walk
from stannary.checks.static.verdict import findings_of
from stannary.core.errors import BudgetExceeded
from stannary.formats import pickle_real, pickle_traits
from stannary.formats.interface import RAN_OUT, Budget, Expired, Limits, View
from stannary.formats.unread import sweep

HURRIED = Limits(processor=0.05)
CALL = b"cposix\nsystem\n\x8c\x0aecho hello\x85R"
OBJECT = b"ccollections\nOrderedDict\n)R"
PADDING = b"}b" * 3_000_000  # seconds of state that is set


def scan(tmp_path, content, name="model.pkl", **limits):
    path = tmp_path / name
    path.write_bytes(content)
    result = stannary.scan(path, jobs=1, limits=limits)
    return result.targets[0], {finding.rule: finding for finding in result.findings}


@pytest.fixture(scope="module", autouse=True)
def _warm(tmp_path_factory):
    """Have every reader imported: what a first import takes would be taken from limits that are this small."""
    folder = tmp_path_factory.mktemp("warm")
    for name, content in {"a.py": b"import os\n", "a.pkl": b"\x80\x04N.", "a.json": b"{}", "a.txt": b"x"}.items():
        scan(folder, content, name)


def reasons(target):
    return [missed.reason for file in target.files for missed in file.missed]


def test_processor_time_ends_the_reading_and_keeps_what_was_found(tmp_path):
    content = b"\x80\x04" + CALL + b"0" + OBJECT + PADDING + b"."
    target, findings = scan(tmp_path, content, processor=0.05)
    assert "PKL001" in findings
    assert target.verdict == "unsafe"
    assert any(reason.startswith(RAN_OUT) for reason in reasons(target))


def test_what_was_not_read_is_never_clean(tmp_path):
    target, findings = scan(tmp_path, b"\x80\x04" + OBJECT + PADDING + b".", processor=0.05)
    assert findings == {}
    assert target.verdict == "incomplete"


@pytest.mark.parametrize(
    "payload,shown,severity",
    [
        (CALL, "posix.system", "high"),
        (b"(S'echo hello'\nios\nsystem\n", "os.system", "high"),
        (b"\x8c\x08builtins\x94\x8c\x04exec\x94\x93\x94\x8c\x01x\x85R", "builtins.exec", "high"),
        (b"X\x0a\x00\x00\x00subprocessq\x05X\x05\x00\x00\x00Popenq\x06\x93\x8c\x01x\x85R", "subprocess.Popen", "high"),
        (b"h\x00\x8c\x06system\x93\x8c\x01x\x85R", "system", "medium"),
    ],
)
def test_a_payload_behind_padding_is_swept_for(tmp_path, payload, shown, severity):
    target, findings = scan(tmp_path, b"\x80\x04" + OBJECT + PADDING + payload + b".", processor=0.05)
    assert findings["PKL035"].evidence == {"global": shown}
    assert findings["PKL035"].severity == severity
    assert any(reason.startswith(RAN_OUT) for reason in reasons(target))


@pytest.mark.parametrize(
    "text", [b"the os\nsystem\n", b"c0os\nsystem\n", b"\x8c\x02os\x8c\x07system\x93", b"\x8c\x02os\x8c\x06system."]
)
def test_only_the_opcodes_of_an_import_count(text):
    walker = walk.Walker(Budget())
    sweep(memoryview(text), walker)
    assert walker.facts == []


def test_memory_ends_the_reading_and_keeps_what_was_found(tmp_path):
    """In a process of its own: what the tests before this one left in memory is not the reader's."""
    path = tmp_path / "model.pkl"
    path.write_bytes(b"\x80\x04" + CALL + b"0" + b"".join(b"\x8c\x08%08d\x94" % n for n in range(2_000_000)) + b".")
    code = (
        "import sys, stannary; r = stannary.scan(sys.argv[1], jobs=1, limits={'memory': 64 << 20, 'processor': 30.0})\n"
        "print(*(f.rule for f in r.findings), *(m.reason for f in r.targets[0].files for m in f.missed), sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, timeout=100, check=True)
    told = done.stdout.splitlines()
    assert "PKL001" in told
    assert any("more memory than a reader may have" in line for line in told), told


def test_an_archive_stops_between_its_members(tmp_path, monkeypatch):
    import io
    import zipfile

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(20_000):
            archive.writestr(f"{number}.pkl", b"\x80\x04N.")
    started = time.process_time()
    target, _ = scan(tmp_path, packed.getvalue(), "model.zip", processor=0.1)
    assert target.verdict == "incomplete"
    assert time.process_time() - started < 1.5  # of the parent, which only makes the report


def test_readers_see_the_first_strikes_and_none_catches_the_last():
    budget = Budget(HURRIED)
    with pytest.raises(BudgetExceeded, match="processor time"):
        budget.expire()
    budget.closing = True
    budget.expire()
    with pytest.raises(Expired):
        budget.expire(last=True)
    with pytest.raises(BudgetExceeded, match="processor time"):
        budget.check_time()


def test_nothing_strikes_in_a_program_that_reads_for_itself():
    report = walk.read_view(View(b"\x80\x04" + OBJECT + PADDING[:200_000] + b".", "m.pkl"), limits=Limits(processor=0.000001))
    assert report.missed == ()


def test_a_probe_that_fails_does_not_lose_the_file(tmp_path):
    # Where the HDF5 signature is looked for, at 16 KiB, one byte is left.
    inside = b"\x80\x04" + bytes(16_383)
    content = b"\x80\x04B" + len(inside).to_bytes(4, "little") + inside + b"0" + CALL + b"."
    _, findings = scan(tmp_path, content)
    assert "PKL001" in findings


def test_a_stream_cut_off_in_a_decoder_leaves_the_file_readable(tmp_path):
    import bz2
    import random

    content = bz2.compress(random.Random(3).randbytes(3 << 20))
    target, _ = scan(tmp_path, content, "model.bz2", processor=0.1)
    assert target.verdict == "incomplete"
    assert any(reason.startswith(RAN_OUT) for reason in reasons(target))


def test_source_behind_padding_is_swept_for_calls(tmp_path):
    content = b"a = b(c)\n" * 400_000 + b"import os\nos.system('echo hello')\n"
    target, findings = scan(tmp_path, content, "setup.py", processor=0.05)
    assert findings["SCN004"].evidence == {"excerpt": "os.system("}
    assert target.verdict == "suspicious"


def test_the_members_a_loader_reads_by_itself_come_first(tmp_path):
    import io
    import zipfile

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3000):
            archive.writestr(f"archive/{number:05}.json", b'{"a": [%d%b]}' % (number, b", 1" * 3000))
        archive.writestr("archive/data.pkl", b"\x80\x04" + CALL + b".")
    target, findings = scan(tmp_path, packed.getvalue(), "model.zip", processor=0.3)
    assert "PKL001" in findings
    assert any(reason.startswith(RAN_OUT) for reason in reasons(target))


@pytest.mark.parametrize(
    "name,content",
    [
        ("setup.py", b"# padding\n" * 300_000 + b"import os\nos.system('echo hello')\n"),
        ("chat.jinja", b"{# padding #}\n" * 400_000 + b"{{ cycler.__init__.__globals__.os.system('echo hello') }}"),
    ],
)
def test_what_is_longer_than_is_parsed_is_swept_too(tmp_path, name, content):
    target, findings = scan(tmp_path, content, name)
    assert findings["SCN004"].evidence == {"excerpt": "os.system("}
    assert target.verdict == "suspicious"


def test_what_was_swept_is_judged_before_what_there_is_too_much_of(tmp_path):
    many = b"".join(b"cm\nf%d\n)R0" % number for number in range(200_000))
    target, findings = scan(tmp_path, b"\x80\x04" + many + CALL + b".", processor=0.2, facts=1000)
    assert "PKL035" in findings
    assert target.verdict == "unsafe"


def test_judging_ends_in_time_and_keeps_what_was_found(tmp_path, monkeypatch):
    from stannary.checks.static import scan_worker

    monkeypatch.setattr(scan_worker, "_JUDGING", 0.12)  # the workers are forked from this process
    many = b"".join(b"cm%d\nsystem\n)R0" % number for number in range(15_000))
    target, findings = scan(tmp_path, b"\x80\x04" + CALL + b"0" + many + b"N.", processor=30.0)
    assert "PKL001" in findings
    assert target.verdict == "unsafe"
    assert "there was more in it than could be judged in time" in reasons(target)


def test_a_reading_that_native_code_does_not_come_back_from_is_left_out_and_said_to_be(tmp_path):
    # A number of a megabyte, hashed again for each time that it is a key: minutes in which no signal handler of Python's runs.
    number = b"\x8b" + (1 << 20).to_bytes(4, "little") + b"\x01" * (1 << 20)
    before = time.monotonic()
    target, findings = scan(tmp_path, b"\x80\x04" + CALL + b"0" + number + b"q\x00}(" + b"h\x00N" * 1_000_000 + b"u.")
    assert time.monotonic() - before < 60
    assert "PKL001" in findings
    assert reasons(target) == ["the unpickler of CPython did not come to an end with it in time"]


def test_a_quiet_text_may_go_on_for_a_quarter_and_no_longer():
    walker = walk.Walker(Budget())
    walker._reading, walker.longer = "json", 0.2
    timer = walk.alarm.hold(1, walker.budget.expire)
    given = 0.0
    while more := walker.go_on(timer):
        given += more
    assert given == pytest.approx(0.2)
    walker.longer = 0.2
    walker._reading = "pickle"
    assert walker.go_on(timer) == 0
    walker._reading = "json"
    for _ in range(65):
        walker.fact("json.target", 0)
    assert walker.go_on(timer) == 0


def test_a_reading_leaves_nothing_that_only_a_collector_finds():
    # Workers collect no cycles: thousands of files would fill their memory.
    content = b"\x80\x04" + OBJECT + b"."
    walk.read_view(View(content, "model.pkl"))
    collecting = gc.isenabled()
    gc.disable()
    try:
        gc.collect()
        for _ in range(10):
            walk.read_view(View(content, "model.pkl"))
        assert gc.collect() == 0
    finally:
        if collecting:
            gc.enable()


def test_what_sources_leave_in_cycles_is_let_go_of_between_files(tmp_path):
    # Two thousand sources in one run left no memory for the next one: it was incomplete.
    path = tmp_path / "a.py"
    path.write_text(
        "".join(f"class C{n}(C{n - 1}):\n    def f(self, x=[{n}]):\n        return self.g(x)[{n}]\n" for n in range(1, 200))
    )
    status = path.stat()
    settings = scan_worker.Settings(Limits(processor=60.0), (("a.py",),))
    work = scan_worker.Work(str(path), "a.py", 0, status.st_dev, status.st_ino, hash=True)
    collecting = gc.isenabled()
    try:
        handle = scan_worker.factory(msgspec.msgpack.encode(settings))
        assert not gc.isenabled()
        kept = []
        for _ in range(30):
            assert b"python" in handle(msgspec.msgpack.encode(work), False)
            kept.append(len(gc.get_objects()))
        assert max(kept[15:]) < max(kept[:15]) + 20_000
    finally:
        if collecting:
            gc.enable()


def test_names_of_one_file_take_no_memory_from_the_next(tmp_path):
    # 80 names of 60 KB each, and 300 of those that a library could have.
    long = b"".join(b"c" + b"m" * 60_000 + b"%d\nn\n0" % n for n in range(80))
    (tmp_path / "a.pkl").write_bytes(b"\x80\x02" + long + b"".join(b"cmod%d\nn\n0" % n for n in range(300)) + b"N.")
    known = knowledge.load()
    read = walk.read_file(str(tmp_path / "a.pkl"), limits=Limits(processor=30.0))
    assert sum(fact.kind == "pickle.global" for fact in read.facts) == 380
    findings_of(read, ruleset.load(), "a.pkl")
    assert ("mod7", "n") in known.resolved
    assert ("mod7", "n") in pickle_real._classes
    for kept in (pickle_real._classes, known.resolved, known._gadgets, known._roles, known._tops):
        assert all(len(str(key)) < 400 for key in kept)
    assert pickle_traits.traits_of("m" * 1000, "n") is not pickle_traits.traits_of("m" * 1000, "n")
    assert pickle_traits.traits_of("numpy", "ndarray") is pickle_traits.traits_of("numpy", "ndarray")


def test_what_is_kept_of_names_is_bounded():
    kept = {}
    for number in range(70_000):
        knowledge.remember(kept, number, "", 5)
    assert 0 < len(kept) <= 1 << 15

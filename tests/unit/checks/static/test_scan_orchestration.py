"""The scan around the readers: who is read, what is said when reading goes wrong, waivers, baselines, the cache."""

import os
import signal
import subprocess
import sys
import time
from datetime import date

import msgspec
import pytest

import stannary
from stannary.checks.static import scan_worker
from stannary.checks.static.scan import ScanOptions, Target, scan, scan_paths, was_interrupted
from stannary.checks.static.scan_plan import LARGE, make_plan
from stannary.checks.static.waivers import Baseline, baseline_of, read_baseline, waivers_of
from stannary.core.errors import JailUnavailable, UsageError
from stannary.formats.interface import Limits
from stannary.run import bubblewrap
from stannary.run.progress import Tracker
from stannary.testing import forges

# A pickle of {"a": 1}, protocol 4; and one that would run `echo`.
GOOD = b"\x80\x04\x95\x0a\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x01a\x94K\x01s."
BAD = b"cposix\nsystem\n(S'echo harmless'\ntR."
TODAY = date(2026, 11, 22)


@pytest.fixture
def models(tmp_path):
    """Return a folder of one benign, one hostile and one unreadable thing."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "good.pkl").write_bytes(GOOD)
    (tmp_path / "sub" / "bad.pkl").write_bytes(BAD)
    (tmp_path / "empty.pkl").write_bytes(b"")
    (tmp_path / "__init__.py").write_bytes(b"")
    return tmp_path


def files(result):
    return {file.path: file for file in result.targets[0].files}


def as_data(result):
    return msgspec.to_builtins(msgspec.structs.replace(result, summary=None))


def with_reader(monkeypatch, behave):
    """Let a reader that does what a test says stand before the real one. Workers are forked, so they have it too."""
    real = scan_worker._Reader._read

    def read(self, work, *rest):
        behave(work.real)
        return real(self, work, *rest)

    monkeypatch.setattr(scan_worker._Reader, "_read", read)


def test_every_file_has_a_result_and_the_worst_decides(models):
    result = scan(models)
    found = files(result)
    assert sorted(found) == ["__init__.py", "empty.pkl", "good.pkl", "sub/bad.pkl"]
    assert (found["good.pkl"].status, found["good.pkl"].verdict) == ("scanned", "clean")
    assert found["good.pkl"].format == "pickle"
    assert found["sub/bad.pkl"].verdict == "unsafe"
    assert found["empty.pkl"].verdict == "incomplete"
    assert (found["__init__.py"].status, found["__init__.py"].verdict, found["__init__.py"].reason) == ("skipped", "clean", "empty")
    assert result.verdict == "unsafe"
    assert result.summary.files == 4
    assert {finding.file for finding in result.findings if finding.severity != "info"} == {"sub/bad.pkl"}
    assert result.tool.jail in {"landlock", "process"}


def test_the_result_does_not_depend_on_jobs_or_order(models):
    for number in range(300):
        (models / f"{number}.pkl").write_bytes(BAD if number % 7 == 0 else GOOD)
    assert as_data(scan(models, jobs=1)) == as_data(scan(models, jobs=3))


def test_a_file_alone_is_called_by_its_name(models):
    result = scan(models / "sub" / "bad.pkl")
    assert list(files(result)) == ["bad.pkl"]
    assert result.targets[0].digest is not None
    assert result.targets[0].path == str(models / "sub" / "bad.pkl")


def test_targets_keep_their_order_names_and_sources(models):
    targets = [
        Target(path=str(models / "sub"), display="hf://x/y", source={"revision": "r"}),
        Target(path=str(models / "good.pkl")),
    ]
    result = scan_paths(targets, ScanOptions())
    assert [target.path for target in result.targets] == ["hf://x/y", str(models / "good.pkl")]
    assert result.targets[0].source == {"revision": "r"}
    assert [target.verdict for target in result.targets] == ["unsafe", "clean"]


def test_nothing_to_scan_is_never_clean(tmp_path):
    result = scan(tmp_path)
    assert result.verdict == "incomplete"
    assert result.targets[0].errors == ("there are no files in it",)
    assert result.targets[0].digest is None


def test_all_paths_that_are_wrong_are_reported_together(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        scan(tmp_path / "nothing")
    with pytest.raises(ExceptionGroup) as caught:
        scan(tmp_path / "nothing", tmp_path / "nor this")
    assert len(caught.value.exceptions) == 2
    with pytest.raises(UsageError):
        scan(tmp_path, no_such_option=1)


def test_a_jail_that_is_asked_for_and_not_there_is_an_error(models, monkeypatch):
    assert scan(models, jail="process").tool.jail == "process"
    monkeypatch.setattr("stannary.run.landlock.abi_version", lambda: 0)
    assert scan(models).tool.jail == "process"
    with pytest.raises(JailUnavailable):
        scan(models, jail="landlock")


def test_without_hashing_there_is_no_identity(models):
    result = scan(models / "good.pkl", hash=False)
    assert result.targets[0].digest is None
    assert files(result)["good.pkl"].sha256 is None
    assert result.verdict == "clean"


def test_large_files_are_hashed_beside_the_reading(tmp_path):
    (tmp_path / "large.pkl").write_bytes(GOOD + bytes(LARGE))
    (tmp_path / "small.pkl").write_bytes(GOOD)
    result = scan(tmp_path)
    for name, file in files(result).items():
        assert file.sha256 == stannary.formats.hashing.hash_bytes((tmp_path / name).read_bytes())
    assert result.targets[0].digest


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_file_that_kills_its_reader_fails_alone(models, monkeypatch, jobs):
    (models / "killer.bin").write_bytes(b"x" * 100)
    with_reader(monkeypatch, lambda path: os.kill(os.getpid(), signal.SIGKILL) if path.endswith("killer.bin") else None)
    result = scan(models, jobs=jobs)
    file = files(result)["killer.bin"]
    assert (file.status, file.verdict) == ("failed", "suspicious")
    assert "SIGKILL" in file.reason
    (finding,) = [f for f in result.findings if f.rule == "SCN001"]
    assert (finding.file, finding.severity) == ("killer.bin", "medium")
    assert files(result)["good.pkl"].verdict == "clean"
    assert files(result)["sub/bad.pkl"].verdict == "unsafe"
    assert result.targets[0].digest is None


def test_a_file_that_takes_too_long_fails_alone(models, monkeypatch):
    with_reader(monkeypatch, lambda path: time.sleep(600) if path.endswith("good.pkl") else None)
    monkeypatch.setattr("stannary.checks.static.scan._seconds", lambda _: 0.5)
    result = scan(models)
    assert files(result)["good.pkl"].status == "failed"
    assert "longer than" in files(result)["good.pkl"].reason
    assert {f.rule for f in result.findings if f.file == "good.pkl"} == {"SCN001"}


def test_a_file_that_is_written_to_while_it_is_read_is_not_clean(models, monkeypatch):
    def disturb(path):
        if path.endswith("good.pkl"):
            os.utime(path)  # the jail would refuse it; see below

    with_reader(monkeypatch, disturb)
    monkeypatch.setattr("stannary.run.jail.enter", lambda _: (_ for _ in ()).throw(AssertionError))
    monkeypatch.setattr("stannary.run.worker.enter", lambda _: stannary.run.jail.Held("process"))
    file = files(scan(models))["good.pkl"]
    assert (file.status, file.verdict, file.reason) == ("failed", "incomplete", "changed during the scan")


def test_a_file_that_is_swapped_between_listing_and_reading_is_not_clean(models):
    plan = make_plan([Target(path=str(models))])
    (models / "new").write_bytes(GOOD)
    (models / "new").rename(models / "good.pkl")
    settings = scan_worker.Settings(Limits(), plan.folders)
    handle = scan_worker.factory(msgspec.msgpack.encode(settings))
    for place in plan.order():
        answer = msgspec.msgpack.decode(
            handle(msgspec.msgpack.encode(plan.work(place, hash_it=True)), False), type=scan_worker.Answer
        )
        assert answer.problem == ("was replaced by another file during the scan" if plan.name(place) == "good.pkl" else "")


def test_links_out_of_the_artifact_are_findings(models):
    (models / "weights.bin").symlink_to("/etc/passwd")
    result = scan(models)
    (finding,) = [f for f in result.findings if f.rule == "SCN003"]
    assert (finding.severity, finding.file) == ("high", "weights.bin")
    assert "/etc/passwd" in finding.message
    assert result.targets[0].errors == ("weights.bin: links to /etc/passwd, outside the artifact",)
    assert "weights.bin" not in files(result)
    assert result.targets[0].digest is None


@pytest.mark.parametrize("name", ["scan.control_characters", "scan.right_to_left"])
def test_names_that_mislead_are_findings(name, tmp_path):
    result = scan(forges.write(name, tmp_path))
    assert [(f.rule, f.severity) for f in result.findings] == [("SCN003", "medium")]
    assert all(f.message.isprintable() for f in result.findings)


def test_a_plain_folder_is_clean(tmp_path):
    result = scan(forges.write("scan.plain_folder", tmp_path))
    assert (result.verdict, result.findings) == ("clean", ())


# Waivers and baselines


def waiver(**changes):
    row = {"rule": "PKL001", "file": "sub/*.pkl", "reason": "known", "owner": "ml-team", "expires": date(2027, 1, 31)}
    return {**row, **changes}


def rules_of(result):
    return {f.rule for f in result.findings if f.waived is None}


def waive_all(models, **changes):
    rules = {f.rule for f in scan(models / "sub").findings}
    return waivers_of(waiver(rule=rule, file="bad.pkl", **changes) for rule in rules)


def test_a_waiver_marks_the_finding_and_the_verdict_follows(models):
    result = scan(models / "sub", waivers=waive_all(models), today=TODAY)
    assert rules_of(result) == set()
    assert result.verdict == "clean"
    assert result.summary.waived == len(result.findings) > 0
    assert all(f.waived == "waived by ml-team until 2027-01-31: known" for f in result.findings)


def test_an_expired_waiver_waives_nothing_and_is_a_finding(models):
    result = scan(models / "sub", waivers=waive_all(models, expires=date(2026, 11, 21)), today=TODAY)
    assert rules_of(result) >= {"SCN002"} | rules_of(scan(models / "sub"))
    (finding, *_) = [f for f in result.findings if f.rule == "SCN002"]
    assert "ml-team" in finding.message
    assert "2026-11-21" in finding.message
    assert scan(models / "sub", waivers=waive_all(models, expires=TODAY), today=TODAY).verdict == "clean"


def test_a_waiver_can_name_a_digest(models):
    digest = files(scan(models / "sub"))["bad.pkl"].sha256
    rules = {f.rule for f in scan(models / "sub").findings}
    good = waivers_of(waiver(rule=rule, file="", digest=f"sha256:{digest}") for rule in rules)
    assert scan(models / "sub", waivers=good, today=TODAY).verdict == "clean"
    (models / "sub" / "bad.pkl").write_bytes(BAD + b"\n")
    assert scan(models / "sub", waivers=good, today=TODAY).verdict == "unsafe"


@pytest.mark.parametrize("missing", ["rule", "reason", "owner", "expires", "file"])
def test_a_waiver_without_reason_owner_or_end_is_refused(missing):
    with pytest.raises(UsageError, match=missing):
        waivers_of([waiver(**{missing: ""})])


def test_all_waivers_that_are_wrong_are_reported_together():
    with pytest.raises(ExceptionGroup) as caught:
        waivers_of([waiver(reason=""), waiver(), waiver(colour="red"), waiver(expires="soon")])
    assert len(caught.value.exceptions) == 3


def test_a_baseline_accepts_what_was_there_and_nothing_new(models, tmp_path):
    first = scan(models / "sub")
    path = tmp_path / "baseline.json"
    path.write_bytes(msgspec.json.encode(baseline_of(first)))
    assert path.read_bytes().startswith(b'{"schema":"stannary.baseline/1"')
    assert scan(models / "sub", baseline=path).verdict == "clean"
    (models / "sub" / "other.pkl").write_bytes(BAD)
    again = scan(models / "sub", baseline=path)
    assert again.verdict == "unsafe"
    assert {f.file for f in again.findings if f.waived is None} == {"other.pkl"}
    # The same finding in another target is not accepted.
    (models / "elsewhere").mkdir()
    (models / "elsewhere" / "bad.pkl").write_bytes(BAD)
    assert scan(models / "elsewhere", baseline=path).verdict == "unsafe"


@pytest.mark.parametrize("content", [b"", b"{", b'{"schema": "other/1", "findings": []}', b"[]"])
def test_what_is_no_baseline_is_refused(tmp_path, content):
    (tmp_path / "b.json").write_bytes(content)
    with pytest.raises(UsageError):
        read_baseline(str(tmp_path / "b.json"))
    with pytest.raises(UsageError):
        read_baseline(str(tmp_path / "nothing"))


def test_an_empty_baseline_is_one():
    assert msgspec.json.decode(msgspec.json.encode(Baseline()), type=Baseline) == Baseline()


# The cache


def entries(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_facts_are_kept_and_judged_again_without_reading(models, tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    first = scan(models / "sub", cache=folder)
    assert len(entries(folder)) == 1
    assert folder.stat().st_mode & 0o777 == 0o700
    assert entries(folder)[0].stat().st_mode & 0o777 == 0o600
    with_reader(monkeypatch, lambda _: os.abort())
    assert as_data(scan(models / "sub", cache=folder)) == as_data(first)


def test_a_size_of_65_bits_is_told_with_a_cache_and_without(tmp_path):
    path = forges.write("onnx.dimensions_of_65_bits", tmp_path / "models")
    plain, kept = scan(path), scan(path, cache=tmp_path / "cache")
    assert [f.rule for f in plain.findings] == [f.rule for f in kept.findings] == ["ONX007"]
    assert str(1 << 64) in plain.findings[0].message


def test_what_facts_depend_on_makes_another_entry(models, tmp_path):
    folder = tmp_path / "cache"
    scan(models / "sub", cache=folder)
    (models / "sub" / "bad.pkl").rename(models / "sub" / "renamed.pkl")
    scan(models / "sub", cache=folder)
    assert len(entries(folder)) == 2
    scan(models / "sub", cache=folder, limits={"depth": 3})
    assert len(entries(folder)) == 3
    (models / "sub" / "beside.txt").write_text("readers are told what is beside a file")
    scan(models / "sub", cache=folder)
    assert len(entries(folder)) == 5


@pytest.mark.parametrize(
    "damage", [lambda _: b"", lambda raw: raw[:-1], lambda raw: raw[:60] + b"\xff" + raw[61:], lambda _: b"x" * 99]
)
def test_a_damaged_entry_is_ignored_and_replaced(models, tmp_path, damage):
    folder = tmp_path / "cache"
    first = scan(models / "sub", cache=folder)
    (entry,) = entries(folder)
    whole = entry.read_bytes()
    entry.write_bytes(damage(whole))
    assert as_data(scan(models / "sub", cache=folder)) == as_data(first)
    assert entry.read_bytes() == whole


def test_a_cache_that_others_can_write_to_is_refused(models, tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    with pytest.raises(UsageError, match="others"):
        scan(models, cache=folder)


def test_large_files_are_kept_too(tmp_path, monkeypatch):
    model = tmp_path / "model" / "large.pkl"
    model.parent.mkdir()
    model.write_bytes(GOOD + bytes(LARGE))
    first = scan(model, cache=tmp_path / "cache")
    with_reader(monkeypatch, lambda _: os.abort())
    assert as_data(scan(model, cache=tmp_path / "cache")) == as_data(first)


# Progress, interruption, the public interface


def test_progress_is_told_and_ends_at_the_total(models):
    seen = []
    scan(models, on_progress=seen.append)
    last = seen[-1]
    assert (last.items, last.items_total) == (4, 4)
    assert last.bytes == last.bytes_total == sum(path.stat().st_size for path in models.rglob("*") if path.is_file())
    assert last.rate > 0


def test_an_interrupted_scan_keeps_what_is_done(models, monkeypatch):
    for number in range(200):
        (models / f"{number:03}.pkl").write_bytes(GOOD)
    with_reader(monkeypatch, lambda path: time.sleep(60) if path.endswith("150.pkl") else None)

    pressed = []

    def interrupt(progress):
        if progress.items >= 50 and not pressed:
            pressed.append(True)
            raise KeyboardInterrupt

    monkeypatch.setattr(Tracker.__init__, "__defaults__", (0.0,))
    result = scan(models, jobs=1, on_progress=interrupt)
    assert was_interrupted(result)
    assert result.targets[0].digest is None
    done = [file for file in result.targets[0].files if file.status == "scanned"]
    assert 50 <= len(done) < 204
    assert files(result)["150.pkl"].reason == "was not read: the scan was interrupted"
    assert files(result)["150.pkl"].verdict == "incomplete"


def test_no_scratch_folder_stays(models, tmp_path, monkeypatch):
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    scan(models)
    assert list(scratch.iterdir()) == []


def test_the_names_of_the_package_are_there_and_lazy():
    for name in stannary.__all__:
        assert getattr(stannary, name) is not None
    with pytest.raises(AttributeError):
        _ = stannary.nothing
    code = "import sys, stannary; print(sorted(m for m in sys.modules if m.startswith(('stannary.', 'msgspec'))))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_scanning_imports_nothing_heavy(models):
    code = f"import sys, stannary; stannary.scan({str(models)!r}); print([m for m in sys.argv[1].split() if m in sys.modules])"
    heavy = "rich click asyncio multiprocessing importlib.metadata subprocess socket sqlite3 numpy concurrent.futures unittest"
    done = subprocess.run([sys.executable, "-c", code, heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(bubblewrap.problem() is not None, reason="bubblewrap is not here, or cannot start")
def test_the_same_is_found_under_bubblewrap(models):
    result = scan(models, jail="bwrap")
    assert result.tool.jail == "bwrap"
    assert msgspec.structs.replace(result.targets[0]) == scan(models).targets[0]


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems refuse such names")
@pytest.mark.parametrize("jobs", [1, 2])
def test_names_that_are_no_utf8_are_scanned_and_are_a_finding(tmp_path, jobs):
    folder = tmp_path / "models" / os.fsdecode(b"\xff\xfe")
    folder.mkdir(parents=True)
    model = folder / os.fsdecode(b"m\x9b.pkl")
    model.write_bytes(BAD)
    (folder / "config.json").write_text('{"auto_map": {"AutoModel": "modeling.Foo"}}')
    for target, named in ((tmp_path / "models", True), (folder, True), (model, True), (folder / "config.json", False)):
        for _ in range(2):  # from the cache, the second time
            result = scan(target, jobs=jobs, cache=str(tmp_path / "cache")).targets[0]
            assert ({"PKL001", "SCN003"} <= {finding.rule for finding in result.findings}) == named
            assert {f.file for f in result.findings if f.rule == "PKL001"} <= {file.path for file in result.files}
            assert {file.status for file in result.files if file.format != "repository"} == {"scanned"}

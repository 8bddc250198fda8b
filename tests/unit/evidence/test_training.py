"""A training run states what went in and what came out."""

import hashlib
import subprocess

import pytest

import stannary
from stannary.core.errors import IntegrityError, UsageError
from stannary.evidence.chain import Chain
from stannary.evidence.lineage import edges_of
from stannary.evidence.subject import identify


@pytest.fixture
def place(workspace, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workspace.ledger(write=True).close()
    (tmp_path / "data.csv").write_text("a,b\n1,2\n")
    (tmp_path / "model").mkdir()
    return tmp_path


def about(place):
    from stannary.evidence.workspace import Workspace

    return Chain(Workspace.find(str(place))).about(identify(place / "model").digest).evidence


def test_a_run_is_signed_when_the_block_ends(place):
    with stannary.training_run(data=["data.csv"], parameters={"lr": 0.1}, seeds={"numpy": 7}) as run:
        (place / "model" / "w.bin").write_bytes(b"weights")
        run.metric("accuracy", 0.9)
        run.output("model")
    (item,) = about(place)
    assert (item.value.kind, item.value.outcome) == ("training-run", "passed")
    (edge,) = edges_of(item)
    assert (edge.relation, edge.target) == ("trained-from", identify(place / "data.csv").digest)
    predicate = item.value.predicate
    assert predicate["parameters"] == {"lr": 0.1}
    assert predicate["seeds"] == {"numpy": 7}
    assert predicate["metrics"] == {"accuracy": 0.9}
    assert predicate["packages"]["msgspec"]
    assert run.recorded[0].subject == identify(place / "model").digest


def test_code_is_a_commit_and_what_was_changed_is_said(place):
    (place / "src").mkdir()
    git = ["git", "-C", "src", "-c", "user.name=t", "-c", "user.email=t@example.com"]
    (place / "src" / "train.py").write_text("pass\n")
    for arguments in (
        ["init", "-q"],
        ["add", "."],
        ["commit", "-qm", "x"],
        ["remote", "add", "origin", "https://u:secret@example.com/r"],
    ):
        subprocess.run([*git, *arguments], check=True)
    with stannary.training_run(code="src") as run:
        (place / "model" / "w.bin").write_bytes(b"weights")
        run.output("model")
    (code,) = about(place)[0].value.predicate["code"]
    assert code["uri"] == "https://example.com/r"
    assert len(code["digest"]["gitCommit"]) == 40
    assert code["name"] == "src"
    assert "uncommitted" not in about(place)[0].value.predicate
    (place / "src" / "train.py").write_text("changed\n")
    with stannary.training_run(code="src") as run:
        run.output("model")
    predicate = about(place)[1].value.predicate
    assert predicate["code"][0]["name"] == "src+changes"
    (changes,) = predicate["uncommitted"]
    assert changes["commit"] == predicate["code"][0]["digest"]["gitCommit"]
    assert changes["files"] == [{"path": "train.py", "sha256": hashlib.sha256(b"changed\n").hexdigest()}]


def test_data_that_changed_while_it_was_used_is_an_error(place):
    def train():
        with stannary.training_run(data=["data.csv"]) as run:
            (place / "data.csv").write_text("other\n")
            (place / "model" / "w.bin").write_bytes(b"weights")
            run.output("model")

    with pytest.raises(IntegrityError, match="changed while it was used"):
        train()
    assert about(place) == ()


def test_a_run_that_fails_says_so_of_what_it_left(place):
    def train():
        with stannary.training_run(data=["data.csv"]) as run:
            run.output("model")
            (place / "model" / "w.bin").write_bytes(b"half")
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        train()
    (item,) = about(place)
    assert item.value.outcome == "error"


def test_a_run_without_output_and_one_without_a_workspace_are_errors(place, tmp_path_factory, monkeypatch):
    with pytest.raises(UsageError, match="made nothing"), stannary.training_run():
        pass
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    with pytest.raises(UsageError, match="no workspace"), stannary.training_run():
        pass


@pytest.mark.parametrize(
    "note",
    [
        lambda run: run.metric("loss", float("nan")),
        lambda run: run.metric("loss", float("inf")),
        lambda run: run.parameter("optimizer", object()),
        lambda run: run.parameter("lr", float("nan")),
        lambda run: run.parameter("name", "\ud800"),
        lambda run: run.seed("torch", "7"),
        lambda run: run.seed("torch", 0.5),
    ],
)
def test_what_cannot_be_stated_is_said_when_it_is_noted_and_not_after_the_training(place, note):
    def train():
        with stannary.training_run() as run:
            (place / "model" / "w.bin").write_bytes(b"half")
            run.output("model")
            note(run)

    with pytest.raises(UsageError, match="cannot be stated") as caught:
        train()
    assert caught.value.code == "TRN003"
    assert [item.value.outcome for item in about(place)] == ["error"]


def test_seeds_as_libraries_make_them_are_stated(place):
    with stannary.training_run(data="data.csv", seeds={"torch": 2**64 - 1, "numpy": 2**127 + 1, "python": -(2**53)}) as run:
        (place / "model" / "w.bin").write_bytes(b"weights")
        run.output("model")
    predicate = about(place)[0].value.predicate
    assert predicate["seeds"] == {"torch": str(2**64 - 1), "numpy": str(2**127 + 1), "python": -(2**53)}
    assert len(predicate["edges"]) == 1


def test_what_went_wrong_in_the_block_is_not_hidden_by_what_could_not_be_recorded(place):
    def train():
        with stannary.training_run() as run:
            run.output("model")  # empty: no artifact
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError) as caught:
        train()
    (note,) = caught.value.__notes__
    assert "could not be recorded" in note
    assert about_nothing(place)


def about_nothing(place):
    from stannary.evidence.workspace import Workspace

    return Chain(Workspace.find(str(place))).everything().evidence == ()

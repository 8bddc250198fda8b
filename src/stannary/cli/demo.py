"""`stannary demo`: real models and hostile ones, scanned and explained; then signed, gated, tampered with; in service; attacked."""

from __future__ import annotations

import importlib
import importlib.util
import pickle
import pkgutil
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from stannary.checks.static import ruleset
from stannary.checks.static.result import ScanFinding, ScanResult
from stannary.checks.static.scan import ScanOptions, Target, scan_paths
from stannary.cli.demo_chain import second_act
from stannary.cli.demo_credit import credit_act
from stannary.cli.demo_registry import fourth_act, refuse_taken, third_act
from stannary.cli.group import common_options, talk_of
from stannary.cli.output import Outputs, emit
from stannary.cli.progress import progress_bar
from stannary.cli.rule import story
from stannary.cli.talk import wants_color
from stannary.core.errors import Bug, UsageError
from stannary.report.escape import inline
from stannary.report.interface import Context

__all__ = ["BENIGN", "HOSTILE", "command", "make_models"]

# Path in the demo folder → the forge that makes it byte by byte. Payloads only ever echo.
BENIGN = {
    "ours/chat/model.safetensors": "safetensors.plain",
    "ours/chat/model.gguf": "gguf.plain",
    "ours/vision/model.onnx": "onnx.plain",
    "ours/vision/pytorch_model.bin": "torch.state_dict",
    "ours/forecast/model.keras": "keras.sequential_plain",
    "ours/search/embeddings.npz": "numpy.plain_npz",
}
HOSTILE = {
    "downloads/churn-v2.pkl": "pickle.rule_exec",
    "downloads/resnet-tuned.pt": "zip.crc_wrong",
    "downloads/chat-7b-q4.gguf": "gguf.template_ssti",
    "downloads/classifier.keras": "keras.lambda_system",
    "downloads/embeddings.bin": "numpy.object_renamed",
}


@click.command("demo")
@click.option("--keep", metavar="DIR", type=click.Path(file_okay=False), help="Put the models into DIR and leave them there.")
@click.option(
    "--credit",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False),
    help="The credit data: a wheel that has it, or the CSV.",
)
@click.option("--serve", is_flag=True, help="Leave the server open with what was made, until Ctrl-C.")
@click.option("--port", type=click.IntRange(1, 65535), default=8931, show_default=True, help="Where --serve listens.")
@common_options
@click.pass_context
def command(ctx: click.Context, keep: str | None, credit: str | None, serve: bool, port: int) -> int:
    """Make real models and a few hostile ones, scan them, explain the worst; sign, gate and tamper with one; put one in service.

    Where there are the libraries and the credit data (--credit, or STANNARY_DEMO_CREDIT), a credit model is attacked, hardened,
    compared and gated. Everything happens in a temporary folder (or DIR), with a workspace of its own.
    """
    if serve:
        refuse_taken(port)
    talk = talk_of(ctx)
    color = wants_color(sys.stdout, talk.color)
    with _folder(keep) as folder:
        made = make_models(folder)
        click.echo(f"Made {len(made)} models that are fine and {len(HOSTILE)} that are not (they only echo; nothing loads them).\n")
        started = datetime.now(UTC)
        with progress_bar(talk, "scanning") as on_progress:
            targets = [Target(path=str(folder / name), display=name) for name in ("downloads", "ours")]
            result = scan_paths(targets, ScanOptions(on_progress=on_progress))
        rules = ruleset.load().rules
        context = Context(rules=rules, show="clean", started=started, finished=datetime.now(UTC))
        emit(result, context, Outputs("table"), talk)
        _check(result)
        worst = result.findings[0]
        click.echo(f"\nThe worst of it, in {inline(_file_of(result, worst))}: {inline(worst.message)}\n", color=color)
        click.echo(story(rules[worst.rule], color=color), color=color)
        second_act(folder)
        third_act(folder)
        credit_act(folder, credit)
        if serve:
            return fourth_act(folder, port)
    _next_steps(keep)
    return 0


def make_models(folder: Path) -> list[str]:
    """Write all models below `folder` and return the names of those that are fine."""
    makers: list[tuple[str, str, Callable[[Path], None]]] = [
        ("ours/churn/model.pkl", "sklearn", _scikit_learn),
        ("ours/vision/resnet.pt", "torch", _torch),
        ("ours/search/vectors.npy", "numpy", _numpy),
    ]
    # The forges are in testing/, which is above this room: they are taken by name, as a plug-in would be.
    make: Callable[[str], bytes] = pkgutil.resolve_name("stannary.testing.forges:make")
    for name, forge in {**BENIGN, **HOSTILE}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make(forge))
    made = list(BENIGN)
    path = folder / "ours/search/labels.pkl"
    path.write_bytes(pickle.dumps({"labels": ["cat", "dog", "tin"], "threshold": 0.5, "size": (64, 64)}))
    made.append("ours/search/labels.pkl")
    for name, library, maker in makers:
        if importlib.util.find_spec(library) is None:
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        maker(folder / name)
        made.append(name)
    return made


def _scikit_learn(path: Path) -> None:
    linear_model = importlib.import_module("sklearn.linear_model")
    model = linear_model.LogisticRegression().fit([[0.0, 1.0], [1.0, 0.0], [0.2, 0.9], [0.9, 0.1]], [0, 1, 0, 1])
    path.write_bytes(pickle.dumps(model))


def _torch(path: Path) -> None:
    import torch

    torch.save(torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2)).state_dict(), path)


def _numpy(path: Path) -> None:
    import numpy as np

    np.save(path, np.arange(64, dtype=np.float32).reshape(8, 8))


@contextmanager
def _folder(keep: str | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="stannary-demo-") as name:
            yield Path(name)
        return
    folder = Path(keep).absolute()  # the acts work inside of it
    if folder.exists() and any(folder.iterdir()):
        msg = "is not empty"
        raise UsageError(msg, where=keep, code="USE007", help="name a folder that is not there yet")
    folder.mkdir(parents=True, exist_ok=True)
    yield folder


def _check(result: ScanResult) -> None:
    """Hold the demo to its word: every hostile model is found, no other is blamed."""
    verdicts = {f"{target.path}/{file.path}": file.verdict for target in result.targets for file in target.files}
    wrong = [f"{name} was called {verdicts.get(name)}" for name in HOSTILE if verdicts.get(name) not in {"unsafe", "suspicious"}]
    wrong += [f"{name} was called {verdict}" for name, verdict in verdicts.items() if name not in HOSTILE and verdict != "clean"]
    if wrong:
        raise Bug("; ".join(wrong), code="DEMO001", help="please report it, with the output of `stannary doctor`")


def _file_of(result: ScanResult, finding: ScanFinding) -> str:
    target = next(target for target in result.targets if finding in target.findings)
    return f"{target.path}/{finding.file}"


def _next_steps(keep: str | None) -> None:
    where = shlex.quote(keep) if keep else "PATH"
    click.echo("Try next:")
    for step, text in (
        (f"stannary scan {where}", "your own models, a folder of downloads, hf://org/model"),
        (f"stannary scan {where} --format html=report.html", "one page to send around; sarif=, junit=, gitlab= for CI"),
        ("stannary init && stannary scan PATH --record", "start a chain of evidence of your own, then stannary gate PATH"),
    ):
        click.echo(f"  {step:<52} {text}")

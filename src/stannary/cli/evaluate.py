"""`stannary evaluate MODEL`: the command line, declared for click. What it does is in `evaluate_run.py`."""

from __future__ import annotations

from typing import Any

import click

from stannary.cli.group import common_options, talk_of
from stannary.cli.workspace import workspace_option
from stannary.report.evaluation import FORMATS
from stannary.run.jail import LEVELS

__all__ = ["PRESETS", "SUITES", "command"]

SUITES = ("robustness", "privacy", "backdoor", "labels", "poisoning", "llm", "all")
PRESETS = ("smoke", "gate", "standard", "paranoid")
_SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)


@click.command("evaluate")
@click.argument("model", metavar="MODEL")
@click.option("--data", metavar="FILE", help="Labelled samples: CSV, JSON Lines, Parquet, .npz, MNIST's IDX, a folder of pictures.")
@click.option("--target", metavar="COLUMN", default="", help="The column with the labels.  [default: the last]")
@click.option("--text", metavar="COLUMN", default="", help="The column with texts, of a model that classifies them.")
@click.option(
    "--suite", "suites", type=click.Choice(SUITES), multiple=True, help="What is measured; repeatable.  [default: robustness]"
)
@click.option("--preset", type=click.Choice(PRESETS), default="standard", show_default=True, help="How hard it is attacked.")
@click.option("--norm", type=click.Choice(["linf", "l2", "l1", "l0", "cost"]), help="Of the radius.  [default: linf; of tables l2]")
@click.option(
    "--eps",
    type=click.FloatRange(0, min_open=True),
    metavar="R",
    help="The radius; of tables in standard deviations, of texts a share of the words.",
)
@click.option(
    "--threat",
    "threats",
    multiple=True,
    metavar="NAME[:K=X,..]",
    help="Of pictures, beside the radius: corruptions, poses, patch; with settings, as patch:size=0.1,places=10; repeatable.",
)
@click.option(
    "--attack",
    "attacks",
    multiple=True,
    metavar="NAME",
    help="After the preset's: deepfool, cw, ..., foolbox:NAME or art:NAME, with :option=value,...; repeatable.",
)
@click.option(
    "--surrogate", metavar="FILE", help="A network of pictures or arrays: examples made on it are tried on MODEL first (transfer)."
)
@click.option(
    "--against", metavar="FILE", help="Attack FILE, as the version before, on the same samples too, and compare in pairs."
)
@click.option("--samples", type=click.IntRange(1), default=500, show_default=True, metavar="N", help="Samples drawn from the data.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Of everything random.")
@click.option("--budget", type=click.IntRange(1), metavar="N", help="Ask the model at most N times.")
@click.option("--min-robust", type=_SHARE, metavar="SHARE", help="Fail below this robust accuracy; --preset gate decides about it.")
@click.option(
    "--members",
    metavar="FILE",
    help="The training data, for --suite privacy, backdoor and poisoning; --data is what was not trained on.",
)
@click.option(
    "--shadows", type=click.IntRange(0), default=32, show_default=True, metavar="N", help="Shadow models of --suite privacy."
)
@click.option("--max-leak", type=_SHARE, metavar="SHARE", help="Fail above this share of members told at 1 % false alarms.")
@click.option("--extract", type=click.IntRange(1), multiple=True, metavar="N", help="Copy the model with N queries; repeatable.")
@click.option("--attribute", "attributes", multiple=True, metavar="COLUMN", help="Infer a column of members; repeatable.")
@click.option("--invert", is_flag=True, help="Make inputs typical of every class, and judge what they show.")
@click.option(
    "--poison",
    type=_SHARE,
    multiple=True,
    metavar="SHARE",
    help="Of the training rows, for --suite poisoning.  [default: 0.01, 0.05]",
)
@click.option(
    "--train", metavar="FUNCTION", help="What trains such a model, module:function of inputs, labels and a seed; takes --trust."
)
@click.option("--domain", metavar="FILE", help="What columns may be and how they may change (YAML); inferred without it.")
@click.option("--write-domain", metavar="FILE", help="Write the inferred domain, to be edited, and stop.")
@click.option("--request", metavar="FILE", help="How the endpoint MODEL is asked (YAML): body, headers, limits, prices.")
@click.option("--answers", metavar="FILE", help="Keep the answers of an endpoint; an interrupted run pays none of them twice.")
@click.option("--attempts", type=click.IntRange(1), metavar="N", help="Attempts of --suite llm at most.  [default: all]")
@click.option("--garak", metavar="FILE", help="Ask the attempts of a report of garak's (.jsonl) again, and judge them by rules.")
@click.option("--adversarials", metavar="DIR", help="Keep examples that fool the model in DIR, by digest.")
@click.option("--replay", metavar="DIGEST", default="", help="Try the examples of an earlier version first.")
@click.option("--checkpoint", metavar="DIR", help="Keep what is done in DIR; an interrupted run goes on from there.")
@click.option("--device", default="cpu", show_default=True, metavar="NAME", help="Where networks run: cpu, cuda.")
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    metavar="N",
    help="Processes, for networks: a table, whose samples make one block, has one. Results are the same.",
)
@click.option("--jail", type=click.Choice(LEVELS), help="The guard that must hold.  [default: the best there is]")
@click.option("--trust", is_flag=True, help="Load what the scan calls unverified; a GPU and --workers leave the guard.")
@click.option(
    "--format", "formats", metavar="NAME[=FILE]", multiple=True, help=f"{', '.join(FORMATS)}; NAME=FILE writes a file; repeatable."
)
@click.option("-o", "--output", metavar="FILE", help="Write the report to FILE instead of stdout.")
@click.option("--exit-zero", is_flag=True, help="Exit 0 whatever was measured.")
@click.option("--record", is_flag=True, help="Sign the report card and log it in the workspace.")
@click.option("--offline", is_flag=True, help="Open no socket.")
@workspace_option
@common_options
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> int:  # noqa: ANN401 - click passes each option
    """Attack MODEL before an attacker does, and say what it stands, with intervals and true costs.

    MODEL is a file (TorchScript, torch.export, ONNX, scikit-learn, XGBoost, LightGBM, CatBoost, Keras), a Python function
    as module:function, or the address of an endpoint with --request. --suite llm probes a language model: an
    OpenAI-compatible address, a GGUF file or a folder of transformers. A file is scanned first, and what the scan refuses
    is not loaded; the rest is opened in a guarded process that sees nothing but the model and the data.
    """
    from stannary.cli.evaluate_run import start

    return start(given, talk_of(ctx))

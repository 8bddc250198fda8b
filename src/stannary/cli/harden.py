"""`stannary harden MODEL`: the command line, declared for click. What it does is in `harden_run.py`."""

from __future__ import annotations

from typing import Any

import click

from stannary.cli.evaluate import PRESETS
from stannary.cli.group import common_options, talk_of
from stannary.cli.workspace import workspace_option
from stannary.harden.methods import METHODS
from stannary.report.hardening import FORMATS
from stannary.run.jail import LEVELS

__all__ = ["command"]


@click.command("harden")
@click.argument("model", metavar="MODEL")
@click.option("--method", type=click.Choice(tuple(METHODS)), required=True, help="How it is hardened.")
@click.option("--data", metavar="FILE", required=True, help="Labelled samples to train on: as `evaluate` takes them.")
@click.option("--test", metavar="FILE", help="Samples that judge both models.  [default: a fifth of --data, held out]")
@click.option("--target", metavar="COLUMN", default="", help="The column with the labels.  [default: the last]")
@click.option("--preset", type=click.Choice(PRESETS), default="standard", show_default=True, help="How hard both are attacked.")
@click.option("--norm", type=click.Choice(["linf", "l2"]), help="Of the radius.  [default: linf; of tables l2]")
@click.option("--eps", type=click.FloatRange(0, min_open=True), metavar="R", help="The radius; of tables in standard deviations.")
@click.option("--steps", type=click.IntRange(1), default=7, show_default=True, metavar="N", help="Steps of the attack in training.")
@click.option("--epochs", type=click.IntRange(1), default=10, show_default=True, metavar="N", help="Passes over the data.")
@click.option("--batch", type=click.IntRange(1), default=128, show_default=True, metavar="N", help="Samples of a batch.")
@click.option(
    "--rate", type=click.FloatRange(0, min_open=True), default=1e-3, show_default=True, metavar="R", help="Learning rate (Adam)."
)
@click.option("--set", "settings", multiple=True, metavar="NAME=X", help="A setting of the method, as beta=6; repeatable.")
@click.option("--samples", type=click.IntRange(1), default=300, show_default=True, metavar="N", help="Samples that are attacked.")
@click.option(
    "--max-accuracy-loss",
    type=click.FloatRange(0, 1),
    default=0.1,
    show_default=True,
    metavar="R",
    help="The share of accuracy that hardening may cost: the worse end of the interval counts.",
)
@click.option(
    "--shadows", type=click.IntRange(0), default=0, show_default=True, metavar="N", help="Shadow models that judge privacy."
)
@click.option("--max-epsilon", type=click.FloatRange(0, min_open=True), metavar="E", help="Spend on the data at most E in all.")
@click.option("--domain", metavar="FILE", help="What columns may be and how they may change (YAML); inferred without it.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Of everything random.")
@click.option("--device", default="cpu", show_default=True, metavar="NAME", help="Where networks run: cpu, cuda.")
@click.option("--jail", type=click.Choice(LEVELS), help="The guard that must hold.  [default: the best there is]")
@click.option("--trust", is_flag=True, help="Load what the scan calls unverified; a GPU leaves the guard.")
@click.option("--save", "output", metavar="FILE", help="Where the new model goes.  [default: MODEL-METHOD, in this folder]")
@click.option(
    "--format", "formats", metavar="NAME[=FILE]", multiple=True, help=f"{', '.join(FORMATS)}; NAME=FILE writes a file; repeatable."
)
@click.option("-o", "--output", "report", metavar="FILE", help="Write the report to FILE instead of stdout.")
@click.option("--exit-zero", is_flag=True, help="Exit 0 whatever came out.")
@click.option("--record", is_flag=True, help="Sign and log how the model came about, what it stands, and what it spent.")
@click.option("--offline", is_flag=True, help="Open no socket.")
@workspace_option
@common_options
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> int:  # noqa: ANN401 - click passes each option
    """Harden MODEL, and say by a paired test whether that worked and what it cost.

    MODEL is a file whose model can be trained again (TorchScript, a pickled module, a classifier of trees), or a function that
    returns one, as module:function. It is scanned first, trained in a guarded process, and both models are attacked by the same
    attacks on samples that were not trained on. It is called hardened only where the interval of the difference lies above zero,
    and clean accuracy lost no more than --max-accuracy-loss.
    squeeze, distill and output-perturbation hide what attackers look at: they are labelled, and never called hardened.
    """
    from stannary.cli.harden_run import start

    return start(given, talk_of(ctx))

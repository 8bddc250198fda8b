"""The preset `standard` beside AutoAttack (pyautoattack 0.2.0) and ART's, sample by sample; it goes on where it was stopped.

    ./dev bench evaluate standard                        # std at 0.1 and madry at 0.3 (trained on first use): some two CPU hours
    ./dev bench evaluate standard --nets=std,trades --samples=200

Samples are the first N test images of MNIST in pieces of 250 (`--piece`). Each piece is attacked by one contender after the
other, so that all have the same machine, and what it took is kept under build/bench/evaluate. What stands is judged by
`evasion.Bench`, not by a library's own word. ART's AutoAttack is so slow that it gets the first 20 samples of `std` alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import evasion

FEW = 20
EPS = {"std": 0.1, "adv": 0.3, "madry": 0.3, "trades": 0.3}
OURS = {"stannary": True, "stannary without FAB": False}  # who: with FAB
Kept = dict[str, Any]


def network(name: str) -> Any:
    """Return a network of madry.py or of assets.py, trained on first use."""
    import assets
    import madry

    return madry.train(name, assets.HOME)[0] if name in madry.STAGES else assets.trained(name)


def contenders(bench: evasion.Bench, net: Any, eps: float, piece: int) -> dict[str, Callable[[Any, Any], Any]]:
    """Return who attacks samples and labels, each giving the examples."""
    from pyautoattack import AutoAttack

    from stannary.checks.robustness.cascade import cascade
    from stannary.checks.robustness.presets import preset

    def autoattack(x: Any, y: Any) -> Any:
        attack = AutoAttack(net, eps=eps, norm="Linf", seed=0, device="cpu")
        return attack.run_standard_evaluation(x, y, batch_size=piece)[0]

    def own(fab: bool) -> Callable[[Any, Any], Any]:  # noqa: FBT001 - with it or without
        return lambda x, y: cascade(preset("standard", 10, fab=fab), bench.ours(net, "linf", eps), x, y).x

    return {"AutoAttack": autoattack, **{who: own(fab) for who, fab in OURS.items()}}


def by_art(bench: evasion.Bench, net: Any, eps: float) -> Callable[[Any, Any], Any]:
    """Return ART's AutoAttack with its own defaults."""
    from art.attacks.evasion import AutoAttack

    attack = AutoAttack(bench.art(net), norm="inf", eps=eps, eps_step=eps / 4, batch_size=FEW)
    return lambda x, y: bench.by_art(attack, x, y)


def measure(bench: evasion.Bench, name: str, samples: int, piece: int) -> Kept:
    """Return CPU seconds and what stands of each contender by piece, `{"AutoAttack": {"0": [seconds, [bool, ...]]}}`."""
    import assets

    net, eps = network(name), EPS[name]
    path = assets.HOME / f"standard-{name}-{piece}.json"
    kept: Kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def once(who: str, start: int, stop: int, work: Callable[[Any, Any], Any]) -> None:
        if str(start) in kept.setdefault(who, {}):
            return
        x, y = bench.x[start:stop], bench.y[start:stop]
        began = time.process_time()
        found = work(x, y)
        took = time.process_time() - began
        stands = bench.left(net, x, found.reshape(x.shape), y, "linf", eps)
        kept[who][str(start)] = [took, stands.tolist()]
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(kept), encoding="utf-8")
        fresh.replace(path)
        print(f"{name} {start}: {who} {took:.0f} CPU s, {int(stands.sum())} stand", file=sys.stderr, flush=True)

    work = contenders(bench, net, eps, piece)
    for start in range(0, samples, piece):
        for who, attack in work.items():
            once(who, start, min(start + piece, samples), attack)
        if start == 0 and name == "std":
            once("stannary, few", 0, FEW, work["stannary"])
            once("ART's AutoAttack", 0, FEW, by_art(bench, net, eps))
    return kept


def report(name: str, kept: Kept) -> list[str]:
    """Return the rows of one network over the pieces that all contenders have done."""
    from stannary.checks.target.statistics import rate

    whole = sorted(set.intersection(*(set(kept.get(who, {})) for who in ("AutoAttack", *OURS))), key=int)
    label, rows = f"{name}, {EPS[name]}", []

    def of(who: str) -> tuple[float, list[bool]]:
        return sum(kept[who][at][0] for at in whole), [stood for at in whole for stood in kept[who][at][1]]

    theirs, still = of("AutoAttack")
    for who in ("AutoAttack", *OURS):
        cpu, stands = of(who)
        found = rate(sum(stands), len(stands))
        more = sum(ours and not other for ours, other in zip(stands, still, strict=True))
        fewer = sum(other and not ours for ours, other in zip(stands, still, strict=True))
        against = "" if who == "AutoAttack" else f"{more} more, {fewer} fewer"
        share = f"{found.value:.1%} [{found.low:.1%}, {found.high:.1%}]"
        rows.append(f"{label} | {who} | {found.n} | {cpu:.1f} | {cpu / theirs:.2f} | {share} | {against}")
    for who in ("stannary, few", "ART's AutoAttack"):
        if "0" in kept.get(who, {}):
            cpu, stands = kept[who]["0"]
            times = "" if who == "stannary, few" else f"{cpu / kept['stannary, few']['0'][0]:.1f} times stannary's"
            rows.append(
                f"{label} | {who.partition(',')[0]} | {len(stands)} | {cpu:.1f} | {times} | {sum(stands) / len(stands):.1%} | "
            )
    return rows


def option(name: str, default: str) -> str:
    """Return what was given as `--name=value`."""
    return next((item.partition("=")[2] for item in sys.argv if item.startswith(f"--{name}=")), default)


def inside(file: str) -> None:
    """Run `file` again in the environment of the peers, and end, if it does not run there."""
    if Path(sys.prefix).resolve() != evasion.HOME.resolve():
        evasion.ensure()
        env = {**os.environ, "PYTHONPATH": str(evasion.ROOT / "src"), "OMP_NUM_THREADS": "1"}
        sys.exit(subprocess.run([str(evasion.PYTHON), file, *sys.argv[1:]], env=env, check=False).returncode)


def main(names: list[str], samples: int, piece: int) -> None:
    """Attack the networks, and print what all took."""
    bench, rows = evasion.Bench(()), []
    for name in names:
        rows += report(name, measure(bench, name, samples, piece))
    head = "network, radius | who | samples | CPU s | of AutoAttack's | stands, with its interval | against AutoAttack"
    evasion.table("`standard` beside AutoAttack", head, rows)


if __name__ == "__main__":
    inside(__file__)
    main(option("nets", "std,madry").split(","), int(option("samples", "500")), int(option("piece", "250")))

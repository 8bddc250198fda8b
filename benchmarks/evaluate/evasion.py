"""White-box attacks beside Foolbox, ART and AutoAttack on MNIST, the report on masked gradients, and the gate's stop rule.

    ./dev bench evaluate evasion                  # everything: some half hour
    ./dev bench evaluate evasion --pgd --minimal  # parts: --pgd --minimal --masking --stop; AutoAttack: standard.py

Makes an environment with the peers (requirements/peers-evasion.txt) under .venv-peers and trains the networks, each on first use.
All attacks run in that environment, with one thread, on the same samples. No library's own word counts for a success: what each
returns is judged here, in float64, by norm, range and the label that the network gives. CPU seconds are the process's own.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".venv-peers" / "evasion"
PYTHON = HOME / "bin" / "python"
LOCK = ROOT / "requirements" / "peers-evasion.txt"
PARTS = ("pgd", "minimal", "masking", "stop")
CASES = (("std", 0.1), ("adv", 0.3))


def ensure() -> None:
    """Make the peers' environment if it is not there as the file says."""
    stamp, wanted = HOME / "installed.txt", LOCK.read_text(encoding="utf-8")
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    print(f"installing {LOCK.name} into {HOME.relative_to(ROOT)}", file=sys.stderr, flush=True)
    pip = [str(PYTHON), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    lines = [line for line in wanted.splitlines() if line and line[0] != "#"]
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(HOME)], check=True)
    env = {**os.environ, "PYTHONPATH": ""}
    subprocess.run([*pip, "-r", str(ROOT / "requirements" / "torch.txt")], check=True, env=env)
    subprocess.run([*pip, *(line for line in lines if not line.startswith("pyautoattack"))], check=True, env=env)
    subprocess.run([*pip, "--no-deps", *(line for line in lines if line.startswith("pyautoattack"))], check=True, env=env)
    stamp.write_text(wanted, encoding="utf-8")


class Bench:
    """Networks, samples, and the judge."""

    def __init__(self, names: tuple[str, ...] = ("std", "adv", "trades")) -> None:
        import assets
        import torch

        torch.set_num_threads(1)
        self.torch, self.assets = torch, assets
        self.x, self.y = assets.mnist(assets.mnist_files(), "test")
        self.nets = {name: assets.trained(name) for name in names}

    def sizes(self, net: Any, x: Any, found: Any, y: Any, norm: str) -> Any:
        """Return the distance of each verified example, infinite where there is none."""
        torch = self.torch
        order = {"linf": float("inf"), "l2": 2.0, "l1": 1.0}[norm]
        far = torch.linalg.vector_norm((found.double() - x.double()).flatten(1), ord=order, dim=1)
        with torch.no_grad():
            out = torch.cat([net(part) for part in found.split(250)])
        good = (out.argmax(1) != y) & out.isfinite().all(1) & (found >= 0).flatten(1).all(1) & (found <= 1).flatten(1).all(1)
        return torch.where(good, far, float("inf"))

    def left(self, net: Any, x: Any, found: Any, y: Any, norm: str, eps: float) -> Any:
        """Tell which samples stand, `(n,)` bool."""
        wrong = net(x).argmax(1) != y
        return ~(wrong | (self.sizes(net, x, found, y, norm) <= eps * (1 + 1e-5)))

    def ours(self, net: Any, norm: str, eps: float | None) -> Any:
        """Return the problem for stannary."""
        from stannary.checks.robustness.rows import Problem
        from stannary.checks.target.box import Box
        from stannary.checks.target.counting import Counting
        from stannary.checks.target.torch_model import TorchTarget

        return Problem(Counting(TorchTarget(net, (1, 28, 28))), Box(), norm=norm, eps=eps)

    def foolbox(self, net: Any) -> Any:
        """Return the model for Foolbox."""
        import foolbox

        return foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")

    def art(self, net: Any) -> Any:
        """Return the model for ART."""
        from art.estimators.classification import PyTorchClassifier

        loss = self.torch.nn.CrossEntropyLoss()
        return PyTorchClassifier(net, loss, (1, 28, 28), 10, clip_values=(0.0, 1.0), device_type="cpu")

    def by_art(self, attack: Any, x: Any, y: Any) -> Any:
        """Return what an attack of ART gives, as a tensor."""
        return self.torch.from_numpy(attack.generate(x.numpy(), y.numpy()))


def timed(work: Callable[[], Any], times: int = 1) -> tuple[float, Any]:
    """Return the least CPU seconds of so many runs, and the last result."""
    least = float("inf")
    for _ in range(times):
        started = time.process_time()
        result = work()
        least = min(least, time.process_time() - started)
    return least, result


def table(title: str, head: str, rows: list[str]) -> None:
    """Print a table in Markdown."""
    columns = head.count("|") + 1
    print("\n".join(["", f"### {title}", "", f"| {head} |", "|---" * columns + "|", *(f"| {row} |" for row in rows)]), flush=True)


def pgd(bench: Bench, n: int = 1000) -> None:
    """Forty steps of PGD: CPU and what stands."""
    import foolbox.attacks as fa
    from art.attacks.evasion import ProjectedGradientDescent

    from stannary.checks.robustness.attacks.pgd import PGD
    from stannary.checks.robustness.engine import run

    rows = []
    for name, eps in CASES:
        net, x, y = bench.nets[name], bench.x[:n], bench.y[:n]
        theirs, art = bench.foolbox(net), bench.art(net)
        step = fa.LinfPGD(abs_stepsize=0.01 if eps < 0.2 else 0.02, steps=40)
        kept = ProjectedGradientDescent(
            art, norm="inf", eps=eps, eps_step=step.abs_stepsize, max_iter=40, num_random_init=1, batch_size=200, verbose=False
        )

        def by_foolbox(step=step, theirs=theirs, x=x, y=y, eps=eps) -> Any:  # in batches, the cheaper way
            return bench.torch.cat([step(theirs, a, b, epsilons=eps)[1] for a, b in zip(x.split(200), y.split(200), strict=True)])

        peers = {
            "stannary": lambda net=net, x=x, y=y, eps=eps: run(PGD(40), bench.ours(net, "linf", eps), x, y).x,
            "Foolbox": by_foolbox,
            "ART": lambda kept=kept, x=x, y=y: bench.by_art(kept, x, y),
        }
        own = 0.0
        for who, work in peers.items():
            cpu, found = timed(work, 3)
            own = own or cpu
            stands = float(bench.left(net, x, found, y, "linf", eps).double().mean())
            rows.append(f"{name}, {eps} | {who} | {cpu:.2f} | {own / cpu:.2f} | {stands:.1%}")
    table(f"PGD-40, {n} samples", "network, radius | who | CPU s | stannary's share of it | stands", rows)


def minimal(bench: Bench, n: int = 400) -> None:
    """Smallest changes, and the curve that is made of them."""
    import foolbox.attacks as fa

    from stannary.checks.robustness.attacks.carlini import CarliniWagner
    from stannary.checks.robustness.attacks.ddn import DDN
    from stannary.checks.robustness.attacks.deepfool import DeepFool
    from stannary.checks.robustness.attacks.fmn import FMN
    from stannary.checks.robustness.curve import curve
    from stannary.checks.robustness.engine import run

    wagner = fa.L2CarliniWagnerAttack(binary_search_steps=5, steps=200)
    pairs = [
        ("l2", "DDN, 100 steps", fa.DDNAttack(steps=100), n),
        ("l2", "DDN, 100 steps", DDN(100), n),
        ("l2", "FMN, 100 steps", fa.L2FMNAttack(steps=100), n),
        ("l2", "FMN, 50 steps", FMN(50), n),
        ("l2", "DeepFool", fa.L2DeepFoolAttack(), 100),
        ("l2", "DeepFool", DeepFool(), 100),
        ("l2", "C&W, 5x200", wagner, 50),
        ("l2", "C&W, 5x200", CarliniWagner(5, 200), 50),
        ("linf", "FMN, 100 steps", fa.LInfFMNAttack(steps=100), n),
        ("linf", "FMN, 50 steps", FMN(50), n),
        ("l1", "FMN, 100 steps", fa.L1FMNAttack(steps=100), n),
        ("l1", "FMN, 100 steps", FMN(100), n),
    ]
    rows = []
    for name, _ in CASES:
        net, theirs = bench.nets[name], bench.foolbox(bench.nets[name])
        for norm, label, attack, count in pairs:
            x, y = bench.x[:count], bench.y[:count]
            who = "stannary" if hasattr(attack, "rounds") else "Foolbox"

            def work(attack=attack, norm=norm, net=net, theirs=theirs, x=x, y=y, who=who) -> Any:
                return (
                    run(attack, bench.ours(net, norm, None), x, y).x
                    if who == "stannary"
                    else attack(theirs, x, y, epsilons=None)[1]
                )

            cpu, found = timed(work)
            size = bench.sizes(net, x, found, y, norm)
            share = float(size.isfinite().double().mean())
            rows.append(f"{name} | {norm} | {label} | {who} | {count} | {cpu:.2f} | {share:.1%} | {float(size.median()):.4g}")
    table("Smallest change", "network | norm | attack | who | samples | CPU s | found | median distance", rows)
    rows = []
    for name, norm, eps in (("std", "linf", 0.1), ("adv", "linf", 0.3), ("std", "l2", 1.0), ("adv", "l2", 2.0)):
        net, x, y = bench.nets[name], bench.x[:n], bench.y[:n]
        once = (fa.LinfPGD if norm == "linf" else fa.L2PGD)(steps=40, rel_stepsize=0.1)
        single, _ = timed(lambda once=once, net=net, x=x, y=y, eps=eps: once(bench.foolbox(net), x, y, epsilons=eps), 2)
        cpu, made = timed(lambda net=net, norm=norm, eps=eps, x=x, y=y: curve(bench.ours(net, norm, eps), x, y), 2)
        points = ", ".join(f"{point.accuracy.value:.0%} at {point.eps:.3g}" for point in made.points)
        rows.append(f"{name} | {norm} | {cpu:.2f} | {single:.2f} | {cpu / single:.2f} | {points}")
    table("A curve of eight points", "network | norm | CPU s | one PGD-40 of Foolbox | ratio | accuracy", rows)


def masking(bench: Bench) -> None:
    """The report on five networks that hide their gradients and three that do not."""
    import _masked

    from stannary.checks.robustness.masking import masking_report

    nets = {**{name: _masked.masked(name) for name in _masked.MASKED}, **bench.nets}
    rows = []
    for name, net in nets.items():
        for eps in (0.1, 0.3) if name in bench.nets else (0.1,):

            def work(net=net, eps=eps) -> Any:
                return masking_report(bench.ours(net, "linf", eps), bench.x[:200], bench.y[:200], pool=bench.x[1000:3000])

            cpu, report = timed(work)
            signs = ", ".join(f"{point.id} {point.value:.2f}" for point in report.points if point.warn)
            rows.append(f"{name}, {eps} | {'masked' if report.masked else 'not masked'} | {signs} | {cpu:.0f}")
    table("Masked gradients", "network, radius | verdict | signs | CPU s", rows)


def stop(_bench: Bench | None, runs: int = 1000) -> None:
    """The gate's rule on samples drawn from a known share."""
    from stannary.checks.robustness.presets import GATE_BLOCK
    from stannary.checks.target.statistics import StopRule

    rows = []
    threshold = 0.8
    for share in (0.95, 0.93, 0.9, 0.7, 0.65, 0.5, 0.24, 0.82, 0.8, 0.79):
        draws = random.Random(f"{share} {threshold}")
        needed, wrong, open_ = [], 0, 0
        for _ in range(runs):
            rule = StopRule(threshold)
            decision = "inconclusive"
            while decision == "inconclusive" and rule.n < 2000:
                rule.hits += sum(draws.random() < share for _ in range(GATE_BLOCK))
                rule.n += GATE_BLOCK
                decision = rule.decision()
            needed.append(rule.n)
            open_ += decision == "inconclusive"
            wrong += decision == ("fail" if share >= threshold else "pass")
        needed.sort()
        rows.append(
            f"{share:.2f} | {threshold} | {needed[runs // 2]} | {needed[runs * 9 // 10]} | {wrong / runs:.1%} | {open_ / runs:.1%}"
        )
    table(
        f"The gate's stop rule, {runs} simulated runs",
        "true share | threshold | samples, median | nine in ten | wrong | open after 2,000",
        rows,
    )


def main(wanted: list[str]) -> None:
    """Run the parts that are named, or all."""
    bench = Bench() if set(wanted or PARTS) - {"stop"} else None  # a rule needs no networks
    for name in wanted or PARTS:
        {"pgd": pgd, "minimal": minimal, "masking": masking, "stop": stop}[name](bench)


if __name__ == "__main__":
    chosen = [item.removeprefix("--") for item in sys.argv[1:]]
    if set(chosen) - set(PARTS):
        sys.exit(f"no such part: {', '.join(sorted(set(chosen) - set(PARTS)))}; there are: {', '.join(PARTS)}")
    if Path(sys.prefix).resolve() != HOME.resolve():
        ensure()
        env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
        sys.exit(subprocess.run([str(PYTHON), __file__, *sys.argv[1:]], env=env, check=False).returncode)
    main(chosen)

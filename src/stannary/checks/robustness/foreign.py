"""Attacks of other libraries as stages of a cascade: `foolbox:NAME`, `art:NAME`, with `:option=value,...` behind.

Foolbox (Rauber et al. 2017) and ART (Nicolae et al. 2018) get a torch module that asks the target for every pass: any target can be
attacked by them, networks of other libraries too, and every pass is counted. What they return is drawn back into radius and
domain, the target is asked about it, and the cascade's checker looks once more: their own word counts for nothing.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from stannary.core.errors import BackendError, StannaryError, UsageError

if TYPE_CHECKING:
    from stannary.checks.robustness.rows import Problem, Rows
    from stannary.checks.target.interface import Access, Target

__all__ = ["LIBRARIES", "Foreign", "is_foreign"]

LIBRARIES = ("foolbox", "art")
_ORDERS = {"linf": float("inf"), "l2": 2.0, "l1": 1.0, "l0": 0.0}
_Call: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def is_foreign(name: str) -> bool:
    """Tell whether a name means an attack of another library."""
    return name.partition(":")[0] in LIBRARIES and ":" in name


class Foreign:
    """One attack of another library, as an attack of the engine that is done after one step.

    Args:
        name: `library:Class`, or `library:Class:option=value,...` with arguments of the class, which are Python literals.

    Raises:
        UsageError: the name is none, the library is not installed or has no such attack.
    """

    access: Access = "decision"  # what it takes, the library does not say beforehand
    norms: tuple[str, ...] = tuple(_ORDERS)
    minimal = False
    rounds = 1
    steps = 1

    def __init__(self, name: str) -> None:
        library, _, rest = name.partition(":")
        kind, _, options = rest.partition(":")
        if library not in LIBRARIES or not kind.isidentifier():
            msg = f"is no attack of another library: {name[:100]!r}"
            raise UsageError(msg, help=f"{' or '.join(LIBRARIES)}, a colon, the name of a class: foolbox:LinfPGD:steps=20")
        self.id, self.name, self.options = f"{library}:{kind}", name, options
        self._library, self._given = library, _arguments(name, options)
        self._class = _found(library, kind)

    def __reduce__(self) -> tuple[type[Foreign], tuple[str]]:
        """Go to another process by name."""
        return Foreign, (self.name,)

    def init(self, problem: Problem, rows: Rows, generator: torch.Generator) -> None:
        """Nothing: the library begins where it likes."""

    def step(self, problem: Problem, rows: Rows, generator: torch.Generator) -> torch.Tensor:
        """Have the library attack all rows, and keep what the target says is a success. Raises BackendError when it fails."""
        seed = int(torch.randint(2**31, (1,), generator=generator, device=generator.device))
        make = _foolbox if self._library == "foolbox" else _art
        with _quiet(self.id, seed):
            found = make(self._class, self._given, problem)(rows.origin, rows.label)
        if found.shape != rows.origin.shape:
            msg = f"{self.id} gave examples of shape {tuple(found.shape)} for inputs of shape {tuple(rows.origin.shape)}"
            raise BackendError(msg)
        found = torch.where(found.isfinite(), found, rows.origin)
        rows.x = problem.ball(found.to(rows.origin), rows.origin)
        rows.keep(rows.x, problem.fooled(problem.target.decide(rows.x), rows.label), problem)
        return torch.ones_like(rows.found)


class _Asked(torch.autograd.Function):
    """A pass through the target, and the gradient that it gives for whatever is wanted of its scores."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, target: Target) -> torch.Tensor:  # noqa: ANN401 - torch's
        """Return scores `(n, classes)`."""
        ctx.target = target
        ctx.save_for_backward(x)
        if target.access == "decision":
            decided = target.decide(x.detach())
            return torch.nn.functional.one_hot(decided.clamp_min(0), target.classes).to(x.dtype)
        return target.logits(x.detach())

    @staticmethod
    def backward(ctx: Any, *up: torch.Tensor) -> tuple[torch.Tensor, None]:  # noqa: ANN401 - torch's
        """Return the gradient `(n, *shape)`."""
        (x,) = ctx.saved_tensors
        if ctx.target.access != "white":
            msg = f"it takes gradients, and the target offers {ctx.target.access}"
            raise BackendError(msg)
        return ctx.target.gradient(x, lambda out: (out * up[0]).sum(1))[2], None


class _Network(torch.nn.Module):
    """The target as a module without parameters."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        self.target = target

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return scores `(n, classes)`."""
        out: torch.Tensor = _Asked.apply(x, self.target)
        return out


def _foolbox(kind: Any, given: dict[str, Any], problem: Problem) -> _Call:  # noqa: ANN401 - the library's
    """Return what attacks inputs `(n, *shape)` with labels `(n,)`."""
    import foolbox

    order, eps = _ORDERS[problem.norm], problem.eps
    if "distance" in inspect.signature(kind.__init__).parameters and "distance" not in given:
        given = {**given, "distance": foolbox.distances.LpDistance(order)}
    attack = kind(**given)
    measured = getattr(getattr(attack, "distance", None), "p", order)
    if measured != order:
        msg = f"it looks for changes that are small in l{measured:g}, not in {problem.norm}"
        raise UsageError(msg)

    def run(x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        model = foolbox.PyTorchModel(_Network(problem.target).eval(), bounds=_bounds(problem, x), device=x.device)
        wanted = foolbox.criteria.TargetedMisclassification if problem.targeted else foolbox.criteria.Misclassification
        clipped: torch.Tensor = attack(model, x, wanted(labels), epsilons=eps)[1]
        return clipped

    return run


def _art(kind: Any, given: dict[str, Any], problem: Problem) -> _Call:  # noqa: ANN401 - the library's
    """Return what attacks inputs `(n, *shape)` with labels `(n,)`."""
    from art.estimators.classification import PyTorchClassifier

    target = problem.target
    order = _ORDERS[problem.norm]
    own = {
        "norm": order if order == float("inf") else int(order),
        "eps": problem.eps,
        "targeted": problem.targeted,
        "verbose": False,
    }
    if problem.eps is not None and "eps_step" not in given:
        own["eps_step"] = problem.eps / 4
    own["batch_size"] = 256
    known = inspect.signature(kind.__init__).parameters
    options = {name: value for name, value in own.items() if name in known} | given

    def run(x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        estimator = PyTorchClassifier(
            _Network(target).eval(), torch.nn.CrossEntropyLoss(), tuple(target.shape), target.classes,
            clip_values=_bounds(problem, x), device_type="cpu" if x.device.type == "cpu" else "gpu",
        )  # fmt: skip
        first = "estimator" if "estimator" in known else "classifier"
        attack = kind(**{first: estimator}, **options)
        made = attack.generate(x=x.cpu().numpy(), y=labels.cpu().numpy())
        return torch.as_tensor(made).to(x)

    return run


def _bounds(problem: Problem, x: torch.Tensor) -> tuple[float, float]:
    low, high = problem.domain.span(x)
    return float(low.min()), float(high.max())


def _arguments(name: str, options: str) -> dict[str, Any]:
    """Return the options as the arguments of a call. Raises UsageError for what is no literal."""
    try:
        call = ast.parse(f"f({options})", mode="eval").body
        named = isinstance(call, ast.Call) and not call.args and all(word.arg for word in call.keywords)
        words = call.keywords if isinstance(call, ast.Call) and named else [ast.keyword(None, ast.Name(options))]
        return {str(word.arg): ast.literal_eval(word.value) for word in words}
    except (SyntaxError, ValueError) as error:
        msg = f"has options that are none: {options[:100]!r}"
        raise UsageError(msg, where=name[:100], help="name=value, with commas between: steps=20,rel_stepsize=0.05") from error


def _found(library: str, kind: str) -> Any:  # noqa: ANN401 - the library's
    """Return the class of an attack. Raises UsageError."""
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # what foolbox imports looks for git, which the guard forbids
    try:
        with warnings.catch_warnings(), _home() if library == "art" else contextlib.nullcontext():
            warnings.simplefilter("ignore")
            if library == "foolbox":
                import foolbox.attacks as found
            else:
                import art.attacks.evasion as found
    except ModuleNotFoundError as error:
        msg = f"attacks of {library} need {error.name}, which is not installed"
        raise UsageError(msg, code="DEP001", help=f"pip install 'stannary[{library}]'") from error
    made = getattr(found, kind, None)
    if not isinstance(made, type):
        near = [
            name for name in dir(found) if isinstance(getattr(found, name), type) and not inspect.isabstract(getattr(found, name))
        ]
        msg = f"{library} has no attack {kind}"
        raise UsageError(msg, help=f"there are {', '.join(near)}")
    return made


@contextlib.contextmanager
def _home() -> Iterator[None]:
    """Give another home: what ART writes into the user's as it is imported is not wanted there, and forbidden in the guard."""
    before = os.environ.get("HOME")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HOME"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["HOME"]
            else:
                os.environ["HOME"] = before


@contextlib.contextmanager
def _quiet(name: str, seed: int) -> Iterator[None]:
    """Give both generators that libraries draw from a seed, and them back; say of whatever goes wrong in which attack it did."""
    import numpy as np

    state = np.random.get_state()  # noqa: NPY002 - what the libraries draw from
    try:
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002 - the same
            yield
    except UsageError as error:
        msg = f"{name}: {error.message}"
        raise BackendError(msg, help=error.help) from error
    except StannaryError as error:
        error.message = error.message if error.message.startswith(name) else f"{name}: {error.message}"
        raise
    except Exception as error:  # a library may raise anything
        msg = f"{name} fails: {type(error).__name__}: {error}"
        raise BackendError(msg) from error
    finally:
        np.random.set_state(state)  # noqa: NPY002 - the same

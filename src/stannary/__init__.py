"""stannary assays machine-learning models, stamps what it found, and lets nothing unstamped into service.

    import stannary

    result = stannary.scan("models/")        # a ScanResult: .verdict, .findings, .targets
    with stannary.guard():                   # loads in the block are refused if the scanner would object
        model = torch.load("model.pt", weights_only=False)
    model = stannary.safe_load("model.pkl")  # scan the bytes, then load those very bytes
    with stannary.training_run(data=["claims.parquet"], code=".") as run:   # signed when the block ends
        run.output("models/bert")
    stannary.sign("models/bert", key="signing.pem")   # writes models/bert.sig
    stannary.verify("models/bert", signature="models/bert.sig", key="signing.pub")
    who = stannary.trusted_identity("alice@acme.example", "https://sso.acme.example", "trust_config.json")
    stannary.verify("models/bert", signature="models/bert.sig", trust=who)          # signed by identity

Importing this imports nothing else; each name is imported when it is first used.
"""

from __future__ import annotations

TYPE_CHECKING = False  # not typing's: importing that would cost half of `stannary --version`
if TYPE_CHECKING:
    from typing import Any

    from stannary.checks.static.guard import LoadRefused, guard, safe_load
    from stannary.checks.static.result import ScanFinding, ScanResult
    from stannary.checks.static.scan import ScanOptions, Target, scan, scan_paths
    from stannary.evidence.keyless.api import signing_identity, trusted_identity
    from stannary.evidence.oms.api import open_signed, sign, verify
    from stannary.evidence.training import training_run

__all__ = [
    "LoadRefused",
    "ScanFinding",
    "ScanOptions",
    "ScanResult",
    "Target",
    "__version__",
    "guard",
    "open_signed",
    "safe_load",
    "scan",
    "scan_paths",
    "sign",
    "signing_identity",
    "training_run",
    "trusted_identity",
    "verify",
]

__version__ = "0.1.0"

_HOMES = {
    "LoadRefused": "stannary.checks.static.guard",
    "ScanFinding": "stannary.checks.static.result",
    "ScanOptions": "stannary.checks.static.scan",
    "ScanResult": "stannary.checks.static.result",
    "Target": "stannary.checks.static.scan",
    "guard": "stannary.checks.static.guard",
    "open_signed": "stannary.evidence.oms.api",
    "safe_load": "stannary.checks.static.guard",
    "scan": "stannary.checks.static.scan",
    "scan_paths": "stannary.checks.static.scan",
    "sign": "stannary.evidence.oms.api",
    "signing_identity": "stannary.evidence.keyless.api",
    "training_run": "stannary.evidence.training",
    "trusted_identity": "stannary.evidence.keyless.api",
    "verify": "stannary.evidence.oms.api",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name is
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    import importlib

    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

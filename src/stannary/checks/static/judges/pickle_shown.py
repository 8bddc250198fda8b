"""Names, arguments and evidence of a pickle's calls as messages and findings give them."""

from __future__ import annotations

import re
from typing import Any

from stannary.formats.interface import Fact

__all__ = ["canonical", "evidence", "shown"]

_VENDORED = re.compile(r"^[\w.]+\.cloudpickle\.(?=cloudpickle)")


def canonical(module: str) -> str:
    """Return a vendored cloudpickle's module as the original's."""
    return _VENDORED.sub("cloudpickle.", module) if module.endswith((".cloudpickle", ".cloudpickle_fast")) else module


def evidence(fact: Fact, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return what a finding keeps of a fact."""
    shown = {"global": f"{fact.data['module']}.{fact.data['name']}"}
    return {**shown, **{k: fact.data[k] for k in ("how", "uses", "args", "raw") if k in fact.data}, **more}


def shown(args: Any) -> str:  # noqa: ANN401 - rendered JSON
    """Return the arguments for a message, short."""
    items = args if isinstance(args, list) else [args]
    shown = ", ".join(_one(item) for item in items[:4])
    return f"({shown}{', …' if len(items) > 4 else ''})"[:180]  # noqa: PLR2004 - a message


def _one(item: Any) -> str:  # noqa: ANN401 - rendered JSON
    if isinstance(item, dict):
        for key in ("global", "call", "object"):
            if key in item:
                return str(item[key]) + ("(…)" if key != "global" else "")
        return "…"
    if isinstance(item, list):
        return f"({', '.join(_one(i) for i in item[:3])}{', …' if len(item) > 3 else ''})"  # noqa: PLR2004 - a message
    return repr(item)[:100]

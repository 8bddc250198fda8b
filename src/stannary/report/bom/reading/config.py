"""Configurations beside a model: what of them describes it, as a flat table of clipped values."""

from __future__ import annotations

from typing import Any

from stannary.core.errors import FormatError
from stannary.formats.bounded_json import loads
from stannary.formats.interface import clip

__all__ = ["NAMES", "read"]

# Files that are read whole names; a suffix of a path counts as well (`unet/config.json`).
NAMES = frozenset({
    "config.json", "adapter_config.json", "tokenizer_config.json", "generation_config.json", "preprocessor_config.json",
    "processor_config.json", "model_index.json", "config_sentence_transformers.json", "modules.json", "quantize_config.json",
    "quantization_config.json", "training_args.json", "trainer_config.json", "hyperparameters.json", "params.json", "mlmodel",
    "model.safetensors.index.json", "pytorch_model.bin.index.json", "dataset_infos.json", "dataset_info.json", "emissions.csv",
})  # fmt: skip
_LARGEST = 8 << 20
_KEYS = 400
_ITEMS = 50
_NESTED = frozenset({"quantization_config", "task_specific_params", "metadata", "id2label", "text_config", "flavors"})


def read(text: str, base: str) -> dict[str, Any]:
    """Return the top-level values of a configuration: scalars, short lists of them, a few tables. Raises FormatError."""
    if base == "mlmodel":
        return _mlmodel(text)
    if base == "emissions.csv":
        return _emissions(text)
    document = loads(text[:_LARGEST])
    if isinstance(document, list):
        return {"items": [_kept(row, 1) for row in document[:_ITEMS]]}
    if not isinstance(document, dict):
        msg = "is no object"
        raise FormatError(msg)
    return {
        clip(key, 80): _kept(value, 0 if key in _NESTED else 1)
        for key, value in list(document.items())[:_KEYS]
        if key != "weight_map"
    }


def _kept(value: Any, depth: int) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, str):
        return clip(value, 500)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 1 << 63:
        return str(value)[:80]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, list):
        return [_kept(item, depth + 1) for item in value[:_ITEMS]]
    if isinstance(value, dict) and depth < 2:  # noqa: PLR2004 - a table in a table is the most that is looked into
        return {clip(str(key), 80): _kept(item, depth + 1) for key, item in list(value.items())[:_ITEMS]}
    return None


def _mlmodel(text: str) -> dict[str, Any]:
    """Read MLflow's MLmodel: flavors, signature, when it was made."""
    from stannary.formats.yaml_scan import scan

    found: dict[str, Any] = {}
    for node in scan(text[: 1 << 20]).nodes[:2000]:
        if node.value is not None and len(found) < _KEYS:
            found[clip(node.path, 120)] = clip(node.value, 300)
    return found


def _emissions(text: str) -> dict[str, Any]:
    """Read the last row of CodeCarbon's emissions.csv."""
    import csv
    import io

    rows = list(csv.reader(io.StringIO(text[: 1 << 20])))[:10_000]
    if len(rows) < 2:  # noqa: PLR2004 - names and a row
        msg = "has no row"
        raise FormatError(msg)
    return {clip(key, 80): clip(value, 200) for key, value in zip(rows[0], rows[-1], strict=False)}

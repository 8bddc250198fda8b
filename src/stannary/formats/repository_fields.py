"""Fields of Hugging Face configurations whose value a loader opens or imports besides `auto_map`.

transformers hands every field of `tokenizer_config.json` to the tokenizer, so that a path there wins over the
file of the repository; peft loads the base model that an adapter names; sentence-transformers imports
the dotted name of an activation and calls it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Any

from stannary.formats.interface import Sink, clip
from stannary.formats.json_keys import outside

__all__ = ["activations", "own_files"]

_FILE_KEY = re.compile(r"(?:^|_)file$")
# Old configurations keep the absolute path of the cache that they were made in; these are nobody's vocabulary.
_PRIVATE = re.compile(r"^(?:/etc/|/proc/|/sys/|/dev/)|[/\\]\.(?:ssh|aws|kube|gnupg|netrc|docker|git-credentials|env)\b")
_UP = 2  # `../base` beside an adapter is how people keep models; further up is somebody else's folder


def own_files(name: str, document: dict[str, Any], sink: Sink) -> None:
    """Report the files that a configuration names outside its folder."""
    base = posixpath.basename(name)
    for key, value in document.items():
        if not isinstance(value, str) or not value:
            continue
        how = outside(value)
        if base.startswith("adapter_config") and key == "base_model_name_or_path":
            climbs = posixpath.normpath(value.replace("\\", "/")).split("/").count("..")
            foreign = (how == "traversal" and climbs >= _UP) or bool(_PRIVATE.search(value))
        elif _FILE_KEY.search(key) and base.endswith("_config.json"):
            foreign = how == "traversal" or bool(_PRIVATE.search(value))
        else:
            continue
        if foreign:
            sink.fact("repo.outside", None, file=clip(name), trigger=f"{base} {clip(key, 60)}", reference=clip(value), how=how)


def activations(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (key, dotted name) of what sentence-transformers imports and calls."""
    nested = document.get("sentence_transformers")
    for holder in (document, nested if isinstance(nested, dict) else {}):
        for key in ("activation_function", "activation_fn", "sbert_ce_default_activation_function"):
            value = holder.get(key)
            if isinstance(value, str) and "." in value:
                yield key, value

"""OpenVINO models (`.xml` beside `.bin`): layers of extensions, libraries, offsets into the weights.

Source: OpenVINO IR specification, versions 10 and 11; custom kernel files of the GPU plug-in.

Facts:
- `openvino.model` version, layers
- `openvino.layer` type, version, count: each distinct kind of layer
- `openvino.path` element, key, value: an attribute that names a library, a path or an address
- `openvino.beyond` offset, size, available: a constant beyond the end of the weights file
- `openvino.custom_kernel` type, version, source
"""

from __future__ import annotations

import os
import re
from collections import Counter

from stannary.formats.embedded_text import hand_on
from stannary.formats.interface import Sink, View, clip
from stannary.formats.xml_text import looks_like, parse

__all__ = ["probe", "read"]

_LIBRARY = re.compile(
    r"\.(?:so|dll|dylib)(?:\.\d+)*$|^(?:/|~/|[A-Za-z]:[\\/]|\\\\)|(?:^|[\\/])\.\.[\\/]|^[a-z][a-z0-9+.\-]{1,20}://", re.IGNORECASE
)
_TEXT_KEYS = frozenset(
    {
        "name",
        "names",
        "friendly_name",
        "type",
        "version",
        "precision",
        "element_type",
        "shape",
        "dims",
        "fused_names",
        "originalLayersNames",
        "primitiveType",
        "equation",
        "origin",
    }
)
_KINDS = 5000


def probe(view: View) -> bool:
    """Tell whether the root element is that of a network or of custom kernels, and its first lines look like one."""
    if not looks_like(view, "net", "CustomLayer"):
        return False
    head = view.head(65536)
    wide = head[:2] in (b"\xff\xfe", b"\xfe\xff")
    return wide or any(
        mark in head for mark in (b"<layers", b"<layer", b"<Kernel", b"<edges", b"<batch", b"<!ENTITY", b"<!DOCTYPE")
    )


def read(view: View, sink: Sink) -> None:
    """Read a network. Raises FormatError."""
    handler = _Network(sink, _available(view, sink))
    try:
        parse(view, sink, handler)
    finally:
        handler.report()


def _available(view: View, sink: Sink) -> int | None:
    """Return the size of the weights file beside the network; it is not opened."""
    stem, dot, _ = view.name.replace("\\", "/").rpartition("/")[2].rpartition(".")
    name = f"{stem}.bin" if dot else ""
    if not view.path or name not in sink.siblings:
        return None
    try:
        return os.stat(os.path.join(os.path.dirname(view.path), name), follow_symlinks=False).st_size  # noqa: PTH116, PTH118, PTH120 - readers use no Path
    except OSError:
        return None


class _Network:
    def __init__(self, sink: Sink, available: int | None) -> None:
        self.sink = sink
        self.available = available
        self.kinds: Counter[tuple[str, str]] = Counter()
        self.version = ""
        self.layer = ""

    def start(self, name: str, attributes: dict[str, str], offset: int) -> None:
        """Look at one element."""
        if name == "net":
            self.version = clip(attributes.get("version", ""))
        elif name == "layer":
            self.layer = attributes.get("type", "")
            self.kinds[self.layer, attributes.get("version", "")] += 1
        elif name == "CustomLayer":
            self.sink.fact(
                "openvino.custom_kernel",
                offset,
                type=clip(attributes.get("name", "")),
                version=clip(attributes.get("type", "")),
                source="",
            )
        if name == "data" and "offset" in attributes:
            self._constant(attributes, offset)
        for key, value in attributes.items():
            if key not in _TEXT_KEYS and len(value) > 2 and _LIBRARY.search(value):
                self._path(name, key, value, offset)
            elif len(value) > 24 and not value[0].isdigit():
                hand_on(self.sink, f"{name}.{clip(key)}", value, offset)

    def _path(self, name: str, key: str, value: str, offset: int) -> None:
        inside_runtime_info = key == "value" and not re.search(r"\.(?:so|dll|dylib)|\.\.[\\/]|/etc/|/root/", value)
        if not inside_runtime_info:  # the converter notes its own command line there
            self.sink.fact("openvino.path", offset, element=clip(name), key=clip(key), value=clip(value, 500))

    def _constant(self, attributes: dict[str, str], offset: int) -> None:
        try:
            start, size = int(attributes["offset"]), int(attributes.get("size", "0"))
        except ValueError:
            self.sink.fact(
                "openvino.beyond",
                offset,
                offset=clip(attributes["offset"]),
                size=clip(attributes.get("size", "")),
                available=self.available,
            )
            return
        if start < 0 or size < 0 or start + size >= 1 << 62 or (self.available is not None and start + size > self.available):
            self.sink.fact("openvino.beyond", offset, offset=str(start), size=str(size), available=self.available)

    def end(self, name: str, text: str, offset: int) -> None:
        """Look at the text of one element."""
        if name in ("Kernel", "Source", "library", "extension") and _LIBRARY.search(text.strip()):
            self.sink.fact("openvino.path", offset, element=clip(name), key="text", value=clip(text.strip(), 500))
        elif len(text) > 24:
            hand_on(self.sink, name, text, offset)

    def report(self) -> None:
        """Report the layers."""
        self.sink.fact("openvino.model", 0, version=self.version, layers=self.kinds.total())
        for count, ((kind, version), number) in enumerate(self.kinds.items()):
            if count >= _KINDS:
                self.sink.incomplete(f"more than {_KINDS} kinds of layers")
                break
            self.sink.fact("openvino.layer", None, type=clip(kind), version=clip(version), count=number)

"""Examples as people see them: pictures as PNG."""

from __future__ import annotations

import base64
import struct
import zlib

import torch

__all__ = ["is_picture", "png"]

_MOST_PIXELS = 256 * 256


def is_picture(shape: tuple[int, ...]) -> bool:
    """Tell whether inputs of a shape can be shown: (channels, height, width) with 1 or 3 channels, or (height, width)."""
    if len(shape) == 2:  # noqa: PLR2004 - height, width
        shape = (1, *shape)
    return len(shape) == 3 and shape[0] in (1, 3) and shape[1] * shape[2] <= _MOST_PIXELS  # noqa: PLR2004 - with channels


def png(x: torch.Tensor, low: float = 0.0, high: float = 1.0) -> str:
    """Return one input `(channels, height, width)` or `(height, width)` as a base64 PNG (W3C PNG, third edition, 11.2)."""
    x = x if x.ndim == 3 else x[None]  # noqa: PLR2004 - with channels
    levels = ((x.detach().cpu().double() - low) / max(high - low, 1e-12)).clamp(0, 1).mul(255).round().to(torch.uint8)
    channels, height, width = levels.shape
    rows = levels.permute(1, 2, 0).contiguous().numpy()
    lines = b"".join(b"\0" + rows[at].tobytes() for at in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    chunks = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    )
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + chunks).decode("ascii")

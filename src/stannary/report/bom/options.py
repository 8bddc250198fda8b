"""What a document is to say beside the inventory."""

from __future__ import annotations

from datetime import datetime

import msgspec

__all__ = ["BomOptions"]


class BomOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a document.

    Attributes:
        timestamp: when it is made; the same inventory at the same time gives the same bytes.
        tool_version: the version of stannary.
        spec_version: of CycloneDX.
        supplier, version, purl: said by the caller, before what files say.
    """

    timestamp: datetime
    tool_version: str
    spec_version: str = "1.6"
    supplier: str = ""
    version: str = ""
    purl: str = ""

"""The formats of JSON Schema that the schemas of bills of materials use: RFC 3339 times, RFC 6531 mail, RFC 3987 references."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime

__all__ = ["FORMATS"]

_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d):(\d\d):(\d\d)(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
# RFC 3987, 2.2: what an IRI reference may hold, `%` only before two hexadecimal digits.
_PLANES = "".join(f"{chr(at)}-{chr(at + 0xFFFD)}" for at in range(0x10000, 0xE0000, 0x10000))
_UCS = f"\u00a0-\ud7ff\uf900-\ufdcf\ufdf0-\uffef{_PLANES}\U000e1000-\U000efffd"
_PRIVATE = "\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd"
_PCHAR = rf"(?:[A-Za-z0-9._~!$&'()*+,;=:@{_UCS}-]|%[0-9A-Fa-f]{{2}})"
_IRI = re.compile(
    rf"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):)?(?://(?P<authority>(?:[A-Za-z0-9._~!$&'()*+,;=:@{_UCS}-]|%[0-9A-Fa-f]{{2}}|\[[0-9A-Fa-fv:.]+\])*)"
    rf"(?=[/?#]|\Z))?(?P<path>(?:{_PCHAR}|/)*)(?:\?(?:{_PCHAR}|[/?{_PRIVATE}])*)?(?:\#(?:{_PCHAR}|[/?])*)?"
)
_MAIL = re.compile(r"[^\s@\"(),:;<>\[\\\]]+@[^\s@]+|\"[^\"]+\"@[^\s@]+")


def _date_time(text: str) -> bool:
    found = _TIME.fullmatch(text)
    if found is None:
        return False
    second = int(found[4])
    try:
        datetime.fromisoformat(f"{found[1]}T{found[2]}:{found[3]}:{min(second, 59):02}")
    except ValueError:
        return False
    return second <= 60  # noqa: PLR2004 - RFC 3339, 5.6: a leap second


def _date(text: str) -> bool:
    try:
        return _DATE.fullmatch(text) is not None and bool(date.fromisoformat(text))
    except ValueError:
        return False


def _iri_reference(text: str) -> bool:
    found = _IRI.fullmatch(text)
    if found is None:
        return False
    path: str = found["path"]
    if found["authority"] is not None:
        return path[:1] in ("", "/")
    # Without a scheme a colon in the first segment would read as one.
    return not path.startswith("//") and (found["scheme"] is not None or ":" not in path.partition("/")[0])


def _uri(text: str) -> bool:
    return text.isascii() and _iri_reference(text) and re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", text) is not None


FORMATS: dict[str, Callable[[str], bool]] = {
    "date-time": _date_time,
    "date": _date,
    "iri-reference": _iri_reference,
    "uri": _uri,
    "idn-email": lambda text: _MAIL.fullmatch(text) is not None,
}

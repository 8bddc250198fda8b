"""Canonical JSON (RFC 8785, JCS): the same value gives the same bytes.

Numbers are written as ECMAScript does, keys are sorted by their UTF-16 code units. Integers that are
no doubles (beyond 2**53) have no canonical form in JCS; they are refused, as NaN and infinities are.
"""

from __future__ import annotations

import hashlib
import re

import msgspec

from stannary.core.model import Digest, Json

__all__ = ["canonical_json", "digest_of"]

_EXACT = 2**53  # up to here every integer is a double, and is written with all its digits
_LARGEST = 2**1023
# What has no text beyond ASCII and no number but small integers is written alike by JCS and by msgspec, in a fifth of the time.
_SHORT = 1 << 16
_TEXT = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_OWN_FORM = re.compile(rb"[.nE]|\de|\d{16}")  # n: of `null`, which msgspec writes for NaN


def canonical_json(value: Json) -> bytes:
    """Return compact UTF-8 JSON with sorted keys. Raises ValueError for numbers or text without a canonical form."""
    try:
        written = msgspec.json.encode(value, order="sorted")
        if len(written) <= _SHORT and written.isascii() and not _OWN_FORM.search(_TEXT.sub(b"", written)):
            return written
        return msgspec.json.encode(_ordered(msgspec.to_builtins(value)))
    except UnicodeEncodeError as error:
        msg = "text with a lone surrogate has no canonical form"
        raise ValueError(msg) from error


def digest_of(value: Json) -> Digest:
    """Return the SHA-256 digest of the canonical JSON of a value."""
    return Digest(hashlib.sha256(canonical_json(value)).hexdigest())


def _ordered(value: Json) -> Json:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is dict:
        keys = sorted(value)
        if not all(map(str.isascii, keys)):
            keys.sort(key=lambda key: key.encode("utf-16-be", "surrogatepass"))
        return {key: _ordered(value[key]) for key in keys}
    if kind is list or kind is tuple:
        return [_ordered(item) for item in value]
    if kind is float:
        return msgspec.Raw(_number(value))
    if kind is int and not -_EXACT <= value <= _EXACT:
        if abs(value) < _LARGEST and int(float(value)) == value:
            return msgspec.Raw(_number(float(value)))
        msg = f"the integer {value} has no exact double, and so no canonical form"
        raise ValueError(msg)
    return value


def _number(value: float) -> bytes:
    """Return a double as ECMAScript's Number::toString writes it."""
    if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124 - NaN test without math
        msg = "NaN and infinities have no canonical form"
        raise ValueError(msg)
    if value == 0:
        return b"0"
    text = repr(abs(value))  # the shortest digits that give the number back, as ECMAScript wants
    mantissa, _, exponent = text.partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = "" if fraction == "0" else fraction
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    sign = "-" if value < 0 else ""
    return (sign + _placed(digits, point)).encode()


def _placed(digits: str, point: int) -> str:
    """Return digits with the decimal point after `point` of them: ECMA-262, Number::toString, steps 6 to 10."""
    count = len(digits)
    if count <= point <= 21:  # noqa: PLR2004 - ECMA-262
        return digits + "0" * (point - count)
    if 0 < point <= 21:  # noqa: PLR2004
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:  # noqa: PLR2004
        return "0." + "0" * -point + digits
    exponent = f"e{'+' if point > 0 else '-'}{abs(point - 1)}"
    return digits + exponent if count == 1 else f"{digits[0]}.{digits[1:]}{exponent}"

"""What a certificate of Sigstore's kind says of its owner: an identity, and the provider that vouched for it.

The object identifiers are Fulcio's (1.3.6.1.4.1.57264.1). Those from 8 on hold a DER UTF8String; those below, their
predecessors, hold the bytes of the text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import msgspec

from stannary.core.errors import IntegrityError

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["ARC", "ISSUER_V1", "ISSUER_V2", "OTHER_NAME", "Owner", "Wanted", "check_owner", "owner_of", "utf8_string"]

ARC = "1.3.6.1.4.1.57264.1"
ISSUER_V1, ISSUER_V2, OTHER_NAME = f"{ARC}.1", f"{ARC}.8", f"{ARC}.7"
_FIRST_ENCODED = 8
_UTF8_STRING, _LONG_FORM = 0x0C, 0x80


class Owner(msgspec.Struct, frozen=True):
    """Who a certificate was issued to: names, the provider's address, and what else the provider said (OID → text)."""

    names: tuple[str, ...]
    issuer: str
    claims: dict[str, str]


class Wanted(msgspec.Struct, frozen=True):
    """Whose signature is accepted. Both are compared as they stand."""

    identity: str
    issuer: str


def owner_of(certificate: x509.Certificate) -> Owner:
    """Return whom a certificate names. Raises IntegrityError when it does not say, or says it in two ways."""
    from cryptography import x509

    claims: dict[str, str] = {}
    for extension in certificate.extensions:
        oid = extension.oid.dotted_string
        if oid.startswith(f"{ARC}.") and isinstance(extension.value, x509.UnrecognizedExtension):
            claims[oid] = _text(oid, extension.value.value)
    old, new = claims.get(ISSUER_V1), claims.get(ISSUER_V2)
    if old is not None and new is not None and old != new:
        _unclear("it names two identity providers")
    issuer = new if new is not None else old
    if not issuer:
        _unclear("it names no identity provider")
    return Owner(_names(certificate), issuer, claims)


def check_owner(owner: Owner, wanted: Wanted) -> None:
    """Return when the owner is the one that is wanted. Raises IntegrityError."""
    if wanted.identity not in owner.names:
        msg = f"was signed by {', '.join(owner.names)[:200]}, not by {wanted.identity}"
        raise IntegrityError(msg, code="SIG037", help="is that who you expect? then name it with --identity")
    if wanted.issuer != owner.issuer:
        msg = f"the identity was vouched for by {owner.issuer[:200]}, not by {wanted.issuer}"
        raise IntegrityError(msg, code="SIG038", help="is that who you expect? then name it with --issuer")


def utf8_string(text: str) -> bytes:
    """Return the DER UTF8String of a text."""
    content = text.encode()
    size = len(content)
    if size < _LONG_FORM:
        return bytes([_UTF8_STRING, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([_UTF8_STRING, _LONG_FORM | len(length)]) + length + content


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    from cryptography import x509

    found: list[str] = []
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        _unclear("it names nobody")
    for name in extension.value:
        if isinstance(name, x509.RFC822Name | x509.UniformResourceIdentifier):
            found.append(name.value)
        elif isinstance(name, x509.OtherName) and name.type_id.dotted_string == OTHER_NAME:
            found.append(_decoded_string(name.value))
    if len(found) != 1:
        _unclear(f"it names {len(found) or 'none'} of those it could: an address, a URI or a user")
    return tuple(found)


def _text(oid: str, content: bytes) -> str:
    number = oid.rpartition(".")[2]
    if number.isdigit() and int(number) >= _FIRST_ENCODED:
        return _decoded_string(content)
    try:
        return content.decode()
    except UnicodeDecodeError:
        _unclear(f"what it says under {oid} is no text")


def _decoded_string(content: bytes) -> str:
    """Return the text of a DER UTF8String, written the one way."""
    texts = (content[start:].decode(errors="replace") for start in range(2, 6))
    found = next((text for text in texts if utf8_string(text) == content), None)
    if found is None:
        _unclear("what it says is not written as a text")
    return found


def _unclear(why: str) -> NoReturn:
    msg = f"the certificate does not say clearly whose it is: {why}"
    raise IntegrityError(msg, code="SIG037", help="it is not one of a keyless signature")

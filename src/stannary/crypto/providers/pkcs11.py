"""Keys in hardware tokens, by a PKCS #11 URI (RFC 7512): `pkcs11:token=T;object=K?module-path=/L.so&pin-source=file:/P`.

Of the path, token, serial, manufacturer, model, object and id select; of the query, module-path, pin-value and
pin-source are read. The module may be named by STANNARY_PKCS11_MODULE. Without a PIN in the URI it is
STANNARY_PKCS11_PIN, or asked for. A session lasts for one operation: a token that is pulled out is noticed.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote_to_bytes

from stannary.core.errors import BackendError, InputError, UsageError
from stannary.crypto.interface import Algorithm, Signer, Wrapper
from stannary.crypto.keys import PublicKey
from stannary.crypto.providers.interface import Ask
from stannary.crypto.providers.remote import RemoteSigner, RemoteWrapper, digest_for, missing, not_ours

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Uri", "open_signer", "open_wrapper", "parse_uri"]

_PATH = frozenset({"token", "manufacturer", "serial", "model", "object", "id", "type", "slot-id", "slot-manufacturer",
                   "slot-description", "library-manufacturer", "library-version", "library-description"})  # fmt: skip
_UNUSED = frozenset({"slot-id", "slot-manufacturer", "slot-description", "library-manufacturer", "library-version",
                     "library-description"})  # fmt: skip
_QUERY = frozenset({"pin-value", "pin-source", "module-path", "module-name"})
# DER of the curve's object identifier, or the name that PKCS #11 2.40 had for Edwards curves.
_CURVES: dict[bytes, Algorithm] = {
    bytes.fromhex("06082a8648ce3d030107"): "ecdsa-p256-sha256",
    bytes.fromhex("06052b81040022"): "ecdsa-p384-sha384",
    bytes.fromhex("06052b81040023"): "ecdsa-p521-sha512",
    bytes.fromhex("06032b6570"): "ed25519",
    b"\x13\x0cedwards25519": "ed25519",
}
_LENGTHS: dict[Algorithm, int] = {"ecdsa-p256-sha256": 65, "ecdsa-p384-sha384": 97, "ecdsa-p521-sha512": 133, "ed25519": 32}
_OCTETS = 0x04
_NONCE = 12
# What tokens say of a tag that does not hold: there is no code of its own for it in the standard.
_NOT_OURS = {"EncryptedDataInvalid", "EncryptedDataLenRange", "GeneralError"}


class Uri(NamedTuple):
    """A PKCS #11 URI: attributes by name, percent-decoded."""

    path: dict[str, bytes]
    query: dict[str, str]

    def text(self, name: str) -> str | None:
        """Return an attribute of the path as text."""
        found = self.path.get(name)
        return None if found is None else found.decode("utf-8", "replace")


def parse_uri(address: str) -> Uri:
    """Read what stands behind `pkcs11:`. Raises UsageError for attributes that are unknown, twice, or not used here."""
    where = f"pkcs11:{_without_pin(address)}"
    path_text, _, query_text = address.partition("?")
    path: dict[str, bytes] = {}
    query: dict[str, str] = {}
    for part in filter(None, path_text.split(";")):
        name, equals, value = part.partition("=")
        if not equals or name not in _PATH or name in path or name in _UNUSED:
            msg = f"the attribute {name[:40]!r} is {'not used here' if name in _UNUSED else 'unknown, or there twice'}"
            raise UsageError(msg, where=where, code="KEY015", help="as in pkcs11:token=T;object=K?module-path=/path.so")
        path[name] = unquote_to_bytes(value)
    for part in filter(None, query_text.split("&")):
        name, equals, value = part.partition("=")
        if not equals or name not in _QUERY or name in query:
            msg = f"the attribute {name[:40]!r} is unknown, or there twice"
            raise UsageError(msg, where=where, code="KEY015", help="as in pkcs11:token=T;object=K?module-path=/path.so")
        query[name] = unquote_to_bytes(value).decode("utf-8", "replace")
    if "object" not in path and "id" not in path:
        msg = "names no key: object=LABEL or id=%01 is needed"
        raise UsageError(msg, where=where, code="KEY015", help="`pkcs11-tool --list-objects` shows what a token holds")
    return Uri(path, query)


def open_signer(address: str, ask: Ask) -> Signer:
    """Return a key of a token. Raises UsageError, InputError or BackendError."""
    token = _Token(parse_uri(address), f"pkcs11:{_without_pin(address)}", ask)
    with token.session() as session:
        public = token.public(session)

    def sign(message: bytes) -> bytes:
        with token.session() as session:
            return token.sign(session, public.algorithm, message)

    return RemoteSigner(public, sign, token.where)


def open_wrapper(address: str, ask: Ask) -> Wrapper:
    """Return an AES key of a token: it wraps by AES-GCM, with a nonce from here. Raises UsageError, InputError or BackendError."""
    token = _Token(parse_uri(address), f"pkcs11:{_without_pin(address)}", ask)
    with token.session() as session:
        name = token.secret_name(session)

    def wrap(key: bytes, context: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        with token.session() as session:
            return nonce + token.gcm(session, "encrypt", nonce, context, key)

    def unwrap(wrapped: bytes, context: bytes) -> bytes:
        try:
            with token.session() as session:
                return token.gcm(session, "decrypt", wrapped[:_NONCE], context, wrapped[_NONCE:])
        except BackendError as error:
            if type(error.__cause__).__name__ in _NOT_OURS:
                raise not_ours(token.where) from error
            raise

    return RemoteWrapper("pkcs11", name, wrap, unwrap)


class _Token:
    """A token, and the key in it that a URI names."""

    def __init__(self, uri: Uri, where: str, ask: Ask) -> None:
        self.where = where
        self._uri = uri
        self._pin = _pin(uri, where, ask)
        try:
            import pkcs11
        except ImportError:
            missing("python-pkcs11", "pkcs11", where)
        self._pkcs11: Any = pkcs11
        module = uri.query.get("module-path") or os.environ.get("STANNARY_PKCS11_MODULE")
        if not module:
            msg = "does not say which library speaks to the token"
            raise UsageError(msg, where=where, code="KEY015", help="add ?module-path=/path.so, or set STANNARY_PKCS11_MODULE")
        try:
            self._library = pkcs11.lib(module)
        except Exception as error:  # a library that cannot be loaded raises RuntimeError, OSError or its own
            msg = f"the library {module} cannot be used: {str(error)[:160] or type(error).__name__}"
            raise BackendError(msg, where=where, code="KEY016") from error

    @contextmanager
    def session(self) -> Iterator[Any]:
        """Log in, and out again."""
        errors = self._pkcs11.exceptions
        try:
            with self._find().open(user_pin=self._pin) as session:
                yield session
        except errors.PKCS11Error as error:
            if isinstance(error, errors.PinIncorrect | errors.PinInvalid | errors.PinLenRange | errors.PinLocked):
                msg = f"the PIN is wrong, or locked ({type(error).__name__})"
                raise UsageError(
                    msg, where=self.where, code="KEY004", help="a token locks itself after a few wrong ones"
                ) from error
            msg = f"the token refuses: {type(error).__name__} {str(error)[:120]}".rstrip()
            raise BackendError(msg, where=self.where, code="KEY016") from error

    def public(self, session: Any) -> PublicKey:  # noqa: ANN401 - pkcs11's
        """Return the public half: an object of the token with the same label and id. Raises InputError or UsageError."""
        kinds, attribute = self._pkcs11.ObjectClass, self._pkcs11.Attribute
        self._key(session, kinds.PRIVATE_KEY)
        half = self._key(session, kinds.PUBLIC_KEY)
        algorithm = _CURVES.get(bytes(half[attribute.EC_PARAMS])) if half.key_type.name in {"EC", "EC_EDWARDS"} else None
        if algorithm is None:
            msg = f"is a key of a kind that is not used here ({half.key_type.name})"
            raise InputError(msg, where=self.where, code="KEY009", help="use P-256, P-384, P-521 or Ed25519")
        return _public_key(bytes(half[attribute.EC_POINT]), algorithm, self.where)

    def sign(self, session: Any, algorithm: Algorithm, message: bytes) -> bytes:  # noqa: ANN401 - pkcs11's
        """Return the signature; ECDSA's in DER."""
        key = self._key(session, self._pkcs11.ObjectClass.PRIVATE_KEY)
        mechanism = self._pkcs11.Mechanism
        if algorithm == "ed25519":
            return bytes(key.sign(message, mechanism=mechanism.EDDSA))
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

        raw = bytes(key.sign(digest_for(algorithm, message), mechanism=mechanism.ECDSA))
        half = len(raw) // 2
        return encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))

    def secret_name(self, session: Any) -> str:  # noqa: ANN401 - pkcs11's
        """Return token, label and id of an AES key. Raises InputError or UsageError."""
        key = self._key(session, self._pkcs11.ObjectClass.SECRET_KEY)
        if key.key_type.name != "AES":
            msg = f"is a key of a kind that is not used here ({key.key_type.name})"
            raise InputError(msg, where=self.where, code="KEY009", help="use an AES key")
        return f"{_attribute(session.token, 'token')}/{key.label}/{bytes(key.id).hex()}"

    def gcm(self, session: Any, work: str, nonce: bytes, context: bytes, content: bytes) -> bytes:  # noqa: ANN401 - pkcs11's
        """Return a content encrypted or decrypted by AES-GCM."""
        from pkcs11.mechanisms import GCMParams

        key = self._key(session, self._pkcs11.ObjectClass.SECRET_KEY)
        options = {"mechanism": self._pkcs11.Mechanism.AES_GCM, "mechanism_param": GCMParams(nonce, context, 128)}
        return bytes(getattr(key, work)(content, **options))

    def _find(self) -> Any:  # noqa: ANN401 - pkcs11's
        wanted: dict[str, str | None] = {
            name: self._uri.text(name) for name in ("token", "serial", "manufacturer", "model") if name in self._uri.path
        }
        found = self._fitting(wanted)
        if not found:
            self._library.reinitialize()  # a token that was put in since is seen
            found = self._fitting(wanted)
        if len(found) != 1:
            msg = f"{len(found) or 'no'} tokens fit"
            raise UsageError(msg, where=self.where, code="KEY013", help="name one by token=LABEL or serial=NUMBER")
        return found[0]

    def _fitting(self, wanted: dict[str, str | None]) -> list[Any]:
        ready = self._pkcs11.TokenFlag.TOKEN_INITIALIZED
        found = [token for token in self._library.get_tokens() if ready in token.flags]
        return [token for token in found if all(_attribute(token, name) == value for name, value in wanted.items())]

    def _key(self, session: Any, kind: Any) -> Any:  # noqa: ANN401 - pkcs11's
        errors = self._pkcs11.exceptions
        try:
            return session.get_key(object_class=kind, label=self._uri.text("object"), id=self._uri.path.get("id"))
        except errors.NoSuchKey as error:
            kinds = self._pkcs11.ObjectClass
            what = {kinds.PUBLIC_KEY: "public half", kinds.SECRET_KEY: "secret key"}.get(kind, "private key")
            msg = f"the token has no such {what}" + ("" if self._pin else ", or shows it to nobody without a PIN")
            said = "both halves need the label and the id" if self._pin else "set STANNARY_PKCS11_PIN, or use pin-source=file:/path"
            raise UsageError(msg, where=self.where, code="KEY013", help=said) from error
        except errors.MultipleObjectsReturned as error:
            msg = "several keys of the token fit"
            raise UsageError(msg, where=self.where, code="KEY013", help="name it by object=LABEL and id=%01") from error


def _public_key(point: bytes, algorithm: Algorithm, where: str) -> PublicKey:
    """Return the key of a point as tokens give it: bare, or (as the standard says) within a DER octet string."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    length = _LENGTHS[algorithm]
    header = bytes([_OCTETS, length]) if length < 0x80 else bytes([_OCTETS, 0x81, length])  # noqa: PLR2004 - DER's short form
    bare = point.removeprefix(header) if len(point) == length + len(header) else point
    try:
        if algorithm == "ed25519":
            return PublicKey(Ed25519PublicKey.from_public_bytes(bare))
        curves = {65: ec.SECP256R1(), 97: ec.SECP384R1(), 133: ec.SECP521R1()}
        return PublicKey(ec.EllipticCurvePublicKey.from_encoded_point(curves[length], bare))
    except ValueError as error:
        msg = "has a public key that is no point of its curve"
        raise InputError(msg, where=where, code="KEY001") from error


def _pin(uri: Uri, where: str, ask: Ask) -> str | None:
    if "pin-value" in uri.query:
        return uri.query["pin-value"]
    source = uri.query.get("pin-source")
    if source is None:
        if pin := os.environ.get("STANNARY_PKCS11_PIN"):
            return pin
        asked = ask(where)
        return asked.decode("utf-8", "replace") if asked is not None else None
    path = source.removeprefix("file://").removeprefix("file:")
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"the PIN cannot be read from {path}"
        raise UsageError(msg, where=where, code="KEY015", help="pin-source=file:/path names a file with the PIN") from error


def _attribute(token: Any, name: str) -> str:  # noqa: ANN401 - pkcs11's
    value = getattr(token, {"token": "label", "manufacturer": "manufacturer_id"}.get(name, name))
    return value.decode("utf-8", "replace").strip() if isinstance(value, bytes) else str(value).strip()


def _without_pin(address: str) -> str:
    """Return an address to show: a PIN in it is nobody's to read."""
    path, question, query = address.partition("?")
    return path + question + "&".join("pin-value=..." if part.startswith("pin-value=") else part for part in query.split("&"))

"""Keys in AWS KMS: `awskms:///KEY-ID`, `awskms:///alias/NAME`, `awskms:///arn:...`, `awskms://ENDPOINT/...`.

A key for signing (ECC_NIST_P256, P384, P521), or for wrapping (SYMMETRIC_DEFAULT: what something is bound to is its
encryption context, in base64). Credentials and region are those of every AWS tool (environment, profile, instance
role). Messages are hashed here, and only the digest is sent.
"""

from __future__ import annotations

import base64
from typing import Any

from stannary.core.errors import BackendError, InputError, UsageError
from stannary.crypto.interface import Algorithm, Signer, Wrapper
from stannary.crypto.keys import PublicKey
from stannary.crypto.providers.interface import Ask
from stannary.crypto.providers.remote import RemoteSigner, RemoteWrapper, digest_for, missing, not_ours

__all__ = ["open_signer", "open_wrapper"]

_ALGORITHMS: dict[Algorithm, str] = {
    "ecdsa-p256-sha256": "ECDSA_SHA_256",
    "ecdsa-p384-sha384": "ECDSA_SHA_384",
    "ecdsa-p521-sha512": "ECDSA_SHA_512",
}


def open_signer(address: str, ask: Ask) -> Signer:  # noqa: ARG001 - credentials are not asked for
    """Return a KMS key. Raises UsageError, InputError or BackendError."""
    client, key_id, where = _opened(address)
    answer = _call(client, where, "get_public_key", KeyId=key_id)
    public = PublicKey.of_der(answer["PublicKey"], where)
    if answer.get("KeyUsage") != "SIGN_VERIFY" or public.algorithm not in _ALGORITHMS:
        msg = f"is a key for {answer.get('KeyUsage')}, of kind {public.algorithm}"
        raise InputError(msg, where=where, code="KEY009", help="use a key for SIGN_VERIFY, ECC_NIST_P256, P384 or P521")
    arn = answer["KeyId"]  # an alias may point elsewhere by the time something is signed

    def sign(message: bytes) -> bytes:
        digest = digest_for(public.algorithm, message)
        options = {"KeyId": arn, "Message": digest, "MessageType": "DIGEST", "SigningAlgorithm": _ALGORITHMS[public.algorithm]}
        signature: bytes = _call(client, where, "sign", **options)["Signature"]
        return signature

    return RemoteSigner(public, sign, where)


def open_wrapper(address: str, ask: Ask) -> Wrapper:  # noqa: ARG001 - credentials are not asked for
    """Return a symmetric KMS key. Raises UsageError, InputError or BackendError."""
    client, key_id, where = _opened(address)
    found = _call(client, where, "describe_key", KeyId=key_id)["KeyMetadata"]
    if found.get("KeyUsage") != "ENCRYPT_DECRYPT" or found.get("KeySpec", "SYMMETRIC_DEFAULT") != "SYMMETRIC_DEFAULT":
        msg = f"is a key for {found.get('KeyUsage')}, of kind {found.get('KeySpec')}"
        raise InputError(msg, where=where, code="KEY009", help="use a key for ENCRYPT_DECRYPT, SYMMETRIC_DEFAULT")
    arn = str(found["Arn"])

    def wrap(key: bytes, context: bytes) -> bytes:
        wrapped: bytes = _call(client, where, "encrypt", KeyId=arn, Plaintext=key, EncryptionContext=_bound(context))[
            "CiphertextBlob"
        ]
        return wrapped

    def unwrap(wrapped: bytes, context: bytes) -> bytes:
        try:
            key: bytes = _call(client, where, "decrypt", KeyId=arn, CiphertextBlob=wrapped, EncryptionContext=_bound(context))[
                "Plaintext"
            ]
        except BackendError as error:
            if _code(error.__cause__) in {"InvalidCiphertextException", "IncorrectKeyException"}:
                raise not_ours(where) from error
            raise
        return key

    return RemoteWrapper("awskms", arn, wrap, unwrap)


def _bound(context: bytes) -> dict[str, str]:
    return {"stannary": base64.b64encode(context).decode()}


def _opened(address: str) -> tuple[Any, str, str]:
    where = f"awskms:{address}"
    endpoint, slash, key_id = address.removeprefix("//").partition("/")
    if not address.startswith("//") or not slash or not key_id:
        msg = "names no key"
        raise UsageError(msg, where=where, code="KEY015", help="as in awskms:///alias/signing")
    return _client(endpoint, where), key_id, where


def _code(error: BaseException | None) -> str:
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))


def _client(endpoint: str, where: str) -> Any:  # noqa: ANN401 - botocore's, made at run time
    try:
        import botocore.session
        from botocore.exceptions import BotoCoreError
    except ImportError:
        missing("botocore", "kms", where)
    host = endpoint.partition(":")[0]
    url = f"{'http' if host in {'localhost', '127.0.0.1'} else 'https'}://{endpoint}" if endpoint else None
    try:
        return botocore.session.get_session().create_client("kms", endpoint_url=url)
    except (BotoCoreError, ValueError) as error:
        raise BackendError(str(error)[:200], where=where, code="KEY016", help="set AWS_REGION, or a profile") from error


def _call(client: Any, where: str, operation: str, **options: Any) -> Any:  # noqa: ANN401 - botocore's
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return getattr(client, operation)(**options)
    except ClientError as error:
        if _code(error) == "NotFoundException":
            msg = "there is no such key"
            raise UsageError(msg, where=where, code="KEY013", help="`aws kms list-keys` shows them") from error
        msg = f"KMS refuses: {str(error)[:200]}"
        raise BackendError(msg, where=where, code="KEY016", help="check the credentials and the key's policy") from error
    except BotoCoreError as error:
        msg = f"KMS cannot be used: {str(error)[:200]}"
        raise BackendError(msg, where=where, code="KEY016", help="check the credentials and the network") from error

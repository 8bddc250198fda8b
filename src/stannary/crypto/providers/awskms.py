"""Keys in AWS KMS: `awskms:///KEY-ID`, `awskms:///alias/NAME`, `awskms:///arn:...`, `awskms://ENDPOINT/...`.

Credentials and region are those of every AWS tool (environment, profile, instance role). Messages are hashed
here, and only the digest is sent.
"""

from __future__ import annotations

from typing import Any

from stannary.core.errors import BackendError, InputError, UsageError
from stannary.crypto.interface import Algorithm, Signer
from stannary.crypto.keys import PublicKey
from stannary.crypto.providers.interface import Ask
from stannary.crypto.providers.remote import RemoteSigner, digest_for, missing

__all__ = ["open_signer"]

_ALGORITHMS: dict[Algorithm, str] = {
    "ecdsa-p256-sha256": "ECDSA_SHA_256",
    "ecdsa-p384-sha384": "ECDSA_SHA_384",
    "ecdsa-p521-sha512": "ECDSA_SHA_512",
}


def open_signer(address: str, ask: Ask) -> Signer:  # noqa: ARG001 - credentials are not asked for
    """Return a KMS key. Raises UsageError, InputError or BackendError."""
    where = f"awskms:{address}"
    endpoint, slash, key_id = address.removeprefix("//").partition("/")
    if not address.startswith("//") or not slash or not key_id:
        msg = "names no key"
        raise UsageError(msg, where=where, code="KEY015", help="as in awskms:///alias/signing")
    client = _client(endpoint, where)
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
        if error.response.get("Error", {}).get("Code") == "NotFoundException":
            msg = "there is no such key"
            raise UsageError(msg, where=where, code="KEY013", help="`aws kms list-keys` shows them") from error
        msg = f"KMS refuses: {str(error)[:200]}"
        raise BackendError(msg, where=where, code="KEY016", help="check the credentials and the key's policy") from error
    except BotoCoreError as error:
        msg = f"KMS cannot be used: {str(error)[:200]}"
        raise BackendError(msg, where=where, code="KEY016", help="check the credentials and the network") from error

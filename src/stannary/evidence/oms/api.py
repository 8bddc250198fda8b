"""Signing and verifying for Python programs: `stannary.sign` and `stannary.verify`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec

from stannary.core.errors import UsageError
from stannary.crypto.interface import Signer
from stannary.crypto.keys import PublicKey, read_public
from stannary.crypto.providers.opening import open_signer
from stannary.evidence.oms.bundle import Bundle
from stannary.evidence.oms.interface import Material, Trust
from stannary.evidence.oms.key import KeyMaterial, KeyTrust
from stannary.evidence.oms.sign import Signed, SignOptions, sign_model, write_signature
from stannary.evidence.oms.verify import Verification, VerifyOptions, verify_model

if TYPE_CHECKING:
    from stannary.evidence.oms.ranged import SignedModel

__all__ = ["default_signature", "material_of", "open_signed", "sign", "trust_of", "verify"]

PathLike = str | os.PathLike[str]


def sign(
    path: PathLike,
    *,
    key: PathLike | Signer | Material,
    output: PathLike | None = None,
    certificate: PathLike | None = None,
    certificate_chain: Sequence[PathLike] = (),
    passphrase: bytes | None = None,
    options: SignOptions | None = None,
) -> Signed:
    """Sign a model and write its signature, an OpenSSF Model Signing bundle.

    Args:
        path: a folder or a file.
        key: a key file, another address of a key (`env:NAME`, `pkcs11:...`), a Signer, or what `signing_identity` returns.
        output: the signature file; beside the model as `NAME.sig` when it is None.
        certificate: the X.509 certificate (PEM) of the key; without one the signature is the bare key's.
        certificate_chain: PEM files of the authorities between it and the root.
        passphrase: what opens the key; STANNARY_PASSPHRASE when it is None.
        options: what to leave out, shards, a digest cache.

    Raises:
        UsageError: the key, the passphrase, or a path is not there or not right.
        ExceptionGroup: of InputError, what is wrong with the model.
        BackendError: the place that keeps the key failed.
    """
    target = os.fspath(path)
    signature = os.fspath(output) if output is not None else default_signature(target)
    material = material_of(key, certificate, certificate_chain, passphrase)
    options = msgspec.structs.replace(options or SignOptions(), signature=signature)
    signed = sign_model(target, material, options)
    write_signature(signature, signed.bundle)
    return signed


def verify(
    path: PathLike,
    *,
    signature: PathLike | Bundle,
    key: PathLike | PublicKey | None = None,
    certificate_chain: Sequence[PathLike] = (),
    trust: Trust | None = None,
    options: VerifyOptions | None = None,
) -> Verification:
    """Return when a model is what somebody trusted signed; every byte that is signed is read.

    Args:
        path: a folder or a file.
        signature: the signature file.
        key: the public key (PEM) that is trusted.
        certificate_chain: PEM files of the authorities that are trusted.
        trust: anything else that is.
        options: patterns for a partial verification, what may be unsigned.

    Raises:
        IntegrityError: the signature does not hold, or is of somebody else.
        ExceptionGroup: of IntegrityError, one for each file that is not as it was signed.
        UsageError: nothing, or too much, is trusted; a path is not there.
    """
    found = trust_of(key, certificate_chain, trust)
    return verify_model(os.fspath(path), signature if isinstance(signature, Bundle) else os.fspath(signature), found, options)


def open_signed(
    path: PathLike,
    *,
    signature: PathLike | Bundle,
    key: PathLike | PublicKey | None = None,
    certificate_chain: Sequence[PathLike] = (),
    trust: Trust | None = None,
) -> SignedModel:
    """Open a signed model, of which files are verified as they are read.

        with stannary.open_signed("bert", signature="bert.sig", key="signing.pub").tensors("model.safetensors") as tensors:
            weights = tensors["encoder.weight"]     # only the shards that hold it are read

    Args and errors are those of `verify`.
    """
    from stannary.evidence.oms.ranged import SignedModel

    found = trust_of(key, certificate_chain, trust)
    return SignedModel(os.fspath(path), signature if isinstance(signature, Bundle) else os.fspath(signature), found)


def default_signature(target: str) -> str:
    """Return where the signature of a model is when nothing is said: beside it, as `NAME.sig`."""
    return os.path.abspath(target) + ".sig"


def material_of(
    key: PathLike | Signer | Material,
    certificate: PathLike | None = None,
    certificate_chain: Sequence[PathLike] = (),
    passphrase: bytes | None = None,
) -> Material:
    """Return what signs. Raises UsageError, InputError or BackendError."""
    if hasattr(key, "bundle"):  # what signs already; a protocol with properties cannot be asked by isinstance
        return cast("Material", key)
    signer = open_signer(os.fspath(key), passphrase) if isinstance(key, str | os.PathLike) else key
    if certificate is None:
        if certificate_chain:
            msg = "a chain without the certificate of the key"
            raise UsageError(msg, where="--certificate-chain", code="SIG025", help="name it with --certificate FILE")
        return KeyMaterial(signer)
    from stannary.evidence.oms.certificate import CertificateMaterial, read_certificates

    leaf = read_certificates([certificate])
    return CertificateMaterial(signer, leaf[0], [*leaf[1:], *read_certificates(certificate_chain)])


def trust_of(
    key: PathLike | PublicKey | None = None,
    certificate_chain: Sequence[PathLike] = (),
    trust: Trust | None = None,
    at: datetime | None = None,
) -> Trust:
    """Return the one thing that is trusted. Raises UsageError when it is none or several.

    `at` is when the signature was made, for certificates that are no longer valid; only what is known from
    elsewhere (a ledger, a time stamp) may be said there.
    """
    if sum((key is not None, bool(certificate_chain), trust is not None)) != 1:
        msg = "name one thing that is trusted: a key, or a certificate chain"
        raise UsageError(msg, code="SIG018", help="--key PUBLIC.pem, or --certificate-chain CA.pem")
    if trust is not None:
        return trust
    if key is not None:
        return KeyTrust(key if isinstance(key, PublicKey) else read_public(Path(key)))
    from stannary.evidence.oms.certificate import CertificateTrust, read_certificates

    return CertificateTrust(read_certificates(certificate_chain), at)

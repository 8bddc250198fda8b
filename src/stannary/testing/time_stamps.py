"""A time stamp authority (RFC 3161) on this machine: OpenSSL, with a certificate that is for nothing else."""

from __future__ import annotations

import base64
import shutil
import subprocess
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from stannary.crypto.certificates import der_of
from stannary.testing.certificates import issue

__all__ = ["TimeStampAuthority"]

_SETTINGS = """[tsa]
default_tsa = this
[this]
serial = {folder}/serial
signer_cert = {folder}/leaf.pem
signer_key = {folder}/leaf.key
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


class TimeStampAuthority:
    """It says what the clock of this machine says. Raises FileNotFoundError where there is no openssl."""

    def __init__(self, folder: Path) -> None:
        found = shutil.which("openssl")
        if found is None:
            msg = "openssl is not there: it is the time stamp authority of tests"
            raise FileNotFoundError(msg)
        self._openssl = found
        self.folder = folder
        root = issue("tsa root", ca=True)
        leaf = issue("tsa", root, extended=[ExtendedKeyUsageOID.TIME_STAMPING], strict=True)
        leaf.key.write(folder / "leaf.key", None)
        (folder / "leaf.pem").write_bytes(leaf.pem)
        (folder / "serial").write_text("01\n", encoding="utf-8")
        (folder / "settings").write_text(_SETTINGS.format(folder=folder), encoding="utf-8")
        self.chain: tuple[x509.Certificate, ...] = (leaf.certificate, root.certificate)

    def stamp(self, content: bytes) -> bytes:
        """Return a time stamp on some content."""
        data, query, reply = (self.folder / name for name in ("data", "query", "reply"))
        data.write_bytes(content)
        self._run("-query", "-data", data, "-sha256", "-cert", "-out", query)
        self._run("-reply", "-queryfile", query, "-config", self.folder / "settings", "-section", "this", "-out", reply)
        return reply.read_bytes()

    @property
    def trusted(self) -> dict[str, Any]:
        """Return it as a trusted root has it."""
        rows = [{"rawBytes": base64.b64encode(der_of(item)).decode()} for item in self.chain]
        return {
            "subject": {"organization": "test", "commonName": "tsa"},
            "certChain": {"certificates": rows},
            "validFor": {"start": "2020-01-01T00:00:00Z"},
        }

    def _run(self, *arguments: object) -> None:
        subprocess.run([self._openssl, "ts", *map(str, arguments)], check=True, capture_output=True)  # noqa: S603 - files of a test

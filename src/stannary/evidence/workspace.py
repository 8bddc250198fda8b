"""A workspace: `.stannary/`, where keys, trust and the ledger of a project live.

    .stannary/
        workspace.json      the schema, the origin (name) of the log, where the keys, the ledger and the contents are
        trust.json          whose signatures count
        ledger.db           the ledger, unless it is in a PostgreSQL database; beside it the memory of its head
        keys/               signing.pem (P-256), ledger.pem (Ed25519): PKCS #8, the owner's alone; *.pub

It is found upward from the working directory, as git finds a repository. Private keys may be elsewhere
(`workspace_keys.py`); their public halves are in keys/ all the same.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from stannary.core.clock import Clock, system_clock
from stannary.core.errors import IntegrityError, UsageError
from stannary.crypto.interface import Algorithm, Signer, Wrapper
from stannary.crypto.keys import PrivateKey, PublicKey, generate, read_private, read_public
from stannary.crypto.providers.unlocking import unlocked
from stannary.evidence.trust import TrustFile, read_trust, write_trust

if TYPE_CHECKING:
    from stannary.evidence.ledger import Ledger
    from stannary.evidence.ledger.log_keys import LogKeys
    from stannary.evidence.workspace_keys import Elsewhere

__all__ = ["FOLDER", "Settings", "Workspace"]

FOLDER = ".stannary"
_SCHEMA = "stannary.workspace/1"
_Ask = Callable[[], bytes | None]
_Key = TypeVar("_Key")
_OF_THE_LOG = ("log_signer", "log_key", "log_keys")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `workspace.json`. Keys are paths from the workspace, or addresses as `open_signer` takes them.

    `database` is where the ledger is: nothing for a file in the workspace, the URL of a PostgreSQL database, or `env:NAME`
    for a variable that has the URL. `ledger_public` is the public half of `ledger_key`; `handovers` is the file of the
    keys of a log that was handed over to another. `contents`, `wrapping_keys` and `namespace_keys`: see `evidence/contents.py`.
    `unlock` names the passphrase that was made up for the keys: see `evidence/unlock.py`.
    """

    schema: str = _SCHEMA
    origin: str
    signing_key: str = "keys/signing.pem"
    ledger_key: str = "keys/ledger.pem"
    ledger_public: str = "keys/ledger.pub"
    handovers: str = ""
    database: str = ""
    contents: str = ""
    wrapping_keys: tuple[str, ...] = ()
    namespace_keys: str = ""
    unlock: str = ""


class Workspace:
    """The state of one project. `passphrase` is asked for a key only when that is opened; `offline` refuses keys in services."""

    def __init__(self, root: Path, *, passphrase: Callable[[], bytes | None] | None = None, clock: Clock = system_clock) -> None:
        self.root = root
        self.clock = clock
        self.offline = False
        self._trust: tuple[object, TrustFile] | None = None
        self._trust_path = str(root / "trust.json")
        self._passphrase = cache(passphrase or _from_environment)  # a server is not asked again when a key is replaced
        try:
            self.settings = msgspec.json.decode((root / "workspace.json").read_bytes(), type=Settings)
        except FileNotFoundError:
            msg = "is no workspace: there is no workspace.json in it"
            raise UsageError(msg, where=str(root), code="WSP001", help="`stannary init` makes one") from None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            msg = f"cannot be read: {error}"
            raise UsageError(
                msg, where=str(root / "workspace.json"), code="WSP002", help="restore it from a backup; the ledger is not touched"
            ) from error
        if self.settings.schema != _SCHEMA:
            msg = f"is of a version that is not known here: {self.settings.schema[:60]!r}"
            raise UsageError(msg, where=str(root / "workspace.json"), code="WSP002", help="use a newer stannary")

    @classmethod
    def create(
        cls,
        folder: Path,
        *,
        passphrase: bytes | None,
        elsewhere: Elsewhere | None = None,
        unlock: str = "",
        origin: str = "",
        database: str = "",
        clock: Clock = system_clock,
    ) -> Workspace:
        """Make `folder/.stannary`, with new keys but for those that are elsewhere, unprotected without a passphrase.

        `unlock` names the passphrase when `evidence.unlock` made it up and keeps it. Raises UsageError when there is a workspace,
        or the `database` would put a password into it, BackendError when that cannot be opened.
        """
        root = folder / FOLDER
        if (root / "workspace.json").exists():
            msg = "is a workspace already"
            raise UsageError(
                msg, where=str(root), code="WSP003", help="nothing needs to be done; `stannary ledger head` shows its state"
            )
        signing, ledger = elsewhere or (None, None)
        if ledger is not None:
            _ = ledger.public.raw  # a head is signed with Ed25519, or it is an error now
        if database:
            from stannary.evidence.database import reach

            reach(database)
        keys = root / "keys"
        keys.mkdir(parents=True, exist_ok=True)
        keys.chmod(0o700)
        public = signing.public if signing else _new_key(keys / "signing.pem", "ecdsa-p256-sha256", passphrase)
        log = ledger.public if ledger else _new_key(keys / "ledger.pem", "ed25519", passphrase)
        for name, half in (("signing", public), ("ledger", log)):
            (keys / f"{name}.pub").write_bytes(half.pem())
        write_trust(root / "trust.json", TrustFile().with_key("workspace", public))
        (root / ".gitignore").write_text("*\n", encoding="utf-8")
        settings = Settings(
            origin=origin or f"stannary.local/{folder.resolve().name or 'root'}-{secrets.token_hex(4)}",
            signing_key=signing.address if signing else "keys/signing.pem",
            ledger_key=ledger.address if ledger else "keys/ledger.pem",
            database=database,
            unlock=unlock,
        )
        # Last: a folder without it is no workspace, so an interrupted `init` leaves nothing that looks like one.
        _write(root, settings)
        made = cls(root, passphrase=lambda: passphrase, clock=clock)
        opened = {"signer": signing and signing.signer, "log_signer": ledger and ledger.signer}
        vars(made).update({name: signer for name, signer in opened.items() if signer})  # as if they had been read
        return made

    @classmethod
    def find(cls, named: str | None = None, *, passphrase: Callable[[], bytes | None] | None = None) -> Workspace:
        """Open the workspace that is named (`DIR` or `DIR/.stannary`), or the nearest one upward. Raises UsageError."""
        if named:
            path = Path(named)
            return cls(path / FOLDER if (path / FOLDER).is_dir() else path, passphrase=passphrase)
        here = Path.cwd()
        for folder in (here, *here.parents):
            if (folder / FOLDER / "workspace.json").is_file():
                return cls(folder / FOLDER, passphrase=passphrase)
        msg = "there is no workspace here or in any folder above"
        raise UsageError(msg, where=str(here), code="WSP001", help="`stannary init` makes one; --workspace DIR names another")

    @cached_property
    def signer(self) -> Signer:
        """Return the key that signs evidence. Raises UsageError, InputError or BackendError."""
        return self._open(self.settings.signing_key)

    @cached_property
    def log_signer(self) -> Signer:
        """Return the key that signs checkpoints. Raises UsageError, InputError or BackendError."""
        return self._open(self.settings.ledger_key)

    @cached_property
    def log_key(self) -> PublicKey:
        """Return the public half of the key that signs checkpoints."""
        return read_public(self.root / self.settings.ledger_public)

    @cached_property
    def log_keys(self) -> LogKeys:
        """Return the keys of the log, verified: that one, and those before it. Raises UsageError, InputError or IntegrityError."""
        from stannary.evidence.ledger.log_keys import LogKeys, read_handovers

        trusted = LogKeys.of(self.settings.origin, self.log_key)
        if not self.settings.handovers:
            return trusted
        found = LogKeys.following(trusted.current, read_handovers(self.root / self.settings.handovers))
        if found.current != trusted.current:
            msg = f"the key of the log is {trusted.current.id.hex()}, and it was handed over to {found.current.id.hex()}"
            raise IntegrityError(msg, where=str(self.root), code="LED027", help="restore workspace.json and keys/ from a backup")
        return found

    def hand_over(self, keys: LogKeys, names: tuple[str, str, str]) -> None:
        """Use the last of these keys from now on; `names` are the settings ledger_key, ledger_public and handovers."""
        text = msgspec.json.format(msgspec.json.encode(keys.document()), indent=2)
        (self.root / names[2]).write_bytes(text + b"\n")
        settings = msgspec.structs.replace(self.settings, ledger_key=names[0], ledger_public=names[1], handovers=names[2])
        _write(self.root, settings)
        self.settings = settings
        for name in _OF_THE_LOG:
            vars(self).pop(name, None)

    def ledger(self, *, write: bool = False) -> Ledger:
        """Open the ledger; for writing it is made when there is none. Raises what `Ledger.open` does."""
        from stannary.evidence.ledger import Ledger

        def opened() -> Ledger:
            signer = self.log_signer if write else None
            origin, keys = self.settings.origin, self.log_keys
            return Ledger.open(self.ledger_address, signer, origin=origin, verifier=keys, clock=self.clock, head=self.head_path)

        try:
            made = opened()
        except IntegrityError:
            if not self._follow_log():
                raise
            made = opened()
        made.follow_keys(self._log_keys_now)
        return made

    def _log_keys_now(self) -> tuple[LogKeys, Callable[[], Signer]]:
        self._follow_log()
        return self.log_keys, lambda: self.log_signer

    def _follow_log(self) -> bool:
        """Take up what workspace.json says of the log's keys, when it was handed over since. Raises InputError or IntegrityError.

        The key that was trusted until now has to have handed it over: a file that names another one is not enough.
        """
        known = self.log_keys
        said = Workspace(self.root).settings
        if (said.ledger_public, said.handovers) == (self.settings.ledger_public, self.settings.handovers):
            return False
        changed = msgspec.structs.replace(
            self.settings, ledger_key=said.ledger_key, ledger_public=said.ledger_public, handovers=said.handovers
        )
        before, self.settings = self.settings, changed
        kept = {name: vars(self).pop(name) for name in _OF_THE_LOG if name in vars(self)}
        try:
            self._require_following(known)
        except BaseException:
            self.settings = before
            for name in _OF_THE_LOG:
                vars(self).pop(name, None)
            vars(self).update(kept)
            raise
        return True

    def _require_following(self, known: LogKeys) -> None:
        if self.log_keys.all[: len(known.all)] != known.all:
            msg = f"workspace.json names another key of the log, and key {known.current.id.hex()} has not handed it over to that"
            raise IntegrityError(msg, where=str(self.root), code="LED027", help="restore workspace.json and keys/ from a backup")

    @property
    def has_ledger(self) -> bool:
        """Tell whether there is one, or was, or is to be in a database: then it has to be opened."""
        return bool(self.settings.database) or self.ledger_path.exists() or self.head_path.exists()

    @property
    def ledger_path(self) -> Path:
        """Return the file of a ledger that is in the workspace."""
        return self.root / "ledger.db"

    @property
    def head_path(self) -> Path:
        """Return the file that remembers the head of the ledger, wherever that is."""
        return self.root / "ledger.db.head"

    @property
    def ledger_address(self) -> str | Path:
        """Return where the ledger is: a file, or the URL of a database. Raises UsageError when the variable with it is not set."""
        if not self.settings.database:
            return self.ledger_path
        from stannary.evidence.database import url_of

        return url_of(self.settings.database)

    def relocate(self, database: str) -> None:
        """Write down that the ledger is elsewhere now: `evidence.ledger.copy` has put it there."""
        settings = msgspec.structs.replace(self.settings, database=database)
        _write(self.root, settings)
        self.settings = settings

    def keep_contents(self, contents: str, wrapping_keys: tuple[str, ...], namespace_keys: str) -> None:
        """Write down where contents are, which keys open them, and where those of namespaces are: `evidence.contents` saw to it."""
        places = {"contents": contents, "wrapping_keys": wrapping_keys, "namespace_keys": namespace_keys}
        # What another process has changed since this one read them stays.
        settings = msgspec.structs.replace(Workspace(self.root).settings, **places)
        _write(self.root, settings)
        self.settings = settings

    def wrapper(self, address: str) -> Wrapper:
        """Return a wrapping key. Raises UsageError, InputError or BackendError."""
        from stannary.evidence.workspace_keys import open_named_wrapper

        return self._opened(lambda ask: open_named_wrapper(address, self.root, ask, offline=self.offline))

    @property
    def trust_path(self) -> Path:
        """Return where it is written whose signatures count."""
        return self.root / "trust.json"

    @property
    def trust(self) -> TrustFile:
        """Return whose signatures count, as the file says now: a server runs for months."""
        try:
            status = os.stat(self._trust_path)  # noqa: PTH116 - asked for with each piece of evidence: a Path costs more than the call
            stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
        except OSError:
            stamp = None
        if self._trust is None or stamp != self._trust[0]:
            self._trust = (stamp, read_trust(self.trust_path))
        return self._trust[1]

    def _open(self, address: str) -> Signer:
        from stannary.evidence.workspace_keys import open_named

        self._refuse_replica()
        return self._opened(lambda ask: open_named(address, self.root, ask, offline=self.offline))

    def _refuse_replica(self) -> None:
        """Raise UsageError where neither private key is and the log's public one is: nobody lost those, it is a read replica."""
        from stannary.crypto.providers.opening import is_address

        private = (self.settings.signing_key, self.settings.ledger_key)
        if any(is_address(key) or (self.root / key).exists() for key in private):
            return
        if not (self.root / self.settings.ledger_public).exists():
            return
        msg = "has no private key: it is a read replica, and nothing is changed in one"
        help_ = "do it where the original is, then `stannary registry follow`; if it is no replica, put its keys back"
        raise UsageError(msg, where=str(self.root), code="WSP011", help=help_)

    @cached_property
    def made_up(self) -> bytes | None:
        """Return the passphrase that was made up for the keys, None when there is none or it is not kept here."""
        if not self.settings.unlock:
            return None
        from stannary.evidence.unlock import kept_passphrase

        return kept_passphrase(self.settings.unlock)

    def _opened(self, opening: Callable[[_Ask], _Key]) -> _Key:
        """Open a key with the passphrase that was made up, and with what is asked for where that is not the one."""
        if self.made_up is not None:
            try:
                return opening(lambda: self.made_up)
            except UsageError as error:
                if error.code != "KEY004":
                    raise
        try:
            return opening(self._passphrase)
        except UsageError as error:
            if error.code == "KEY003" and self.settings.unlock:
                from stannary.evidence.unlock import place_of

                place = place_of(self.settings.unlock)
                error.help = f"set STANNARY_PASSPHRASE; or bring {place}, which the user who made the workspace has"
            raise

    def read_key(self, path: Path) -> PrivateKey:
        """Read one of the workspace's key files; the passphrase is asked for when it needs one. Raises UsageError or InputError."""

        def opening(ask: _Ask) -> PrivateKey:
            return unlocked(lambda passphrase: read_private(path, passphrase), lambda _: ask(), str(path))

        return self._opened(opening)


def _new_key(path: Path, algorithm: Algorithm, passphrase: bytes | None) -> PublicKey:
    key = generate(algorithm)
    key.write(path, passphrase)
    return key.public


def _write(root: Path, settings: Settings) -> None:
    scratch = root / "workspace.json.new"
    scratch.write_bytes(msgspec.json.format(msgspec.json.encode(settings), indent=2) + b"\n")
    scratch.replace(root / "workspace.json")


def _from_environment() -> bytes | None:
    text = os.environ.get("STANNARY_PASSPHRASE")
    return text.encode() if text else None

"""Witnessing over HTTP: what a witness answers to `add-checkpoint`, and how a log asks.

https://c2sp.org/tlog-witness: the body is a Request, a good answer the cosignature lines. Nothing depends on who carries it: what
comes in is signed by the log and proven, what goes out is signed by the witness, and both sides verify.
"""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from stannary.core.errors import BackendError, IntegrityError, StannaryError, UsageError
from stannary.crypto.note import Checkpoint, Note, VerifierKey, parse_note, signature_lines, verify_note
from stannary.evidence.ledger.ledger import Ledger
from stannary.evidence.ledger.log_keys import LogKeys
from stannary.evidence.ledger.witness import Request, Stale, Witness, request_for

__all__ = ["LARGEST_REQUEST", "Answer", "Cosigned", "add_checkpoint", "ask", "ask_all"]

LARGEST_REQUEST = 1 << 16
_LARGEST_ANSWER = 1 << 16
_SECONDS = 30
_TRIES = 3
_HERE = frozenset({"127.0.0.1", "::1", "localhost"})
_TEXT, _SIZE = "text/plain; charset=utf-8", "text/x.tlog.size"
_OK, _MALFORMED, _UNTRUSTED, _UNKNOWN, _STALE, _UNPROVEN, _BROKEN = 200, 400, 403, 404, 409, 422, 500


class Answer(NamedTuple):
    """What goes back over HTTP."""

    status: int
    body: str
    type: str = _TEXT


def add_checkpoint(witness: Witness, logs: Mapping[str, LogKeys], content: bytes) -> Answer:
    """Answer a request. `logs` are those that are cosigned, by name.

    1. 400: the body is no request, or starts from more entries than the checkpoint has;
    2. 404: the log is not known here;
    3. 403: none of the log's keys has signed it, or the one that did is not the one whose turn it is;
    4. 409: it starts from another size than the last one that was cosigned, which is the answer;
    5. 422: the proof does not hold, or the same size has another root;
    6. 200: it is remembered, and cosigned.
    """
    try:  # 1.
        asked = Request.parse(content.decode())
        checkpoint = Checkpoint.parse(parse_note(asked.checkpoint).text)
    except (StannaryError, UnicodeDecodeError):
        return Answer(_MALFORMED, "the body is not `old SIZE`, hashes, an empty line and a checkpoint\n")
    if asked.old > checkpoint.size:
        return Answer(_MALFORMED, "it starts from more entries than the checkpoint has\n")
    keys = logs.get(checkpoint.origin)
    if keys is None:  # 2.
        return Answer(_UNKNOWN, "this log is not cosigned here\n")
    try:  # 3.
        keys.open_head(asked.checkpoint)
        seen = witness.seen(keys).size
    except IntegrityError as error:
        return Answer(_UNTRUSTED, f"{error.message}\n")
    return Answer(_STALE, f"{seen}\n", _SIZE) if asked.old != seen else _signed(witness, keys, asked)  # 4.


def _signed(witness: Witness, keys: LogKeys, asked: Request) -> Answer:
    try:
        return Answer(_OK, witness.sign(asked, keys))  # 6.
    except Stale as error:  # another request came between
        return Answer(_STALE, f"{error.seen}\n", _SIZE)
    except IntegrityError as error:
        if error.code == "LED003":  # the same
            return Answer(_STALE, f"{witness.seen(keys).size}\n", _SIZE)
        return Answer(_UNPROVEN if error.code == "LED002" else _BROKEN, f"{error.message}\n")  # 5.


class Cosigned(NamedTuple):
    """A head, its note with cosignatures, and whose they are."""

    head: Checkpoint
    note: str
    by: tuple[VerifierKey, ...]


def ask(url: str, ledger: Ledger, witnesses: Sequence[VerifierKey], old: int = 0) -> Cosigned:
    """Have a witness cosign the head of a log.

    `old` is the size that it cosigned last, as far as is known; what it says itself is taken when it was another.
    Raises BackendError when it cannot be asked or refuses, IntegrityError when it has seen more than there is, or when what
    it answers is not the signature of one of the witnesses, UsageError for an address that may not be asked.
    """
    for _ in range(_TRIES):
        if old > (size := ledger.head().size):
            msg = f"the witness has cosigned a head of {old} entries, and the log has {size}"
            raise IntegrityError(msg, where=url, code="LED003", help="the log was rolled back, or forked: keep both heads")
        request = request_for(ledger, old)
        answer = _send(url, str(request))
        if answer.status == _OK:
            return _cosigned(url, request, answer.body, witnesses)
        if answer.status != _STALE or answer.type != _SIZE:
            said = " ".join(answer.body.split())[:200] or "nothing"
            msg = f"the witness refuses ({answer.status}): {said}"
            raise BackendError(msg, where=url, code="LED029", help="the how-to on witnesses says what each refusal means")
        old = _size(url, answer.body)
    msg = "the witness sees another size each time: somebody else asks it for this log"
    raise BackendError(msg, where=url, code="LED029", help="try again")


def ask_all(
    urls: Sequence[str], ledger: Ledger, witnesses: Sequence[VerifierKey]
) -> tuple[dict[VerifierKey, Checkpoint], list[StannaryError]]:
    """Ask witnesses, one after the other, and keep what they sign. Returns who signed which head, and what went wrong."""
    found: dict[VerifierKey, Checkpoint] = {}
    problems: list[StannaryError] = []
    for url in urls:
        try:
            head, note, who = ask(url, ledger, witnesses, _known(ledger, witnesses))
            ledger.add_cosignature(note, who)
            found |= dict.fromkeys(who, head)
        except StannaryError as error:
            problems.append(error)
    return found, problems


def _known(ledger: Ledger, witnesses: Sequence[VerifierKey]) -> int:
    """Return a size that one of the witnesses has cosigned: a guess at what the next one saw last."""
    for note in reversed(ledger.kept()):
        parsed = parse_note(note)
        if verify_note(parsed, witnesses):
            return Checkpoint.parse(parsed.text).size
    return 0


def _cosigned(url: str, request: Request, body: str, witnesses: Sequence[VerifierKey]) -> Cosigned:
    note = parse_note(request.checkpoint)
    try:
        who = verify_note(Note(note.text, signature_lines(body)), witnesses)
    except IntegrityError as error:
        error.where = url
        raise
    if not who:
        msg = "what it answers is not signed by any of the witnesses that were named"
        raise IntegrityError(msg, where=url, code="LED014", help="compare its verifier key with who runs it")
    known = {(key.name, key.id) for key in who}
    lines = [line for line in signature_lines(body) if (line.name, line.id) in known]
    return Cosigned(Checkpoint.parse(note.text), request.checkpoint + "".join(map(str, lines)), who)


def _size(url: str, body: str) -> int:
    number = body.removesuffix("\n")
    if not (number.isascii() and number.isdigit()) or str(int(number[:20])) != number:
        msg = "the witness answers 409 without a size"
        raise BackendError(msg, where=url, code="LED029", help="is it one? its address ends before /add-checkpoint")
    return int(number)


class _Stays(urllib.request.HTTPRedirectHandler):
    """Follows no redirection: where a witness is, is configured."""

    def redirect_request(self, *_: Any) -> None:  # noqa: ANN401 - urllib's
        """Go nowhere."""


def _send(url: str, body: str) -> Answer:
    """Send the body to the witness at `url`, over TLS unless it is on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        parts, host = urlsplit(""), None
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and host in _HERE)) or parts.query or parts.fragment:
        msg = "is no https:// address of a witness"
        raise UsageError(msg, where=url[:200], code="LED029", help="plain http:// is for one on this machine alone")
    context = ssl.create_default_context()
    opener = urllib.request.build_opener(_Stays(), urllib.request.HTTPSHandler(context=context))
    request = urllib.request.Request(  # noqa: S310 - no other scheme gets here
        f"{url.rstrip('/')}/add-checkpoint", body.encode(), {"Content-Type": _TEXT}, method="POST"
    )
    try:
        with opener.open(request, timeout=_SECONDS) as response:
            return _answer(int(response.status), response)
    except urllib.error.HTTPError as error:
        with error:
            return _answer(error.code, error)
    except (urllib.error.URLError, OSError, ValueError) as error:
        msg = f"the witness cannot be asked: {error}"
        raise BackendError(msg, where=url, code="LED029", help="try again; the other witnesses are asked all the same") from error


def _answer(status: int, response: Any) -> Answer:  # noqa: ANN401 - a response, or an error that is one
    content: bytes = response.read(_LARGEST_ANSWER + 1)
    if len(content) > _LARGEST_ANSWER:
        return Answer(_BROKEN, "an answer that is too long")
    return Answer(status, content.decode("utf-8", "replace"), str(response.headers.get("Content-Type", "")))

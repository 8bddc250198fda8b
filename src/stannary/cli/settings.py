"""Every setting there is: its name, type, default, and what it does."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from stannary.core.model import Severity
from stannary.formats.interface import Limits

__all__ = ["KEYS", "MOST_SECONDS", "Key"]


class Key(NamedTuple):
    """A setting under its dotted name."""

    name: str
    type: Any
    default: Any
    help: str

    @property
    def variable(self) -> str:
        """Return the environment variable that sets it."""
        return "STANNARY_" + self.name.replace(".", "_").replace("-", "_").upper()

    def of_text(self, text: str) -> Any:  # noqa: ANN401 - a setting of any type
        """Return the value that a text means, lists written with commas. Raises msgspec.ValidationError."""
        parts = [part.strip() for part in text.split(",") if part.strip()]
        return msgspec.convert(parts if self.type == tuple[str, ...] else text, self.type, strict=False)


_LIMITS_HELP = {
    "depth": "Containers within containers.",
    "members": "Entries of all containers of a file together.",
    "inflated": "Bytes produced by decompression, for one file.",
    "text": "Bytes of the largest text (JSON, XML, source) that is parsed.",
    "facts": "Facts kept of one file.",
    "operations": "Pickle opcodes and the like, for one file.",
    "seconds": "Time for one file.",
    "processor": "CPU seconds for one file of up to 64 MiB; in proportion more for a larger one.",
    "memory": "Bytes of memory to read one file of up to 64 MiB; in proportion more for a larger one.",
}
MOST_SECONDS = 1_000_000  # more than eleven days; poll(2) counts milliseconds in 31 bits
_BOUNDS = {name: msgspec.Meta(gt=0, le=MOST_SECONDS) for name in ("seconds", "processor")}
_JOBS = Annotated[int, msgspec.Meta(ge=0, le=1024)]
_JAIL = Literal["auto", "process", "landlock", "bwrap"]

_ALL = (
    Key("color", Literal["auto", "always", "never"], "auto", "Colour on terminals."),
    Key("offline", bool, default=False, help="Open no socket."),
    Key("scan.fail-on", Severity | Literal["never"], "medium", "The severity from which on a scan exits 1."),
    Key("scan.format", str, "table", "What stdout gets."),
    Key("scan.show", Literal["findings", "clean", "all"], "findings", "How much the table shows."),
    Key("scan.baseline", str, "", "A file of findings that are known and accepted."),
    Key("scan.advisories", str, "", "A dump of OSV records to match pinned dependencies with."),
    Key("scan.jobs", _JOBS, 0, "Processes; 0 takes one for each processor."),
    Key("scan.jail", _JAIL, "auto", "Isolation of the readers; auto takes the best there is."),
    Key("scan.digest", bool, default=True, help="Hash every byte."),
    Key("scan.cache", bool | str, default=False, help="Keep facts by content: a folder, or true for the user's cache folder."),
    Key("scan.plugins", tuple[str, ...], (), "Formats and checks of other packages to use, by the names of their entry points."),
    *(
        Key(
            f"scan.limits.{field.name}",
            Annotated[field.type, _BOUNDS.get(field.name, msgspec.Meta(gt=0))],
            field.default,
            _LIMITS_HELP.get(field.name, ""),
        )
        for field in msgspec.structs.fields(Limits)
    ),
)
KEYS: dict[str, Key] = {key.name: key for key in _ALL}

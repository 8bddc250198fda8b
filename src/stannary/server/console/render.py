"""Templates: everything is escaped, and what cannot be seen is written out."""

from __future__ import annotations

import json
import re
import threading
from functools import cache
from importlib import resources
from typing import Any

import jinja2
import msgspec
from markupsafe import Markup, escape

from stannary.report.escape import visible
from stannary.report.wording import human_size

__all__ = ["manifest", "read_templates", "render", "static"]

_ROOM = "stannary.server.console"
_PAUSE = 0.001  # seconds: whoever waits to run gets to it
_MINUTES = 2  # from then on one counts in minutes, and from as many hours on in hours
# The right that a page needs (see `_Frame`; or none), where it is, its name.
NAVIGATION = (
    ("", "/search", "Search"),
    ("some_approve", "/approvals", "Approvals"),
    ("", "/jobs", "Jobs"),
    ("audit", "/ledger", "Ledger"),
    ("", "/policies", "Policies"),
    ("", "/namespaces", "Namespaces"),
    ("administer", "/people", "People"),
    ("", "/account", "Account"),
)


@cache
def manifest() -> dict[str, dict[str, str]]:
    """Return the static files that are served, with their media types, digests and where they are from."""
    found: dict[str, dict[str, str]] = json.loads(static("manifest.json"))
    return found


@cache
def static(name: str) -> bytes:
    """Return a static file; the name is one of the manifest."""
    return resources.files(_ROOM).joinpath("static", name).read_bytes()


def render(template: str, **more: Any) -> str:  # noqa: ANN401 - what templates take
    """Return a page. `data` has to be plain values: what the JSON twin has."""
    return _environment().get_template(template).render(**more)


def read_templates(stop: threading.Event) -> None:
    """Make every page ready, which the first one of a kind would wait for; `stop` gives up in between."""
    made = _environment()
    for name in made.list_templates():
        made.get_template(name)
        if stop.wait(_PAUSE):
            return


@cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader(_ROOM), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, finalize=_seen, auto_reload=False,
    )  # fmt: skip
    made.filters |= {
        "size": human_size,
        "when": _when,
        "short": _short,
        "place": _place,
        "pretty": _pretty,
        "json": _json,
        "grant_place": _grant_place,
        "seconds": _seconds,
        "said": _said,
        "place_name": _place_name,
        "count": _count,
        "scope": _scope,
        "aimed": _aimed,
    }
    made.tests["match_group"] = _is_group
    made.globals |= {"asset": _asset, "nav_items": NAVIGATION}
    return made


def _seen(value: Any) -> Any:  # noqa: ANN401 - what a template puts out
    """Write out what would turn text around or hide in it; line ends stay."""
    if not isinstance(value, str) or isinstance(value, Markup) or value.isprintable():
        return value
    return "\n".join(visible(line) for line in value.split("\n"))


def _when(text: str) -> Markup:
    """Return a time to the minute, which the machine has to the end."""
    return Markup('<time datetime="{0}" title="{0}">{1}</time>').format(visible(text), visible(text[:16].replace("T", " ")))


def _said(text: str) -> Markup:
    """Return what an error says to do: commands and addresses as such, whether they stand alone or in backquotes."""
    parts = text.split("`")
    if len(parts) == 1 and re.match(r"(stannary |[?&]\w+=|--)", text):
        parts = ["", text, ""]
    shown = [Markup("<code>{}</code>").format(visible(part)) if at % 2 else escape(visible(part)) for at, part in enumerate(parts)]
    return Markup().join(shown)


def _place_name(place: dict[str, str]) -> str:
    """Return where a grant holds, in words."""
    namespace, model = place["namespace"], place["model"]
    if namespace == "*":
        return "everything" if model == "*" else f"{model} in every namespace"
    return f"all of {namespace}" if model == "*" else f"{namespace}/{model}"


def _scope(scope: dict[str, list[str]]) -> str:
    """Return what a token is good for, in words."""
    actions, places = scope.get("actions", ["*"]), scope.get("namespaces", ["*"])
    what = "all that the account may" if "*" in actions else ", ".join(actions)
    return f"{what}, {'everywhere' if '*' in places else 'in ' + ', '.join(places)}"


def _count(number: int) -> str:
    return f"{number:,}"


def _aimed(command: str, target: str) -> str:
    """Return a command with what it is about, where the command takes that; others keep the word TARGET."""
    takes = command.startswith(("stannary scan ", "stannary bom ", "stannary attest "))
    return command.replace("TARGET", target) if takes and target else command


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]


def _place(name: dict[str, str]) -> str:
    """Return the path of a model's pages."""
    return f"/models/{name['namespace']}/{name['name']}"


def _pretty(value: Any) -> str:  # noqa: ANN401 - JSON
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _grant_place(grant: dict[str, str]) -> str:
    """Return where a grant holds, as a form sends it."""
    where = (grant["namespace"], grant["model"])
    return "*" if where == ("*", "*") else "/".join(where)


def _seconds(value: float) -> str:
    """Return how long something took, in the unit in which one thinks of it."""
    if value >= _MINUTES * 60:
        return f"{value / 3600:.1f} h" if value >= _MINUTES * 3600 else f"{value / 60:.0f} min"
    return f"{value:.0f} s" if value >= 10 else f"{value:.2g} s" if value >= 1 else f"{value * 1000:.0f} ms"  # noqa: PLR2004 - seconds


def _is_group(holder: str) -> bool:
    return holder.startswith("group:")


def _json(value: Any) -> str:  # noqa: ANN401 - JSON
    return msgspec.json.encode(value).decode()


def _asset(name: str) -> dict[str, str]:
    row = manifest()[name]
    return {"href": f"/static/{name}?v={row['sha256'][:12]}", "integrity": row["integrity"]}

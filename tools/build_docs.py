"""Write the pages of docs/reference that are made from code: rules, the command line, formats.

`./dev docs` writes them; `./dev docs --check` exits with 1 and names the pages that are not what the code says.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import sys
import types
import typing
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import click
import msgspec

from build_docs_evidence import evidence_page, policies_page
from stannary.access.roles import table
from stannary.checks.static.ruleset import Rule, compile_sources
from stannary.cli.group import root
from stannary.cli.settings import KEYS, Key
from stannary.core.model import SEVERITIES
from stannary.formats.identify import FORMATS, Format

TARGET = Path(__file__).resolve().parent.parent / "docs" / "reference"
MADE = "<!-- Made by `./dev docs`. Do not edit. -->\n\n"
VERDICTS = (
    "A finding of severity *critical* or *high* makes a file **unsafe**, *medium* **suspicious**, *low* **unverified**; "
    "*info* changes nothing. `stannary rule ID` prints one of them."
)
EXIT_CODES = (
    "Exit codes: **0** clean · **1** findings at or above `--fail-on` · **2** cannot run (usage, configuration, I/O) · "
    "**3** incomplete: something could not be analysed · **70** a bug of ours. "
    "When several hold, the first of 70, 2, 1, 3, 0 is returned."
)
CONFIGURATION = (
    "`stannary.toml`, or `[tool.stannary]` in `pyproject.toml`, found upward from the working directory; over it the environment, "
    "over that the flags. `stannary config show` says where each value came from. Dots are TOML tables: `scan.jobs` is `jobs` in "
    "`[scan]`. Waivers are `[[waiver]]` tables: see [waivers and the baseline](../how-to/waivers-and-baseline.md).\n\n"
    "A file that lies inside what is scanned may make a scan stricter and not softer: its waivers, a weaker `scan.fail-on`, "
    'a baseline, a cache folder, plug-ins, `jail = "process"`, `digest = false` and higher limits are ignored, with a warning, '
    "unless `--config` names it."
)
ROLES_TEXT = (
    "A role is granted on `*`, `NAMESPACE/*` or `NAMESPACE/MODEL` (`stannary access grant`). What is not granted is denied. "
    "Where somebody may `push`, they may not `promote`, `rollback` or `approve`, whatever else they were granted. "
    "`quarantine`, `sweep`, `backup`, `administer` and `audit` take a grant on `*`. [Why](../explanation/access.md)."
)
RECOGNITION = (
    "They are recognised by content; a name only ever adds a reading. Content that is several things is read as each of them."
)


def main(arguments: list[str]) -> int:
    """Write or check every page and return the exit code."""
    pages = {
        "rules.md": rules_page,
        "cli.md": cli_page,
        "configuration.md": configuration_page,
        "formats.md": formats_page,
        "evidence.md": evidence_page,
        "policies.md": policies_page,
        "roles.md": roles_page,
    }
    stale: list[str] = []
    for name, build in pages.items():
        text = MADE + build()
        path = TARGET / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in arguments:
            TARGET.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if stale and "--check" in arguments:
        print(f"error: not what the code says: docs/reference/{', '.join(stale)}\nhelp: ./dev docs", file=sys.stderr)
        return 1
    print(f"docs/reference: {'written: ' + ', '.join(stale) if stale else 'up to date'}")
    return 0


# Rules


def rules_page() -> str:
    """Return one section a rule, after a table of all."""
    rules = msgspec.convert(json.loads(compile_sources())["rules"], list[Rule])
    atlas = json.loads(resources.files("stannary.checks.static").joinpath("data", "atlas.json").read_text("utf-8"))["techniques"]
    rules.sort(key=lambda rule: rule.id)
    counts = ", ".join(f"{sum(rule.severity == severity for rule in rules)} {severity}" for severity in SEVERITIES)
    parts = [
        f"# Rules\n\n{len(rules)} rules: {counts}.\n\n{VERDICTS}\n\n",
        "| rule | severity | title |\n|---|---|---|\n",
        *(f"| [{rule.id}](#{rule.id.lower()}) | {rule.severity} | {_cell(rule.title)} |\n" for rule in rules),
    ]
    for rule in rules:
        ids = [
            *(f"[{cwe}](https://cwe.mitre.org/data/definitions/{cwe.removeprefix('CWE-')}.html)" for cwe in rule.cwe),
            *(f"ATLAS {technique} ({atlas.get(technique, 'unknown')})" for technique in rule.atlas),
            *(f"OWASP {item}" for item in rule.owasp),
        ]
        parts += [
            f'\n<a id="{rule.id.lower()}"></a>\n\n## {rule.id}: {rule.title}\n\n',
            f"Severity: **{rule.severity}**. {'; '.join(ids)}\n\n",
            f"**What.** {_prose(rule.what)}\n\n**Why it matters.** {_prose(rule.why)}\n\n",
            f"**How it is exploited.** {_prose(rule.exploit)}\n\n**What to do.** {_prose(rule.fix)}\n\n",
            f"Reported by {_source(rule)}.\n",
            f"Tried on the forges `{rule.examples.yes}` (found) and `{rule.examples.no}` (not found).\n",
        ]
    return "".join(parts)


def _source(rule: Rule) -> str:
    kinds = list(dict.fromkeys(match.fact for match in rule.match))
    if not kinds:
        return "a judge (`checks/static/judges/`), from several facts together"
    return "facts of kind " + ", ".join(f"`{kind}`" for kind in kinds)


# The command line


def cli_page() -> str:
    """Return every command with its arguments and options."""
    parts = [f"# Command line\n\n{EXIT_CODES}\n"]
    for path, command in _commands(root, ("stannary",)):
        context = click.Context(command, info_name=" ".join(path), help_option_names=["-h", "--help"])
        usage = command.get_usage(context).removeprefix("Usage: ")
        parts.append(
            f"\n## `{' '.join(path)}`\n\n{inspect.cleandoc(command.help or '').replace(chr(8), '')}\n\n```text\n{usage}\n```\n"
        )
        rows = [record for parameter in command.get_params(context) if (record := parameter.get_help_record(context))]
        if rows:
            parts.append("\n| option | |\n|---|---|\n")
            parts += [f"| `{_cell(left)}` | {_cell(right)} |\n" for left, right in rows]
    return "".join(parts)


def _commands(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path[-1])
        for name in sorted(command.list_commands(context)):
            child = command.get_command(context, name)
            if child is not None and not child.hidden:
                yield from _commands(child, (*path, name))


# Configuration


def configuration_page() -> str:
    """Return every key with its type, default, environment variable and meaning."""
    parts = [
        f"# Configuration\n\n{CONFIGURATION}\n\n| key | values | default | variable | |\n|---|---|---|---|---|\n",
        *(
            f"| `{key.name}` | {_values(key)} | `{json.dumps(key.default)}` | `{key.variable}` | {_cell(key.help)} |\n"
            for key in KEYS.values()
        ),
    ]
    return "".join(parts)


def _values(key: Key) -> str:
    """Return the choices of a literal type, or the names of its types."""
    names: list[str] = []
    plain = typing.get_args(key.type)[0] if typing.get_origin(key.type) is typing.Annotated else key.type
    for part in typing.get_args(plain) if typing.get_origin(plain) in {types.UnionType, typing.Union} else (plain,):
        if typing.get_origin(part) is typing.Literal:
            names += [f"`{value}`" for value in typing.get_args(part)]
        else:
            names.append("list of str" if typing.get_origin(part) is tuple else getattr(part, "__name__", str(part)))
    return ", ".join(names)


# Roles


def roles_page() -> str:
    """Return who may what: the table that decides."""
    return f"# Roles\n\n{ROLES_TEXT}\n\n{table()}"


# Formats


def formats_page() -> str:
    """Return how each format is recognised, and what each reader reports (its module's docstring)."""
    by_module: dict[str, list[Format]] = {}
    for row in FORMATS:
        by_module.setdefault(row.reader.partition(":")[0], []).append(row)
    known = {name: text for name in by_module if (text := _docstring(name)) is not None}
    rows = [row for name in known for row in by_module[name]]
    parts = [
        f"# Formats\n\n{len(rows)} formats. {RECOGNITION}\n\n",
        "| format | recognised by | read by |\n|---|---|---|\n",
        *(f"| {row.name} | {_recognised(row)} | [{_short(row)}](#{_short(row)}) |\n" for row in sorted(rows, key=lambda r: r.name)),
    ]
    for name, text in sorted(known.items()):
        parts.append(f"\n## {name.rpartition('.')[2]}\n\n```text\n{text}\n```\n")
    return "".join(parts)


def _recognised(row: Format) -> str:
    ways: list[str] = []
    if row.magic:
        shown = ", ".join(f"`{_cell(repr(magic)[2:-1])}` at {offset}" for offset, magic in row.magic[:4])
        ways.append(shown + (f" and {len(row.magic) - 4} more" if len(row.magic) > 4 else ""))  # noqa: PLR2004 - as many as fit
    if row.names:
        ways.append("name " + ", ".join(f"`{_cell(name)}`" for name in row.names) + (" (text only)" if row.text else ""))
    if row.probe:
        ways.append("its structure")
    return "; ".join(ways) or "nothing: tried when another reader asks for it"


def _docstring(module: str) -> str | None:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return None
    return ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or ""


def _short(row: Format) -> str:
    return row.reader.partition(":")[0].rpartition(".")[2]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _prose(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

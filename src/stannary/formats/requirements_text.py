"""Lists of dependencies: requirements files, pyproject, setup.cfg, conda environments, Pipfile.

Facts:
`requirements.entry`: name (normalised, PEP 503), raw, specifier, version (when pinned by == or ===, or conda =),
    source (pypi, conda, url, vcs, path), url, editable, hashes, line.
`requirements.option`: a line that changes where packages come from. Fields: option, value, line.
`requirements.file`: entries, pinned, hashed (whether every entry has a hash), kind.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from stannary.core.errors import FormatError
from stannary.formats.interface import Sink, View, clip
from stannary.formats.yaml_scan import scan

__all__ = ["Requirement", "normal_name", "parse_requirement", "read"]

_LIMIT = 4 << 20
_MAX = 20_000
_NAME = re.compile(r"^([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(\[[^\]]*\])?\s*(.*)$")
_PIN = re.compile(r"^\(?\s*={2,3}\s*([^\s,;*)]+)\)?$")
_URL = re.compile(r"^(?:(git|hg|svn|bzr)\+|(https?|ftp|file|s3|gs)://|git://|git@)", re.IGNORECASE)
_OPTION = re.compile(
    r"^(-i|--index-url|--extra-index-url|-f|--find-links|--trusted-host|--no-index|--pre|-r|--requirement|-c|--constraint"
    r"|--no-binary|--only-binary|--config-settings|--global-option|--install-option|--use-feature)(?:[ =]+(.*))?$"
)
_PIP_CONF = {name[2:]: name for name in ("--index-url", "--extra-index-url", "--find-links", "--trusted-host")}
_PIP_CONF["registry"] = "--index-url"  # npm's
_UV = {
    "index-url": "--index-url", "extra-index-url": "--extra-index-url", "find-links": "--find-links",
    "allow-insecure-host": "--trusted-host",
}  # fmt: skip
_CONDA = re.compile(r"^(?:[\w./-]+::)?([A-Za-z0-9_][A-Za-z0-9._-]*)\s*((?:[=<>!~].*)?|\s+[\d].*)$")


class Requirement(NamedTuple):
    """One dependency as written."""

    name: str
    specifier: str
    version: str | None
    source: str
    url: str


def normal_name(name: str) -> str:
    """Return the normalised form of a project name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse_requirement(text: str) -> Requirement | None:
    """Read one requirement (PEP 508, a URL or a path), or return None for what is neither."""
    text = re.split(r"\s+--hash", text, maxsplit=1)[0].strip()
    named, at, address = text.partition(" @ ")
    if at and _NAME.match(named.strip()):
        url = address.partition(" ;")[0].strip()
        vcs = re.match(r"(?:git|hg|svn|bzr)\+", url)
        return Requirement(
            normal_name(named.partition("[")[0].strip()),
            "",
            None,
            "vcs" if vcs else "path" if url.startswith("file:") else "url",
            url,
        )
    if _URL.match(text):
        egg = re.search(r"[#&]egg=([\w.-]+)", text)
        return Requirement(
            normal_name(egg[1]) if egg else "", "", None, "vcs" if re.match(r"(?:git|hg|svn|bzr)\+|git[:@]", text) else "url", text
        )
    if text.startswith((".", "/", "~")) or text.endswith((".whl", ".tar.gz", ".zip")) or re.match(r"[A-Za-z]:[\\/]", text):
        return Requirement("", "", None, "path", text)
    match = _NAME.match(text)
    if match is None:
        return None
    specifier = match[3].partition(";")[0].strip()
    if specifier and specifier[0] not in "=<>!~(":
        return None
    pinned = _PIN.match(specifier)
    return Requirement(normal_name(match[1]), specifier, pinned[1] if pinned else None, "pypi", "")


def read(view: View, sink: Sink) -> None:
    """Read a list of dependencies by the kind of file its name says. Raises FormatError."""
    base = view.name.replace("\\", "/").rsplit("/", 1)[-1].lower()
    report = _Report(sink)
    text = view.text(_LIMIT)
    if base in {"pyproject.toml", "pipfile", "uv.toml"}:
        _toml(text, report)
    elif base == "setup.cfg":
        _setup_cfg(text, report)
    elif base in {"pip.conf", "pip.ini", ".npmrc"}:
        _pip_conf(text, report)
    elif base.endswith((".yaml", ".yml")) or base == ".condarc":
        _conda(text, report)
    else:
        _requirements(text, report)
    report.close(base)


class _Report:
    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.entries = self.pinned = self.hashed = 0

    def entry(self, raw: str, line: int | None, *, editable: bool = False, conda: bool = False) -> None:
        raw = raw.strip()
        requirement = _conda_entry(raw) if conda else parse_requirement(raw)
        if requirement is None or self.entries >= _MAX:
            return
        hashes = raw.count("--hash")
        self.entries += 1
        self.pinned += requirement.version is not None
        self.hashed += bool(hashes)
        self.sink.fact(
            "requirements.entry",
            None,
            name=clip(requirement.name),
            raw=clip(raw.split(" --hash")[0]),
            specifier=clip(requirement.specifier),
            version=requirement.version,
            source=requirement.source,
            url=clip(requirement.url),
            editable=editable,
            hashes=hashes,
            line=line,
        )

    def option(self, option: str, value: str, line: int | None) -> None:
        self.sink.fact("requirements.option", None, option=option, value=clip(value), line=line)

    def close(self, kind: str) -> None:
        self.sink.fact(
            "requirements.file",
            None,
            entries=self.entries,
            pinned=self.pinned,
            hashed=self.entries > 0 and self.hashed == self.entries,
            kind=clip(kind),
        )


def _requirements(text: str, report: _Report) -> None:
    pending, start = "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        line = re.sub(r"(?:^|\s)#.*$", "", raw).strip()
        start = start if pending else number
        if line.endswith("\\"):
            pending += line[:-1]  # as pip joins them: an option may be cut in two
            continue
        line, pending = (pending + line).strip(), ""
        if not line:
            continue
        option = _OPTION.match(line)
        if option:
            name = {"-i": "--index-url", "-f": "--find-links", "-r": "--requirement", "-c": "--constraint"}.get(
                option[1], option[1]
            )
            report.option(name, (option[2] or "").strip(), start)
        elif line.startswith(("-e ", "--editable")):
            report.entry(re.sub(r"^(?:-e|--editable)[ =]+", "", line), start, editable=True)
        elif not line.startswith("-"):
            report.entry(line, start)
    # A last line that ends in a backslash still counts for pip.
    if pending.strip():
        report.entry(pending, start)


def _toml(text: str, report: _Report) -> None:
    import tomllib

    try:
        document = tomllib.loads(text.replace("\r\n", "\n"))
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as exc:
        msg = f"not TOML: {clip(str(exc), 100)}"
        raise FormatError(msg) from exc
    project, build = _table(document.get("project")), _table(document.get("build-system"))
    lists: list[Any] = [
        project.get("dependencies"),
        build.get("requires"),
        *_table(project.get("optional-dependencies")).values(),
        *_table(document.get("dependency-groups")).values(),
    ]
    for item in (entry for entries in lists if isinstance(entries, list) for entry in entries):
        if isinstance(item, str):
            report.entry(item, None)
    poetry = _table(_table(document.get("tool")).get("poetry"))
    groups = [_table(g).get("dependencies") for g in _table(poetry.get("group")).values()]
    for table in (
        poetry.get("dependencies"),
        poetry.get("dev-dependencies"),
        document.get("packages"),
        document.get("dev-packages"),
        *groups,
    ):
        for name, value in _table(table).items():
            _table_entry(name, value, report)
    _sources(document, report)


def _sources(document: dict[str, Any], report: _Report) -> None:
    """Report the indexes of Pipenv, Poetry, PDM and uv, and where uv takes single packages from."""
    tool = _table(document.get("tool"))
    uv = _table(tool.get("uv")) or document
    lists = [
        document.get("source"),
        _table(tool.get("poetry")).get("source"),
        _table(tool.get("pdm")).get("source"),
        uv.get("index"),
    ]
    for source in (entry for entries in lists if isinstance(entries, list) for entry in entries):
        if isinstance(source, dict) and isinstance(source.get("url"), str):
            report.option("--index-url", source["url"], None)
            if source.get("verify_ssl") is False:
                report.option("--trusted-host", source["url"], None)
    for key, option in _UV.items():
        values = uv.get(key)
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, str):
                report.option(option, value, None)
    for name, value in _table(uv.get("sources")).items():
        if {"git", "url"} & _table(value).keys():
            _table_entry(name, value, report)


def _pip_conf(text: str, report: _Report) -> None:
    """Read what pip's configuration says of places (a value may go on over indented lines)."""
    option = ""
    for number, line in enumerate(text.splitlines(), 1):
        if line[:1] not in " \t":
            key, _, line = line.partition("=")  # noqa: PLW2901 - the value
            option = _PIP_CONF.get(key.strip().replace("_", "-").lower(), "")
        for value in line.split() if option else ():
            report.option(option, value, number)


def _table(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any TOML value
    return value if isinstance(value, dict) else {}


def _table_entry(name: str, value: Any, report: _Report) -> None:  # noqa: ANN401 - any TOML value
    fields = _table(value)
    address = next((str(fields[k]) for k in ("git", "url", "path", "file") if k in fields), "")
    version = str(fields.get("version", "") if fields else value)
    if name == "python":
        return
    if address:
        report.entry(
            f"{name} @ git+{address}" if "git" in fields else f"{name} @ {address}" if "path" not in fields else address, None
        )
    else:
        report.entry(
            name if version in {"*", ""} else f"{name}{version}" if version[0] in "=<>!~" else f"{name}>={version.lstrip('^')}",
            None,
        )


def _setup_cfg(text: str, report: _Report) -> None:
    active = False
    for number, line in enumerate(text.splitlines(), 1):
        if line[:1] not in " \t":
            key, _, value = line.partition("=")
            active = key.strip() in {"install_requires", "setup_requires", "tests_require"} or (active and not line.strip())
            if active and value.strip():
                report.entry(value, number)
        elif active and line.strip() and not line.strip().startswith("#"):
            report.entry(line, number)


def _conda(text: str, report: _Report) -> None:
    for node in scan(text).nodes:
        if node.value is None:
            continue
        if re.fullmatch(r"dependencies\[\d+\]", node.path):
            report.entry(node.value, node.line, conda=True)
        elif re.fullmatch(r"dependencies\[\d+\]\.pip\[\d+\]", node.path):
            _requirements(node.value, report)
        elif re.fullmatch(r"channels\[\d+\]", node.path):
            report.option("channel", node.value, node.line)


def _conda_entry(raw: str) -> Requirement | None:
    match = _CONDA.match(raw)
    if match is None:
        return None
    specifier = match[2].strip()
    pinned = re.match(r"^={1,2}\s*([^\s=,<>*]+)(?:=[\w*]+)?$", specifier)
    return Requirement(normal_name(match[1]), specifier, pinned[1] if pinned else None, "conda", "")

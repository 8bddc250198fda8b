"""What a user can set or ask for is documented; rows of tables lead to code."""

import ast
import re
import shlex
from pathlib import Path

import click
import pytest

from stannary.cli.group import root
from stannary.cli.settings import KEYS
from stannary.formats.identify import FORMATS, load_probe, load_reader

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def commands(command, path="stannary"):
    context = click.Context(command, info_name=path)
    yield path, command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            yield from commands(command.get_command(context, name), f"{path} {name}")


@pytest.mark.tree
def test_every_command_and_option_is_documented():
    page = (REFERENCE / "cli.md").read_text(encoding="utf-8")
    missing = []
    for path, command, context in commands(root):
        if f"## `{path}`" not in page:
            missing.append(path)
        for parameter in command.get_params(context):
            if isinstance(parameter, click.Option) and not parameter.hidden:
                missing += [f"{path} {name}" for name in parameter.opts if name not in page]
    assert not missing


def test_every_command_and_option_says_what_it_does():
    for path, command, context in commands(root):
        assert command.help, path
        options = [parameter for parameter in command.get_params(context) if isinstance(parameter, click.Option)]
        assert [option.opts[0] for option in options if not option.help] == [], path


def shown(page):
    """Return the commands that a page shows after a prompt, as words."""
    for block in re.findall(r"```console\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        for line in re.findall(r"^\$ (.*)$", block.replace("\\\n", " "), re.MULTILINE):
            words = shlex.split(line, comments=True)
            ends = [at for at, word in enumerate(words) if word in ("&&", "|", ">", "<") or word.endswith(";")]
            for at, word in enumerate(words):
                if word in ("stannary", ".venv/bin/stannary"):
                    yield words[at + 1 : next((end for end in ends if end > at), len(words))]


def unknown(words):
    """Return the first word of a command line that is no command or option of ours, or None."""
    command, context = root, click.Context(root, info_name="stannary")
    names = {name for parameter in root.get_params(context) for name in (*parameter.opts, *parameter.secondary_opts)}
    for word in words:
        if word.startswith("-"):
            if word.partition("=")[0] not in names and word != "-":
                return word
        elif isinstance(command, click.Group):
            found = command.get_command(context, word)
            if found is None:
                return None if command.invoke_without_command else word
            command, context = found, click.Context(found, info_name=word)
            names |= {name for parameter in found.get_params(context) for name in (*parameter.opts, *parameter.secondary_opts)}
    return None


@pytest.mark.tree
def test_every_command_that_a_page_shows_is_there():
    lines = [(page, words) for page in PAGES for words in shown(page)]
    assert len(lines) > 150, "the pages are written in another way than this test reads them"
    assert [(page.name, word, words) for page, words in lines if (word := unknown(words))] == []


def said(path):
    """Return the commands that texts of a module, or code of a page of the console, name, as words."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".html":
        texts = re.findall(r"<(?:code|pre)[^>]*>([^<]*)</", text)
    else:
        nodes = list(ast.walk(ast.parse(text)))
        parts = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
        texts = [_written(node) for node in nodes if isinstance(node, ast.JoinedStr)]
        texts += [
            node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts
        ]
    for text in texts:
        for line in re.findall(r"\bstannary ((?:[a-z][a-z-]*(?: |$|(?=[`;,.)])))+[^`;,()|&\n]*)", text):
            words = [word.rstrip(":") for word in line.split()]
            words = words[: next((at for at, word in enumerate(words) if word in ("X", "...")), len(words))]
            if words and root.get_command(click.Context(root), words[0]):  # else it is prose
                yield words


def _written(node):
    return "".join(part.value if isinstance(part, ast.Constant) else "X" for part in node.values)


@pytest.mark.tree
def test_every_command_that_a_message_or_a_page_of_the_console_names_is_there():
    sources = [path for path in (ROOT / "src").rglob("*") if path.suffix in {".py", ".html"}]
    lines = [(path, words) for path in sources for words in said(path)]
    assert len(lines) > 150, "messages are written in another way than this test reads them"
    assert [(path.name, word, words) for path, words in lines if (word := unknown(words))] == []


def test_a_command_that_is_not_there_is_noticed():
    assert unknown(["scan", "model", "--record"]) is None
    assert unknown(["bom", "model", "--record"]) is None
    assert unknown(["scann", "model"]) == "scann"
    assert unknown(["registry", "advance", "m"]) == "advance"
    assert unknown(["scan", "model", "--recorded=x"]) == "--recorded=x"


@pytest.mark.tree
def test_every_setting_is_documented():
    page = (REFERENCE / "configuration.md").read_text(encoding="utf-8")
    assert [name for name, key in KEYS.items() if f"`{name}`" not in page or not key.help] == []


@pytest.mark.parametrize("row", FORMATS, ids=lambda row: row.name)
def test_every_format_has_its_reader(row):
    assert callable(load_reader(row))
    if row.probe:
        assert callable(load_probe(row))


@pytest.mark.tree
def test_every_format_is_documented():
    page = (REFERENCE / "formats.md").read_text(encoding="utf-8")
    assert [row.name for row in FORMATS if f"\n| {row.name} |" not in page] == []

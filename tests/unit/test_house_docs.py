"""What a user can set or ask for is documented; rows of tables lead to code."""

from pathlib import Path

import click
import pytest

from stannary.cli.group import root
from stannary.cli.settings import KEYS
from stannary.formats.identify import FORMATS, load_probe, load_reader

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"


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

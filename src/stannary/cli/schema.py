"""`stannary schema NAME`: the JSON Schema of what stannary writes."""

from __future__ import annotations

import importlib
from typing import Any

import click

from stannary.cli.group import common_options
from stannary.core.errors import UsageError

__all__ = ["SCHEMAS", "command"]

# name → module:function that returns the schema
SCHEMAS: dict[str, str] = {
    "scan": "stannary.report.json_:schema",
    "rule": "stannary.cli.schema:rule_schema",
}


@click.command("schema")
@click.argument("name", required=False)
@common_options
def command(name: str | None) -> int:
    """Print the JSON Schema of an output, or the names there are."""
    if name is None:
        click.echo("\n".join(SCHEMAS))
        return 0
    wanted = name.removeprefix("stannary.").partition("/")[0]
    if wanted not in SCHEMAS:
        msg = f"there is no schema {name!r}"
        raise UsageError(msg, code="USE003", help=f"there are: {', '.join(SCHEMAS)}")
    from stannary.report.json_ import dump

    module, _, function = SCHEMAS[wanted].partition(":")
    click.echo(dump(getattr(importlib.import_module(module), function)()), nl=False)
    return 0


def rule_schema() -> dict[str, Any]:
    """Return the JSON Schema of a rule file, as `stannary rule ID --format json` prints it."""
    import msgspec

    from stannary.checks.static.ruleset import Rule

    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:stannary:schema:stannary.rule/1",
        "title": "stannary.rule/1",
    }
    return {**head, **msgspec.json.schema(Rule)}

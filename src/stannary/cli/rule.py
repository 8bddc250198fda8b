"""`stannary rule [ID]`: list the rules, or tell the whole story of one."""

from __future__ import annotations

import sys
import textwrap

import click
import msgspec

from stannary.checks.static import ruleset
from stannary.checks.static.ruleset import Rule
from stannary.cli.group import common_options, talk_of
from stannary.cli.talk import wants_color
from stannary.core.errors import UsageError
from stannary.core.model import severity_rank

__all__ = ["Rules", "command", "story"]

_COLORS = {"critical": "bright_red", "high": "red", "medium": "yellow", "low": "cyan", "info": "bright_black"}
_WIDTH = 88


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What `--format json` prints."""

    schema: str = "stannary.rule/1"
    rules: tuple[Rule, ...]


@click.command("rule")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--format", "form", type=click.Choice(["text", "json", "markdown"]), default="text", help="How to print.")
@common_options
@click.pass_context
def command(ctx: click.Context, ids: tuple[str, ...], form: str) -> int:
    """List the rules, or explain those named (an id, or the start of one)."""
    rules = ruleset.load().rules
    chosen = _choose(ids, rules) if ids else sorted(rules.values(), key=lambda rule: rule.id)
    color = wants_color(sys.stdout, talk_of(ctx).color)
    if form == "json":
        from stannary.report.json_ import dump

        click.echo(dump(Rules(rules=tuple(chosen))), nl=False)
    elif form == "markdown":
        click.echo("\n".join(map(_markdown, chosen)), nl=False)
    elif ids and (len(chosen) == len(ids) or len(chosen) == 1):
        click.echo("\n".join(story(rule, color=color) for rule in chosen), nl=False, color=color)
    else:
        _table(chosen, color=color)
    return 0


def story(rule: Rule, *, color: bool) -> str:
    """Return a rule as a page of text: what, why, how it is used, what to do."""
    severity = click.style(rule.severity, fg=_COLORS[rule.severity], bold=True) if color else rule.severity
    head = click.style(f"{rule.id}: {rule.title}", bold=True) if color else f"{rule.id}: {rule.title}"
    lines = [f"{head} ({severity})", ""]
    for name, text in (
        ("What it is", rule.what),
        ("Why it matters", rule.why),
        ("How it is used", rule.exploit),
        ("What to do", rule.fix),
    ):
        lines.append(click.style(name, dim=True) if color else name)
        lines.extend(textwrap.wrap(" ".join(text.split()), _WIDTH, initial_indent="  ", subsequent_indent="  "))
        lines.append("")
    ids = [*rule.cwe, *rule.atlas, *rule.owasp]
    if ids:
        lines.extend([", ".join(ids), ""])
    return "\n".join(lines)


def _choose(ids: tuple[str, ...], rules: dict[str, Rule]) -> list[Rule]:
    found: dict[str, Rule] = {}
    problems: list[UsageError] = []
    for given in ids:
        wanted = given.upper()
        exact = [rules[wanted]] if wanted in rules else [rule for name, rule in sorted(rules.items()) if name.startswith(wanted)]
        if not exact:
            import difflib

            near = difflib.get_close_matches(wanted, rules, 3)
            help_text = f"did you mean {', '.join(near)}?" if near else "`stannary rule` lists them all"
            problems.append(UsageError(f"there is no rule {given!r}", code="USE002", help=help_text))
        found.update((rule.id, rule) for rule in exact)
    if problems:
        msg = "unknown rules"
        raise ExceptionGroup(msg, problems)
    return list(found.values())


def _table(rules: list[Rule], *, color: bool) -> None:
    width = max((len(rule.id) for rule in rules), default=0)
    for rule in rules:
        severity = f"{rule.severity:<9}"
        shown = click.style(severity, fg=_COLORS[rule.severity]) if color else severity
        click.echo(f"{rule.id:<{width}}  {shown}{rule.title}", color=color)
    if not rules:
        return
    counts = sorted({rule.severity for rule in rules}, key=severity_rank)
    parts = (f"{sum(rule.severity == severity for rule in rules)} {severity}" for severity in counts)
    click.echo(f"\n{len(rules)} rules: {', '.join(parts)}; `stannary rule ID` explains one", err=True)


def _markdown(rule: Rule) -> str:
    flat = {name: " ".join(getattr(rule, name).split()) for name in ("what", "why", "exploit", "fix")}
    ids = ", ".join((*rule.cwe, *rule.atlas, *rule.owasp))
    return (
        f"## {rule.id}: {rule.title}\n\nSeverity: **{rule.severity}**{f' · {ids}' if ids else ''}\n\n{flat['what']}\n\n"
        f"**Why it matters.** {flat['why']}\n\n**How it is used.** {flat['exploit']}\n\n**What to do.** {flat['fix']}\n"
    )

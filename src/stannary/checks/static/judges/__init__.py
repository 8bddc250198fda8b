"""Judgement that needs more than matching one fact: each module is `judge(facts) -> Iterator[Hit]`.

`JUDGES` maps a prefix of fact kinds to the judge that reads them; it is imported when such a
fact exists. A judge is pure: facts and shipped data in, hits out. It never opens a file, and it
never looks at what is installed beside the scanner.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence

from stannary.checks.static.ruleset import Hit
from stannary.formats.interface import Fact

__all__ = ["JUDGES", "UNJUDGED", "run_judges"]

JUDGES: dict[str, str] = {
    "artifact": "stannary.checks.static.judges.artifact",
    "pickle": "stannary.checks.static.judges.pickle_calls",
    "state": "stannary.checks.static.judges.stored_state",
    "zip": "stannary.checks.static.judges.archives",
    "python": "stannary.checks.static.judges.python_code",
    "tf": "stannary.checks.static.judges.tensorflow_graph",
    "keras": "stannary.checks.static.judges.keras_config",
    "json": "stannary.checks.static.judges.json_config",
    "skops": "stannary.checks.static.judges.skops_types",
    "yaml": "stannary.checks.static.judges.yaml_config",
    "config": "stannary.checks.static.judges.yaml_config",
    "msgpack": "stannary.checks.static.judges.message_pack",
    "notebook": "stannary.checks.static.judges.text_content",
    "text": "stannary.checks.static.judges.text_content",
    "requirements": "stannary.checks.dependencies.judge",
    "unread": "stannary.checks.static.judges.unread",
    "serial": "stannary.checks.static.judges.serial_objects",
    "xml": "stannary.checks.static.judges.xml_content",
    "repo": "stannary.checks.static.judges.repository",
}


# What every pickle has and no judge looks at: one of plain data needs no judge, nor what a judge loads.
UNJUDGED = frozenset({"pickle.stream", "pickle.second", "pickle.torch_legacy"})


_MANY = 2000  # facts that may take longer to judge than there is time for


def run_judges(facts: Sequence[Fact]) -> Iterator[Hit]:
    """Group facts by the prefix of their kind and run the judge of each group."""
    groups: dict[str, list[Fact]] = {}
    for fact in facts:
        if fact.kind not in UNJUDGED:
            groups.setdefault(fact.kind.partition(".")[0], []).append(fact)
    for prefix, group in groups.items():
        module = JUDGES.get(prefix)
        if module is not None:
            if prefix == "pickle" and len(group) > _MANY:
                from stannary.checks.static.judges.unread import gadgets_first

                group = gadgets_first(group)  # noqa: PLW2901 - the same facts
            yield from importlib.import_module(module).judge(group)

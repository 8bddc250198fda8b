"""The search: models, versions and evidence in one place; each group goes on by itself."""

from __future__ import annotations

import msgspec

from stannary.server.console.page import Page, Shown
from stannary.server.console.views.asked import WHOLE
from stannary.server.operations import Call
from stannary.server.searching import GROUPS, Hits, found_in

__all__ = ["PAGES"]

_PAGE = 10
_ONE = 50


class SearchPage(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. `group`: the one that is asked for alone, or empty. `audit`: whether one may search the ledger as well."""

    schema: str = "stannary.console.search/1"
    hits: Hits
    group: str
    groups: tuple[str, ...]
    audit: bool


def _search(call: Call) -> Shown:
    group = call.query.get("group", "")
    hits = found_in(
        call.store, call.query.get("q", ""), group=group, after=call.query.get("after", ""), limit=_ONE if group else _PAGE
    )
    data = SearchPage(hits=hits, group=group, groups=GROUPS, audit=call.store.may("audit", WHOLE))
    return Shown(template="search.html", title=f"Search: {hits.q}" if hits.q else "Search", data=data)


PAGES = (Page(id="search", path="/search", run=_search),)

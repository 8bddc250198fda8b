"""The pages: each function takes a call and returns what is shown."""

from stannary.server.console.page import Page
from stannary.server.console.views import (
    actions,
    approvals,
    charts,
    jobs,
    ledger,
    lineage,
    models,
    namespaces,
    people,
    policies,
    search,
    version,
)

__all__ = ["PAGES"]

PAGES: tuple[Page, ...] = (
    *models.PAGES,
    *version.PAGES,
    *charts.PAGES,
    *actions.PAGES,
    *approvals.PAGES,
    *jobs.PAGES,
    *ledger.PAGES,
    *lineage.PAGES,
    *namespaces.PAGES,
    *people.PAGES,
    *policies.PAGES,
    *search.PAGES,
)

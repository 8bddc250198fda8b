"""The pages: each function takes a call and returns what is shown."""

from stannary.server.console.page import Page
from stannary.server.console.views import actions, ledger, lineage, models, people, version

__all__ = ["PAGES"]

PAGES: tuple[Page, ...] = (*models.PAGES, *version.PAGES, *actions.PAGES, *ledger.PAGES, *lineage.PAGES, *people.PAGES)

"""A console over a workspace, and browsers in it that are logged in as somebody."""

import re

from starlette.testclient import TestClient
from tests.unit.server.conftest import RIGHTS

from stannary.access import accounts, grants, tokens
from stannary.access.access import Access
from stannary.access.model import Owner
from stannary.core.errors import PolicyDenied
from stannary.evidence.ledger import entry
from stannary.server.app import build
from stannary.server.console.routes import pages
from stannary.server.console.sessions import AccessSessions
from stannary.server.guard_access import AccessGuard
from stannary.server.site import Site

OWNER = Owner(id="workspace")
PASSWORD = "nine quiet brown bears"
HERE = {"sec-fetch-site": "same-origin"}


class SimulatedSessions:
    """The password of each role is its name; the value of its cookie too, which the simulated guard knows."""

    def __init__(self):
        self.ended = []

    def begin(self, name, password, previous=""):
        if previous:
            self.ended.append(previous)
        if name not in RIGHTS or password != name:
            msg = "name and password do not belong together"
            raise PolicyDenied(msg, code="ACC001")
        return name

    def end(self, cookie):
        self.ended.append(cookie)

    def issuers(self):
        return []


class Browser(TestClient):
    """A client that sends what a browser does for a form of ours."""

    def submit(self, path, **fields):
        """Open a page, take the token of its form, and send the form."""
        page = self.get(path)
        token = re.search(r'name="form" value="([0-9a-f]{64})"', page.text)
        assert token, page.text
        return self.post(path.partition("?")[0], data={"form": token[1], **fields}, headers=HERE, follow_redirects=False)


def peopled(bench):
    """Return what makes accounts of a workspace, each with a browser that is logged in; and the browsers, to be closed."""
    registry = bench.opened[0]

    def journal(kind, body):
        registry.chain.ledger.append([entry("access", body, time=bench.clock(), kind=kind)])

    access = Access(registry.database, journal, clock=bench.clock)
    site = Site(registry, AccessGuard(access), version="test", rate=(0.0, 0))
    site.access = access
    app = build(site, pages(site, AccessSessions(access)))
    opened = []

    def make(name, role, *, token=False, place="*"):
        account = accounts.add(access, OWNER, name, password=PASSWORD)
        grants.grant(access, OWNER, grants.read_grant(name, role, place))
        made = Browser(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
        opened.append(made)
        secret = tokens.issue(access, OWNER, account.id, label="<b>ci</b>")
        fields = {"token": str(secret.secret)} if token else {"name": name, "password": PASSWORD}
        assert made.post("/login", data=fields, headers=HERE, follow_redirects=False).status_code == 303
        made.issued, made.app_access = secret.token.id, access
        return made

    return make, opened

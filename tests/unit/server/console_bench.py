"""A console over a workspace, and browsers in it that are logged in as somebody."""

import re

from starlette.testclient import TestClient
from tests.unit.server.conftest import RIGHTS

from stannary.core.errors import PolicyDenied

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

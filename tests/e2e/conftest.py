"""A browser for the tests that need one."""

import pytest


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from tests.e2e.browsing import opened

    made = opened(tmp_path_factory.mktemp("chromium"))
    yield made
    made.quit()

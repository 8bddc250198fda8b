import pytest

from stannary.evidence.chain import Chain
from stannary.evidence.workspace import Workspace


@pytest.fixture
def workspace(tmp_path):
    return Workspace.create(tmp_path, passphrase=None, origin="test/log")


@pytest.fixture
def chain(workspace):
    made = Chain(workspace, write=True)
    yield made
    made.ledger.close()

"""What a test draws is the same in every order of the tests: torch goes on where the test before this one left its numbers."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def _drawn_alike():
    torch.manual_seed(1)

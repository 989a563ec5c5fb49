"""Time that passes only where an operation sleeps."""

from __future__ import annotations

import pytest

from operations import colima, containers, docker
from operations.util import remote
from tests.fakes import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    for module in (colima, containers, docker, remote):
        monkeypatch.setattr(module, "time", fake)
    return fake

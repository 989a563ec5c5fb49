"""Time that passes only where an operation sleeps, and a directory of the test's own for diagnostics."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.fakes import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    for name, module in list(sys.modules.items()):
        if name.startswith("operations.") and hasattr(module, "time"):
            monkeypatch.setattr(module, "time", fake)
    return fake


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path

"""The acceptance suite as a runner of a CI has it: on the Mac itself, by its administrator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.checkout import WAITS
from tests.mac.machine import Mac
from tests.terminal import Terminal


@pytest.mark.weekly
def test_locally(make_mac: Callable[..., Mac], tmp_path: Path) -> None:
    """A Mac with an Intel processor, and the waits of its own `.env`."""
    mac = make_mac(arch="x86_64", installed=())
    terminal = Terminal(tmp_path / "home", mac)
    terminal.clone()
    terminal.configure(WAITS)
    seen = terminal.run_on_mac("make acceptance HOST=@local YES=--yes-really KEEP=kept", seconds=500)
    assert seen.status == 0, seen.text
    assert "test_nothing_is_left PASSED" in seen.text
    kept = {path.name for path in mac.path("/Users/admin/colima-pulse/kept").iterdir()}
    assert {"status.txt", "logs.txt", "diagnose.txt"} < kept

"""A full reset that a power cut interrupts, at each of its steps: the next deploy ends it."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

import pytest

from tests.checkout import Run
from tests.e2e.looking import Deployed, one_vm, ping, vm_events
from tests.e2e.test_reset import BACKUPS, FORCED, HOME, backups
from tests.mac.machine import Mac

JOURNALS = "/Library/ColimaPulse/reset"


def cut(mac: Mac, run: Callable[[], Run], when: Callable[[], bool]) -> None:
    """Start a deploy, and take the Mac's power at a moment."""
    thread = threading.Thread(target=run)
    thread.start()
    deadline = time.monotonic() + 60
    while not when():
        assert thread.is_alive(), "the deploy was faster"
        assert time.monotonic() < deadline, "the moment did not come"
    mac.power_cut()
    thread.join()


def ran(mac: Mac, words: str) -> Callable[[], bool]:
    seen = len(mac.commands())
    return lambda: any(words in each for each in mac.commands()[seen:])


def more(mac: Mac, event: str) -> Callable[[], bool]:
    seen = vm_events(mac).count(event)
    return lambda: vm_events(mac).count(event) > seen


# All of them weekly; each of a kind in every run.
MOMENTS: dict[str, Callable[[Mac], Callable[[], bool]]] = {
    "disabled": lambda mac: ran(mac, "launchctl disable"),
    "stopping": lambda mac: ran(mac, "colima stop"),
    "booted-out": lambda mac: ran(mac, "launchctl bootout"),
    "journal": lambda mac: lambda: mac.path(f"{JOURNALS}/alice/default").exists(),
    "moved": lambda mac: lambda: not mac.path(f"{HOME}/.colima/_lima/_disks/colima").exists(),
    "anew": lambda mac: ran(mac, "launchctl bootstrap"),
    "starting": lambda mac: more(mac, "start"),
}
WEEKLY = ("disabled", "stopping", "booted-out", "anew", "starting")


@pytest.fixture(scope="module")
def cut_off(make_deployed: Callable[..., Deployed]) -> Deployed:
    """A Mac whose profile is reset again and again."""
    return make_deployed("ssh")


def identity(mac: Mac, directory: str) -> tuple[str, str] | None:
    """A data disk's identity, and its record."""
    if directory.endswith(".colima"):
        disk, record = f"{directory}/_lima/_disks/colima/datadisk", f"{directory}/_store/colima.json"
    else:
        disk, record = f"{directory}/disk/datadisk", f"{directory}/store.json"
    if not mac.path(disk).exists():
        return None
    found = re.search(r'"id": "(\w+)"', mac.path(disk).read_text(errors="replace"))
    assert found
    return found[1], mac.path(record).read_text()


# One of them in every run: the moment at which the state lies in two places.


@pytest.mark.parametrize(
    "moment", [pytest.param(each, marks=[pytest.mark.weekly] * (each in WEEKLY)) for each in MOMENTS]
)
def test_a_power_cut_in_the_middle(cut_off: Deployed, moment: str) -> None:
    """The next deploy, without full_reset, finishes it: Docker answers, and what was there is whole."""
    mac = cut_off.mac
    before, units = identity(mac, f"{HOME}/.colima"), backups(mac)
    cut(mac, lambda: cut_off.run(*FORCED), MOMENTS[moment](mac))
    mac.boot()
    with one_vm(mac):
        run = cut_off.run("-y")
    assert run.status == 0, run.output
    assert ping(mac) == "200"
    assert not list(mac.path(JOURNALS).glob("*/default"))
    made = [name for name in backups(mac) if name not in units]
    assert [identity(mac, f"{BACKUPS}/{name}") for name in made] in ([], [before])
    assert (identity(mac, f"{HOME}/.colima") == before) is not bool(made)
    if moment == "moved":
        assert made
        assert "was interrupted" in run.output

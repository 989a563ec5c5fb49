"""FAULTS 11: a start that fails every time costs the Mac nothing that grows, however often launchd tries."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.checkout import Checkout
from tests.e2e.looking import LABEL, ping, wait_for
from tests.mac.machine import Mac
from tests.soak import LOG, throttle

WINDOWS = 5
LINES_AN_ATTEMPT = 20


@dataclass(frozen=True)
class Window:
    """A stretch of attempts: the fewest processes seen, the least memory (KiB), the lines logged."""

    processes: int
    memory: int
    lines: int


def attempts(mac: Mac) -> int:
    printed = mac.run(["/bin/launchctl", "print", f"system/{LABEL}"]).stdout
    match = re.search(r"^\truns = (\d+)$", printed, re.MULTILINE)
    assert match
    return int(match[1])


def log_lines(mac: Mac) -> int:
    return mac.path(LOG).read_bytes().count(b"\n")


def look(mac: Mac, until: int) -> Window:
    """Watch until so many attempts have begun: the least that is there is what attempts leave behind."""
    lines, samples = log_lines(mac), []
    while attempts(mac) < until:
        said = mac.run(["/bin/ps", "-axww", "-o", "rss=", "-o", "command="]).stdout.splitlines()
        samples.append((len(said), sum(int(line.split()[0]) for line in said)))
    return Window(min(n for n, _ in samples), min(kib for _, kib in samples), log_lines(mac) - lines)


@pytest.mark.parametrize("size", [2, pytest.param(10, marks=pytest.mark.weekly)], ids=["short", "long"])
def test_a_start_that_fails_for_ever(mac: Mac, make_checkout: Callable[..., Checkout], size: int) -> None:
    """WINDOWS windows of so many attempts each."""
    run = make_checkout(mac).ssh("-y")
    assert run.status == 0, run.output
    mac.fault("start-fails", "always")
    throttle(mac, 1)
    wait_for(lambda: attempts(mac) > 1)
    begun = attempts(mac)
    windows = [look(mac, begun + size * number) for number in range(1, WINDOWS + 1)]
    first, last = windows[0], windows[-1]
    assert last.processes <= first.processes, windows
    assert last.memory <= 1.1 * first.memory, windows
    assert max(each.lines for each in windows) <= LINES_AN_ATTEMPT * (size + 1), windows
    mac.heal("start-fails")
    wait_for(lambda: ping(mac) == "200")

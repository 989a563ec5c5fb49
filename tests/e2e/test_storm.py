"""FAULTS 11: a start that fails every time costs the Mac nothing that grows, however often launchd tries."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from tests.checkout import Checkout
from tests.e2e.looking import LABEL, ping, wait_for
from tests.mac.machine import Mac
from tests.soak import LOG, throttle

ATTEMPTS = 50
WINDOW = 10
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


def test_a_start_that_fails_for_ever(mac: Mac, make_checkout: Callable[..., Checkout]) -> None:
    run = make_checkout(mac).ssh("-y")
    assert run.status == 0, run.output
    mac.fault("start-fails", "always")
    throttle(mac, 1)
    wait_for(lambda: attempts(mac) > 1)
    begun = attempts(mac)
    windows = [look(mac, begun + n) for n in range(WINDOW, ATTEMPTS + 1, WINDOW)]
    first, last = windows[0], windows[-1]
    assert last.processes <= first.processes, windows
    assert last.memory <= 1.1 * first.memory, windows
    assert max(each.lines for each in windows) <= LINES_AN_ATTEMPT * (WINDOW + 1), windows
    mac.heal("start-fails")
    wait_for(lambda: ping(mac) == "200")

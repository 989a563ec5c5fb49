"""The soak's short form: each of its faults once; and a start that fails for ever."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.e2e.conftest import MakeMac
from tests.e2e.looking import LABEL, wait_for
from tests.mac.machine import Mac
from tests.soak import FAULTS, LOG, Fault, Soak, deploy, start_fails, throttle

pytestmark = pytest.mark.weekly
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


@pytest.fixture(scope="module")
def soak(make_mac: MakeMac, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Soak]:
    """A Mac with a container that counts and a fast pulse, under the eyes of a soak."""
    mac = make_mac()
    deploy(mac, tmp_path_factory.mktemp("soak") / "colima-pulse", interval=1)
    with Soak(mac, random.Random(0)) as soak:
        yield soak
    assert soak.samples
    soak.check()


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_docker_comes_back(soak: Soak, fault: Fault) -> None:
    """In time, the counter where it was, no stranger signalled, no second VM."""
    if fault.inject is start_fails:
        throttle(soak.mac, 1)  # as the deploy has it, five starts take five minutes
        soak.await_docker()
    soak.undergo(fault)


def test_nothing_has_piled_up(soak: Soak) -> None:
    soak.check_processes()


def test_a_start_that_fails_for_ever(soak: Soak) -> None:
    """It costs the Mac nothing that grows: WINDOWS windows of ten attempts each."""
    mac, size = soak.mac, 10
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
    soak.await_docker()

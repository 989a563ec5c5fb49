"""The soak's short form, continued: each fault that strikes at a start, once."""

from __future__ import annotations

import pytest

from tests.soak import AT_A_START, Fault, Soak, start_fails, throttle

# One of them in every run: what must never happen is that a stranger is killed.
EVERY_TIME = "stale pids of strangers"


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fault, id=fault.name, marks=[] if fault.name == EVERY_TIME else pytest.mark.weekly)
        for fault in AT_A_START
    ],
)
def test_docker_comes_back(soak: Soak, fault: Fault) -> None:
    """FAULTS 1-3, 11: in time, the counter where it was, no stranger signalled, no second VM."""
    if fault.inject is start_fails:
        throttle(soak.mac, 1)  # as the deploy has it, five starts take five minutes
        soak.await_docker()
    soak.undergo(fault)


def test_nothing_has_piled_up(soak: Soak) -> None:
    soak.check_processes()

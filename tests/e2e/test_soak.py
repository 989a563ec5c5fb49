"""The soak's short form: each fault that strikes while all is well, once."""

from __future__ import annotations

import pytest

from tests.soak import WHILE_IT_RUNS, Fault, Soak, recoverable

# One of them in every run: launchd and the job notice nothing of it.
EVERY_TIME = "VM killed"


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fault, id=fault.name, marks=[] if fault.name == EVERY_TIME else pytest.mark.weekly)
        for fault in recoverable(WHILE_IT_RUNS)
    ],
)
def test_docker_comes_back(soak: Soak, fault: Fault) -> None:
    """FAULTS 8-10, 13, 17: in time, the counter where it was, no stranger signalled, no second VM."""
    soak.undergo(fault)


def test_nothing_has_piled_up(soak: Soak) -> None:
    soak.check_processes()

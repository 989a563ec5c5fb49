"""What the documents show is run, as it is written, on one Mac with Homebrew: `life.py` tells how."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.e2e.life import LIFE, Life, Step, live
from tests.mac.machine import Mac
from tests.terminal import Terminal


@pytest.fixture(scope="module")
def life(make_mac: Callable[..., Mac], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    mac = make_mac(installed=())
    by_hand = mac.directory.parent / "by-hand"
    home = tmp_path_factory.mktemp("readme") / "home"
    yield Life(mac, Terminal(home, mac, {"COLIMA_PULSE_MACS": str(by_hand)}))
    for each in by_hand.glob("*/machine.json"):
        Mac.attach(each.parent).destroy()


def take(life: Life, step: Step) -> None:
    assert not life.ended, f"not run, for a step before it failed: {life.ended}"
    life.ended = step.command
    live(life, step)
    life.ended = ""


@pytest.mark.parametrize("step", [step for step in LIFE if not step.weekly], ids=lambda step: step.command)
def test_step(life: Life, step: Step) -> None:
    take(life, step)


@pytest.mark.weekly
@pytest.mark.parametrize("step", LIFE, ids=lambda step: step.command)
def test_every_step(life: Life, step: Step) -> None:
    take(life, step)


@pytest.mark.weekly
def test_demo(life: Life) -> None:
    live(life, Step("make demo", says=("is ready: ", "The second deploy changed nothing.")))

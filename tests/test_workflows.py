"""What the workflows type is what a test has typed: on a stand-in Mac, as its administrator.

A step is a line that a person can type. One that is not run here says why.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from settings import Settings, read_env
from tests.checkout import ROOT
from tests.mac.machine import Mac, missing
from tests.terminal import Terminal

WORKFLOWS = sorted((ROOT / ".github" / "workflows").iterdir())

CONTRACTS = "make contracts HOST=@local YES=--yes-really KEEP=kept"
ELSEWHERE = {
    "sudo sh tests/mac/prepare": "make test begins with it",
    "make lint PYTHON=python3": ".ci/run runs it",
    "sudo --preserve-env=CI make test": "this is it",
    "make test": "those of these tests that need no stand-in, with Apple's own tools",
    "brew install uv": "the README's first command, which tests/e2e/life.py types",
    "cp .github/slow.env .env": "test_slow_settings reads it",
    "make acceptance HOST=@local YES=--yes-really KEEP=kept": "tests/e2e/test_acceptance.py runs it",
}


def test_every_step_has_its_place() -> None:
    found = [
        step for path in WORKFLOWS for step in re.findall(r"(?m)^ *(?:- )?run: *(.+)$", path.read_text())
    ]
    assert set(found) == {CONTRACTS, *ELSEWHERE}


def test_slow_settings() -> None:
    values = read_env(ROOT / ".github" / "slow.env")
    assert len(values) == 4
    assert Settings.parse({**values, "homebrew_user": "runner"})[1] == []


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """One with a clone, as actions/checkout leaves it."""
    if lacking := missing():
        pytest.skip("the stand-in Mac cannot boot here: " + "; ".join(lacking))
    directory = tmp_path_factory.mktemp("runner")
    mac = Mac("macmini", directory / "macmini", installed=())
    mac.boot()
    try:
        terminal = Terminal(directory / "home", mac)
        terminal.clone()
        yield terminal
    finally:
        mac.destroy()


def test_contracts(terminal: Terminal) -> None:
    seen = terminal.run_on_mac(CONTRACTS)
    assert seen.status == 0, seen.text
    assert re.search(r"= \d+ passed in ", seen.text), seen.text


def test_what_is_kept(terminal: Terminal) -> None:
    """It can go to tests/recordings as it is."""
    kept = terminal.mac.path(terminal.mac.user("admin").home) / "colima-pulse" / "kept"
    assert (kept / "README.md").read_text() == "What macOS 15.5 on arm64 said.\n"
    recorded = {re.sub(r"\d+", "15", path.name) for path in (ROOT / "tests/recordings/launchctl").iterdir()}
    assert recorded <= {path.name for path in (kept / "launchctl").iterdir()}
    assert (kept / "facts" / "mac.Mac-macos15.json").exists()
    assert (kept / "deploys" / "diagnose-macos15.txt").exists()

"""brew is called for what is missing, and not at all when nothing is."""

from __future__ import annotations

import pytest
from pyinfra.api import OperationError

from facts.homebrew import Homebrew, HomebrewState, Outdated, Upgrade
from operations.homebrew import formulae, upgraded
from tests.conftest import RunOperation
from tests.fakes import words


@pytest.mark.parametrize(
    ("tools", "names"),
    [
        ("colima limactl docker qemu-img", []),
        ("", ["colima", "docker", "qemu"]),
        ("colima docker qemu-img", ["colima"]),  # limactl comes with colima
        ("colima limactl docker", ["qemu"]),
    ],
)
def test_what_is_missing_is_installed(commands: RunOperation, tools: str, names: list[str]) -> None:
    found = HomebrewState("/opt/homebrew", "/opt/homebrew/bin/brew", "alice", tuple(tools.split()))
    got, host = commands(formulae, {Homebrew: found}, label="a.b")
    assert [words(each) for each in got] == ([["install-formulae", "a.b", *names]] if names else [])
    assert host.logged == ([f"Install {', '.join(names)} with Homebrew"] if names else [])
    assert len(host.noops) == (not names)


def test_unreadable(commands: RunOperation) -> None:
    with pytest.raises(OperationError):
        commands(formulae, {Homebrew: None}, executing=False, label="a.b")
    got, _ = commands(formulae, {Homebrew: None}, label="a.b")
    assert [words(each)[0] for each in got] == ["refuse"]


def test_what_is_outdated_is_upgraded(commands: RunOperation) -> None:
    upgrades = [Upgrade("colima", "0.10.3", "0.10.4"), Upgrade("qemu", "10.1.2", "10.2.0")]
    got, host = commands(upgraded, {Outdated: upgrades}, label="a.b", user="alice")
    assert [words(each) for each in got] == [["upgrade-formulae", "a.b", "colima", "qemu"]]
    assert host.logged == ["Upgrade colima 0.10.3 -> 0.10.4, qemu 10.1.2 -> 10.2.0 with Homebrew"]
    got, host = commands(upgraded, {Outdated: []}, label="a.b", user="alice")
    assert (got, host.logged, host.noops) == (
        [],
        [],
        [newest := "Homebrew has no newer colima, lima or qemu"],
    )
    _, host = commands(upgraded, {Outdated: []}, executing=False, label="a.b", user="alice")
    assert host.logged == [newest]


def test_a_brew_that_does_not_tell(commands: RunOperation) -> None:
    with pytest.raises(OperationError, match="as alice: brew outdated colima lima qemu"):
        commands(upgraded, {Outdated: None}, executing=False, label="a.b", user="alice")
    got, _ = commands(upgraded, {Outdated: None}, label="a.b", user="alice")
    assert [words(each)[0] for each in got] == ["refuse"]

"""brew is called for what is missing, and not at all when nothing is."""

from __future__ import annotations

import pytest
from pyinfra.api import FunctionCommand, OperationError
from pyinfra.facts.brew import BrewPackages

from facts.mac import Homebrew, HomebrewState
from operations.homebrew import describe, formulae, missing
from operations.util.remote import LiveCommand
from tests.conftest import RunOperation
from tests.fakes import words

ALL = ("colima", "limactl", "docker", "qemu-img")


def homebrew(*tools: str) -> HomebrewState:
    return HomebrewState("/opt/homebrew", "/opt/homebrew/bin/brew", "alice", tools)


def brew_is_not_asked(**_: object) -> object:
    raise AssertionError("brew was called")


@pytest.mark.parametrize(
    ("tools", "names"),
    [
        (ALL, []),
        ((), ["colima", "docker", "qemu"]),
        (("colima", "docker", "qemu-img"), ["colima"]),  # limactl comes with colima
        (("colima", "limactl", "docker"), ["qemu"]),
    ],
)
def test_missing(tools: tuple[str, ...], names: list[str]) -> None:
    assert missing(tools) == names
    assert all(name in str(describe(homebrew(*tools))) for name in names)
    assert (describe(homebrew(*tools)) is None) is (not names)


def test_nothing_to_do(commands: RunOperation) -> None:
    got, host = commands(formulae, {Homebrew: homebrew(*ALL), BrewPackages: brew_is_not_asked})
    assert got == []
    assert len(host.noops) == 1


def test_install(commands: RunOperation) -> None:
    got, _ = commands(formulae, {Homebrew: homebrew("docker"), BrewPackages: {"docker": ["28"]}})
    assert [words(each) for each in got] == [["brew", "install", "colima", "qemu"]]
    assert isinstance(got[0], LiveCommand)


def test_installed_and_not_linked(commands: RunOperation) -> None:
    facts = {Homebrew: homebrew("colima", "limactl", "docker"), BrewPackages: {"qemu": ["9.1"]}}
    with pytest.raises(OperationError, match="brew link qemu"):
        commands(formulae, facts, executing=False)


def test_unreadable(commands: RunOperation) -> None:
    with pytest.raises(OperationError):
        commands(formulae, {Homebrew: None, BrewPackages: brew_is_not_asked}, executing=False)
    got, _ = commands(formulae, {Homebrew: None, BrewPackages: brew_is_not_asked})
    assert [type(each) for each in got] == [FunctionCommand]

"""brew is called for what is missing, and not at all when nothing is."""

from __future__ import annotations

import pytest
from pyinfra.api import FunctionCommand, OperationError

from facts.mac import Homebrew, HomebrewState
from operations.homebrew import describe, formulae, missing
from operations.util.remote import LiveCommand
from tests.conftest import RunOperation
from tests.fakes import words

ALL = ("colima", "limactl", "docker", "qemu-img")


def homebrew(*tools: str) -> HomebrewState:
    return HomebrewState("/opt/homebrew", "/opt/homebrew/bin/brew", "alice", tools)


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
    got, host = commands(formulae, {Homebrew: homebrew(*ALL)}, user="alice")
    assert got == []
    assert len(host.noops) == 1


def test_install(commands: RunOperation) -> None:
    got, _ = commands(formulae, {Homebrew: homebrew("docker")}, user="alice")
    assert [words(each) for each in got] == [["install-formulae", "alice", "colima", "qemu"]]
    assert isinstance(got[0], LiveCommand)


def test_unreadable(commands: RunOperation) -> None:
    with pytest.raises(OperationError):
        commands(formulae, {Homebrew: None}, executing=False, user="alice")
    got, _ = commands(formulae, {Homebrew: None}, user="alice")
    assert [type(each) for each in got] == [FunctionCommand]

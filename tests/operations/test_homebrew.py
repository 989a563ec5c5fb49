"""brew is called for what is missing, and not at all when nothing is."""

from __future__ import annotations

import pytest
from pyinfra.api import OperationError

from facts.mac import Homebrew, HomebrewState
from operations.homebrew import formulae
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

"""A deploy at an administrator's terminal on a Mac on which alice has replaced what Homebrew installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import MakeMac
from tests.mac.machine import Mac
from tests.terminal import Terminal

# Says where it could be read that it has the administrator's terminal, and that it ran.
REPLACED = """#!/bin/sh
echo "$0" >>/Users/alice/ran
{ printf 'Password:' >/dev/tty; } 2>/dev/null && echo "$0" >>/Users/alice/asked
for descriptor in 0 1 2; do
    if [ -t $descriptor ]; then echo "$0" >>/Users/alice/asked; fi
done
exit 1
"""


@pytest.fixture(scope="module")
def mac(make_mac: MakeMac) -> Mac:
    made: Mac = make_mac(installed=())
    made.run(["/bin/mkdir", "-p", "/Users/alice/.colima/_lima/colima"], user="alice")
    for name in ("limactl", "brew"):
        program = made.path(f"/opt/homebrew/bin/{name}")
        program.write_text(REPLACED)
        program.chmod(0o755)
    return made


@pytest.mark.parametrize(
    ("command", "runs"),
    [
        ("pyinfra @local deploy.py --dry", "limactl"),
        ("pyinfra @local deploys/status.py", "limactl"),
        ("pyinfra @local deploys/diagnose.py", "limactl"),
        ("pyinfra @local deploy.py -y", "brew"),
    ],
)
def test_what_she_replaced_has_no_terminal(mac: Mac, tmp_path: Path, command: str, runs: str) -> None:
    terminal = Terminal(tmp_path / "home", mac)
    terminal.clone()
    terminal.configure({"HOMEBREW_USER": "alice"})
    if runs == "brew":
        # With an instance that limactl does not tell of a deploy is refused before.
        mac.run(["/bin/rm", "-r", "/Users/alice/.colima/_lima"])
    seen = terminal.run_on_mac(command)
    assert f"/opt/homebrew/bin/{runs}" in mac.path("/Users/alice/ran").read_text(), seen.text
    assert not mac.path("/Users/alice/asked").exists(), seen.text
    assert "Password:" not in seen.text

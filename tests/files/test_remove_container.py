"""files/remove-container: only what an installer has made goes, and by its id."""

from __future__ import annotations

import subprocess

import pytest

from tests.files.conftest import Mac
from tests.files.test_lib import HOSTILE

ID = "a1" * 32
SPEC = "5" * 64
DOCKER = """
shift 3
case "$1" in
inspect) {inspect} ;;
rm) {rm} ;;
esac
"""


def remove(mac: Mac, inspect: str, rm: str = "echo $3") -> subprocess.CompletedProcess[str]:
    mac.brewed("docker", DOCKER.format(inspect=inspect, rm=rm))
    return mac.run("remove-container", "alice", "default", "old", env=HOSTILE)


def removed(mac: Mac) -> list[list[str]]:
    return [call[3:] for call in mac.calls("docker") if call[3] == "rm"]


@pytest.mark.parametrize("warns", ["", "echo 'WARNING: Error loading config file' >&2;"])
def test_it_goes(mac: Mac, warns: str) -> None:
    done = remove(mac, f"{warns} echo {ID} {SPEC}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    # Its anonymous volumes stay as well: no --volumes.
    assert removed(mac) == [["rm", "--force", ID]]
    assert mac.calls("docker")[0][-1] == "old"


@pytest.mark.parametrize("said", [f"'{ID} '", ID, "''", f"'x {ID} {SPEC}'", "' '"])
def test_what_no_installer_made_stays(mac: Mac, said: str) -> None:
    done = remove(mac, f"echo {said}")
    assert (done.returncode, done.stdout) == (1, "no installer has made it: it stays\n")
    assert removed(mac) == []


def test_what_is_gone_is_no_failure(mac: Mac) -> None:
    done = remove(mac, "echo 'Error: No such container: old' >&2; exit 1")
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("inspect", "rm"),
    [
        ("echo 'Cannot connect' >&2; exit 1", "exit 0"),
        (f"echo {ID} {SPEC}", "echo 'Cannot connect' >&2; exit 1"),
    ],
)
def test_a_failure_is_said(mac: Mac, inspect: str, rm: str) -> None:
    done = remove(mac, inspect, rm)
    assert (done.returncode, done.stdout) == (1, "Cannot connect\n")

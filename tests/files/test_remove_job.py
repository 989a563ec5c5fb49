"""bin/remove-job: a job is unloaded, its property list kept, and nobody but its owner's hands touch it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.files.conftest import LABEL, Mac
from tests.files.test_rivals import as_the_user

SECRET = "root's own"
TARGET = "gui/501/homebrew.mxcl.colima"


@pytest.fixture
def agents(mac: Mac) -> Path:
    """The directory of the user's agents, where launchd has no such job any more."""
    mac.become("root")
    mac.configure()
    mac.tool("/bin/launchctl", "exit 113")
    for directory in ("LaunchDaemons", "LaunchAgents"):
        (mac.root / "Library" / directory).mkdir()
    agents = mac.home / "Library/LaunchAgents"
    agents.mkdir(parents=True)
    return agents


def remove(mac: Mac, path: Path | str, edits: dict[str, str] | None = None) -> tuple[int, str]:
    words = (LABEL, "gui/501", "homebrew.mxcl.colima", path, mac.home / "back up")
    done = mac.run("bin/remove-job", *words, edits=edits)
    return done.returncode, done.stdout + done.stderr


def kept(mac: Mac) -> dict[str, str]:
    """The files in the backup directory, by the paths that they had."""
    files = [path for path in (mac.home / "back up").rglob("*") if path.is_file()]
    return {
        re.sub(rf"^{mac.home}/back up/launchd-\d{{8}}-\d{{6}}", "", str(path)): path.read_text()
        for path in files
    }


@pytest.mark.parametrize(("bootout", "shown"), [(0, 113), (3, 113), (36, 113), (125, 125), (112, 112)])
def test_unloaded_and_moved(mac: Mac, agents: Path, bootout: int, shown: int) -> None:
    """112 and 125: there is no gui domain while nobody is logged in, and so the agent does not run."""
    mac.tool("/bin/launchctl", f"[ $1 = bootout ] && exit {bootout}; exit {shown}")
    path = agents / "a b.plist"
    path.write_text("mine")
    status, said = remove(mac, path)
    assert status == 0
    assert said.startswith("homebrew.mxcl.colima is unloaded\nits file is kept as ")
    assert mac.calls("launchctl") == [["bootout", TARGET], ["print", TARGET]]
    assert kept(mac) == {str(path): "mine"}
    assert (mac.home / "back up").stat().st_mode & 0o777 == 0o700


def test_another_deploy_was_first(mac: Mac, agents: Path) -> None:
    assert remove(mac, agents / "x.plist") == (0, "homebrew.mxcl.colima is unloaded\n")


def test_bootout_refused(mac: Mac, agents: Path) -> None:
    path = agents / "x.plist"
    path.write_text("mine")
    for status in (1, 5, 150):
        mac.tool("/bin/launchctl", f"echo 'not now' >&2; exit {status}")
        assert remove(mac, path) == (1, f"launchctl bootout {TARGET}: {status}: not now\n")
    assert path.exists()


def test_it_does_not_end(mac: Mac, agents: Path) -> None:
    mac.tool("/bin/launchctl", "exit 0")
    path = agents / "x.plist"
    path.write_text("mine")
    status, said = remove(mac, path, {"await 60": "await 0"})
    assert (status, path.exists()) == (1, True)
    assert f"still loaded. Look: sudo launchctl print {TARGET}" in said


def test_an_agent_of_the_home_is_moved_by_the_user_alone(mac: Mac, agents: Path) -> None:
    """Root would see another file under that name, and another directory for the copies."""
    path = agents / "a b.plist"
    path.write_text("mine")
    home, aside = mac.home, mac.root / "aside"
    as_the_user(
        mac,
        f"mv '{home}' '{home}.root'; mv '{aside}' '{home}'",
        f"mv '{home}' '{aside}'; mv '{home}.root' '{home}'",
    )
    home.rename(aside)
    agents.mkdir(parents=True)
    path.write_text(SECRET)
    assert remove(mac, path)[0] == 0
    assert (path.read_text(), kept(mac)) == (SECRET, {})
    home.rename(mac.root / "root's")
    aside.rename(home)
    assert kept(mac) == {str(path): "mine"}
    assert not path.exists()


def test_roots_own_is_copied_by_the_user_and_removed_by_root(mac: Mac, agents: Path) -> None:
    paths = [mac.root / f"Library/{each}/a b.plist" for each in ("LaunchDaemons", "LaunchAgents")]
    for path in paths:
        path.write_bytes(b"bplist00\0\n\n")
        assert remove(mac, path)[0] == 0
        assert not path.exists()
    assert kept(mac) == {str(path): "bplist00\0\n\n" for path in paths}


def test_what_is_no_file_any_more_is_left(mac: Mac, agents: Path) -> None:
    secret = mac.root / "secret"
    secret.write_text(SECRET)
    for directory in (agents, mac.root / "Library/LaunchDaemons"):
        (directory / "link.plist").symlink_to(secret)
        (directory / "directory.plist").mkdir()
        os.mkfifo(directory / "pipe.plist")
        for path in list(directory.iterdir()):
            status, said = remove(mac, path)
            assert status != 0
            assert f"{path} is not a regular file" in said
            assert os.path.lexists(path)
    assert (secret.read_text(), kept(mac)) == (SECRET, {})


def test_a_copy_that_is_not_whole_removes_nothing(mac: Mac, agents: Path) -> None:
    path = mac.root / "Library/LaunchDaemons/x.plist"
    path.write_text("whole")
    mac.remove("cat")
    for fault in ("exit 1", "head -c 1"):
        mac.tool("/bin/cat", f'[ "$#" = 1 ] || exit 2; {fault} "$1"')
        status, said = remove(mac, path)
        assert (status, path.read_text()) == (1, "whole")
        assert said.endswith(f"{path} stays, and starts its job again at the next boot or login\n")
    mac.tool("/usr/bin/sudo", "echo 'unknown user' >&2; exit 1")
    assert remove(mac, path)[0] == 1
    assert path.read_text() == "whole"


def test_a_path_of_no_directory_of_launchds(mac: Mac, agents: Path) -> None:
    for path in ("/etc/x.plist", "x.plist", agents / "a/x.plist"):
        status, said = remove(mac, path)
        assert (status, "in no directory of launchd's" in said) == (1, True)
    assert (mac.calls("launchctl"), mac.calls("sudo")) == ([], [])

"""move-aside: a property list is kept in the user's backup, and nobody but its owner's hands touch it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.files.conftest import Mac
from tests.files.test_observe_rivals import as_the_user

SECRET = "root's own"


@pytest.fixture
def agents(mac: Mac) -> Path:
    """The directory of the user's agents, on a Mac where root deploys."""
    mac.become("root")
    mac.link("cmp")
    for directory in ("LaunchDaemons", "LaunchAgents"):
        (mac.root / "Library" / directory).mkdir()
    agents = mac.home / "Library/LaunchAgents"
    agents.mkdir(parents=True)
    return agents


def move(mac: Mac, path: Path | str) -> tuple[int, str]:
    done = mac.run("move-aside", path, mac.home / "back up/1", "alice")
    return done.returncode, done.stdout + done.stderr


def kept(mac: Mac) -> dict[str, str]:
    """The files in the backup directory, by the paths that they had."""
    base = mac.home / "back up/1"
    return {f"/{path.relative_to(base)}": path.read_text() for path in base.rglob("*") if path.is_file()}


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
    assert move(mac, path) == (0, "")
    assert path.read_text() == SECRET
    assert kept(mac) == {}
    home.rename(mac.root / "root's")
    aside.rename(home)
    assert kept(mac) == {str(path): "mine"}
    assert not path.exists()
    assert (home / "back up").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("directory", ["LaunchDaemons", "LaunchAgents"])
def test_roots_own_is_copied_by_the_user_and_removed_by_root(mac: Mac, agents: Path, directory: str) -> None:
    path = mac.root / "Library" / directory / "a b.plist"
    path.write_bytes(b"bplist00\0\n\n")
    assert move(mac, path) == (0, "")
    assert kept(mac) == {str(path): "bplist00\0\n\n"}
    assert not path.exists()


def test_two_of_one_name_are_both_kept(mac: Mac, agents: Path) -> None:
    paths = [
        agents / "x.plist",
        mac.root / "Library/LaunchDaemons/x.plist",
        mac.root / "Library/LaunchAgents/x.plist",
    ]
    for path in paths:
        path.write_text(str(path))
        assert move(mac, path) == (0, "")
    assert kept(mac) == {str(path): str(path) for path in paths}


@pytest.mark.parametrize("swapped", ["link", "directory", "pipe", "endless", "gone"])
@pytest.mark.parametrize("place", ["home", "system"])
def test_what_is_no_file_any_more_is_left(mac: Mac, agents: Path, place: str, swapped: str) -> None:
    secret = mac.root / "secret"
    secret.write_text(SECRET)
    path = (agents if place == "home" else mac.root / "Library/LaunchDaemons") / "x.plist"
    if swapped == "link":
        path.symlink_to(secret)
    elif swapped == "directory":
        path.mkdir()
    elif swapped == "pipe":
        os.mkfifo(path)
    elif swapped == "endless":
        path.symlink_to("/dev/zero")
    status, said = move(mac, path)
    assert status != 0
    assert f"{path} is not a regular file" in said
    assert os.path.lexists(path) is (swapped != "gone")
    assert secret.read_text() == SECRET
    assert kept(mac) == {}


@pytest.mark.parametrize("place", ["home", "system"])
def test_what_was_kept_before_stays(mac: Mac, agents: Path, place: str) -> None:
    path = (agents if place == "home" else mac.root / "Library/LaunchDaemons") / "x.plist"
    path.write_text("new")
    copy = Path(f"{mac.home}/back up/1{path}")
    copy.parent.mkdir(parents=True)
    copy.write_text("old")
    status, said = move(mac, path)
    assert status != 0
    assert f"{copy} is there already" in said
    assert (path.read_text(), copy.read_text()) == ("new", "old")


@pytest.mark.parametrize("fault", ["exit 1", "head -c 1"])
def test_a_copy_that_is_not_whole_removes_nothing(mac: Mac, agents: Path, fault: str) -> None:
    mac.remove("cat")
    mac.tool("/bin/cat", f'[ "$#" = 1 ] || exit 2; {fault} "$1"')
    path = mac.root / "Library/LaunchDaemons/x.plist"
    path.write_text("whole")
    assert move(mac, path)[0] != 0
    assert path.read_text() == "whole"


def test_without_the_user_nothing_is_removed(mac: Mac, agents: Path) -> None:
    mac.tool("/usr/bin/sudo", "echo 'unknown user' >&2; exit 1")
    path = mac.root / "Library/LaunchDaemons/x.plist"
    path.write_text("whole")
    assert move(mac, path) == (1, "unknown user\n")
    assert path.exists()


@pytest.mark.parametrize(
    "path",
    [
        "/Library/LaunchDaemons/../x.plist",
        "/Library/LaunchDaemons/x/y.plist",
        "/Library/LaunchDaemons//x.plist",
        "/Library/x.plist",
        "/Users/bob/Library/LaunchAgents/x.plist",
        "/Users/al ice/Library/LaunchAgents/../x.plist",
        "x.plist",
        "",
    ],
)
def test_no_other_path(mac: Mac, agents: Path, path: str) -> None:
    asked = f"{mac.root}{path}" if path.startswith("/") else path
    there = mac.root / asked
    if path:
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_text("other")
    status, said = move(mac, asked)
    assert status != 0
    assert f"{asked} is in no directory of launchd's" in said
    assert there.exists()
    assert mac.calls("sudo") == []

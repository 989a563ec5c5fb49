"""What is refused before anything is touched."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deploys import faults
from facts.backup import Unit
from facts.colima import LogState, ProfileState
from facts.mac import MacState, NoUser, UserState
from operations.util import terminal
from settings import Settings
from tests.facts.test_mac import mini
from tests.operations.test_containers import DB, HELLO, WEB, installers

MINI = mini(disksleep="0")
BREW = MINI.homebrew
INTEL = replace(MINI, arch="x86_64", homebrew=replace(BREW, prefix="/usr/local", brew="/usr/local/bin/brew"))
ALICE = UserState(502, "/Users/alice", True, "/bin/zsh")
NEW = ProfileState("/Users/alice", "colima", state_dir=False, other_dir=None, data_disk=False)
PROFILE = replace(
    NEW,
    state_dir=True,
    data_disk=True,
    provisioned=True,
    status="Stopped",
    vm_type="qemu",
    runtime="docker",
    disk=20,
)


def settings(**data: Any) -> Settings:
    found, faults = Settings.parse({"homebrew_user": "alice"} | data)
    assert not faults
    return found


def said(found: list[str], says: str) -> None:
    """At most one thing was said, with all of `says`, a line each; nothing where it is empty."""
    assert len(found) == bool(says), found
    assert all(each in found[0] for each in says.splitlines()), found


@pytest.mark.parametrize(
    ("mac", "data", "says"),
    [
        (INTEL, {}, ""),
        (replace(MINI, macos="13.0"), {}, ""),
        (replace(MINI, cpus=None, memory=None), {"colima_cpus": 99}, ""),
        (MINI, {"colima_cpus": 8, "colima_memory": 16, "colima_disk": 228}, ""),
        (replace(MINI, kernel="Linux", macos=None), {}, "Linux"),
        (replace(MINI, arch="riscv"), {}, "riscv"),
        (replace(MINI, macos="12.7.6"), {}, "12.7.6"),
        (replace(MINI, macos=None), {}, "too old"),
        (replace(MINI, homebrew=replace(BREW, brew=None, owner=None)), {}, "Homebrew/install/HEAD"),
        (replace(MINI, homebrew=replace(BREW, brew="/usr/local/bin/brew")), {}, "/usr/local/bin/brew"),
        (MINI, {"colima_cpus": 9}, "COLIMA_CPUS: 9; this Mac has 8 CPUs"),
        (MINI, {"colima_memory": 16.5}, "COLIMA_MEMORY: 16.5; this Mac has 16 GiB"),
        (MINI, {"colima_disk": 229}, "COLIMA_DISK: 229; this Mac has 228 GiB"),
    ],
)
def test_macs(mac: MacState, data: dict[str, Any], says: str) -> None:
    said(faults.mac_faults(settings(**data), mac), says)


# macOS takes 103 bytes; Lima's longest socket is ssh.sock and a dot and 16 characters.
ROOM = 103 - len("/Users/alice/.colima/_lima/colima-/ssh.sock.1234567890123456")
# The default profile's instance is called colima, without a dash.
LONGEST = replace(ALICE, home="/Users/" + "a" * (len("alice") + ROOM + 1))
NO_SHELL = replace(ALICE, shell="/usr/bin/false")


@pytest.mark.parametrize(
    ("user", "data", "says"),
    [
        (None, {}, "cannot be read"),
        (replace(ALICE, uid=0), {}, "root"),
        (replace(ALICE, home="/Volumes/a b", home_present=False), {}, "/Volumes/a b"),
        (replace(ALICE, home="/Users/al\x1b[2Jice"), {}, "control characters"),
        (ALICE, {"homebrew_user": "bob"}, "HOMEBREW_USER: 'bob'; /opt/homebrew/bin/brew belongs to alice"),
        (NoUser(), {"homebrew_user": "bob"}, "no such user; /opt/homebrew/bin/brew belongs to alice"),
        (ALICE, {"colima_profile": "x" * ROOM}, ""),
        (
            ALICE,
            {"colima_profile": "x" * (ROOM + 1)},
            f"at most {ROOM} characters with the home /Users/alice",
        ),
        (LONGEST, {}, ""),
        (replace(LONGEST, home=LONGEST.home + "a"), {}, "none fits"),
        (NO_SHELL, {}, ""),
        (NO_SHELL, {"launch_via": "su"}, "sudo chsh -s /bin/zsh alice\nLAUNCH_VIA=user"),
        (replace(ALICE, shell="/sbin/nologin"), {"launch_via": "su"}, "LAUNCH_VIA=user"),
    ],
)
def test_users(user: UserState | NoUser | None, data: dict[str, Any], says: str) -> None:
    said(faults.user_faults(settings(**data), MINI, user), says)


def test_a_log_in_a_place_of_somebody_elses() -> None:
    assert faults.log_faults(settings(), None) == faults.log_faults(settings(), LogState(0)) == []
    found = faults.log_faults(settings(), LogState(0, "/a is bob's"))
    assert found == ["LOG_PATH: '/var/log/colima.log'; /a is bob's: choose a file in /var/log"]
    (fault,) = faults.log_faults(settings(), LogState(0, "/a does not exist: sudo mkdir -p '/a'"))
    assert fault.endswith("sudo mkdir -p '/a'")


VZ = replace(PROFILE, vm_type="vz")
WORK = replace(PROFILE, profiles=("default", "Work"))
DELETE = "sudo -H -u alice /opt/homebrew/bin/colima delete --force --profile default"


@pytest.mark.parametrize(
    ("profile", "data", "says"),
    [
        (NEW, {}, ""),
        (replace(PROFILE, disk=None, vm_type=None), {}, ""),
        (PROFILE, {"colima_disk": 40}, ""),
        (None, {}, "/opt/homebrew/bin/limactl list"),
        # A VM cannot be converted.
        (VZ, {}, f"vz\n{DELETE}\n--data full_reset=true"),
        (replace(VZ, data_disk=False), {}, "all its images, containers and volumes are in that backup only"),
        (replace(PROFILE, runtime="containerd"), {}, "containerd\nchoose another COLIMA_PROFILE"),
        (PROFILE, {"colima_disk": 10}, "COLIMA_DISK: 10\nset COLIMA_DISK=20"),
        # What is set aside is in nobody's way.
        (VZ, {"full_reset": True}, ""),
        (VZ, {"restore": "x"}, ""),
        (replace(VZ, unfinished="clearing"), {}, ""),
        # On a Mac's disk both are one directory.
        (WORK, {"colima_profile": "Work"}, ""),
        (WORK, {"colima_profile": "woRk", "full_reset": True}, "COLIMA_PROFILE: 'woRk'; there is Work"),
    ],
)
def test_profiles(profile: ProfileState | None, data: dict[str, Any], says: str) -> None:
    said(faults.profile_faults(settings(**data), profile, "/opt/homebrew"), says)


OTHER = "'/Users/al ice/.config/colima'"
TWO = replace(PROFILE, other_dir=OTHER.strip("'"), profiles=("default", "foo"), other_profiles=("work",))
# What each holds, and the ways out as they are typed.
BOTH = f"""\
/Users/alice/.colima is used and holds default, foo
/Users/al ice/.config/colima is not and holds work
mv {OTHER} /Users/alice/.colima.aside;
mv /Users/alice/.colima /Users/alice/.colima.aside && mv {OTHER} /Users/alice/.colima
--data full_reset=true"""


@pytest.mark.parametrize(
    ("profile", "data", "says"),
    [
        (TWO, {}, BOTH),
        (replace(TWO, other_profiles=()), {}, "holds no profile"),
        (replace(TWO, state_dir=False), {}, f"Colima's state is in\nmv {OTHER} /Users/alice/.colima;"),
        # An interrupted reset is what clears the other one, and so does a new one unless it holds more.
        (replace(TWO, unfinished="clearing"), {}, ""),
        (replace(TWO, other_profiles=("default",)), {"full_reset": True}, ""),
        (replace(TWO, other_profiles=("default", "foo", "work")), {"full_reset": True}, "(foo, work)"),
    ],
)
def test_state_directories(profile: ProfileState, data: dict[str, Any], says: str) -> None:
    said(faults.state_faults(settings(**data), profile), says)


UNIT = Unit(
    name="default-1",
    complete=True,
    profile="default",
    made="2026-11-22T10:15:30Z",
    kib=1024,
    vm_type="qemu",
    disk=20,
)


@pytest.mark.parametrize(
    ("backups", "says"),
    [
        ([replace(UNIT, name="x"), UNIT], ""),
        (None, "cannot be read"),
        ([], "there is no backup"),
        ([replace(UNIT, name="a"), replace(UNIT, name="b", complete=False)], "there is a"),
        ([replace(UNIT, complete=False)], "not complete"),
        ([replace(UNIT, profile="work")], "COLIMA_PROFILE=work"),
        ([replace(UNIT, vm_type="vz")], "vz"),
        ([replace(UNIT, disk=40)], "COLIMA_DISK=40"),
    ],
)
def test_backups(backups: list[Unit] | None, says: str) -> None:
    said(faults.backup_faults(settings(restore="default-1"), backups), says)


@pytest.mark.parametrize(
    ("profile", "data", "is_there", "refused"),
    [
        (PROFILE, {}, False, False),
        (PROFILE, {"restart": True}, False, True),
        (PROFILE, {"restart": True}, True, False),
        (PROFILE, {"restart": True, "force_yes": True}, False, False),
        (NEW, {}, False, True),
        (None, {}, False, False),
    ],
)
def test_a_prune_that_nobody_can_confirm(
    monkeypatch: pytest.MonkeyPatch, profile: Any, data: dict[str, Any], is_there: bool, refused: bool
) -> None:
    monkeypatch.setattr(terminal, "is_there", lambda: is_there)
    found = faults.prune_faults(settings(prune_mode="aggressive", **data), profile)
    assert len(found) == refused


@pytest.mark.parametrize(
    ("data", "hosts", "has_terminal", "says"),
    [
        ({}, 5, False, ""),
        ({"full_reset": True}, 5, True, ""),
        ({"full_reset": True, "no_confirm": True}, 1, False, "force_yes=true"),
        ({"full_reset": True, "force_yes": True}, 1, False, ""),
        ({"full_reset": True, "force_yes": True}, 2, False, "--limit"),
        ({"delete_vm": True}, 1, False, "DELETE_VM"),
    ],
)
def test_who_can_confirm(data: dict[str, Any], hosts: int, has_terminal: bool, says: str) -> None:
    said(faults.confirmation_faults(settings(**data), hosts, has_terminal=has_terminal), says)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"only": "web,10-db", "reinstall": "db"}, []),
        ({"only": "wbe"}, ["ONLY: 'wbe'; no installer's name; there is web, db (containers/10-db), hello"]),
        ({"reinstall": "x,web,y"}, ["REINSTALL: 'x'", "REINSTALL: 'y'"]),
        ({"only": "web", "reinstall": "db"}, ["REINSTALL: 'db'; not among only=web"]),
    ],
)
def test_choice_faults(data: dict[str, Any], says: list[str]) -> None:
    found = faults.choice_faults(settings(**data), installers(WEB, DB, HELLO))
    assert len(found) == len(says)
    assert all(fault.startswith(start) for fault, start in zip(found, says, strict=True))

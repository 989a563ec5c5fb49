"""What is refused before anything is touched, and what is only mentioned."""

from __future__ import annotations

import socket
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.api import DeployError
from pyinfra.context import ctx_host

from facts.colima import ColimaProfile, ProfileState
from facts.mac import HomebrewState, Mac, MacState, NoUser, User, UserState
from operations.preflight import Target, check, mac_faults, profile_faults, user_faults, warnings
from settings import Settings
from tests.fakes import FakeHost

GIB = 1024**3
BREW = HomebrewState("/opt/homebrew", "/opt/homebrew/bin/brew", "alice", ("colima", "limactl", "docker"))
MINI = MacState(
    kernel="Darwin",
    macos="15.5",
    arch="arm64",
    rosetta=False,
    cpus=8,
    memory=16 * GIB,
    volume_size=228 * GIB,
    volume_free=100 * GIB,
    homebrew=BREW,
    filevault=False,
    sleep_minutes=0,
    auto_restart=True,
    boot_time=1722409523,
    console_user=None,
)
INTEL = replace(MINI, arch="x86_64", homebrew=replace(BREW, prefix="/usr/local", brew="/usr/local/bin/brew"))
ALICE = UserState(502, 20, "staff", "/Users/alice", True, "/bin/zsh")
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


GOOD = settings()


@pytest.mark.parametrize(
    "mac", [MINI, INTEL, replace(MINI, macos="13.0"), replace(MINI, cpus=None, memory=None)]
)
def test_a_good_mac(mac: MacState) -> None:
    assert mac_faults(GOOD, mac) == []


@pytest.mark.parametrize(
    ("mac", "says"),
    [
        (replace(MINI, kernel="Linux", macos=None), "Linux"),
        (replace(MINI, kernel=""), "not macOS"),
        (replace(MINI, arch="riscv"), "riscv"),
        (replace(MINI, macos="12.7.6"), "12.7.6"),
        (replace(MINI, macos=None), "too old"),
        (replace(MINI, homebrew=replace(BREW, brew=None, owner=None)), "Homebrew/install/HEAD/install.sh"),
        (replace(MINI, homebrew=replace(BREW, brew="/usr/local/bin/brew")), "/usr/local/bin/brew"),
    ],
)
def test_macs_refused(mac: MacState, says: str) -> None:
    (fault,) = mac_faults(GOOD, mac)
    assert says in fault


@pytest.mark.parametrize(
    ("key", "value", "has"),
    [("colima_cpus", 9, "8 CPUs"), ("colima_memory", 16.5, "16 GiB"), ("colima_disk", 229, "228 GiB")],
)
def test_above_the_mac(key: str, value: float, has: str) -> None:
    (fault,) = mac_faults(settings(**{key: value}), MINI)
    assert all(each in fault for each in (key.upper(), str(value), has))


def test_as_large_as_the_mac() -> None:
    assert mac_faults(settings(colima_cpus=8, colima_memory=16, colima_disk=228), MINI) == []


def test_everything_of_a_mac_at_once() -> None:
    mac = replace(MINI, macos="11.0", homebrew=replace(BREW, brew=None))
    assert len(mac_faults(settings(colima_cpus=9, colima_memory=17, colima_disk=300), mac)) == 5


def test_a_good_user() -> None:
    assert user_faults(GOOD, MINI, ALICE) == []
    assert user_faults(GOOD, replace(MINI, homebrew=replace(BREW, owner=None)), ALICE) == []


@pytest.mark.parametrize(
    ("user", "says"),
    [
        (NoUser(), "no such user"),
        (None, "cannot be read"),
        (replace(ALICE, uid=0), "root"),
        (replace(ALICE, home="/Volumes/Data Disk/alice", home_present=False), "/Volumes/Data Disk/alice"),
        (replace(ALICE, home="/Users/" + "a" * 60), "COLIMA_PROFILE"),
    ],
)
def test_users_refused(user: UserState | NoUser | None, says: str) -> None:
    (fault,) = user_faults(GOOD, MINI, user)
    assert says in fault
    assert "alice" in fault or "default" in fault


def test_the_owner_of_homebrew() -> None:
    for user in (ALICE, NoUser()):
        (fault,) = user_faults(settings(homebrew_user="bob"), MINI, user)
        assert all(each in fault for each in ("HOMEBREW_USER", "'bob'", "alice"))


def test_how_long_a_profile_may_be() -> None:
    """macOS takes 103 bytes; Lima's longest socket is ssh.sock and a dot and 16 characters."""
    room = 103 - len("/Users/alice/.colima/_lima/colima-/ssh.sock.1234567890123456")
    assert user_faults(settings(colima_profile="x" * room), MINI, ALICE) == []
    (fault,) = user_faults(settings(colima_profile="x" * (room + 1)), MINI, ALICE)
    assert "COLIMA_PROFILE" in fault


@pytest.mark.parametrize(
    "profile",
    [
        NEW,
        PROFILE,
        replace(PROFILE, status="Running"),
        replace(PROFILE, disk=None, vm_type=None),
        replace(PROFILE, disk=10),
    ],
)
def test_a_good_profile(profile: ProfileState) -> None:
    assert profile_faults(GOOD, profile, "/opt/homebrew") == []


def test_an_existing_vz_profile() -> None:
    (fault,) = profile_faults(GOOD, replace(PROFILE, vm_type="vz"), "/opt/homebrew")
    assert "vz" in fault
    assert "sudo -H -u alice /opt/homebrew/bin/colima delete --force --profile default" in fault
    assert "stays" in fault
    (fault,) = profile_faults(GOOD, replace(PROFILE, vm_type="vz", data_disk=False), "/opt/homebrew")
    assert "ALL" in fault


def test_another_runtime() -> None:
    (fault,) = profile_faults(GOOD, replace(PROFILE, runtime="containerd"), "/opt/homebrew")
    assert "containerd" in fault
    assert "COLIMA_PROFILE" in fault


def test_a_smaller_disk() -> None:
    (fault,) = profile_faults(settings(colima_disk=10), PROFILE, "/opt/homebrew")
    assert all(each in fault for each in ("COLIMA_DISK", "10", "COLIMA_DISK=20"))
    assert profile_faults(settings(colima_disk=40), PROFILE, "/opt/homebrew") == []


def test_a_lima_that_does_not_answer() -> None:
    (fault,) = profile_faults(GOOD, None, "/opt/homebrew")
    assert "/opt/homebrew/bin/limactl list" in fault


def test_no_warnings() -> None:
    assert warnings(GOOD, MINI) == []
    unknown = replace(MINI, filevault=None, sleep_minutes=None, auto_restart=None)
    assert warnings(GOOD, unknown) == []


@pytest.mark.parametrize(
    ("mac", "says"),
    [
        (replace(MINI, filevault=True), "fdesetup authrestart"),
        (replace(MINI, sleep_minutes=10), "pmset -a sleep 0"),
        (replace(MINI, auto_restart=False), "pmset -a autorestart 1"),
        (replace(MINI, rosetta=True), "Rosetta"),
    ],
)
def test_warnings(mac: MacState, says: str) -> None:
    (warning,) = warnings(GOOD, mac)
    assert says in warning


def test_little_memory() -> None:
    (warning,) = warnings(settings(colima_memory="1.5"), MINI)
    assert "COLIMA_MEMORY" in warning
    assert "1.5" in warning


# All of it, on a host


def host(**facts: Any) -> Any:
    return FakeHost(
        {Mac: MINI, User: ALICE, ColimaProfile: PROFILE} | {FACTS[name]: facts[name] for name in facts}
    )


FACTS: dict[str, Any] = {"mac": Mac, "user": User, "profile": ColimaProfile}
DATA: dict[str, Any] = {"homebrew_user": "alice"}


def on(host: Any, data: dict[str, Any]) -> Target:
    """Check a host as pyinfra has it while its deploy is loaded: in its context."""
    try:
        with ctx_host.use(host):
            return check(host, data)
    finally:
        ctx_host.reset()


def refused(data: dict[str, Any], **facts: Any) -> str:
    with pytest.raises(DeployError) as error:
        on(host(**facts), data)
    assert "mini: nothing was touched" in str(error.value)
    return str(error.value)


def test_check() -> None:
    target = on(host(), DATA | {"colima_cpus": "4"})
    assert target.settings == settings(colima_cpus=4)
    assert (target.mac, target.user, target.profile) == (MINI, ALICE, PROFILE)
    assert target.homebrew_env["PATH"].startswith("/opt/homebrew/bin:")


def test_all_faults_in_one_message() -> None:
    """The settings' own, what the Mac says of them, and what the profile says."""
    said = refused(
        DATA | {"colima_cpus": "0", "colima_memory": "lots", "label": "a b", "colima_disk": 10},
        mac=replace(MINI, macos="12.0"),
        user=replace(ALICE, home_present=False),
        profile=replace(PROFILE, vm_type="vz"),
    )
    for each in ("COLIMA_CPUS", "COLIMA_MEMORY", "LABEL", "COLIMA_DISK", "12.0", "/Users/alice", "vz"):
        assert each in said
    assert said.count("\n  - ") == 7


def test_not_a_mac() -> None:
    said = refused({"colima_cpus": "0"}, mac=replace(MINI, kernel="Linux"), user=None, profile=None)
    assert "Linux" in said
    assert "COLIMA_CPUS" in said


def test_unreadable_mac() -> None:
    assert "COLIMA_CPUS" in refused(DATA | {"colima_cpus": "0"}, mac=None)


def test_user_not_given() -> None:
    said = refused({"homebrew_user": ""})
    assert "HOMEBREW_USER=alice" in said  # what to type
    assert "HOMEBREW_USER: not set" in said


def test_whose_homebrew_it_is_is_told_where_it_helps() -> None:
    assert "HOMEBREW_USER=alice" not in refused({"homebrew_user": "root"})
    nobody = replace(MINI, homebrew=replace(BREW, owner=None))
    assert "HOMEBREW_USER=" not in refused({}, mac=nobody)


def test_user_that_cannot_be_one() -> None:
    """A name that is refused never reaches a command."""
    asked: list[str] = []
    said = refused({"homebrew_user": "$(id)"}, user=lambda user: asked.append(user))
    assert "$(id)" in said
    assert asked == []


@pytest.mark.parametrize("user", [NoUser(), None])
def test_what_lima_says_does_not_count_without_a_user(user: NoUser | None) -> None:
    said = refused(DATA, user=user, profile=None)
    assert "alice" in said
    assert "Lima" not in said


def test_only_lima_is_asked_with_sudo() -> None:
    """All are asked at once, and only one of them may ask for sudo's password."""
    asked = {}

    def ask(fact: str, value: object) -> Any:
        return lambda **arguments: asked.update({fact: arguments.get("_sudo")}) or value

    on(host(mac=ask("mac", MINI), user=ask("user", ALICE), profile=ask("profile", PROFILE)), DATA)
    assert asked == {"mac": False, "user": False, "profile": None}


def test_no_terminal_for_sudo() -> None:
    def ask(**_: object) -> None:
        raise EOFError

    with pytest.raises(DeployError, match="NOPASSWD"):
        on(host(profile=ask), DATA)


def test_without_nagle() -> None:
    with socket.socket() as wire:
        transport = SimpleNamespace(sock=wire)
        over_ssh = host()
        over_ssh.connector = SimpleNamespace(client=SimpleNamespace(get_transport=lambda: transport))
        on(over_ssh, DATA)
        assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

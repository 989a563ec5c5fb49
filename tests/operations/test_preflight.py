"""What is refused before anything is touched, and what is only mentioned."""

from __future__ import annotations

import socket
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from operations.preflight import (
    Target,
    backup_faults,
    check,
    log_faults,
    mac_faults,
    profile_faults,
    settings_of,
    state_faults,
    user_faults,
    warnings,
)
from pyinfra.api import DeployError
from pyinfra.context import ctx_host, ctx_state

from facts.backup import Backups, Unit
from facts.colima import ColimaProfile, Log, LogPart, ProfileState
from facts.mac import HomebrewState, Mac, MacState, NoUser, User, UserState
from operations.util import terminal
from operations.util.installer import Installers, parse
from settings import Settings
from tests.fakes import FakeHost, fake_state

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
        (replace(ALICE, home="/Users/al\x1b[2Jice"), "control characters"),
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
    assert f"at most {room} characters with the home /Users/alice" in fault
    # The default one is called colima, without a dash.
    longest = replace(ALICE, home="/Users/" + "a" * (len("alice") + room + 1))
    assert user_faults(GOOD, MINI, longest) == []
    (fault,) = user_faults(GOOD, MINI, replace(longest, home=longest.home + "a"))
    assert "none fits" in fault


@pytest.mark.parametrize("shell", ["/usr/bin/false", "/sbin/nologin"])
def test_su_needs_a_shell_that_runs_something(shell: str) -> None:
    nobody = replace(ALICE, shell=shell)
    assert user_faults(GOOD, MINI, nobody) == []
    assert user_faults(settings(launch_via="su"), MINI, ALICE) == []
    (fault,) = user_faults(settings(launch_via="su"), MINI, nobody)
    assert all(each in fault for each in (shell, "LAUNCH_VIA=user", "sudo chsh -s /bin/zsh alice"))


def test_a_profile_that_differs_in_case_from_another() -> None:
    """On a Mac's disk both are one directory."""
    some = replace(PROFILE, profiles=("default", "Work"))
    assert profile_faults(settings(colima_profile="Work"), some, "/opt/homebrew") == []
    for data in ({}, {"full_reset": True}):
        (fault,) = profile_faults(settings(colima_profile="woRk", **data), some, "/opt/homebrew")
        assert "COLIMA_PROFILE: 'woRk'; there is Work" in fault


def test_a_log_in_a_place_of_somebody_elses() -> None:
    path = "/Users/alice/log/colima.log"
    elsewhere = settings(log_path=path)
    assert log_faults(elsewhere, None) == log_faults(elsewhere, LogPart(0, ())) == []
    why = "/Users/alice is alice's, who could put something else in its place"
    assert log_faults(elsewhere, LogPart(0, (), why)) == [
        f"LOG_PATH: '{path}'; {why}: choose a file in /var/log"
    ]
    (fault,) = log_faults(elsewhere, LogPart(0, (), "/a does not exist: sudo mkdir -p '/a'"))
    assert fault.endswith("sudo mkdir -p '/a'")


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
    assert "--data full_reset=true" in fault
    (fault,) = profile_faults(GOOD, replace(PROFILE, vm_type="vz", data_disk=False), "/opt/homebrew")
    assert "colima delete" not in fault
    assert "backup only" in fault


@pytest.mark.parametrize(
    ("data", "unfinished"), [({"full_reset": True}, None), ({"restore": "x"}, None), ({}, "clearing")]
)
def test_what_is_set_aside_is_in_nobodys_way(data: dict[str, Any], unfinished: str | None) -> None:
    old = replace(PROFILE, vm_type="vz", runtime="containerd", disk=100, unfinished=unfinished)
    assert profile_faults(settings(**data), old, "/opt/homebrew") == []
    assert len(profile_faults(GOOD, replace(old, unfinished=None), "/opt/homebrew")) == 3


TWO = replace(PROFILE, other_dir="/Users/al ice/.config/colima", profiles=("default", "foo"))


def test_two_state_directories() -> None:
    """What each holds, and the ways out as they are typed."""
    (fault,) = state_faults(GOOD, replace(TWO, other_profiles=("work",)))
    assert "/Users/alice/.colima is used and holds default, foo" in fault
    assert "/Users/al ice/.config/colima is not and holds work" in fault
    assert "mv '/Users/al ice/.config/colima' /Users/alice/.colima.aside" in fault
    assert (
        "mv /Users/alice/.colima /Users/alice/.colima.aside && "
        "mv '/Users/al ice/.config/colima' /Users/alice/.colima" in fault
    )
    assert "--data full_reset=true" in fault
    assert "holds no profile" in state_faults(GOOD, TWO)[0]


def test_the_other_state_directory_alone() -> None:
    (fault,) = state_faults(GOOD, replace(TWO, state_dir=False, other_profiles=("default",)))
    assert "mv '/Users/al ice/.config/colima' /Users/alice/.colima;" in fault
    assert "aside" not in fault


def test_a_reset_clears_both_unless_the_other_holds_more() -> None:
    reset = settings(full_reset=True)
    assert state_faults(reset, TWO) == []
    assert state_faults(reset, replace(TWO, other_profiles=("default",))) == []
    (fault,) = state_faults(reset, replace(TWO, other_profiles=("default", "foo", "work")))
    assert "(foo, work)" in fault


def test_one_state_directory() -> None:
    assert state_faults(GOOD, PROFILE) == []
    # An interrupted reset is what clears the other one.
    assert state_faults(GOOD, replace(TWO, unfinished="clearing")) == []


UNIT = Unit(
    name="default-1",
    path="/Users/alice/colima-pulse-backups/default-1",
    complete=True,
    profile="default",
    made="2026-11-22T10:15:30Z",
    kib=1024,
    vm_type="qemu",
    disk=20,
    parts=("disk", "store.json"),
)


@pytest.mark.parametrize(
    ("backups", "says"),
    [
        (None, "cannot be read"),
        ([], "there is no backup"),
        ([replace(UNIT, name="a"), replace(UNIT, name="b", complete=False)], "there is a"),
        ([replace(UNIT, complete=False)], "not complete"),
        ([replace(UNIT, profile="work")], "COLIMA_PROFILE=work"),
        ([replace(UNIT, vm_type="vz")], "vz"),
        ([replace(UNIT, disk=40)], "COLIMA_DISK=40"),
    ],
)
def test_backups_that_cannot_be_put_back(backups: list[Unit] | None, says: str) -> None:
    (fault,) = backup_faults(settings(restore="default-1"), backups)
    assert says in fault
    assert "default-1" in fault


def test_backups_that_can() -> None:
    wanted = settings(restore="default-1", colima_disk=40)
    assert backup_faults(wanted, [replace(UNIT, name="x"), UNIT]) == []
    assert backup_faults(wanted, [replace(UNIT, vm_type=None, disk=None)]) == []


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


def test_power_is_not_mentioned_where_deploys_see_to_it() -> None:
    asleep = replace(MINI, sleep_minutes=1, disk_sleep_minutes=10, auto_restart=False)
    assert warnings(GOOD, asleep) == [
        "this Mac sleeps after 1 min, its disks after 10 min, it stays off after a power failure: "
        "sudo pmset -a sleep 0 disksleep 0 autorestart 1, or POWER=server"
    ]
    assert warnings(settings(power="server"), asleep) == []
    assert warnings(GOOD, replace(MINI, disk_sleep_minutes=10)) == []


def test_little_memory() -> None:
    (warning,) = warnings(settings(colima_memory="1.5"), MINI)
    assert "COLIMA_MEMORY" in warning
    assert "1.5" in warning


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ("--env TOKEN=s3cret", "TOKEN"),
        ("--dns=1.1.1.1 --env=TOKEN=s3cret", "TOKEN"),
        ("--env=A=s3cret,B=s3cret --env C=s3cret=s3cret", "A, B, C"),
        ("""--env='"A=1,s3cret=2"'""", "A"),
    ],
)
def test_variables_in_the_plist(flags: str, names: str) -> None:
    (warning,) = warnings(settings(colima_extra_args=flags), MINI)
    assert f"sets {names} with --env" in warning
    assert "containers/.env" in warning
    assert "s3cret" not in warning


def test_flags_that_set_no_variable() -> None:
    assert warnings(settings(colima_extra_args="--dns=1.1.1.1 --env-file=a=b --env"), MINI) == []


# All of it, on a host


def host(**facts: Any) -> Any:
    return FakeHost(
        {Mac: MINI, User: ALICE, ColimaProfile: PROFILE, Log: LogPart(0, ())}
        | {FACTS[name]: facts[name] for name in facts}
    )


FACTS: dict[str, Any] = {"mac": Mac, "user": User, "profile": ColimaProfile, "log": Log}
DATA: dict[str, Any] = {"homebrew_user": "alice"}
NO_INSTALLERS = Installers((), (), ())


def on(
    host: Any,
    data: dict[str, Any],
    *,
    previews: bool = False,
    hosts: int = 1,
    installers: Installers = NO_INSTALLERS,
) -> Target:
    """Check a host as pyinfra has it while its deploy is loaded: in its context. All data is from --data."""
    state = fake_state(executing=False, reads=previews)
    try:
        with ctx_host.use(host), ctx_state.use(state):
            return check(host, data, data, installers, hosts)
    finally:
        ctx_host.reset()
        ctx_state.reset()


def test_a_log_that_root_may_not_touch_is_refused() -> None:
    """Nothing of it is read to see that."""

    def log(**asked: Any) -> LogPart:
        assert asked == {"path": "/a/b.log", "offset": -1}
        return LogPart(0, (), "/a is bob's")

    assert "LOG_PATH: '/a/b.log'; /a is bob's" in refused(DATA | {"log_path": "/a/b.log"}, log=log)


def refused(data: dict[str, Any], **facts: Any) -> str:
    with pytest.raises(DeployError) as error:
        on(host(**facts), data)
    assert "mini: nothing was touched" in str(error.value)
    return str(error.value)


def test_check() -> None:
    target = on(host(), DATA | {"colima_cpus": "4"})
    assert target.settings == settings(colima_cpus=4)
    assert (target.mac, target.user, target.profile) == (MINI, ALICE, PROFILE)


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


def test_installers_are_among_the_faults() -> None:
    web, _ = parse("00-web", b"docker run --name web nginx\n")
    assert web is not None
    found = Installers((web,), ("containers/b:1: there is no command in it",), ())
    with pytest.raises(DeployError) as error:
        on(host(), DATA | {"only": "wbe", "colima_cpus": "0"}, installers=found)
    said = str(error.value)
    assert "containers/b:1" in said
    assert "COLIMA_CPUS" in said
    assert "ONLY: 'wbe'; no installer's name; there is web (containers/00-web)" in said


@pytest.fixture
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "is_there", lambda: False)


@pytest.mark.usefixtures("no_terminal")
def test_a_reset_that_nobody_can_confirm() -> None:
    reset = DATA | {"full_reset": True}
    said = refused(reset | {"colima_cpus": "0"})
    assert "force_yes=true" in said
    assert "COLIMA_CPUS" in said
    # What is only previewed is not refused.
    target = on(host(), reset, previews=True)
    assert (target.replaced, target.first_start) == (True, True)
    with pytest.raises(DeployError, match="2 hosts at once"):
        on(host(), reset | {"force_yes": True}, hosts=2)
    assert on(host(), reset | {"force_yes": True}).replaced


def test_danger_in_an_inventory_is_passed_over() -> None:
    over = host()
    state = fake_state(executing=False)
    try:
        with ctx_host.use(over), ctx_state.use(state):
            target = check(over, DATA | {"full_reset": True}, DATA, NO_INSTALLERS)
    finally:
        ctx_host.reset()
        ctx_state.reset()
    assert not target.settings.full_reset
    assert "full_reset" in over.said


def test_the_settings_of_a_deploy_file_that_makes_nothing_anew() -> None:
    over = host()
    asked = {"lines": 7}
    wrong = {"lines": "many", "follow": "x"}
    try:
        with ctx_host.use(over), ctx_state.use(fake_state(executing=False)):
            found = settings_of(over, DATA | asked | {"delete_vm": True}, asked)
            with pytest.raises(DeployError) as error:
                settings_of(over, DATA | wrong, wrong)
    finally:
        ctx_host.reset()
        ctx_state.reset()
    assert (found.lines, found.delete_vm) == (7, False)
    assert "delete_vm in an inventory is ignored" in over.said
    assert "mini: nothing was touched" in str(error.value)
    assert "LINES" in str(error.value)
    assert "FOLLOW" in str(error.value)


def test_what_a_restore_checks() -> None:
    found = host(profile=replace(PROFILE, vm_type="vz"))
    found.facts[Backups] = lambda **asked: [UNIT] if asked["backup"] == "/Users/alice/b" else None
    target = on(found, DATA | {"restore": "default-1", "backup_dir_base": "b"})
    assert (target.replaced, target.first_start) == (True, False)
    assert target.place.unit.startswith("/Users/alice/b/default-2")
    with pytest.raises(DeployError, match="default-1"):
        on(found, DATA | {"restore": "default-2", "backup_dir_base": "b"})


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


def test_commands_travel_fast() -> None:
    with socket.socket() as wire:
        transport = SimpleNamespace(sock=wire, open_session=print, is_active=lambda: True)
        over_ssh = host()
        over_ssh.connector = SimpleNamespace(client=SimpleNamespace(get_transport=lambda: transport))
        on(over_ssh, DATA)
        assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert transport.open_session is not print

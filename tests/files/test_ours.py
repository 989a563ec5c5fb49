"""ours and shared: whose process is it? A wrong yes kills a stranger, a wrong no leaves a VM alone."""

from __future__ import annotations

import pytest

from tests.files.conftest import Mac

ALICE = 501
HOMES = ["/Users/alice", "/Users/al ice", "/Volumes/Big (1) [x]+/al.ice"]


def instance(home: str, name: str) -> list[str]:
    """What runs of one instance on QEMU, whatever started it (contracts: processes, by path)."""
    lima = f"{home}/.colima/_lima"
    return [
        f"/opt/homebrew/bin/limactl hostagent --pidfile {lima}/{name}/ha.pid --socket {lima}/{name}/ha.sock "
        f"--guestagent /opt/homebrew/share/lima/lima-guestagent.Linux-aarch64.gz {name}",
        f"limactl hostagent --pidfile {lima}/{name}/ha.pid",
        f"/opt/homebrew/bin/qemu-system-aarch64 -m 2048 -cpu host -machine virt,accel=hvf -smp 2 "
        f"-drive file={lima}/{name}/diffdisk,if=virtio -name lima-{name} -pidfile {lima}/{name}/qemu.pid",
        f"qemu-system-x86_64 -pidfile {lima}/{name}/qemu.pid -name lima-{name}",
        f"ssh: {lima}/{name}/ssh.sock [mux]",
    ]


def starts(profile: str) -> list[str]:
    """The forms in which `colima start` names a profile."""
    words = [
        f"start --profile={profile} --runtime docker --vm-type qemu --cpu 2 --foreground",
        f"start --foreground --profile={profile}",
        f"start --profile {profile}",
        f"start --cpu 2 -p {profile} --foreground",
        f"start -p={profile}",
        f"start -p{profile}",
        f"start {profile}",
        f"start {profile} --foreground",
        f"-p {profile} start",
        f"--profile={profile} start --foreground",
    ]
    return [f"/opt/homebrew/bin/colima {each}" for each in words] + [
        f"colima start --profile={profile}",
        f"/bin/sh /Library/ColimaPulse/launch /opt/homebrew/bin/colima start --profile={profile} -f",
    ]


UNNAMED_STARTS = [
    "colima start",
    "/opt/homebrew/bin/colima start --foreground",
    "/usr/local/bin/colima start --cpu 4 --memory 8 --vm-type qemu -f",
]


def innocent(home: str, name: str, profile: str) -> list[str]:
    """What has the words of an instance in it and is none."""
    lima = f"{home}/.colima/_lima"
    return [
        f"vim {lima}/{name}/ha.pid",
        f"grep -r --pidfile {lima}/{name}/ha.pid /var/log",
        f"tail -F {lima}/{name}/ha.stderr.log",
        f"/bin/sh -c limactl hostagent --pidfile {lima}/{name}/ha.pid --socket x",
        f"less /tmp/limactl hostagent --pidfile {lima}/{name}/ha.pid ",
        f"limactl shell --workdir / {name} cat --pidfile {lima}/{name}/ha.pid",
        f"limactl hostagent --pidfile {lima}/{name}/ha.pid.old --socket x",
        f"limactl hostagent --pidfile /backup{lima}/{name}/ha.pid --socket x",
        f"python3 qemu-system-aarch64 -pidfile {lima}/{name}/qemu.pid",
        f"qemu-system-aarch64 -name lima-{name} -pidfile /var/run/other.pid",
        f"qemu-img info {lima}/{name}/diffdisk -pidfile {lima}/{name}/qemu.pid",
        f"ssh: {lima}/{name}/ssh.sock.k3dJ2 [mux]",
        f"echo ssh: {lima}/{name}/ssh.sock [mux]",
        f"vim colima start --profile={profile}",
        f"man colima start --profile={profile}",
        f"colima stop --profile={profile}",
        f"colima status -p {profile}",
        f"colima ssh --profile={profile} -- colima start",
        f"colima started --profile={profile}",
        f"/opt/homebrew/bin/mycolima start --profile={profile}",
        f"su - alice -c colima start --profile={profile}",
        f"/bin/sh /tmp/launch /opt/homebrew/bin/colima start --profile={profile}",
        f"limactl usernet -p {lima}/_networks/user-v2/usernet_user-v2.pid",
    ]


def listed(mac: Mac, home: str, profile: str, commands: list[str], uid: int = ALICE) -> list[str]:
    """Which of the commands, run by a user, ours lists for alice's profile."""
    mac.table(*((1000 + number, uid, command) for number, command in enumerate(commands)))
    done = mac.call('ours 501 "$1" "$2"', home, profile)
    assert (done.returncode, done.stderr) == (0, "")
    moved = [mac.path(command) for command in commands]
    found = sorted(done.stdout.splitlines())
    pairs = [line.split(" ", 1) for line in found]
    assert all(moved[int(pid) - 1000] == command for pid, command in pairs), "a pid with another's command"
    return [commands[int(pid) - 1000] for pid, _ in pairs]


@pytest.mark.parametrize("home", HOMES)
@pytest.mark.parametrize("profile, name", [("default", "colima"), ("web", "colima-web")])
def test_what_runs_of_the_profile_is_ours(mac: Mac, home: str, profile: str, name: str) -> None:
    assert listed(mac, home, profile, instance(home, name)) == instance(home, name)


@pytest.mark.parametrize("profile", ["default", "web"])
@pytest.mark.parametrize("form", range(len(starts(""))))
def test_a_colima_start_is_ours_however_it_names_the_profile(one_mac: Mac, form: int, profile: str) -> None:
    assert listed(one_mac, "/Users/alice", profile, [starts(profile)[form]]) == [starts(profile)[form]]


def test_a_colima_start_that_names_no_profile_is_the_defaults(mac: Mac) -> None:
    assert listed(mac, "/Users/alice", "default", UNNAMED_STARTS) == UNNAMED_STARTS
    assert listed(mac, "/Users/alice", "web", UNNAMED_STARTS) == []


@pytest.mark.parametrize(
    "start",
    [
        *starts("foo"),
        "colima start --foreground foo",
        "colima start --cpu 2 foo",
        "colima start --cpu 2 -f foo",
    ],
)
def test_anothers_colima_start_is_not_the_defaults(one_mac: Mac, start: str) -> None:
    assert listed(one_mac, "/Users/alice", "default", [start]) == []


@pytest.mark.parametrize(
    "asked, other",
    [
        ("default", "foo"),
        ("default", "default-2"),
        ("foo", "default"),
        ("foo", "foo-2"),
        ("foo", "my-foo"),
        ("foo", "fo"),
        ("f.o", "foo"),
    ],
)
def test_another_profile_is_never_ours(mac: Mac, asked: str, other: str) -> None:
    name = "colima" if other == "default" else f"colima-{other}"
    strangers = instance("/Users/alice", name) + starts(other)
    assert listed(mac, "/Users/alice", asked, strangers) == []


@pytest.mark.parametrize("asked, other", [("/Users/al", "/Users/alice"), ("/Users/a.ice", "/Users/alice")])
def test_another_homes_instance_is_never_ours(mac: Mac, asked: str, other: str) -> None:
    assert listed(mac, asked, "default", instance(other, "colima")) == []


@pytest.mark.parametrize("uid", [0, 502, 50, 5010])
def test_another_users_process_is_never_ours(mac: Mac, uid: int) -> None:
    commands = instance("/Users/alice", "colima") + starts("default") + UNNAMED_STARTS
    assert listed(mac, "/Users/alice", "default", commands, uid) == []


@pytest.mark.parametrize("profile, name", [("default", "colima"), ("web", "colima-web")])
def test_what_only_has_the_words_is_never_ours(mac: Mac, profile: str, name: str) -> None:
    assert listed(mac, "/Users/alice", profile, innocent("/Users/alice", name, profile)) == []


def test_the_asking_shell_and_its_forks_are_not_ours(mac: Mac) -> None:
    # The installed launch has `colima start` among its own words, and so has each of its subshells.
    probe = (
        mac.text("lib")
        + 'for turn in 1 2 3 4 5 6 7 8 9; do found=$(ours 501 "$HOME" web); printf %s "$found"; done'
    )
    process = mac.installed(
        "/opt/homebrew/bin/colima", "start", "--profile=web", env={"HOME": str(mac.home)}, text=probe
    )
    out, err = process.communicate(timeout=15)
    assert (out, err) == ("", "")


def test_another_launch_is_ours(mac: Mac) -> None:
    other = mac.start("/bin/sh /Library/ColimaPulse/launch /opt/homebrew/bin/colima start --profile=web")
    done = mac.call('ours 501 "$1" web', mac.home)
    assert done.stdout.startswith(f"{other.pid} ")


USERNET = (
    "/opt/homebrew/bin/limactl usernet -p {home}/.colima/_lima/_networks/user-v2/usernet_user-v2.pid "
    "-e {home}/.colima/_lima/_networks/user-v2/user-v2_ep.sock --subnet 192.168.5.0/24"
)


@pytest.mark.parametrize("home", HOMES)
def test_the_network_is_shared_only_while_no_instance_of_that_lima_home_runs(mac: Mac, home: str) -> None:
    net = mac.path(USERNET.format(home=home))
    elsewhere = "/Users/bob"
    hostagent = instance("{}", "colima-other")[0]
    idle = [
        (7, ALICE, net),
        (8, 502, net),
        (9, ALICE, USERNET.format(home=elsewhere)),
        (10, ALICE, f"vim {net}"),
        (11, ALICE, hostagent.replace("{}", elsewhere)),
        (12, ALICE, f"grep {hostagent.replace('{}', home)}"),
        (13, ALICE, f"limactl list --json -p {home}/.colima/_lima/_networks/x"),
    ]
    mac.table(*idle)
    assert mac.call('shared 501 "$1"', home).stdout == f"7 {net}\n"
    mac.table(*idle, (14, ALICE, hostagent.replace("{}", home)))
    assert mac.call('shared 501 "$1"', home).stdout == ""


def test_an_instance_that_a_failing_ps_does_not_show_is_not_taken_for_gone(mac: Mac) -> None:
    # No answer is not "nothing runs": gone() would be satisfied and a second Colima started beside the first.
    mac.tool("/bin/ps", "exit 1")
    done = mac.call('gone 0 ours 501 "$1" default', mac.home)
    assert done.returncode != 0

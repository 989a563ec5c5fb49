"""lib/processes: whose process is it? A wrong yes kills a stranger, a wrong no leaves a VM alone."""

from __future__ import annotations

import pytest

from tests.files.conftest import Mac, hostagent, qemu
from tests.starts import STARTS

ALICE = 501
HOMES = ["/Users/alice", "/Volumes/Big (1) [x]+/al ice"]


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
        f'ssh -F /dev/null -o IdentityFile="{lima}/_config/user" -o ControlMaster=auto '
        f'-o ControlPath="{lima}/{name}/ssh.sock" -o ControlPersist=yes -p 60022 127.0.0.1 -- sshfs :/Users',
        f"/usr/bin/ssh -F /dev/null -oControlPath={lima}/{name}/ssh.sock -O forward 127.0.0.1",
        f"ssh -p 60022 127.0.0.1 -o ControlPath={lima}/{name}/ssh.sock",
    ]


def beneath(profile: str, name: str) -> list[str]:
    """What `colima start` starts, and what a TERM to it leaves."""
    return [
        f"/opt/homebrew/bin/colima daemon start {profile} --inotify --inotify-dir /Users",
        f"colima daemon start {profile}",
        f"limactl start {name}",
        f"/opt/homebrew/bin/limactl --debug start {name}",
        f"limactl start --tty=false {name}",
        f"/opt/homebrew/bin/limactl start --tty=false /Users/al ice/Library/Caches/colima-pulse/{name}.yaml",
    ]


def starts(profile: str) -> list[str]:
    """What starts a profile, in a few forms; tests/starts.py has them all."""
    return [
        f"/opt/homebrew/bin/colima start --profile={profile} --runtime docker --cpu 2 --foreground",
        f"colima restart {profile}",
        f"/bin/sh /Library/ColimaPulse/bin/launch /opt/homebrew/bin/colima start --profile={profile} -f",
        f"/bin/sh /Library/ColimaPulse/launch /opt/homebrew/bin/colima start --profile={profile} -f",
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
        f"limactl hostagent --old--pidfile {lima}/{name}/ha.pid --socket x",
        f"qemu-system-aarch64 --pidfile {lima}/{name}/qemu.pid",
        f"ssh -F {lima}/{name}/ssh.config lima-{name}",
        f"ssh -o OldControlPath={lima}/{name}/ssh.sock 127.0.0.1",
        f"ssh -o ControlPath={lima}/{name}/ssh.sock.old 127.0.0.1",
        f'ssh -o ControlPath="/backup{lima}/{name}/ssh.sock" 127.0.0.1',
        f"sshd -o ControlPath={lima}/{name}/ssh.sock 127.0.0.1",
        f"vim ssh -o ControlPath={lima}/{name}/ssh.sock 127.0.0.1",
        f"colima daemon stop {profile}",
        f"colima daemon status {profile}",
        f"vim colima daemon start {profile}",
        f"limactl stop {name}",
        f"limactl restart {name}",
        f"limactl start --tty=false my-{name}",
        f"limactl start my-{name}",
        f"limactl start {name} {name}",
        f"limactl --debug stop start {name}",
        f"vim limactl start --tty=false {name}",
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


Row = tuple[int, str]


def ours(mac: Mac, home: str, profile: str, rows: list[Row]) -> list[Row]:
    """Which of what runs, users and command lines, ours lists for alice's profile."""
    mac.table(*((1000 + number, *row) for number, row in enumerate(rows)))
    done = mac.call('ours 501 "$1" "$2"', home, profile)
    assert (done.returncode, done.stderr) == (0, "")
    pairs = [line.split(" ", 1) for line in sorted(done.stdout.splitlines())]
    found = [rows[int(pid) - 1000] for pid, _ in pairs]
    assert [mac.path(command) for _, command in found] == [command for _, command in pairs]
    return found


def everything(home: str, profile: str, uid: int = ALICE) -> list[Row]:
    name = "colima" if profile == "default" else f"colima-{profile}"
    return [(uid, each) for each in instance(home, name) + beneath(profile, name) + starts(profile)]


@pytest.mark.parametrize("profile", ["default", "foo"])
def test_ours_is_what_runs_of_the_profile_and_nothing_else(mac: Mac, profile: str) -> None:
    """Not another profile's, nor another user's, nor another home's, nor what only has the words."""
    name = "colima" if profile == "default" else f"colima-{profile}"
    for home in HOMES:
        mine = everything(home, profile)
        others = [row for uid in (0, 502, 50) for row in everything(home, profile, uid)]
        for other in {"default", "default-2", "foo", "foo-2", "my-foo"} - {profile}:
            others += everything(home, other)
        others += [(ALICE, each) for each in instance(f"{home}s", name) + innocent(home, name, profile)]
        assert ours(mac, home, profile, others + mine) == mine
    assert ours(mac, "/Users/a.ice", "f.o", everything("/Users/alice", "foo")) == []


def started(mac: Mac, lines: list[str]) -> list[str | None]:
    """The instance that each line of ps starts, as it is read."""
    mac.table(*((1000 + number, ALICE, line) for number, line in enumerate(lines)))
    said = mac.call('colima_processes 501 "$1"', "/Users/alice").stdout
    read = {fields[0]: fields[1] for fields in map(str.split, said.splitlines()) if fields[2] == "start"}
    return [read.get(str(1000 + number)) for number in range(len(lines))]


# ps shows no quotes: a value may hold blanks, and a later version has other flags.
LOOSE = {
    "colima start --mount /My Disk:w --profile web": "colima-web",
    "colima start --profile=web --mount=/My Disk:w:x y": "colima-web",
    "colima start --profile=web --of-a-later-version value --foreground": "colima-web",
    "colima start --mount /data --mount /more:w --env A=b": "colima",
    # One value with a blank, or a profile.
    "colima start --mount /My web": None,
    "colima start -V/My web": None,
    "colima start default web": None,
    "colima start --of-a-later-version web": None,
    "colima start --of-a-later-version --profile web": None,
    "colima start --profile=web --of-a-later-version --profile=default": None,
    "colima start --profile=web --help": None,
    "colima --of-a-later-version value start web": None,
    "colima start --foreground true web": None,
}


def test_a_line_of_ps_is_read_as_a_jobs_words_are(mac: Mac) -> None:
    """And what cannot be read for certain is nobody's."""
    wanted: dict[str, str | None] = {
        " ".join(words): profile and ("colima" if profile == "default" else f"colima-{profile}")
        for words, profile in STARTS.items()
    } | LOOSE
    assert dict(zip(wanted, started(mac, list(wanted)), strict=True)) == wanted


def test_the_asking_shell_and_its_forks_are_not_ours(mac: Mac) -> None:
    # The installed launch has `colima start` among its own words, and so has each of its subshells.
    probe = (
        "".join(mac.text(f"lib/{name}") for name in ("run", "colima", "processes"))
        + 'for turn in 1 2 3 4; do found=$(ours 501 "$HOME" web); printf %s "$found"; done'
    )
    words = ("/opt/homebrew/bin/colima", "start", "--profile=web")
    process = mac.installed(*words, env={"HOME": str(mac.home)}, text=probe)
    assert process.communicate(timeout=15) == ("", "")


def test_an_instance_behind_a_link_is_ours(mac: Mac) -> None:
    """Lima resolves links before it names a path: ~/.colima may lie on another volume."""
    (mac.root / "Volumes/Big/_lima").mkdir(parents=True)
    (mac.home / ".colima").symlink_to(mac.root / "Volumes/Big")
    command = f"limactl hostagent --pidfile {mac.root}/Volumes/Big/_lima/colima/ha.pid --socket x"
    rows = [(ALICE, command), (ALICE, command.replace("/Big/", "/Other/"))]
    assert ours(mac, str(mac.home), "default", rows) == rows[:1]


USERNET = (
    "/opt/homebrew/bin/limactl usernet -p {home}/.colima/_lima/_networks/user-v2/usernet_user-v2.pid "
    "-e {home}/.colima/_lima/_networks/user-v2/user-v2_ep.sock --subnet 192.168.5.0/24"
)


def test_the_network_is_shared_only_while_no_instance_of_that_lima_home_runs(mac: Mac) -> None:
    home, elsewhere = HOMES[1], "/Users/bob"
    net = mac.path(USERNET.format(home=home))
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
    both = 'shared 501 "$1"; strays 501 "$1" default'
    mac.table(*idle)
    assert mac.call(both, home).stdout == f"7 {net}\n" * 2
    mac.table(*idle, (14, ALICE, hostagent.replace("{}", home)))
    assert mac.call(both, home).stdout == ""


def test_an_instance_that_a_failing_ps_does_not_show_is_not_taken_for_gone(mac: Mac) -> None:
    # No answer is not "nothing runs": gone() would be satisfied and a second Colima started beside the first.
    code = 'for list in ours shared strays leftovers; do gone 0 $list 501 "$1" default && echo "$list"; done'
    for body in ("exit 1", "exec sleep 300"):
        mac.tool("/bin/ps", body)
        done = mac.call(code, mac.home, edits={"bounded 20": "bounded 0.2"})
        assert (done.returncode, done.stdout) == (1, "")


def test_colima_stop_is_for_an_instance_that_lima_calls_running(mac: Mac) -> None:
    commands = {"hostagent": hostagent(mac), "qemu": qemu(mac), "start": "colima start"}
    others = [(90, ALICE, hostagent(mac, "colima-foo")), (91, ALICE, qemu(mac, "colima-foo"))]
    pid_file = mac.home / ".colima/_lima/colima/vz.pid"
    pid_file.parent.mkdir(parents=True)
    for roles, vz, stops in [
        ("hostagent qemu", False, True),
        ("hostagent", False, False),
        ("qemu start", False, False),
        ("", False, False),
        ("hostagent", True, True),
        ("start", True, False),
    ]:
        mac.table(*((7 + n, ALICE, commands[role]) for n, role in enumerate(roles.split())), *others)
        if vz:
            pid_file.touch()
        assert (mac.call('can_stop 501 "$1" default', mac.home).returncode == 0) is stops, (roles, vz)

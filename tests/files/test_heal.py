"""stale and heal: what a crash left goes, what lives stays, and a stranger never hears of it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.files.conftest import Mac, hostagent, is_gone, qemu, usernet

GONE = 999_999_999  # a number for a pid file, and larger than any kernel gives out
PID_FILES = {
    "_lima/colima/ha.pid": hostagent,
    "_lima/colima/vz.pid": hostagent,
    "_lima/colima/qemu.pid": qemu,
    "default/daemon/daemon.pid": lambda _: "colima daemon start default --inotify",
    "_lima/_networks/user-v2/usernet_user-v2.pid": usernet,
}
SOCKETS = [
    "_lima/colima/ha.sock",
    "_lima/colima/qmp.sock",
    "_lima/colima/ssh.sock",
    "_lima/colima/ssh.sock.aB3dEf9hIjKlMnOp",
    "default/containerd.sock",
    "default/docker.sock",
    "default/daemon/vmnet.sock",
    "docker.sock",
    "_lima/_networks/user-v2/user-v2_fd.sock",
]
LOCK = "_lima/_disks/colima/in_use_by"


def put(mac: Mac, name: str, content: object = "") -> Path:
    """A file in Colima's directory."""
    path = mac.home / ".colima" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else f"{content}\n".encode())
    return path


def listen(mac: Mac, name: str) -> socket.socket:
    """A socket in Colima's directory; dead when the listener is closed."""
    path = mac.home / ".colima" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    # An address has room for some hundred bytes.
    directory = os.open(path.parent, os.O_RDONLY)
    listener.bind(f"/proc/self/fd/{directory}/{path.name}")
    os.close(directory)
    listener.listen()
    return listener


def leave(mac: Mac, *names: str) -> list[Path]:
    """Dead sockets."""
    for name in names:
        listen(mac, name).close()
    return [mac.home / ".colima" / name for name in names]


def lock(mac: Mac, target: str, name: str = LOCK) -> Path:
    path = mac.home / ".colima" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
    return path


def look(mac: Mac, function: str = "stale", profile: str = "default") -> subprocess.CompletedProcess[str]:
    return mac.call(f'{function} 501 "$1" "$2"', mac.home, profile)


def stale(mac: Mac, profile: str = "default") -> dict[str, str]:
    """What stale lists: each path in Colima's directory, and why."""
    done = look(mac, "stale", profile)
    assert (done.returncode, done.stderr) == (0, "")
    pairs = [line.split("\t") for line in done.stdout.splitlines()]
    return {path.removeprefix(f"{mac.home}/.colima/"): why for path, why in pairs}


def heal(mac: Mac, profile: str = "default") -> list[str]:
    """What heal says that it has removed, without Colima's directory."""
    done = look(mac, "heal", profile)
    assert (done.returncode, done.stderr) == (0, "")
    return [line.replace(f"{mac.home}/.colima/", "") for line in done.stdout.splitlines()]


def healed(mac: Mac, name: str, why: str) -> None:
    """The one leftover is listed, then removed with the reason said, then no more there."""
    path = mac.home / ".colima" / name
    assert stale(mac) == {name: why}
    assert os.path.lexists(path), "stale only looks"
    assert heal(mac) == [f"removed {name}: {why}"]
    assert not os.path.lexists(path)
    assert heal(mac) == []


def stays(mac: Mac, path: Path) -> None:
    assert stale(mac) == {}
    assert heal(mac) == []
    assert os.path.lexists(path)


def test_a_healthy_mac_costs_one_look_and_is_not_spoken_of(mac: Mac) -> None:
    mac.tool("/bin/ps", "echo '1 0 0 /sbin/launchd'")
    assert heal(mac) == []
    assert len(mac.calls("ps")) == 1
    assert not (mac.home / ".colima").exists()


def everyones(mac: Mac, uid: int) -> list[tuple[int, int, str]]:
    return [(GONE - at, uid, command(mac)) for at, command in enumerate(PID_FILES.values())]


@pytest.mark.parametrize("uid", [None, 502], ids=["gone", "another user's"])
def test_a_pid_file_of_what_does_not_run_goes(mac: Mac, uid: int | None) -> None:
    mac.table(*(everyones(mac, uid) if uid else ()))
    for at, name in enumerate(PID_FILES):
        put(mac, name, GONE - at)
    assert stale(mac) == {name: f"pid {GONE - at} is gone" for at, name in enumerate(PID_FILES)}
    assert len(heal(mac)) == len(PID_FILES)
    assert stale(mac) == {}


@pytest.mark.parametrize("form", ["{}\n", " 0{} \n"])
def test_a_pid_file_that_is_right_stays(mac: Mac, form: str) -> None:
    mac.table(*everyones(mac, 501)[:4])
    for at, name in enumerate(list(PID_FILES)[:4]):
        put(mac, name, form.format(GONE - at).encode())
    assert (stale(mac), heal(mac)) == ({}, [])


@pytest.mark.parametrize(("uid", "program"), [(501, "/usr/bin/vim "), (0, "")], ids=["the user's", "root's"])
def test_a_pid_file_that_names_a_stranger(mac: Mac, uid: int, program: str) -> None:
    name, command = "_lima/colima/qemu.pid", program + qemu(mac)
    stranger = mac.start(command)
    mac.tool("/bin/ps", f"echo '{stranger.pid} 1 {uid} {mac.path(command)}'")
    put(mac, name, stranger.pid)
    healed(mac, name, f"pid {stranger.pid} is another process")
    assert not is_gone(stranger.pid)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("_lima/colima/ha.pid", lambda mac: hostagent(mac, "colima-foo")),
        ("_lima/colima/ha.pid", qemu),
        ("default/daemon/daemon.pid", lambda _: "colima start --foreground"),
    ],
)
def test_a_pid_file_that_names_another_process_of_colimas(
    mac: Mac, name: str, other: Callable[[Mac], str]
) -> None:
    mac.table((GONE, 501, other(mac)), (GONE + 1, 501, hostagent(mac, "colima-foo")))
    put(mac, name, GONE)
    healed(mac, name, f"pid {GONE} is gone")


@pytest.mark.parametrize("content", [b"", b"0\n", b"-1\n", b"1e3", b"12 13", b"9" * 40, b"\xff\0\n"])
def test_garbage_in_a_pid_file(mac: Mac, content: bytes) -> None:
    put(mac, "_lima/colima/ha.pid", content)
    healed(mac, "_lima/colima/ha.pid", "it holds no pid")
    # One that is being written stays.
    mac.table((7, 501, hostagent(mac)))
    stays(mac, put(mac, "_lima/colima/ha.pid", content))


def test_what_is_no_file_of_its_kind_is_neither_opened_nor_removed(mac: Mac) -> None:
    """A pipe would be read for ever; a link may lead anywhere."""
    (mac.root / "precious").write_text(f"{GONE}\n")
    colima = mac.home / ".colima"
    put(mac, "_lima/colima/ha.sock", "no socket")
    (colima / "_lima/colima/qemu.pid").symlink_to(mac.root / "precious")
    (colima / "_lima/colima/vz.pid").mkdir()
    os.mkfifo(colima / "_lima/colima/ha.pid")
    os.mkfifo(colima / "docker.sock")
    lock(mac, "/nowhere", "default/docker.sock")
    put(mac, LOCK, "no link")
    before = sorted(map(str, colima.rglob("*")))
    assert (stale(mac), heal(mac)) == ({}, [])
    assert sorted(map(str, colima.rglob("*"))) == before


def test_dead_sockets_go_and_those_that_someone_listens_behind_stay(mac: Mac) -> None:
    listeners = [listen(mac, name) for name in SOCKETS]
    assert (stale(mac), heal(mac)) == ({}, [])
    for listener in listeners:
        listener.close()
    assert stale(mac) == dict.fromkeys(SOCKETS, "nothing listens behind it")
    # Those of a profile that runs are its own affair.
    mac.table((7, 501, "colima start --foreground"))
    assert (stale(mac), heal(mac)) == ({}, [])
    mac.table()
    assert sorted(heal(mac)) == sorted(f"removed {name}: nothing listens behind it" for name in SOCKETS)
    assert not any((mac.home / ".colima" / name).exists() for name in SOCKETS)


def test_a_name_that_would_break_the_lines_is_told_in_one(mac: Mac) -> None:
    leave(mac, "_lima/colima/a\tb\nremoved \x1b[2J\"'$(id)`")
    assert heal(mac) == ["removed _lima/colima/a?b?removed ?[2J\"'$(id)`: nothing listens behind it"]
    assert list((mac.home / ".colima/_lima/colima").iterdir()) == []


def test_a_path_may_be_longer_than_an_address(mac: Mac) -> None:
    profile = "long" * 30
    leave(mac, f"{profile}/docker.sock")
    listener = listen(mac, f"_lima/colima-{profile}/ha.sock")
    assert heal(mac, profile) == [f"removed {profile}/docker.sock: nothing listens behind it"]
    listener.close()


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("/Users/before/.colima/_lima/colima", "no instance holds it"),
        ("{home}/.colima/_lima/colima", "instance colima does not run"),
        ("{home}/.colima/_lima/colima-foo/", "instance colima-foo does not run"),
        ("../../colima-foo", "instance colima-foo does not run"),
    ],
)
def test_a_disk_lock_that_nobody_holds(mac: Mac, target: str, why: str) -> None:
    put(mac, "_lima/colima-foo/lima.yaml")
    mac.table((7, 501, hostagent(mac, "colima-foo-2")), (8, 502, hostagent(mac, "colima-foo")))
    lock(mac, target.format(home=mac.home))
    healed(mac, LOCK, why)


def test_the_lock_of_the_running_instance_stays(mac: Mac) -> None:
    mac.table((7, 501, qemu(mac)))
    stays(mac, lock(mac, f"{mac.home}/.colima/_lima/colima"))


def test_a_lock_that_leads_elsewhere_is_not_for_us_to_judge(mac: Mac) -> None:
    (mac.root / "elsewhere/colima").mkdir(parents=True)
    stays(mac, lock(mac, f"{mac.root}/elsewhere/colima"))


def test_a_disk_that_another_instance_holds_is_named_and_kept(mac: Mac) -> None:
    put(mac, "_lima/colima-foo/lima.yaml")
    put(mac, "_lima/colima/ha.pid", GONE)
    mac.table((7, 501, hostagent(mac, "colima-foo")))
    held = lock(mac, f"{mac.home}/.colima/_lima/colima-foo")
    assert stale(mac) == {"_lima/colima/ha.pid": f"pid {GONE} is gone", LOCK: "held by colima-foo"}
    done = look(mac, "heal")
    assert done.returncode == 1
    assert done.stderr == "the data disk of colima is in use by instance colima-foo, which runs\n"
    assert os.path.lexists(held)


def test_the_shared_network_is_left_alone_while_any_instance_runs(mac: Mac) -> None:
    names = [name for name in (*PID_FILES, *SOCKETS) if "_networks" in name]
    put(mac, names[0], GONE)
    leave(mac, names[1])
    for process in (hostagent(mac, "colima-foo"), "colima start foo"):
        mac.table((7, 501, process))
        assert (stale(mac), heal(mac)) == ({}, [])
    mac.table((7, 502, hostagent(mac, "colima-foo")), (8, 501, usernet(mac)))
    assert stale(mac) == {names[0]: f"pid {GONE} is gone", names[1]: "nothing listens behind it"}


@pytest.mark.parametrize(("asked", "other"), [("default", "foo"), ("foo", "foo-2")])
def test_another_profiles_leftovers_stay(mac: Mac, asked: str, other: str) -> None:
    def of(profile: str) -> list[str]:
        name = "colima" if profile == "default" else f"colima-{profile}"
        files = [f"_lima/{name}/ha.pid", f"_lima/{name}/qemu.pid", f"{profile}/daemon/daemon.pid"]
        for file in files:
            put(mac, file, GONE)
        sockets = [f"_lima/{name}/ha.sock", f"{profile}/docker.sock"]
        leave(mac, *sockets)
        disk = f"_lima/_disks/{name}/in_use_by"
        lock(mac, "/nowhere", disk)
        return [*files, *sockets, disk]

    mine, others = of(asked), of(other)
    assert sorted(stale(mac, asked)) == sorted(mine)
    assert len(heal(mac, asked)) == len(mine)
    assert all(os.path.lexists(mac.home / ".colima" / name) for name in others)


def all_of(mac: Mac) -> list[str]:
    """Everything that can be left, once."""
    for name in PID_FILES:
        put(mac, name, GONE)
    leave(mac, *SOCKETS)
    lock(mac, "/nowhere")
    return [*PID_FILES, *SOCKETS, LOCK]


def test_root_does_it_as_the_user(mac: Mac) -> None:
    mac.become("root")
    names = all_of(mac)
    assert sorted(re.findall(r"(?m)^removed (.*):", "\n".join(heal(mac)))) == sorted(names)
    assert {tuple(call[:4]) for call in mac.calls("sudo")} == {("-n", "-H", "-u", "alice")}


def test_nobody_else_may(mac: Mac) -> None:
    mac.become("mallory")
    all_of(mac)
    done = look(mac, "heal")
    assert (done.returncode, done.stdout) == (1, "")
    assert (mac.home / ".colima" / LOCK).is_symlink()


@pytest.mark.parametrize("call", [1, 2])
def test_processes_that_cannot_be_read_are_not_taken_for_absent(mac: Mac, call: int) -> None:
    names = all_of(mac)
    mac.tool("/bin/ps", f"[ $(tr -cd '\\036' <'{mac.root}/calls/ps' | wc -c) != {call} ] || exit 1")
    done = look(mac, "heal")
    assert (done.returncode, done.stdout) == (1, "")
    assert all(os.path.lexists(mac.home / ".colima" / name) for name in names)


def test_what_comes_to_life_between_the_two_looks_stays(mac: Mac) -> None:
    """A slow ps: what it shows is older than what is there when it has ended."""
    all_of(mac)
    agent = mac.start(hostagent(mac))
    ha_pid = mac.home / ".colima/_lima/colima/ha.pid"
    mac.tool(
        "/bin/ps",
        f"""sleep 0.2
        if [ -e '{mac.root}/slow' ]; then echo '{agent.pid} 1 501 {mac.path(hostagent(mac))}'; exit; fi
        : >'{mac.root}/slow'; echo {agent.pid} >'{ha_pid}'""",
    )
    said = heal(mac)
    assert ha_pid.read_text() == f"{agent.pid}\n"
    assert not is_gone(agent.pid)
    assert not any("ha.pid" in line or ".sock" in line or "_networks" in line for line in said)
    assert all((mac.home / ".colima" / name).is_socket() for name in SOCKETS)


def test_a_pid_file_that_was_written_anew_is_looked_at_anew(mac: Mac) -> None:
    path = put(mac, "_lima/colima/ha.pid", GONE)
    mac.tool("/bin/ps", f"if [ -e '{mac.root}/2' ]; then echo 999999998 >'{path}'; fi; : >'{mac.root}/2'")
    assert heal(mac) == []
    assert path.exists()

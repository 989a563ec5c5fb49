"""leftovers and heal: what a crash left goes, what lives stays, and a stranger never hears of it."""

from __future__ import annotations

import os
import socket
import subprocess
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
    listener = mac.bind(mac.home / ".colima" / name)
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


def left(mac: Mac, profile: str = "default") -> dict[str, str]:
    """What leftovers lists, each path in Colima's directory, and why; and heal then removes, saying so."""
    done = mac.call('leftovers 501 "$1" "$2"; echo; heal 501 "$1" "$2"', mac.home, profile)
    assert (done.returncode, done.stderr) == (0, "")
    listed, _, removed = f"\n{done.stdout}".replace(f"{mac.home}/.colima/", "").partition("\n\n")
    pairs = [line.split("\t") for line in listed.splitlines() if line]
    assert removed.splitlines() == [f"removed {path}: {why}" for path, why in pairs]
    return dict(pairs)


def heal(mac: Mac) -> subprocess.CompletedProcess[str]:
    return mac.call('heal 501 "$1" default', mac.home)


def there(mac: Mac, *names: str) -> list[bool]:
    return [os.path.lexists(mac.home / ".colima" / name) for name in names]


def test_a_healthy_mac_costs_one_look_and_is_not_spoken_of(mac: Mac) -> None:
    mac.tool("/bin/ps", "echo '1 0 0 /sbin/launchd'")
    done = heal(mac)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(mac.calls("ps")) == 1
    assert not (mac.home / ".colima").exists()


def test_pid_files(mac: Mac) -> None:
    """Right is one that names the user's process in its role; anybody else's is not."""

    def everyones(uid: int) -> list[tuple[int, int, str]]:
        return [(GONE - at, uid, command(mac)) for at, command in enumerate(PID_FILES.values())]

    gone = {name: f"pid {GONE - at} is gone" for at, name in enumerate(PID_FILES)}
    for uid in None, 502:
        mac.table(*(everyones(uid) if uid else ()))
        for at, name in enumerate(PID_FILES):
            put(mac, name, GONE - at)
        assert left(mac) == gone
        assert not any(there(mac, *PID_FILES))
    mac.table(*everyones(501)[:4])
    names = list(PID_FILES)[:4]
    for form in "{}\n", " 0{} \n":
        for at, name in enumerate(names):
            put(mac, name, form.format(GONE - at).encode())
        assert left(mac) == {}
    assert all(there(mac, *names))


def test_pid_files_of_others(mac: Mac) -> None:
    foo = hostagent(mac, "colima-foo")
    strangers = [mac.start("/usr/bin/vim notes").pid, mac.start(f"/usr/bin/vim {qemu(mac)}").pid]
    commands = [(GONE, 501, foo), (GONE - 1, 501, qemu(mac)), (GONE - 2, 501, "colima start --foreground")]
    mac.table(*commands)
    for name, pid in zip(PID_FILES, (GONE, GONE - 1, strangers[1], GONE - 2), strict=False):
        put(mac, name, pid)
    assert left(mac) == {
        "_lima/colima/ha.pid": f"pid {GONE} is gone",
        "_lima/colima/vz.pid": f"pid {GONE - 1} is gone",
        "_lima/colima/qemu.pid": f"pid {strangers[1]} is another process",
        "default/daemon/daemon.pid": f"pid {GONE - 2} is gone",
    }
    mac.table((strangers[0], 0, hostagent(mac)))
    put(mac, "_lima/colima/ha.pid", strangers[0])
    assert left(mac) == {"_lima/colima/ha.pid": f"pid {strangers[0]} is another process"}, "root's"
    assert not any(is_gone(pid) for pid in strangers)


def test_garbage_in_a_pid_file(mac: Mac) -> None:
    for contents in (b"", b"0\n", b"-1\n", b"1e3"), (b"12 13", b"9" * 40, b"\xff\0\n"):
        names = list(PID_FILES)[: len(contents)]
        for name, content in zip(names, contents, strict=True):
            put(mac, name, content)
        assert left(mac) == dict.fromkeys(names, "it holds no pid")
    # One that is being written stays.
    mac.table((7, 501, hostagent(mac)))
    put(mac, names[0], b"")
    assert (left(mac), there(mac, names[0])) == ({}, [True])


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
    assert left(mac) == {}
    assert sorted(map(str, colima.rglob("*"))) == before


def test_dead_sockets_go_and_those_that_someone_listens_behind_stay(mac: Mac) -> None:
    listeners = [listen(mac, name) for name in SOCKETS]
    assert left(mac) == {}
    for listener in listeners:
        listener.close()
    # Those of a profile that runs are its own affair.
    mac.table((7, 501, "colima start --foreground"))
    assert (left(mac), all(there(mac, *SOCKETS))) == ({}, True)
    mac.table()
    assert left(mac) == dict.fromkeys(SOCKETS, "nothing listens behind it")
    assert not any(there(mac, *SOCKETS))


def test_names_that_are_odd_or_long(mac: Mac) -> None:
    """A path may be longer than an address."""
    profile = "long" * 30
    leave(mac, f"{profile}/docker.sock", f"_lima/colima-{profile}/a\tb\nremoved \x1b[2J\"'$(id)`")
    listener = listen(mac, f"_lima/colima-{profile}/ha.sock")
    odd = f"_lima/colima-{profile}/a?b?removed ?[2J\"'$(id)`"
    assert [*left(mac, profile)] == [odd, f"{profile}/docker.sock"]
    assert [path.name for path in (mac.home / f".colima/_lima/colima-{profile}").iterdir()] == ["ha.sock"]
    listener.close()


def test_the_disks_lock(mac: Mac) -> None:
    """One that leads elsewhere is not for us to judge."""
    put(mac, "_lima/colima-foo/lima.yaml")
    (mac.root / "elsewhere/colima").mkdir(parents=True)
    others = [(7, 501, hostagent(mac, "colima-foo-2")), (8, 502, hostagent(mac, "colima-foo"))]
    lima = f"{mac.home}/.colima/_lima"
    for target, why in {
        "/Users/before/.colima/_lima/colima": "no instance holds it",
        f"{lima}/colima": "instance colima does not run",
        "../../colima-foo/": "instance colima-foo does not run",
        f"{mac.root}/elsewhere/colima": None,
    }.items():
        mac.table(*others)
        path = lock(mac, target)
        assert left(mac) == ({LOCK: why} if why else {})
        assert there(mac, LOCK) == [why is None]
        path.unlink(missing_ok=True)
    mac.table((7, 501, qemu(mac)))
    lock(mac, f"{lima}/colima")
    assert (left(mac), there(mac, LOCK)) == ({}, [True]), "the running instance's"


def test_a_disk_that_another_instance_holds_is_named_and_kept(mac: Mac) -> None:
    put(mac, "_lima/colima-foo/lima.yaml")
    mac.table((7, 501, hostagent(mac, "colima-foo")))
    held = lock(mac, f"{mac.home}/.colima/_lima/colima-foo")
    assert mac.call('leftovers 501 "$1" default', mac.home).stdout == f"{held}\theld by colima-foo\n"
    done = heal(mac)
    assert done.returncode == 1
    assert done.stderr == "the data disk of colima is in use by instance colima-foo, which runs\n"
    assert os.path.lexists(held)


def test_the_shared_network_is_left_alone_while_any_instance_runs(mac: Mac) -> None:
    names = [name for name in (*PID_FILES, *SOCKETS) if "_networks" in name]
    put(mac, names[0], GONE)
    leave(mac, names[1])
    for process in (hostagent(mac, "colima-foo"), "colima start foo"):
        mac.table((7, 501, process))
        assert left(mac) == {}
    mac.table((7, 502, hostagent(mac, "colima-foo")), (8, 501, usernet(mac)))
    assert left(mac) == {names[0]: f"pid {GONE} is gone", names[1]: "nothing listens behind it"}


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
    assert sorted(left(mac, asked)) == sorted(mine)
    assert all(there(mac, *others))


def all_of(mac: Mac) -> list[str]:
    """Everything that can be left, once."""
    for name in PID_FILES:
        put(mac, name, GONE)
    leave(mac, *SOCKETS)
    lock(mac, "/nowhere")
    return [*PID_FILES, *SOCKETS, LOCK]


def test_root_does_it_as_the_user_and_nobody_else_may(mac: Mac) -> None:
    names = all_of(mac)
    mac.become("mallory")
    done = heal(mac)
    assert (done.returncode, done.stdout, all(there(mac, *names))) == (1, "", True)
    mac.become("root")
    assert sorted(left(mac)) == sorted(names)
    assert {tuple(call[:4]) for call in mac.calls("sudo")} == {("-n", "-H", "-u", "alice")}


@pytest.mark.parametrize("call", [1, 2])
def test_processes_that_cannot_be_read_are_not_taken_for_absent(mac: Mac, call: int) -> None:
    names = all_of(mac)
    mac.tool("/bin/ps", f"[ $(tr -cd '\\036' <'{mac.root}/calls/ps' | wc -c) != {call} ] || exit 1")
    done = heal(mac)
    assert (done.returncode, done.stdout, all(there(mac, *names))) == (1, "", True)


def test_what_comes_to_life_between_the_two_looks_stays(mac: Mac) -> None:
    """A slow ps: what it shows is older than what is there when it has ended."""
    all_of(mac)
    agent = mac.start(hostagent(mac))
    ha_pid = mac.home / ".colima/_lima/colima/ha.pid"
    mac.tool(
        "/bin/ps",
        f"""if [ -e '{mac.root}/slow' ]; then echo '{agent.pid} 1 501 {mac.path(hostagent(mac))}'; exit; fi
        : >'{mac.root}/slow'; echo {agent.pid} >'{ha_pid}'""",
    )
    said = heal(mac).stdout
    assert ha_pid.read_text() == f"{agent.pid}\n"
    assert not is_gone(agent.pid)
    assert not any(word in said for word in ("ha.pid", ".sock", "_networks"))
    assert all(there(mac, *SOCKETS))


def test_a_pid_file_that_was_written_anew_is_looked_at_anew(mac: Mac) -> None:
    path = put(mac, "_lima/colima/ha.pid", GONE)
    mac.tool("/bin/ps", f"if [ -e '{mac.root}/2' ]; then echo 999999998 >'{path}'; fi; : >'{mac.root}/2'")
    assert heal(mac).stdout == ""
    assert path.exists()

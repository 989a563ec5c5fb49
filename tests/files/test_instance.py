"""The small ones, each with its deadline: stop-instance, sweep-profile, container-log, start-container ..."""

from __future__ import annotations

import subprocess

import pytest

from tests.files.conftest import Mac, hostagent, is_gone, qemu
from tests.files.test_lib import HOSTILE

NO_TIME = {"gone 20": "gone 0", "gone 10": "gone 0"}
CALLERS = pytest.mark.parametrize("caller", ["root", "alice"])


def run(mac: Mac, name: str = "colima") -> list[subprocess.Popen[bytes]]:
    """An instance that runs: its host agent and its QEMU."""
    return [mac.start(hostagent(mac, name)), mac.start(qemu(mac, name))]


@CALLERS
def test_an_instance_that_runs_is_stopped_colimas_way(mac: Mac, caller: str) -> None:
    mac.become(caller)
    run(mac, "colima-web")
    mac.brewed("colima", "cat; echo stopping; echo done >&2")
    done = mac.run("stop-instance", "alice", "web", 10, stdin="y\n", env=HOSTILE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "stopping\ndone\n", "")
    assert mac.calls("colima") == [["stop", "--profile=web"]]
    assert mac.env("colima")["COLIMA_HOME"] == f"{mac.home}/.colima"
    assert "LIMA_HOME" not in mac.env("colima")


def test_where_nothing_runs_colima_is_not_called(mac: Mac) -> None:
    run(mac, "colima-foo")
    mac.brewed("colima", ":")
    for name, more in (("stop-instance", ["10"]), ("sweep-profile", [])):
        done = mac.run(name, "alice", "default", *more)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert mac.calls("colima") == []


@pytest.mark.parametrize("body, status", [("exit 1", 1), ("exec sleep 300", 124)])
def test_a_stop_that_fails_or_hangs_is_said_and_is_no_error(mac: Mac, body: str, status: int) -> None:
    vm = run(mac)
    mac.brewed("colima", body)
    done = mac.run("stop-instance", "alice", "default", 0.3)
    assert (done.returncode, done.stdout) == (0, f"colima stop: exit status {status}\n")
    assert not any(is_gone(each.pid) for each in vm), "the sweep is another's"


def test_sweep_profile_stops_then_ends_what_is_left(mac: Mac) -> None:
    vm = run(mac)
    mac.brewed("colima", "exec sleep 300")
    done = mac.run("sweep-profile", "alice", "default", edits={'"$2" 60': '"$2" 0.3'})
    assert (done.returncode, done.stdout) == (0, "colima stop: exit status 124\n")
    assert mac.calls("colima") == [["stop", "--profile=default"]]
    assert all(each.poll() is not None for each in vm)


def test_sweep_profile_fails_when_something_stays(mac: Mac) -> None:
    vm = run(mac)
    mac.brewed("colima", "exit 1")
    mac.tool("/bin/kill", "exit 1")
    done = mac.run("sweep-profile", "alice", "default", edits=NO_TIME)
    assert done.returncode == 1
    assert all(str(each.pid) in done.stderr for each in vm)


def test_sweep_profile_of_nobody_fails(mac: Mac) -> None:
    done = mac.run("sweep-profile", "nobody", "default")
    assert done.returncode == 1


@CALLERS
def test_delete_instance_keeps_the_data(mac: Mac, caller: str) -> None:
    mac.become(caller)
    mac.brewed("colima", "cat; echo deleted; echo done >&2; exit 3")
    done = mac.run("delete-instance", "alice", "web", stdin="y\n", env=HOSTILE)
    assert (done.returncode, done.stdout, done.stderr) == (3, "deleted\ndone\n", "")
    assert mac.calls("colima") == [["delete", "--force", "--profile=web"]], "no --data"


@CALLERS
def test_container_log(mac: Mac, caller: str) -> None:
    mac.become(caller)
    mac.brewed("docker", "cat; echo one; echo two >&2; exit 3")
    done = mac.run("container-log", "alice", "web", "a-name", 20, stdin="y\n", env=HOSTILE)
    assert (done.returncode, done.stdout, done.stderr) == (3, "one\ntwo\n", "")
    host = f"unix://{mac.home}/.colima/web/docker.sock"
    assert mac.calls("docker") == [["--host", host, "logs", "--tail", "20", "a-name"]]


@CALLERS
def test_a_start(mac: Mac, caller: str) -> None:
    mac.become(caller)
    mac.brewed("docker", "cat; echo a-name")
    done = mac.run("start-container", "alice", "web", "a-name", stdin="y\n", env=HOSTILE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    host = f"unix://{mac.home}/.colima/web/docker.sock"
    assert mac.calls("docker") == [["--host", host, "container", "start", "a-name"]]
    assert "DOCKER_HOST" not in mac.env("docker")
    mac.brewed("docker", "echo 'Error: port is already allocated' >&2; exit 1")
    done = mac.run("start-container", "alice", "web", "a-name")
    assert (done.returncode, done.stdout, done.stderr) == (1, "Error: port is already allocated\n", "")


@pytest.mark.parametrize("name, lines", [("start-container", []), ("container-log", [20])])
def test_what_a_terminal_would_obey_is_shown_as_text(mac: Mac, name: str, lines: list[int]) -> None:
    mac.brewed("docker", r"printf 'a\tb\033]52;c;x\007\302\233\303\244\344\r\n%s\n' 'c\nd'; exit 1")
    done = mac.run(name, "alice", "default", "web", *lines)
    assert done.stdout == "a\tb?]52;c;x??ä?\nc\\nd\n"


def test_a_container_that_has_written_nothing(mac: Mac) -> None:
    mac.brewed("docker", "")
    assert mac.run("container-log", "alice", "default", "web", 20).stdout == "(it has written nothing)\n"


@pytest.mark.parametrize(
    "name, arguments, seconds",
    [
        ("delete-instance", ["default"], 60),
        ("container-log", ["default", "web", "9"], 20),
        ("start-container", ["default", "web"], 120),
    ],
)
def test_what_hangs_has_a_deadline(mac: Mac, name: str, arguments: list[str], seconds: int) -> None:
    mac.brewed("colima", "exec sleep 300")
    mac.brewed("docker", "exec sleep 300")
    assert mac.run(name, "alice", *arguments, edits={f" {seconds} ": " 0.3 "}).returncode == 124

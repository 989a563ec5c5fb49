"""What runs of a profile without launchd is told, and stopped; what a crash has left is removed."""

from __future__ import annotations

import subprocess

import pytest

from facts.colima import Strays, StraysState
from tests.files.conftest import LABEL, Mac, hostagent, is_gone, lines, qemu, usernet
from tests.files.test_heal import GONE, leave, lock, put
from tests.files.test_launch import colima_start, running
from tests.files.test_lib import HOSTILE

NOT_FOUND = 'echo "Could not find service \\"$2\\" in domain for system" >&2; exit 113'


@pytest.fixture(autouse=True)
def unloaded(mac: Mac) -> None:
    """Our job is not loaded, unless the test says otherwise."""
    mac.tool("/bin/launchctl", NOT_FOUND)


def seen(mac: Mac, profile: str = "default", user: str = "alice", **edits: str) -> StraysState | None:
    done = mac.run("facts/strays", user, profile, LABEL, env=HOSTILE, edits=edits or None)
    assert (done.returncode, done.stderr) == (0, "")
    return Strays().process(lines(done))


def remove(mac: Mac, **edits: str) -> subprocess.CompletedProcess[str]:
    mac.configure()
    mac.become("root")
    mac.stat()
    return mac.run("bin/remove-strays", LABEL, env=HOSTILE, edits=edits or None)


def test_what_launchd_supervises_is_not_looked_at(mac: Mac) -> None:
    mac.tool("/bin/launchctl", "echo 'system/x = {'; echo '}'")
    mac.start(hostagent(mac))
    assert seen(mac) == StraysState(supervised=True)
    assert (mac.calls("ps"), mac.calls("dscl"), mac.calls("sudo")) == ([], [], [])


@pytest.mark.parametrize("body", ["exit 1", "exit 124", "exec sleep 300"])
def test_only_one_answer_means_not_loaded(mac: Mac, body: str) -> None:
    mac.tool("/bin/launchctl", body)
    agent = mac.start(hostagent(mac))
    assert seen(mac, **{"bounded 20 /bin/launchctl": "bounded 0.2 /bin/launchctl"}) is None
    done = remove(mac, **{"bounded 20 /bin/launchctl": "bounded 0.2 /bin/launchctl"})
    assert (done.returncode, is_gone(agent.pid)) == (1, False)
    assert f"launchd's answer about {LABEL} cannot be read" in done.stderr


def test_what_runs_and_what_is_left(mac: Mac) -> None:
    net, other = mac.start(usernet(mac)), mac.start(hostagent(mac, "colima-foo"))
    path = put(mac, "_lima/colima/ha.pid", other.pid)
    assert seen(mac) == StraysState(False, stale=((str(path), f"pid {other.pid} is another process"),))
    agent = (other.pid, f"{mac.path(hostagent(mac, 'colima-foo'))} 300")
    assert seen(mac, "foo") == StraysState(False, processes=(agent,))
    other.kill()
    other.wait()
    found = seen(mac)
    assert found is not None
    assert found.processes == ((net.pid, f"{mac.path(usernet(mac))} 300"),)


def test_who_holds_the_disk(mac: Mac) -> None:
    mac.start(qemu(mac, "colima-foo"))
    lock(mac, f"{mac.home}/.colima/_lima/colima-foo")
    assert seen(mac) == StraysState(supervised=False, held_by="colima-foo")


@pytest.mark.parametrize("tool", ["/bin/ps", "/usr/bin/dscl"])
def test_what_cannot_be_read_is_not_taken_for_absent(mac: Mac, tool: str) -> None:
    mac.tool(tool, "exit 1")
    assert seen(mac) is None


def test_nobody_is_unreadable(mac: Mac) -> None:
    assert seen(mac, user="nobody") is None


def test_it_is_stopped_in_order_and_then_healed(mac: Mac) -> None:
    vm = running(mac, "cat; kill $(cat pids); echo stopping >&2")
    other = mac.start(hostagent(mac, "colima-foo"))
    (mac.root / "pids").write_text(" ".join(str(each.pid) for each in vm))
    mac.brewed("colima", f"kill $(cat '{mac.root}/pids'); echo stopping >&2")
    path = put(mac, "_lima/colima/ha.pid", vm[0].pid)
    done = remove(mac)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"stopping\nremoved {path}: pid {vm[0].pid} is ")
    assert mac.calls("colima") == [["stop", "--profile=default"]]
    assert mac.env("colima")["COLIMA_HOME"] == f"{mac.home}/.colima"
    assert not is_gone(other.pid)
    assert seen(mac) == StraysState(supervised=False)


def test_a_stop_that_hangs_has_a_deadline_and_the_rest_is_ended(mac: Mac) -> None:
    vm = running(mac, "exec sleep 300")
    done = remove(mac, **{"STOP_SECONDS=240": "STOP_SECONDS=1"})
    assert (done.returncode, done.stdout) == (0, "colima stop: exit status 124\n")
    assert all(each.poll() is not None for each in vm)


@pytest.mark.parametrize("rest", [qemu, colima_start])
def test_half_an_instance_is_ended_without_a_stop_that_can_only_hang(mac: Mac, rest: object) -> None:
    assert callable(rest)
    process = mac.start(rest(mac))
    mac.brewed("colima", "exec sleep 300")
    assert (remove(mac).returncode, mac.calls("colima")) == (0, [])
    assert process.poll() is not None


def test_what_refuses_to_go_is_named_and_nothing_is_removed_under_it(mac: Mac) -> None:
    vm = running(mac, "exit 1")
    mac.tool("/bin/kill", "exit 1")
    path = put(mac, "_lima/colima/ha.pid", GONE)
    done = remove(mac, **{"gone 20": "gone 0", "gone 10": "gone 0"})
    assert (done.returncode, path.exists()) == (1, True)
    assert f"{vm[1].pid} {mac.path(qemu(mac))}" in done.stderr


def test_leftovers_alone(mac: Mac) -> None:
    (dead,) = leave(mac, "default/docker.sock")
    held = lock(mac, "/nowhere")
    done = remove(mac)
    assert [line.split(": ")[0] for line in done.stdout.splitlines()] == [
        f"removed {dead}",
        f"removed {held}",
    ]
    assert (remove(mac).stdout, mac.calls("colima")) == ("", [])

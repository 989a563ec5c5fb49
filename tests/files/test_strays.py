"""observe-strays and settle-profile: what runs without launchd is seen, and stopped in order or ended."""

from __future__ import annotations

import subprocess

import pytest

from facts.colima import Strays, StraysState
from tests.files.conftest import Mac, hostagent, is_gone, lines, qemu, usernet
from tests.files.test_heal import GONE, LOCK, leave, lock, put
from tests.files.test_instance import run as run_instance
from tests.files.test_launch import colima_start
from tests.files.test_lib import HOSTILE

LABEL = "homebrew.mrcee.colima-pulse"
NOT_FOUND = 'echo "Could not find service \\"$2\\" in domain for system" >&2; exit 113'
NO_TIME = {"gone 20": "gone 0", "gone 10": "gone 0"}


@pytest.fixture(autouse=True)
def unloaded(request: pytest.FixtureRequest) -> None:
    """Our job is not loaded, unless the test says otherwise."""
    name = "one_mac" if "one_mac" in request.fixturenames else "mac"
    request.getfixturevalue(name).tool("/bin/launchctl", NOT_FOUND)


def seen(mac: Mac, profile: str = "default", edits: dict[str, str] | None = None) -> StraysState | None:
    done = mac.run("observe-strays", "alice", profile, LABEL, env=HOSTILE, edits=edits)
    assert (done.returncode, done.stderr) == (0, "")
    return Strays().process(lines(done))


def settle(mac: Mac, profile: str = "default", **more: object) -> subprocess.CompletedProcess[str]:
    edits = more.get("edits")
    assert edits is None or isinstance(edits, dict)
    return mac.run("settle-profile", "alice", profile, more.get("seconds", 10), env=HOSTILE, edits=edits)


def test_what_launchd_supervises_is_not_looked_at(mac: Mac) -> None:
    mac.tool("/bin/launchctl", "echo 'system/x = {'; echo '}'")
    mac.tool("/bin/ps", "exit 1")
    run_instance(mac)
    put(mac, "_lima/colima/ha.pid", GONE)
    assert seen(mac) == StraysState(supervised=True)
    assert mac.calls("launchctl") == [["print", f"system/{LABEL}"]]
    assert (mac.calls("ps"), mac.calls("dscl"), mac.calls("sudo")) == ([], [], [])


@pytest.mark.parametrize("body", ["exit 1", "exit 5", "exit 124", "exec sleep 300"])
def test_only_one_answer_means_not_loaded(one_mac: Mac, body: str) -> None:
    one_mac.tool("/bin/launchctl", body)
    one_mac.tool("/bin/ps", "echo '1 0 0 /sbin/launchd'")
    edits = {"bounded 20 /bin/launchctl": "bounded 0.2 /bin/launchctl"}
    assert seen(one_mac, edits=edits) is None
    assert one_mac.calls("ps") == []


def test_nothing_runs_and_nothing_is_left(mac: Mac) -> None:
    run_instance(mac, "colima-foo")
    assert seen(mac) == StraysState(supervised=False)


def test_what_runs_and_what_is_left(mac: Mac) -> None:
    net, other = mac.start(usernet(mac)), mac.start(hostagent(mac, "colima-foo"))
    put(mac, "_lima/colima/ha.pid", other.pid)
    assert seen(mac) == StraysState(
        supervised=False,
        stale=((f"{mac.home}/.colima/_lima/colima/ha.pid", f"pid {other.pid} is another process"),),
    )
    assert seen(mac, "foo") == StraysState(
        supervised=False,
        processes=((other.pid, f"{mac.path(hostagent(mac, 'colima-foo'))} 300"),),
    )
    other.kill()
    other.wait()
    found = seen(mac)
    assert found is not None
    assert found.processes == ((net.pid, f"{mac.path(usernet(mac))} 300"),)


def test_who_holds_the_disk(mac: Mac) -> None:
    mac.start(qemu(mac, "colima-foo"))
    lock(mac, f"{mac.home}/.colima/_lima/colima-foo")
    assert seen(mac) == StraysState(supervised=False, held_by="colima-foo")


@pytest.mark.parametrize("tool", ["ps", "dscl"])
def test_what_cannot_be_read_is_not_taken_for_absent(mac: Mac, tool: str) -> None:
    mac.tool("/bin/ps" if tool == "ps" else "/usr/bin/dscl", "exit 1")
    assert seen(mac) is None


@pytest.mark.parametrize("caller", ["root", "alice"])
def test_it_is_stopped_in_order_and_then_healed(mac: Mac, caller: str) -> None:
    mac.become(caller)
    vm, other = run_instance(mac), run_instance(mac, "colima-foo")
    put(mac, "_lima/colima/ha.pid", vm[0].pid)
    (mac.home / "pids").write_text(" ".join(str(each.pid) for each in vm))
    mac.brewed("colima", 'kill $(cat "$HOME/pids"); echo stopping >&2')
    done = settle(mac)
    said = f"stopping\nremoved {mac.home}/.colima/_lima/colima/ha.pid: pid {vm[0].pid} is "
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(said)
    assert mac.calls("colima") == [["stop", "--profile=default"]]
    assert mac.env("colima")["COLIMA_HOME"] == f"{mac.home}/.colima"
    assert not any(is_gone(each.pid) for each in other)
    assert seen(mac) == StraysState(supervised=False)


def test_a_stop_that_hangs_has_a_deadline_and_the_rest_is_ended(mac: Mac) -> None:
    vm = run_instance(mac)
    mac.brewed("colima", "exec sleep 300")
    done = settle(mac, seconds=0.3)
    assert (done.returncode, done.stdout) == (0, "colima stop: exit status 124\n")
    assert all(each.poll() is not None for each in vm)


def test_where_no_order_is_possible_there_is_no_stop(mac: Mac) -> None:
    rest = mac.start(qemu(mac))
    mac.brewed("colima", ":")
    done = settle(mac)
    assert (done.returncode, mac.calls("colima")) == (0, [])
    assert rest.poll() is not None


def test_what_refuses_to_go_is_named_and_nothing_is_removed_under_it(mac: Mac) -> None:
    vm = run_instance(mac)
    mac.brewed("colima", "exit 1")
    mac.tool("/bin/kill", "exit 1")
    put(mac, "_lima/colima/ha.pid", GONE)
    done = settle(mac, edits=NO_TIME)
    assert done.returncode == 1
    assert f"{vm[1].pid} {mac.path(qemu(mac))}" in done.stderr
    assert (mac.home / ".colima/_lima/colima/ha.pid").exists()


def test_leftovers_alone(mac: Mac) -> None:
    leave(mac, "default/docker.sock")
    lock(mac, "/nowhere")
    done = settle(mac)
    assert done.returncode == 0
    assert [line.split(": ")[0] for line in done.stdout.splitlines()] == [
        f"removed {mac.home}/.colima/default/docker.sock",
        f"removed {mac.home}/.colima/{LOCK}",
    ]
    assert (settle(mac).stdout, mac.calls("colima")) == ("", [])


def test_of_a_user_whose_home_cannot_be_read(mac: Mac) -> None:
    start = mac.start(colima_start(mac))
    mac.tool("/usr/bin/dscl", "exit 1")
    done = settle(mac)
    assert (done.returncode, done.stdout) == (1, "")
    assert "alice" in done.stderr
    assert not is_gone(start.pid)


def test_of_nobody(mac: Mac) -> None:
    assert mac.run("settle-profile", "nobody", "default", 10).returncode == 1
    done = mac.run("observe-strays", "nobody", "default", LABEL)
    assert Strays().process(lines(done)) is None

"""facts/strays and bin/remove-strays: what runs without launchd is found, and stopped in order or ended."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from facts.colima import Strays, StraysState
from tests.files.conftest import LABEL, Mac, hostagent, is_gone, lines, qemu, usernet
from tests.files.launchd import IDLE, RUNS, Launchd
from tests.files.test_heal import GONE, lock, put


@pytest.fixture(autouse=True)
def launchd(mac: Mac) -> Launchd:
    mac.become("root")
    mac.configure()
    launchd = Launchd(mac)
    # What is waited for here is the end of real processes.
    mac.remove("sleep", "date")
    mac.link("sleep")
    mac.link("date")
    return launchd


@pytest.fixture
def vm(mac: Mac) -> list[subprocess.Popen[bytes]]:
    """An instance that `colima stop` stops."""
    vm = [mac.start(hostagent(mac)), mac.start(qemu(mac))]
    (mac.home / "pids").write_text(" ".join(str(each.pid) for each in vm))
    mac.brewed("colima", 'kill $(cat "$HOME/pids"); echo stopping >&2')
    return vm


def found(mac: Mac, profile: str = "default") -> StraysState | None:
    done = mac.run("facts/strays", "alice", profile, LABEL)
    assert (done.returncode, done.stderr) == (0, "")
    return Strays().process(lines(done))


def remove(mac: Mac, edits: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return mac.run("bin/remove-strays", LABEL, edits=edits)


@pytest.mark.parametrize("job", [RUNS, IDLE])
def test_what_launchd_supervises_is_left_alone(
    mac: Mac, launchd: Launchd, vm: list[subprocess.Popen[bytes]], job: str
) -> None:
    launchd.job(job)
    mac.tool("/bin/ps", "exit 1")
    assert found(mac) == StraysState(supervised=True)
    done = remove(mac)
    assert (done.returncode, done.stdout) == (0, f"launchd supervises {LABEL}; nothing is stopped\n")
    assert (mac.calls("ps"), mac.calls("colima")) == ([], [])


def test_only_one_answer_means_not_loaded(mac: Mac, vm: list[subprocess.Popen[bytes]]) -> None:
    for tool in ("/bin/ps", "/usr/bin/dscl", "/bin/launchctl"):
        kept = Path(mac.path(tool)).rename(mac.root / "kept")
        mac.tool(tool, "exit 1")
        assert found(mac) is None, "what cannot be read is not taken for absent"
        if tool == "/bin/launchctl":
            assert remove(mac).returncode == 1
        kept.rename(mac.path(tool))
    assert not any(is_gone(each.pid) for each in vm)


def test_what_runs_and_what_is_left(mac: Mac) -> None:
    assert found(mac) == StraysState(supervised=False)
    net, other = mac.start(usernet(mac)), mac.start(hostagent(mac, "colima-foo"))
    put(mac, "_lima/colima/ha.pid", other.pid)
    stale = (f"{mac.home}/.colima/_lima/colima/ha.pid", f"pid {other.pid} is another process")
    assert found(mac) == StraysState(supervised=False, stale=(stale,))
    command = f"{mac.path(hostagent(mac, 'colima-foo'))} 300"
    assert found(mac, "foo") == StraysState(supervised=False, processes=((other.pid, command),))
    other.kill()
    other.wait()
    state = found(mac)
    assert state is not None
    assert state.processes == ((net.pid, f"{mac.path(usernet(mac))} 300"),)


def test_who_holds_the_disk(mac: Mac) -> None:
    mac.start(qemu(mac, "colima-foo"))
    lock(mac, f"{mac.home}/.colima/_lima/colima-foo")
    assert found(mac) == StraysState(supervised=False, held_by="colima-foo")
    assert remove(mac).returncode == 1


def test_it_is_stopped_in_order_and_then_healed(mac: Mac, vm: list[subprocess.Popen[bytes]]) -> None:
    other = mac.start(qemu(mac, "colima-foo"))
    put(mac, "_lima/colima/ha.pid", vm[0].pid)
    done = remove(mac)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(
        f"stopping\nremoved {mac.home}/.colima/_lima/colima/ha.pid: pid {vm[0].pid} is "
    )
    assert mac.calls("colima") == [["stop", "--profile=default"]]
    assert mac.env("colima")["COLIMA_HOME"] == f"{mac.home}/.colima"
    assert not is_gone(other.pid)
    assert found(mac) == StraysState(supervised=False)
    assert (remove(mac).stdout, len(mac.calls("colima"))) == ("", 1)


def test_where_no_order_is_possible_it_is_ended(mac: Mac, vm: list[subprocess.Popen[bytes]]) -> None:
    """`colima stop` stops what has a host agent."""
    mac.brewed("colima", "exec sleep 300")
    vm[0].kill()
    vm[0].wait()
    done = remove(mac)
    assert (done.returncode, done.stdout, mac.calls("colima")) == (0, "", [])
    assert is_gone(vm[1].pid)


def test_what_refuses_to_go_is_named_and_nothing_is_removed_under_it(
    mac: Mac, vm: list[subprocess.Popen[bytes]]
) -> None:
    mac.brewed("colima", "exec sleep 300")
    mac.tool("/bin/kill", "exit 1")
    put(mac, "_lima/colima/ha.pid", GONE)
    done = remove(mac, {"gone 20": "gone 0", "gone 10": "gone 0", "STOP_SECONDS=240": "STOP_SECONDS=1"})
    assert (done.returncode, done.stdout) == (1, "colima stop: exit status 124\n")
    assert f"{vm[1].pid} {mac.path(qemu(mac))}" in done.stderr
    assert (mac.home / ".colima/_lima/colima/ha.pid").exists()

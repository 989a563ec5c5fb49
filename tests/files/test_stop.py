"""bin/stop and bin/unload: Colima ends in order, and no boot starts it again."""

from __future__ import annotations

import subprocess

import pytest

from tests.files.conftest import LABEL, Mac, hostagent, is_gone, qemu
from tests.files.launchd import IDLE, PLIST, RUNS, Launchd

PULSE = f"{LABEL}.pulse"


@pytest.fixture
def launchd(mac: Mac) -> Launchd:
    mac.become("root")
    mac.configure()
    launchd = Launchd(mac)
    launchd.job(RUNS)
    launchd.plist.write_text(PLIST)
    launchd.state.mkdir(parents=True)
    (launchd.state / "verified").write_text("5\n")
    return launchd


@pytest.fixture
def vm(mac: Mac) -> list[subprocess.Popen[bytes]]:
    """An instance that `colima stop` stops."""
    vm = [mac.start(hostagent(mac)), mac.start(qemu(mac))]
    (mac.home / "pids").write_text(" ".join(str(each.pid) for each in vm))
    mac.brewed("colima", 'echo "stopping \033[31m"; kill $(cat "$HOME/pids")')
    return vm


def test_stopped_in_order_and_over_reboots(
    mac: Mac, launchd: Launchd, vm: list[subprocess.Popen[bytes]]
) -> None:
    done = mac.run("bin/stop", LABEL)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"stopping ?[31m\n{LABEL} stays stopped, over reboots too, until it is started: "
        f"sudo bin/start {LABEL}, or a deploy\n"
    )
    assert launchd.verbs == ["disable", "bootout"]
    assert mac.calls("colima") == [["stop", "--profile=default"]]
    assert all(is_gone(each.pid) for each in vm)
    assert launchd.plist.exists()
    assert launchd.notes() == {"verified": "5"}


@pytest.mark.parametrize("is_colima", [True, False])
def test_launchd_lets_go_first_of_what_is_not_colima(
    mac: Mac, launchd: Launchd, vm: list[subprocess.Popen[bytes]], is_colima: bool
) -> None:
    """su(1) leaves Colima behind, and would be started again when Colima has stopped."""
    daemon = mac.start(f"/opt/homebrew/bin/colima start --foreground --env x={mac.root} --cpu")
    launchd.job(RUNS.replace("312", str(daemon.pid)) if is_colima else RUNS)
    calls = mac.root / "calls/launchctl"
    mac.brewed("colima", f'cp \'{calls}\' "$HOME/before"; kill $(cat "$HOME/pids")')
    assert mac.run("bin/stop", LABEL).returncode == 0
    assert ("bootout" in (mac.home / "before").read_text()) is not is_colima
    assert all(is_gone(each.pid) for each in (*vm, daemon))


def test_a_stop_that_fails_promises_nothing(mac: Mac, launchd: Launchd) -> None:
    for verb in ("disable", "bootout"):
        launchd.codes(verb, 150)
        done = mac.run("bin/stop", LABEL)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"launchctl {verb} system/{LABEL}: 150" in done.stderr
    assert launchd.verbs == ["disable", "disable", "bootout"]
    launchd.codes("bootout", 150)
    assert mac.run("bin/unload", LABEL).returncode == 1
    assert launchd.plist.exists()
    assert launchd.notes() == {"verified": "5"}


def test_what_colima_does_not_end_is_ended_pid_by_pid(
    mac: Mac, launchd: Launchd, vm: list[subprocess.Popen[bytes]]
) -> None:
    mac.brewed("colima", "exit 3")
    done = mac.run("bin/stop", LABEL)
    assert done.returncode == 0
    assert "colima stop: exit status 3\n" in done.stdout
    assert all(is_gone(each.pid) for each in vm)


def test_unloaded_for_good(mac: Mac, launchd: Launchd, vm: list[subprocess.Popen[bytes]]) -> None:
    # launchd would remember for ever that it was disabled.
    (launchd.directory / "disabled").write_text(f'\t\t"{LABEL}" => disabled\n')
    done = mac.run("bin/unload", LABEL)
    assert (done.returncode, done.stderr) == (0, "")
    assert launchd.verbs == ["bootout", "enable"]
    assert all(is_gone(each.pid) for each in vm)
    assert not launchd.plist.exists()
    assert not launchd.state.exists()


def test_the_pulse_alone(mac: Mac, launchd: Launchd, vm: list[subprocess.Popen[bytes]]) -> None:
    pulse = launchd.plist.parent / f"{PULSE}.plist"
    pulse.write_text(PLIST)
    launchd.job(IDLE, label=PULSE)
    done = mac.run("bin/unload", LABEL, "--pulse")
    assert (done.returncode, done.stderr) == (0, "")
    assert ["bootout", f"system/{PULSE}"] in mac.calls("launchctl")
    assert launchd.verbs == ["bootout"]
    assert (pulse.exists(), launchd.plist.exists()) == (False, True)
    assert not any(is_gone(each.pid) for each in vm)
    assert mac.run("bin/unload", LABEL, "--pulses").returncode == 1

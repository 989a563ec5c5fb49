"""A Docker that fails on a deployed Mac: the smallest restart that helps, within bounds, and nothing else."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator

import pytest

from tests.checkout import Run
from tests.e2e.looking import (
    LABEL,
    Deployed,
    container,
    is_loaded,
    job_pid,
    ours,
    ping,
    process,
    vm_events,
    wait_for,
)
from tests.mac.machine import Mac

RECOVER = "deploys/recover.py"
LONG = "docker run -d --restart always --name {0} busybox sleep 1000\n"


# The waits of a person, in a test that is to see them end.
WAITS = {
    "files/lib/recovery": {"PATIENCE=10": "PATIENCE=2", "DEAF_STOP_SECONDS=30": "DEAF_STOP_SECONDS=3"},
    "files/lib/ending": {"STOP_SECONDS=240": "STOP_SECONDS=3"},
    "files/lib/diagnosis": {'"$profile" 15)': '"$profile" 3)'},
}


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Docker is broken here by hand: nothing but what is tested is to bring it back."""
    return {"PULSE": "false"}


@pytest.fixture(scope="module", autouse=True)
def impatient(deployed: Deployed) -> None:
    """The next deploy installs them."""
    for file, edits in WAITS.items():
        path = deployed.checkout.directory / file
        text = path.read_text()
        for old, new in edits.items():
            assert old in text, f"{file} says no longer {old!r}: edit this test"
            text = text.replace(old, new)
        path.write_text(text)


@pytest.fixture(autouse=True)
def well(deployed: Deployed) -> Iterator[None]:
    """Each test begins on a Mac on which Docker answers, deployed to and left alone since."""
    checkout = deployed.checkout
    if ping(deployed.mac) != "200" or checkout.ssh("-y", "--json").changed:
        run = checkout.ssh("-y")
        assert run.status == 0, run.output
    yield
    for fault in (deployed.mac.records / "faults").iterdir():
        fault.unlink()


def recover(deployed: Deployed, *arguments: str) -> tuple[Run, float]:
    """Run deploys/recover.py; its result, and how long it took in seconds."""
    start = time.monotonic()
    run = deployed.checkout.ssh(*arguments, deploy=RECOVER)
    return run, time.monotonic() - start


def qemu(mac: Mac) -> int:
    return process(mac, "qemu-system-").pid


def kill(mac: Mac, pid: int, number: int = signal.SIGKILL) -> None:
    mac.run(["/bin/kill", f"-{number}", str(pid)])


def in_guest(mac: Mac, *words: str) -> None:
    env = {"LIMA_HOME": "/Users/alice/.colima/_lima", "PATH": "/opt/homebrew/bin:/usr/bin:/bin"}
    mac.run(["/opt/homebrew/bin/limactl", "shell", "colima", "sudo", *words], user="alice", env=env)


def events(mac: Mac, before: list[str]) -> list[str]:
    """What happened to the guest since, in words."""
    return [event.split()[0] for event in vm_events(mac)[len(before) :]]


def test_all_well_is_no_change(deployed: Deployed) -> None:
    mac, before, pid = deployed.mac, vm_events(deployed.mac), job_pid(deployed.mac)
    run, _ = recover(deployed, "-y", "--json")
    assert run.status == 0, run.output
    assert run.changed == []
    assert recover(deployed, "--dry", "--json")[0].would_change == []
    assert (vm_events(mac), job_pid(mac)) == (before, pid)


def test_docker_dead_in_the_guest_is_restarted_there(deployed: Deployed) -> None:
    mac, before, vm, pid = deployed.mac, vm_events(deployed.mac), qemu(deployed.mac), job_pid(deployed.mac)
    in_guest(mac, "systemctl", "stop", "docker")
    dry, _ = recover(deployed, "--dry")
    assert "To recover: restart Docker in the guest; failing that, " in dry.output
    assert "docker is inactive" in dry.output
    run, _ = recover(deployed, "-y")
    assert run.status == 0, run.output
    assert "What helped: restart Docker in the guest" in run.output
    assert ping(mac) == "200"
    assert (qemu(mac), job_pid(mac), events(mac, before)) == (vm, pid, [])
    wait_for(lambda: container(mac, "web", "State.Status") == "running")
    assert deployed.run("-y", "--json").changed == [], "smoke tests need not run again"


def test_a_dead_containerd_is_restarted_with_docker(deployed: Deployed) -> None:
    mac, before = deployed.mac, vm_events(deployed.mac)
    in_guest(mac, "systemctl", "stop", "docker", "containerd")
    run, _ = recover(deployed, "-y")
    assert run.status == 0, run.output
    assert "docker is inactive and containerd is inactive" in run.output
    assert events(mac, before) == []
    wait_for(lambda: container(mac, "web", "State.Status") == "running")


def test_a_deaf_socket_takes_the_instance_not_docker_in_it(deployed: Deployed) -> None:
    mac, before, called = deployed.mac, vm_events(deployed.mac), len(deployed.mac.commands())
    mac.fault("socket-deaf")
    wait_for(lambda: ping(mac) != "200")
    run, _ = recover(deployed, "-y")
    assert run.status == 0, run.output
    assert "the way to it is broken" in run.output
    assert "What helped: stop Colima gracefully" in run.output
    assert ping(mac) == "200"
    assert events(mac, before) == ["graceful-stop", "start"]
    assert not any("systemctl restart docker" in command for command in mac.commands()[called:])
    assert is_loaded(mac)
    assert deployed.run("-y", "--json").changed == []


def test_a_vm_that_died_under_its_job_is_back(deployed: Deployed) -> None:
    mac, before, pid = deployed.mac, vm_events(deployed.mac), job_pid(deployed.mac)
    kill(mac, qemu(mac))
    run, _ = recover(deployed, "-y")
    assert run.status == 0, run.output
    assert "Colima's process runs without its VM (Lima: Stopped)" in run.output
    assert events(mac, before) == ["killed", "start"]
    assert job_pid(mac) not in (None, pid)
    assert ping(mac) == "200"
    wait_for(lambda: container(mac, "web", "State.Status") == "running")


def test_a_job_between_two_attempts_is_kicked(deployed: Deployed) -> None:
    mac, before = deployed.mac, vm_events(deployed.mac)
    pid = job_pid(mac)
    assert pid is not None
    kill(mac, pid, signal.SIGTERM)
    wait_for(lambda: job_pid(mac) is None)
    run, seconds = recover(deployed, "-y")
    assert run.status == 0, run.output
    assert "What helped: start Colima" in run.output
    assert seconds < 45, "not held back by launchd's throttle"
    assert events(mac, before) == ["graceful-stop", "start"]


def freeze(mac: Mac) -> None:
    """QEMU stands still, and the guest with it: nobody answers, and no TERM is heard."""
    kill(mac, qemu(mac), signal.SIGSTOP)


def hold_on(mac: Mac) -> None:
    """The socket is dead, and Colima does not stop, neither by itself nor when asked to."""
    for name in ("colima-ignores-term", "stop-hangs", "socket-deaf"):
        mac.fault(name)
    wait_for(lambda: ping(mac) != "200")


@pytest.mark.parametrize("ail", [freeze, hold_on])
def test_what_does_not_stop_in_order_is_ended(deployed: Deployed, ail: Callable[[Mac], None]) -> None:
    mac, before = deployed.mac, vm_events(deployed.mac)
    ail(mac)
    run, seconds = recover(deployed, "-y")
    assert run.status == 0, run.output
    assert "To recover: stop Colima gracefully" in run.output
    assert "What helped: kill Colima and its VM" in run.output
    assert events(mac, before) == ["killed", "start"]
    assert seconds < 90
    assert ping(mac) == "200"
    assert sum("--foreground" in each.command for each in ours(mac)) == 1


def test_a_job_booted_out_on_purpose_stays_out(deployed: Deployed) -> None:
    mac = deployed.mac
    mac.run(["launchctl", "bootout", f"system/{LABEL}"])
    wait_for(lambda: not is_loaded(mac))
    wait_for(lambda: ours(mac) == [])
    for how in (["--dry"], ["-y"]):
        run, _ = recover(deployed, *how)
        assert run.status == 1
        assert "is not loaded, perhaps on purpose: run deploys/start.py" in run.output
    assert not is_loaded(mac)
    assert ours(mac) == []


def test_nothing_helps(deployed: Deployed) -> None:
    mac = deployed.mac
    mac.fault("api-503")
    quick = ("--data", "wait_docker_api_max=3", "--data", "wait_qemu_max=5")
    # A deploy writes these down on the Mac; it fails itself, for Docker is not well.
    deployed.checkout.ssh("-y", *quick)
    run, _ = recover(deployed, "-y", *quick)
    assert run.status == 1
    assert is_loaded(mac), "whatever happened, launchd has it"
    assert "Diagnostics: /Library/ColimaPulse/diagnostics/" in run.output
    why = next(line for line in run.output.splitlines() if "none of it helped: " in line)
    assert "503" in why
    kept = list(mac.path("/Library/ColimaPulse/diagnostics").iterdir())
    assert any("503" in path.read_text() for path in kept)
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}


def test_a_passing_error_at_an_installer_needs_no_restart(deployed: Deployed) -> None:
    mac, before = deployed.mac, vm_events(deployed.mac)
    installer = deployed.checkout.installer("shaky", LONG.format("shaky"))
    mac.fault("transient-run", "1")
    try:
        run = deployed.run("-y")
    finally:
        installer.unlink()
    assert run.status == 0, run.output
    assert "try 2 of 3" in run.output
    assert "Docker answers" in run.output
    assert vm_events(mac) == before
    assert container(mac, "shaky", "State.Status") == "running"


def test_docker_that_dies_at_an_installer_is_restarted_and_the_next_try_succeeds(deployed: Deployed) -> None:
    mac, before, vm = deployed.mac, vm_events(deployed.mac), qemu(deployed.mac)
    stop = "LIMA_HOME=~/.colima/_lima limactl shell colima sudo systemctl stop docker"
    once = f"[ -e ~/stopped ] || {{ : >~/stopped; {stop}; }}\n"
    installer = deployed.checkout.installer("dying", once + LONG.format("dying"))
    try:
        run = deployed.run("-y")
    finally:
        installer.unlink()
    assert run.status == 0, run.output
    assert "What helped: restart Docker in the guest" in run.output
    assert (qemu(mac), vm_events(mac)) == (vm, before)
    assert container(mac, "dying", "State.Status") == "running"


def test_tries_are_bounded(deployed: Deployed) -> None:
    installer = deployed.checkout.installer("shakier", LONG.format("shakier"))
    deployed.mac.fault("transient-run", "99")
    try:
        run = deployed.run("-y", "--data", "container_tries=2")
    finally:
        deployed.mac.heal("transient-run")
        installer.unlink()
    assert run.status == 1
    assert "tried 2 times" in run.output
    assert "Diagnostics: /Library/ColimaPulse/diagnostics/" in run.output

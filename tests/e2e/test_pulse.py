"""The pulse on a deployed Mac: what fails comes back by itself, with the smallest restart that helps."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.looking import (
    LABEL,
    Deployed,
    container,
    docker,
    is_loaded,
    job_pid,
    ours,
    ping,
    process,
    vm_events,
    wait_for,
)
from tests.mac.machine import Mac

LOG, OWN_LOG = "/var/log/colima.log", f"/var/log/{LABEL}.log"
ENV = {"PULSE_INTERVAL": "1", "PULSE_MISSES": "3", "LOG_MAX_MB": "1", "LOG_KEEP": "2"}


@pytest.fixture(scope="module")
def pulsing(make_deployed: Callable[..., Deployed]) -> Deployed:
    """A Mac with a pulse a second."""
    made: Deployed = make_deployed("ssh", env=ENV)
    assert made.first.status == 0, made.first.output
    return made


@pytest.fixture(autouse=True)
def well(pulsing: Deployed) -> Iterator[None]:
    """Each test begins on a Mac on which Docker answers, and the pulse knows it."""
    mac = pulsing.mac
    if not is_loaded(mac):
        assert pulsing.run("-y").status == 0
    wait_for(lambda: ping(mac) == "200", 60)
    wait_for(lambda: "misses=0" in state(mac), 60)
    yield
    for fault in (mac.records / "faults").iterdir():
        fault.unlink()


def state(mac: Mac) -> list[str]:
    path = f"/var/run/colima-pulse/{LABEL}/state"
    return mac.run(["/bin/cat", path], check=False).stdout.splitlines()


def said(mac: Mac) -> str:
    """What the pulse has said."""
    return mac.path(f"/private{OWN_LOG}").read_text()


def qemu(mac: Mac) -> int:
    return process(mac, "qemu-system-").pid


def comes_back(mac: Mac, ailing: Callable[[], object], seconds: float = 120) -> str:
    """Await that Docker fails and answers again; what the pulse said meanwhile."""
    before = len(said(mac))
    ailing()
    wait_for(lambda: "Docker answers again" in said(mac)[before:], seconds)
    assert ping(mac) == "200"
    return said(mac)[before:]


def events(mac: Mac, before: list[str]) -> list[str]:
    return [event.split()[0] for event in vm_events(mac)[len(before) :]]


def test_a_vm_that_died_is_back(pulsing: Deployed) -> None:
    mac, before, pid = pulsing.mac, vm_events(pulsing.mac), job_pid(pulsing.mac)
    words = comes_back(mac, lambda: mac.run(["/bin/kill", f"-{signal.SIGKILL}", str(qemu(mac))]))
    assert "Colima's process runs without its VM (Lima: Stopped)" in words
    assert words.count("the next step not within") == 1
    assert events(mac, before) == ["killed", "start"]
    assert job_pid(mac) not in (None, pid)
    wait_for(lambda: container(mac, "web", "State.Status") == "running")


def test_a_deaf_socket_takes_the_instance_not_docker_in_it(pulsing: Deployed) -> None:
    mac, before, called = pulsing.mac, vm_events(pulsing.mac), len(pulsing.mac.commands())
    words = comes_back(mac, lambda: mac.fault("socket-deaf"))
    assert "in the guest Docker is active, so the way to it is broken" in words
    assert words.count("the next step not within") == 1
    assert events(mac, before) == ["graceful-stop", "start"]
    assert not any("systemctl restart docker" in command for command in mac.commands()[called:])


def test_a_docker_that_is_dead_in_the_guest_is_restarted_there(pulsing: Deployed) -> None:
    mac, before, vm, pid = pulsing.mac, vm_events(pulsing.mac), qemu(pulsing.mac), job_pid(pulsing.mac)
    env = {"LIMA_HOME": "/Users/alice/.colima/_lima", "PATH": "/opt/homebrew/bin:/usr/bin:/bin"}
    stop = ["/opt/homebrew/bin/limactl", "shell", "colima", "sudo", "systemctl", "stop", "docker"]
    words = comes_back(mac, lambda: mac.run(stop, user="alice", env=env))
    assert "to recover: restart Docker in the guest (in the guest docker is inactive)" in words
    assert (qemu(mac), job_pid(mac), events(mac, before)) == (vm, pid, [])


def test_a_vm_that_dies_after_a_restart_that_failed_is_healed_at_once(pulsing: Deployed) -> None:
    """A deploy that failed leaves nothing on the Mac that keeps the pulse from its work."""
    mac = pulsing.mac
    mac.fault("api-503")
    run = pulsing.run("-y", "--data", "restart=true", "--data", "wait_docker_api_max=3")
    assert run.status == 1, run.output
    mac.heal("api-503")
    assert pulsing.run("-y").status == 0
    start = time.monotonic()
    words = comes_back(mac, lambda: mac.run(["/bin/kill", f"-{signal.SIGKILL}", str(qemu(mac))]), 60)
    assert "Colima's process runs without its VM" in words
    assert time.monotonic() - start < 60


def test_a_job_that_was_booted_out_on_purpose_stays_out(pulsing: Deployed) -> None:
    mac, before = pulsing.mac, len(said(pulsing.mac))
    mac.run(["launchctl", "bootout", f"system/{LABEL}"])
    wait_for(lambda: not is_loaded(mac))
    wait_for(lambda: "run deploys/start.py; the pulse leaves it alone" in said(mac)[before:])
    noted = state(mac)
    wait_for(lambda: state(mac) != noted)
    assert not is_loaded(mac)
    wait_for(lambda: ours(mac) == [])
    assert said(mac)[before:].count("\n") == 1
    mac.run(["launchctl", "bootstrap", "system", f"/Library/LaunchDaemons/{LABEL}.plist"])
    wait_for(lambda: "Docker answers again" in said(mac)[before:], 60)


def test_a_log_that_is_too_large_is_cut_in_place(pulsing: Deployed) -> None:
    mac = pulsing.mac
    log = mac.path(f"/private{LOG}")
    inode = log.stat().st_ino
    with log.open("a") as writer:
        writer.write("x" * 1_100_000 + "\n")
        writer.flush()
        wait_for(lambda: log.stat().st_size == 0)
        writer.write("after\n")
    assert log.read_text() == "after\n"
    assert log.stat().st_ino == inode
    assert mac.run(["/usr/bin/gzip", "-dc", f"{LOG}.1.gz"]).stdout.endswith("xxx\n")
    log.unlink()
    wait_for(log.exists)
    assert (log.stat().st_uid, oct(log.stat().st_mode)[-3:]) == (mac.user("alice").uid, "644")


def test_a_boot_is_reported(pulsing: Deployed) -> None:
    mac, before = pulsing.mac, said(pulsing.mac).count(" s after boot; ")
    running = docker(mac, "ps", "-q").splitlines()
    docker(mac, "create", "--name", "never", "--label", "colima-pulse.spec=x", "busybox")
    mac.reboot()
    wait_for(lambda: said(mac).count(" s after boot; ") == before + 1, 90)
    report = said(mac).splitlines()[-1]
    assert "; console: nobody; containers: " in report
    assert '; not back: never"' in report
    assert ping(mac) == "200"
    wait_for(lambda: len(docker(mac, "ps", "-q").splitlines()) == len(running))
    assert said(mac).count(" s after boot; ") == before + 1, "once"


def test_a_vm_that_is_gone_delays_no_shutdown(pulsing: Deployed) -> None:
    mac = pulsing.mac
    mac.run(["/bin/kill", f"-{signal.SIGKILL}", str(qemu(mac))])
    start = time.monotonic()
    mac.reboot()
    assert time.monotonic() - start < 20, "launchd would wait five minutes for Colima"


def test_a_pulse_that_is_not_wanted_goes(pulsing: Deployed) -> None:
    mac, label = pulsing.mac, f"{LABEL}.pulse"
    run = pulsing.run("-y", "--json", "--data", "pulse=false")
    assert run.changed == ["Remove the pulse"]
    assert not is_loaded(mac, label)
    assert not mac.path(f"/Library/LaunchDaemons/{label}.plist").exists()
    assert pulsing.run("-y", "--json", "--data", "pulse=false").changed == []
    assert pulsing.run("-y", "--json").changed == ["Keep the pulse loaded in launchd"]
    assert is_loaded(mac, label)
    assert pulsing.run("-y", "--json").changed == []

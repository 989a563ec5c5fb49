"""Docker fails on a deployed Mac; the smallest restart that helps brings it back: by hand, by the pulse."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

import pytest

from tests.checkout import Run
from tests.e2e.conftest import WEB, MakeCheckout, MakeMac
from tests.e2e.looking import (
    LABEL,
    Deployed,
    boot_out,
    bootstrap,
    container,
    docker,
    in_guest,
    is_loaded,
    job_pid,
    kill,
    ours,
    ping,
    qemu,
    vm_events,
    wait_for,
)
from tests.mac.machine import Mac

OWN_LOG = f"/private/var/log/{LABEL}.log"
LONG = "docker run -d --restart always --name {0} busybox sleep 1000\n"
PULSE = ("--data", "pulse=true")
MAINTAIN = {"MAINTAIN_EVERY_DAYS": "7", "PRUNE_MODE": "images", "PRUNE_DOCKER_AFTER_START": "false"}
DATA_DISK = "/Users/alice/.colima/_lima/_disks/colima/datadisk"

# The waits of a person, in a test that is to see them end.
WAITS = {
    "files/lib/recovery": {"PATIENCE=10": "PATIENCE=2", "DEAF_STOP_SECONDS=30": "DEAF_STOP_SECONDS=3"},
    "files/lib/ending": {"STOP_SECONDS=240": "STOP_SECONDS=3"},
    "files/lib/diagnosis": {'"$profile" 15)': '"$profile" 8)'},
}


@pytest.fixture(scope="module")
def deployed(make_mac: MakeMac, make_checkout: MakeCheckout) -> Deployed:
    """At first nothing but what is tested is to bring Docker back."""
    mac = make_mac()
    mac.fault("real-disk")
    env = {"PULSE": "false", "PULSE_INTERVAL": "1", "PULSE_MISSES": "3", **MAINTAIN}
    checkout = make_checkout(mac, env=env, installers={"web": WEB}, edits=WAITS)
    run = checkout.ssh("-y")
    assert run.status == 0, run.output
    return Deployed(mac, checkout, checkout.ssh, run)


@pytest.fixture(autouse=True)
def healed(deployed: Deployed) -> Iterator[None]:
    yield
    for fault in (deployed.mac.records / "faults").iterdir():
        fault.unlink()


@pytest.fixture
def mac(deployed: Deployed) -> Mac:
    """The Mac, on which Docker answers."""
    if ping(deployed.mac) != "200":
        run = deployed.run("-y")
        assert run.status == 0, run.output
    return deployed.mac


def recover(deployed: Deployed, *arguments: str) -> Run:
    return deployed.checkout.ssh(*arguments, deploy="deploys/recover.py")


# By hand


def freeze(mac: Mac) -> None:
    """QEMU stands still, and the guest with it: nobody answers, and no TERM is heard."""
    kill(mac, qemu(mac), "STOP")


def hold_on(mac: Mac) -> None:
    """The socket is dead, and Colima does not stop, neither by itself nor when asked to."""
    for name in ("colima-ignores-term", "stop-hangs", "socket-deaf"):
        mac.fault(name)
    wait_for(lambda: ping(mac) != "200")


@pytest.mark.parametrize("ail", [freeze, pytest.param(hold_on, marks=pytest.mark.weekly)])
def test_what_does_not_stop_in_order_is_ended(
    deployed: Deployed, mac: Mac, ail: Callable[[Mac], None]
) -> None:
    before = len(vm_events(mac))
    ail(mac)
    run = recover(deployed, "-y")
    assert run.status == 0, run.output
    assert "To recover: stop Colima gracefully" in run.output
    assert "What helped: kill Colima and its VM" in run.output
    assert vm_events(mac)[before:] == ["killed", "start"]
    assert ping(mac) == "200"
    assert sum("--foreground" in each.command for each in ours(mac)) == 1


def test_docker_that_dies_at_an_installer_is_restarted_and_the_next_try_succeeds(
    deployed: Deployed, mac: Mac
) -> None:
    before = vm_events(mac)
    stop = "LIMA_HOME=~/.colima/_lima limactl shell colima sudo systemctl stop docker"
    once = f"[ -e ~/stopped ] || {{ : >~/stopped; {stop}; }}\n"
    installer = deployed.checkout.installer("dying", once + LONG.format("dying"))
    run = deployed.run("-y")
    installer.unlink()
    assert run.status == 0, run.output
    assert "try 2 of 3" in run.output
    assert "What helped: restart Docker in the guest" in run.output
    assert vm_events(mac) == before
    assert container(mac, "dying", "State.Status") == "running"
    # It heeds no TERM: an engine that is stopped with it is long about it.
    docker(mac, "rm", "--force", "dying")


@pytest.mark.weekly
def test_a_gate_that_fails_and_nothing_that_helps(deployed: Deployed, mac: Mac) -> None:
    mac.fault("api-503")
    quick = ("--data", "wait_docker_api_max=3", "--data", "wait_qemu_max=5")
    run = deployed.run("-y", *quick)
    assert run.status == 1
    assert "Docker is not ready: " in run.output
    run = recover(deployed, "-y", *quick)
    assert run.status == 1
    assert is_loaded(mac), "whatever happened, launchd has it"
    assert re.search(r"Docker is not ready: .*503.*none of it helped: ", run.output), run.output
    kept = list(mac.path("/Library/ColimaPulse/diagnostics").iterdir())
    assert f"Diagnostics: /Library/ColimaPulse/diagnostics/{max(path.name for path in kept)}" in run.output
    assert any("503" in path.read_text() for path in kept)
    assert {(path.stat().st_uid, path.stat().st_mode & 0o777) for path in kept} == {(0, 0o600)}


# By the pulse


@pytest.fixture
def pulsing(deployed: Deployed) -> Mac:
    """The Mac with a pulse a second, which has seen Docker answer."""
    mac = deployed.mac
    if not is_loaded(mac, f"{LABEL}.pulse") or ping(mac) != "200":
        run = deployed.run("-y", *PULSE)
        assert run.status == 0, run.output
    state = f"/var/run/colima-pulse/{LABEL}/state"
    wait_for(lambda: "misses=0" in mac.run(["/bin/cat", state], check=False).stdout, 60)
    return mac


def said(mac: Mac) -> str:
    """What the pulse has said."""
    return mac.path(OWN_LOG).read_text()


def comes_back(mac: Mac, ail: Callable[[], object]) -> str:
    """Await that Docker fails and answers again; what the pulse said meanwhile."""
    before = len(said(mac))
    ail()
    wait_for(lambda: "Docker answers again" in said(mac)[before:], 60)
    assert ping(mac) == "200"
    return said(mac)[before:]


@pytest.mark.weekly
def test_a_vm_that_dies_after_a_restart_that_failed_is_healed_at_once(
    deployed: Deployed, pulsing: Mac
) -> None:
    """A deploy that failed leaves nothing on the Mac that keeps the pulse from its work."""
    pulsing.fault("api-503")
    run = deployed.run("-y", *PULSE, "--data", "restart=true", "--data", "wait_docker_api_max=3")
    assert run.status == 1, run.output
    pulsing.heal("api-503")
    assert deployed.run("-y", *PULSE).status == 0
    before, pid = len(vm_events(pulsing)), job_pid(pulsing)
    words = comes_back(pulsing, lambda: kill(pulsing, qemu(pulsing)))
    assert "Colima's process runs without its VM (Lima: Stopped)" in words
    assert words.count("the next step not within") == 1
    assert vm_events(pulsing)[before:] == ["killed", "start"]
    assert job_pid(pulsing) not in (None, pid)


def test_a_docker_that_is_dead_in_the_guest_is_restarted_there(deployed: Deployed, pulsing: Mac) -> None:
    before, pid = vm_events(pulsing), job_pid(pulsing)
    words = comes_back(pulsing, lambda: in_guest(pulsing, "systemctl", "stop", "docker"))
    assert "to recover: restart Docker in the guest (in the guest docker is inactive)" in words, words
    assert (job_pid(pulsing), vm_events(pulsing)) == (pid, before)
    wait_for(lambda: container(pulsing, "web", "State.Status") == "running")
    assert deployed.run("-y", *PULSE, "--json").changed == [], "smoke tests need not run again"


def mib(mac: Mac) -> int:
    """What the data disk takes of the Mac."""
    return mac.path(DATA_DISK).stat().st_blocks >> 11


def test_it_maintains_a_docker_that_is_never_restarted(deployed: Deployed, pulsing: Mac) -> None:
    note = pulsing.path(f"/Library/ColimaPulse/maintained/{LABEL}")
    wait_for(note.exists)
    before, empty = len(said(pulsing)), mib(pulsing)
    fill = "dd if=/dev/urandom of=/data/file bs=1M count=64 && sync"
    docker(pulsing, "run", "--rm", "--volume", "data:/data", "busybox", "sh", "-c", fill)
    docker(pulsing, "volume", "rm", "data")
    full = mib(pulsing)
    assert full >= empty + 60, "what is removed in the guest is not given back by that"
    assert "alpine" in docker(pulsing, "images")
    since, *rest = note.read_text().split(" ", 1)
    note.write_text(" ".join([str(int(since) - 7 * 86400), *rest]))
    wait_for(lambda: "maintained" in said(pulsing)[before:], 30)
    words = re.search(
        r"maintained in \d+ s: (\d+) MiB given back; .* image: \S+ reclaimed", said(pulsing)[before:]
    )
    assert words, said(pulsing)[before:]
    assert mib(pulsing) <= empty + 4
    assert int(words[1]) >= full - empty - 4
    kept = docker(pulsing, "images", "--format", "{{.Repository}}").split()
    assert ("nginx" in kept, "alpine" in kept) == (True, False), kept
    status = deployed.checkout.ssh("-y", *PULSE, deploy="deploys/status.py").stdout
    assert re.search(rf"Maintenance +\d+ s ago: {words[1]} MiB given back, .*every 7 days", status), status


def test_a_job_that_was_booted_out_on_purpose_stays_out(deployed: Deployed, pulsing: Mac) -> None:
    before = len(said(pulsing))
    boot_out(pulsing)
    wait_for(lambda: "run deploys/start.py; the pulse leaves it alone" in said(pulsing)[before:])
    run = recover(deployed, "-y")
    assert run.status == 1
    assert "is not loaded, perhaps on purpose: run deploys/start.py" in run.output
    assert not is_loaded(pulsing)
    assert said(pulsing)[before:].count("\n") == 1
    bootstrap(pulsing)
    wait_for(lambda: "Docker answers again" in said(pulsing)[before:], 60)


def test_a_vm_that_is_gone_delays_no_shutdown(pulsing: Mac) -> None:
    kill(pulsing, qemu(pulsing))
    start = time.monotonic()
    pulsing.reboot()
    assert time.monotonic() - start < 20, "launchd would wait five minutes for Colima"


def test_a_pulse_that_is_not_wanted_goes(deployed: Deployed, pulsing: Mac) -> None:
    label = f"{LABEL}.pulse"
    assert deployed.run("-y", "--json").changed == ["Remove the pulse"]
    assert not is_loaded(pulsing, label)
    assert not pulsing.path(f"/Library/LaunchDaemons/{label}.plist").exists()

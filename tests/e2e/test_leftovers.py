"""What runs without launchd, and what a crash leaves: cleared up, strangers live, and no VM runs twice."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from tests.checkout import Checkout
from tests.e2e.conftest import MakeCheckout, MakeMac
from tests.e2e.looking import (
    BY_HAND,
    LABEL,
    Deployed,
    Watch,
    alive,
    boot_out,
    bootstrap,
    colima,
    is_loaded,
    job_pid,
    kill,
    one_vm,
    ours,
    ping,
    process,
    qemu,
    vm_events,
    wait_for,
)
from tests.mac.machine import Mac

BASE = "/Users/alice/.colima"
VM = f"{BASE}/_lima/colima"
NETWORK = f"{BASE}/_lima/_networks/user-v2"
LOCK = f"{BASE}/_lima/_disks/colima/in_use_by"
LOG = "/var/log/colima.log"


def log_size(mac: Mac) -> int:
    return mac.path(LOG).stat().st_size


def logged(mac: Mac, since: int) -> list[str]:
    """What the launch script has logged from there on, without time and context."""
    lines = mac.path(LOG).read_bytes()[since:].decode().splitlines()
    return [
        line.partition(" ")[2].removesuffix(" context=launch") for line in lines if "context=launch" in line
    ]


def removed(path: str, why: str) -> str:
    return f'level=info msg="removed {path}: {why}"'


def write(mac: Mac, path: str, content: object) -> None:
    """As the user, in a directory that may be gone."""
    script = '/bin/mkdir -p "${1%/*}" && printf "%s\\n" "$2" >"$1"'
    mac.run(["/bin/sh", "-c", script, "sh", path, str(content)], user="alice")


def foo(mac: Mac) -> set[int]:
    """The processes of the other profile, and the network."""
    words = re.compile(r"/_lima/colima-foo/|limactl usernet")
    return {each.pid for each in ours(mac) if words.search(each.command)}


@pytest.fixture(scope="module")
def shared(make_mac: MakeMac, make_checkout: MakeCheckout) -> Deployed:
    """A Mac on which alice ran two profiles without launchd; a deploy has taken over the default one."""
    mac = make_mac()
    for profile in ("default", "foo"):
        colima(mac, "start", f"--profile={profile}", "--vm-type=qemu", "--disk=20")
    before = foo(mac)
    assert len(before) == 4
    # Docker is broken here by hand: nothing but what is tested is to bring it back.
    checkout = make_checkout(mac, env={"PULSE": "false"})
    with one_vm(mac), Watch(mac, "colima-foo") as other:
        run = checkout.ssh("-y")
    assert (other.most, foo(mac)) == (1, before)
    return Deployed(mac, checkout, checkout.ssh, run)


@pytest.fixture
def mac(shared: Deployed) -> Iterator[Mac]:
    """It, converged before and after a test; never a second VM."""
    run = shared.run("-y")
    assert run.status == 0, run.output
    with one_vm(shared.mac):
        yield shared.mac
        wait_for(lambda: ping(shared.mac) == "200", 60)


@pytest.fixture
def checkout(shared: Deployed) -> Checkout:
    return shared.checkout


def test_a_first_deploy_takes_over_what_was_started_by_hand(shared: Deployed) -> None:
    """Stopped in order, started by launchd; another profile of hers runs on."""
    assert shared.first.status == 0, shared.first.output
    assert "Stop what runs of the profile without launchd: " in shared.first.output
    assert "stopping colima" in shared.first.output, "shown live"
    assert ping(shared.mac) == "200"
    assert vm_events(shared.mac) == ["start", "start", "graceful-stop", "start"]


def test_half_an_instance_by_hand_beside_another(mac: Mac, checkout: Checkout) -> None:
    """No stop that could hang is tried, and the network that foo needs stays."""
    before = foo(mac)
    boot_out(mac)
    colima(mac, "start")
    kill(mac, process(mac, f"hostagent --pidfile {VM}/ha.pid").pid)
    mac.fault("stop-hangs")
    start = time.monotonic()
    try:
        run = checkout.ssh("-y")
    finally:
        mac.heal("stop-hangs")
    assert run.status == 0, run.output
    assert time.monotonic() - start < 60
    assert foo(mac) == before


@pytest.mark.weekly
def test_a_start_by_hand_that_is_under_way(mac: Mac, checkout: Checkout) -> None:
    """What `colima start` has started by then ends with it: a limactl that goes on would be a second VM."""
    before = foo(mac)
    boot_out(mac)
    mac.fault("start-slow", "8")
    line = "/opt/homebrew/bin/colima start >/dev/null 2>&1 &"
    mac.run(["/bin/sh", "-c", line], user="alice", env=BY_HAND)
    wait_for(lambda: any(f"{VM}/qemu.pid" in each.command for each in mac.processes()))
    found = [each.pid for each in ours(mac) if each.pid not in before]
    assert process(mac, "limactl start colima").pid in found
    try:
        run = checkout.ssh("-y")
    finally:
        mac.heal("start-slow")
    assert run.status == 0, run.output
    assert not any(alive(mac, pid) for pid in found)
    assert foo(mac) == before


def test_a_disk_that_another_instance_holds(mac: Mac, checkout: Checkout) -> None:
    """Refused with its name, by the deploy and by the job; nothing is touched."""
    before = foo(mac)
    boot_out(mac)
    mac.run(["/bin/ln", "-sfn", f"{BASE}/_lima/colima-foo", LOCK], user="alice")
    run = checkout.ssh("-y")
    assert run.status == 1, run.output
    assert "in use by instance colima-foo, which runs" in run.output
    assert "colima stop --profile=foo" in run.output
    assert not is_loaded(mac)
    since = log_size(mac)
    bootstrap(mac)
    wait_for(lambda: bool(logged(mac, since)))
    said = 'level=fatal msg="the data disk of colima is in use by instance colima-foo, which runs"'
    assert logged(mac, since) == [said]
    assert foo(mac) == before
    colima(mac, "stop", "--profile=foo")
    mac.run(["launchctl", "kickstart", f"system/{LABEL}"])


@pytest.mark.weekly
def test_a_term_during_start(mac: Mac) -> None:
    """The VM runs, Docker in it was never provisioned, and a start says "already running"."""
    boot_out(mac)
    since = log_size(mac)
    mac.fault("start-slow", "3")
    bootstrap(mac)
    wait_for(lambda: any(f"{VM}/qemu.pid" in each.command for each in ours(mac)))
    kill(mac, process(mac, "--foreground").pid, "TERM")
    wait_for(lambda: job_pid(mac) is None)
    mac.heal("start-slow")
    rest = qemu(mac)
    mac.run(["launchctl", "kickstart", f"system/{LABEL}"])
    wait_for(lambda: ping(mac) == "200", 60)
    assert not alive(mac, rest)
    assert str(rest) in logged(mac, since)[0]
    assert "already running, ignoring" not in mac.path(LOG).read_text()[since:]

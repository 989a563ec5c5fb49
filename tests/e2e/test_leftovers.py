"""What a crash leaves: the job clears it up, Docker answers again; strangers live, and no VM runs twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.checkout import Checkout
from tests.e2e.looking import (
    LABEL,
    Deployed,
    Watch,
    is_loaded,
    job_pid,
    ours,
    ping,
    process,
    socket_of,
    vm_events,
    wait_for,
)
from tests.mac.machine import Mac

HOME = "/Users/alice"
BASE = f"{HOME}/.colima"
VM = f"{BASE}/_lima/colima"
NETWORK = f"{BASE}/_lima/_networks/user-v2"
LOCK = f"{BASE}/_lima/_disks/colima/in_use_by"
LOG = "/var/log/colima.log"
BY_HAND = {"PATH": "/opt/homebrew/bin:/usr/bin:/bin:/usr/sbin:/sbin"}


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Docker is broken here by hand: nothing but what is tested is to bring it back."""
    return {"PULSE": "false"}


@pytest.fixture(autouse=True)
def one_vm(request: pytest.FixtureRequest) -> Iterator[None]:
    """On the shared Mac: converged before; never a second VM, and converged again, after."""
    if "deployed" not in request.fixturenames:
        yield
        return
    deployed: Deployed = request.getfixturevalue("deployed")
    run = deployed.run("-y")
    assert run.status == 0, run.output
    with Watch(deployed.mac) as watch:
        yield
        wait_for(lambda: ping(deployed.mac) == "200")
    assert watch.samples
    assert watch.most <= 1, "a second VM ran"
    assert deployed.run("-y", "--json").changed == []


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


def unload(mac: Mac) -> None:
    """The job, and with it the VM, is gone."""
    mac.run(["launchctl", "bootout", f"system/{LABEL}"])
    wait_for(lambda: not is_loaded(mac))
    wait_for(lambda: ours(mac) == [])


def load(mac: Mac) -> None:
    mac.run(["launchctl", "bootstrap", "system", f"/Library/LaunchDaemons/{LABEL}.plist"])


def stranger(mac: Mac, user: str) -> int:
    """A process that has nothing to do with Colima; its pid."""
    line = "/bin/sleep 1000 >/dev/null 2>&1 & echo $!"
    return int(mac.run(["/bin/sh", "-c", line], user=user, env={"HOME": "/private/tmp"}).stdout)


def write(mac: Mac, path: str, content: object) -> None:
    """As the user, in a directory that may be gone."""
    script = '/bin/mkdir -p "${1%/*}" && printf "%s\\n" "$2" >"$1"'
    mac.run(["/bin/sh", "-c", script, "sh", path, str(content)], user="alice")


def alive(mac: Mac, pid: int) -> bool:
    return any(each.pid == pid for each in mac.processes())


def kill(mac: Mac, words: str, signal: str = "KILL") -> None:
    mac.run(["/bin/kill", f"-{signal}", str(process(mac, words).pid)])


def locked_home(mac: Mac, cut: Callable[[], None]) -> Callable[[], None]:
    """Cut the power; the home is not there at boot (FileVault). Returns what unlocks it."""
    mac.path(HOME).rename(mac.path("/Users/locked"))
    cut()
    mac.boot()
    wait_for(lambda: job_pid(mac) is not None)

    def unlock() -> None:
        mac.path("/Users/locked").rename(mac.path(HOME))

    return unlock


def test_a_power_cut(deployed: Deployed) -> None:
    """FAULTS 1, 3, 4: what is left of itself, pids and all, is healed with a line each."""
    mac, since = deployed.mac, log_size(deployed.mac)
    unlock = locked_home(mac, mac.power_cut)
    lima = mac.path("/Users/locked/.colima/_lima/colima")
    assert {"ha.pid", "qemu.pid", "ha.sock", "ssh.sock", "qmp.sock"} <= {each.name for each in lima.iterdir()}
    for name in ("ha.pid", "qemu.pid"):
        (lima / name).write_text("99999\n")
    unlock()
    wait_for(lambda: ping(mac) == "200")
    said = logged(mac, since)
    for name in ("ha.pid", "qemu.pid"):
        assert removed(f"{VM}/{name}", "pid 99999 is gone") in said
    for path in (f"{VM}/ha.sock", f"{VM}/ssh.sock", f"{VM}/qmp.sock", socket_of(mac), f"{BASE}/docker.sock"):
        assert removed(path, "nothing listens behind it") in said
    assert removed(LOCK, "instance colima does not run") in said
    assert all(line.startswith('level=info msg="removed ') for line in said)
    assert len(said) == len(set(said))


def test_pid_files_that_name_a_stranger_after_a_power_cut(deployed: Deployed) -> None:
    """FAULTS 2: Lima calls that Broken for ever, and `colima stop -f` kills the stranger."""
    mac, since = deployed.mac, log_size(deployed.mac)
    unlock = locked_home(mac, mac.power_cut)
    pid = stranger(mac, "root")
    for name in ("ha.pid", "qemu.pid"):
        mac.path(f"/Users/locked/.colima/_lima/colima/{name}").write_text(f"{pid}\n")
    unlock()
    wait_for(lambda: ping(mac) == "200")
    assert alive(mac, pid)
    for name in ("ha.pid", "qemu.pid"):
        assert removed(f"{VM}/{name}", f"pid {pid} is another process") in logged(mac, since)
    mac.run(["/bin/kill", str(pid)])


def test_a_deploy_heals_too(deployed: Deployed) -> None:
    """FAULTS 2, 3, 4 before the job is loaded; `--dry` says so, and touches nothing."""
    mac, since = deployed.mac, log_size(deployed.mac)
    unload(mac)
    pid = stranger(mac, "alice")
    write(mac, f"{VM}/qemu.pid", pid)
    line = "use Socket; socket S, AF_UNIX, SOCK_STREAM, 0; bind S, pack_sockaddr_un(shift) or die"
    mac.run(["/usr/bin/perl", "-e", line, socket_of(mac)], user="alice")
    assert "Remove what a crash has left of the profile: " in deployed.run("--dry").output
    assert mac.path(f"{VM}/qemu.pid").exists()
    run = deployed.run("-y")
    assert run.status == 0, run.output
    assert f"removed {VM}/qemu.pid: pid {pid} is another process" in run.output
    assert f"removed {socket_of(mac)}: nothing listens behind it" in run.output
    assert (ping(mac), alive(mac, pid)) == ("200", True)
    assert logged(mac, since) == [], "it was healed before"
    mac.run(["/bin/kill", str(pid)])


def test_qemu_without_its_host_agent(deployed: Deployed) -> None:
    """FAULTS 5: `colima stop` calls Broken "not running" and does nothing."""
    mac, since = deployed.mac, log_size(deployed.mac)
    kill(mac, "limactl hostagent")
    rest = process(mac, "qemu-system").pid
    mac.run(["launchctl", "kickstart", "-k", f"system/{LABEL}"])
    wait_for(lambda: not alive(mac, rest))
    wait_for(lambda: ping(mac) == "200")
    said = logged(mac, since)
    assert "without launchd's supervision" in said[0]
    assert str(rest) in said[0]
    assert removed(f"{VM}/ha.sock", "nothing listens behind it") in said


def test_a_host_agent_without_qemu(deployed: Deployed) -> None:
    """FAULTS 5, the reverse: a host agent that is stuck, and heeds no TERM."""
    mac, since = deployed.mac, log_size(deployed.mac)
    rest = process(mac, "limactl hostagent").pid
    kill(mac, "limactl hostagent", "STOP")
    kill(mac, "qemu-system")
    mac.run(["launchctl", "kickstart", "-k", f"system/{LABEL}"], timeout=90)
    wait_for(lambda: not alive(mac, rest), 60)
    wait_for(lambda: ping(mac) == "200")
    assert not any("colima stop failed" in line for line in logged(mac, since))


def test_a_term_during_start(deployed: Deployed) -> None:
    """FAULTS 7: the VM runs, Docker in it was never provisioned, and a start says "already running"."""
    mac = deployed.mac
    unload(mac)
    since = log_size(mac)
    mac.fault("start-slow", "3")
    load(mac)
    wait_for(lambda: any("qemu-system" in each.command for each in ours(mac)))
    kill(mac, "--foreground", "TERM")
    wait_for(lambda: job_pid(mac) is None)
    mac.heal("start-slow")
    rest = process(mac, "qemu-system").pid
    mac.run(["launchctl", "kickstart", f"system/{LABEL}"])
    wait_for(lambda: ping(mac) == "200", 60)
    assert not alive(mac, rest)
    assert str(rest) in logged(mac, since)[0]
    assert "already running, ignoring" not in mac.path(LOG).read_text()[since:]


def test_the_shared_networks_leftovers(deployed: Deployed) -> None:
    """FAULTS 6: a pid file that names a stranger, dead sockets, and a network of nobody's."""
    mac = deployed.mac
    unload(mac)
    since = log_size(mac)
    pid = stranger(mac, "root")
    line = (
        f"/opt/homebrew/bin/limactl usernet -p {NETWORK}/usernet_user-v2.pid -e {NETWORK}/user-v2_ep.sock"
        f" --listen-qemu {NETWORK}/user-v2_qemu.sock --listen {NETWORK}/user-v2_fd.sock"
        " --subnet 192.168.5.0/24"
    )
    write(mac, f"{NETWORK}/usernet_user-v2.pid", pid)
    mac.run(["/bin/sh", "-c", f"{line} >/dev/null 2>&1 &"], user="alice", env=BY_HAND)
    wait_for(lambda: mac.path(f"{NETWORK}/user-v2_fd.sock").exists())
    wait_for(lambda: mac.path(f"{NETWORK}/usernet_user-v2.pid").read_text() != f"{pid}\n")
    stray = process(mac, "limactl usernet").pid
    write(mac, f"{NETWORK}/usernet_user-v2.pid", pid)
    load(mac)
    wait_for(lambda: ping(mac) == "200")
    said = logged(mac, since)
    assert f"pid {stray}" in said[0]
    assert removed(f"{NETWORK}/usernet_user-v2.pid", f"pid {pid} is another process") in said
    assert process(mac, "limactl usernet").pid != stray
    assert alive(mac, pid)
    mac.run(["/bin/kill", str(pid)])


def colima(mac: Mac, *words: str) -> None:
    mac.run(["/opt/homebrew/bin/colima", *words], user="alice", env=BY_HAND)


def pids(mac: Mac, name: str) -> set[int]:
    """The processes of one instance, and the network."""
    return {
        each.pid
        for each in ours(mac)
        if f"/_lima/{name}/" in each.command or "limactl usernet" in each.command
    }


@pytest.fixture(scope="module")
def by_hand(make_mac: Callable[..., Mac], make_checkout: Callable[..., Checkout]) -> tuple[Mac, Checkout]:
    """A Mac on which alice runs two profiles without launchd."""
    mac = make_mac()
    colima(mac, "start", "--vm-type=qemu", "--disk=20")
    colima(mac, "start", "--profile=foo", "--vm-type=qemu", "--disk=20")
    return mac, make_checkout(mac)


def test_a_first_deploy_takes_over_what_was_started_by_hand(by_hand: tuple[Mac, Checkout]) -> None:
    """Stopped in order, started by launchd, one VM at any time; another profile of hers runs on."""
    mac, checkout = by_hand
    before = pids(mac, "colima-foo")
    assert len(before) == 4
    assert "Stop what runs of the profile without launchd: " in checkout.ssh("--dry").output
    with Watch(mac) as watch, Watch(mac, "colima-foo") as foo:
        run = checkout.ssh("-y")
    assert run.status == 0, run.output
    assert "stopping colima" in run.output, "shown live"
    assert ping(mac) == "200"
    assert (watch.most, foo.most) == (1, 1)
    assert pids(mac, "colima-foo") == before
    events = [event for event in vm_events(mac) if "provisioned" not in event]
    assert sorted(events) == ["graceful-stop", "start", "start", "start"]
    assert checkout.ssh("-y", "--json").changed == []


def test_a_start_by_hand_that_is_under_way(by_hand: tuple[Mac, Checkout]) -> None:
    """What `colima start` has started by then ends with it: a limactl that goes on would be a second VM."""
    mac, checkout = by_hand
    mac.run(["launchctl", "bootout", f"system/{LABEL}"])
    wait_for(lambda: not is_loaded(mac) and pids(mac, "colima") <= pids(mac, "colima-foo"))
    before = pids(mac, "colima-foo")
    mac.fault("start-slow", "8")
    line = "/opt/homebrew/bin/colima start >/dev/null 2>&1 &"
    mac.run(["/bin/sh", "-c", line], user="alice", env=BY_HAND)
    wait_for(lambda: any(f"{VM}/qemu.pid" in each.command for each in mac.processes()))
    found = [each.pid for each in ours(mac) if each.pid not in before]
    assert process(mac, "limactl start colima").pid in found
    with Watch(mac) as watch:
        try:
            run = checkout.ssh("-y")
        finally:
            mac.heal("start-slow")
    assert run.status == 0, run.output
    assert not any(alive(mac, pid) for pid in found)
    assert (ping(mac), watch.most) == ("200", 1)
    assert pids(mac, "colima-foo") == before


def test_half_an_instance_by_hand_beside_another(by_hand: tuple[Mac, Checkout]) -> None:
    """FAULTS 5, 6 and 12: no stop that could hang is tried, and the network that foo needs stays."""
    mac, checkout = by_hand
    mac.run(["launchctl", "bootout", f"system/{LABEL}"])
    wait_for(lambda: not is_loaded(mac) and pids(mac, "colima") <= pids(mac, "colima-foo"))
    before = pids(mac, "colima-foo")
    colima(mac, "start")
    kill(mac, f"hostagent --pidfile {VM}/ha.pid")
    mac.fault("stop-hangs")
    start = time.monotonic()
    try:
        with Watch(mac) as watch:
            run = checkout.ssh("-y")
    finally:
        mac.heal("stop-hangs")
    assert run.status == 0, run.output
    assert time.monotonic() - start < 60
    assert (ping(mac), watch.most) == ("200", 1)
    assert pids(mac, "colima-foo") == before


def test_a_disk_that_another_instance_holds(by_hand: tuple[Mac, Checkout]) -> None:
    """FAULTS 4: refused with its name, by the deploy and by the job; nothing is touched."""
    mac, checkout = by_hand
    before = pids(mac, "colima-foo")
    mac.run(["launchctl", "bootout", f"system/{LABEL}"])
    wait_for(lambda: not is_loaded(mac) and pids(mac, "colima") <= before)
    mac.run(["/bin/ln", "-sfn", f"{BASE}/_lima/colima-foo", LOCK], user="alice")
    for how in ("--dry", "-y"):
        run = checkout.ssh(how)
        assert run.status == 1, run.output
        assert "in use by instance colima-foo, which runs" in run.output
        assert "colima stop --profile=foo" in run.output
    assert not is_loaded(mac)

    since = log_size(mac)
    load(mac)
    wait_for(lambda: bool(logged(mac, since)))
    said = 'level=fatal msg="the data disk of colima is in use by instance colima-foo, which runs"'
    assert logged(mac, since) == [said]
    assert mac.path(LOCK).readlink() == Path(f"{BASE}/_lima/colima-foo")
    assert pids(mac, "colima-foo") == before

    colima(mac, "stop", "--profile=foo")
    mac.run(["launchctl", "kickstart", f"system/{LABEL}"])
    wait_for(lambda: ping(mac) == "200")

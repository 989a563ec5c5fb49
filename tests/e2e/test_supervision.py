"""launchd and Colima's job: first starts that fail, two deploys at once, and a job as it is found."""

from __future__ import annotations

import plistlib
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.checkout import Checkout
from tests.e2e.conftest import INSTALLERS, MakeCheckout, MakeMac
from tests.e2e.looking import (
    LABEL,
    PLIST,
    boot_out,
    container,
    docker,
    is_loaded,
    job_pid,
    ours,
    ping,
    vm_events,
    wait_for,
)
from tests.mac.machine import Mac

LOG = "/private/var/log/colima.log"


def plug_in(mac: Mac) -> None:
    """Mount an external disk on /Volumes/Big, which does not outlive a boot."""
    options = ["-t", "tmpfs", "-o", "mode=755,uid=502", "big", "/Volumes/Big"]
    mac.run(["/usr/libexec/standin/host/bin/mount", *options])
    mac.path("/Volumes/Big/data").write_text("of the disk\n")


@pytest.fixture(scope="module")
def mac(make_mac: MakeMac) -> Mac:
    made: Mac = make_mac()
    made.path("/Volumes/Big").mkdir()
    plug_in(made)
    return made


@pytest.fixture(scope="module")
def checkout(make_checkout: MakeCheckout, mac: Mac) -> Checkout:
    """Nothing but what is tested is to bring Docker back."""
    env = {"PULSE": "false", "COLIMA_EXTRA_ARGS": "--mount=/Users/alice:w,/Volumes/Big:w"}
    made: Checkout = make_checkout(mac, env=env, installers=INSTALLERS)
    return made


def undone(mac: Mac, checkout: Checkout, reason: str) -> None:
    """Deploy, and see the start fail for this reason and leave nothing."""
    failed = checkout.ssh("-y", *(["--data", "wait_provision_max=6"] if "6 s" in reason else []))
    assert failed.status == 1, failed.output
    assert "Colima did not start" in failed.output
    assert reason in failed.output
    assert not is_loaded(mac)
    assert not mac.path(PLIST).exists()
    assert [each.command for each in ours(mac)] == []


def test_a_first_start_that_fails_is_undone(mac: Mac, checkout: Checkout) -> None:
    """QEMU's emulator is gone from the prefix, its qemu-img is not: only the start itself can tell."""
    there, away = "/opt/homebrew/bin/qemu-system-aarch64", "/opt/homebrew/away"
    mac.run(["/bin/mv", there, away])
    undone(mac, checkout, "qemu")
    mac.run(["/bin/mv", away, there])


@pytest.mark.weekly
@pytest.mark.parametrize(
    ("fault", "value", "reason"),
    [
        ("start-fails", "always", "colima start ended"),
        ("image-download-fails", "always", "image download"),
        ("docker-start-fails", "99", "Colima did not start"),
        ("start-hangs", "1", "not up after 6 s"),
        ("docker-hangs", "1", "not up after 6 s"),
        ("vz-anyway", "1", "the VM came up on vz"),
    ],
)
def test_so_is_any_other(
    make_mac: MakeMac, make_checkout: MakeCheckout, fault: str, value: str, reason: str
) -> None:
    """And with its cause gone a deploy goes well."""
    mac = make_mac()
    checkout = make_checkout(mac, env={"PULSE": "false"})
    mac.fault(fault, value)
    undone(mac, checkout, reason)
    mac.heal(fault)
    healed = checkout.ssh("-y")
    assert healed.status == 0, healed.output
    assert ping(mac) == "200"
    mac.power_cut()


def test_two_first_deploys_at_once(mac: Mac, checkout: Checkout) -> None:
    """The second waits for the first, and finds its work done."""
    before = len(vm_events(mac))
    checkout.write_env()
    with ThreadPoolExecutor() as pool:
        runs = list(pool.map(lambda _: checkout.ssh("-y"), range(2)))
    said = "\n\n".join(run.output for run in runs)
    assert [run.status for run in runs] == [0, 0], said
    assert ping(mac) == "200"
    assert vm_events(mac)[before:] == ["start"]
    assert said.count("Hello from Docker!") == 1
    assert container(mac, "web", "RestartCount") == 0
    assert checkout.ssh("-y", "--json").changed == []


def test_a_draining_job_is_waited_for(mac: Mac, checkout: Checkout) -> None:
    """bootout returns at once, and bootstrap answers 5 while the job drains."""
    mac.run(["launchctl", "bootout", f"system/{LABEL}"])
    run = checkout.ssh("-y")
    assert run.status == 0, run.output
    assert ping(mac) == "200"


def test_what_launchd_loads_at_boot_is_put_right_without_a_restart(mac: Mac, checkout: Checkout) -> None:
    before, plist = job_pid(mac), plistlib.loads(mac.path(PLIST).read_bytes())
    plist["ProgramArguments"][-2] = "--disk=99"
    mac.path(PLIST).write_bytes(plistlib.dumps(plist))
    mac.run(["/usr/sbin/chown", "alice", PLIST])
    mac.run(["launchctl", "disable", f"system/{LABEL}"])
    assert checkout.ssh("-y", "--json").changed == ["Keep Colima loaded in launchd"]
    stat = mac.path(PLIST).stat()
    assert (stat.st_uid, stat.st_mode & 0o777) == (0, 0o644)
    assert b"--disk=20" in mac.path(PLIST).read_bytes()
    assert f'"{LABEL}" => enabled' in mac.run(["launchctl", "print-disabled", "system"]).stdout
    assert job_pid(mac) == before


def test_a_job_loaded_with_other_arguments_is_reloaded(mac: Mac, checkout: Checkout) -> None:
    boot_out(mac)
    plist = plistlib.loads(mac.path(PLIST).read_bytes())
    plist["ProgramArguments"].insert(-1, "--dns=1.1.1.1")
    mac.path("/private/var/root/elsewhere.plist").write_bytes(plistlib.dumps(plist))
    mac.run(["launchctl", "bootstrap", "system", "/private/var/root/elsewhere.plist"])
    wait_for(lambda: ping(mac) == "200")
    run = checkout.ssh("-y")
    assert run.status == 0, run.output
    said = "Restart Colima: loaded from /private/var/root/elsewhere.plist, loaded with other arguments"
    assert said in run.output
    assert "--dns" not in mac.run(["launchctl", "print", f"system/{LABEL}"]).stdout


def test_an_upgrade_that_fails_leaves_the_vm_alone(mac: Mac, checkout: Checkout) -> None:
    before, pins = job_pid(mac), mac.path("/opt/homebrew/var/homebrew/pinned")
    mac.fault("brew-newer", "lima=2.2.1")
    mac.fault("brew-fails")
    run = checkout.ssh("-y", deploy="deploys/upgrade.py")
    assert run.status == 1, run.output
    assert "Upgrade lima 2.2.0 -> 2.2.1 with Homebrew" in run.output
    assert "The VM runs on as it is; run this again" in run.output
    assert sorted(path.name for path in pins.iterdir()) == ["colima", "lima", "qemu"]
    mac.heal("brew-newer")
    assert job_pid(mac) == before


def test_a_boot_waits_for_the_disk_that_is_mounted(mac: Mac, checkout: Checkout) -> None:
    """The empty directory in its place is not mounted, and nothing is written into it."""
    before, since = len(vm_events(mac)), mac.path(LOG).stat().st_size
    mac.power_cut()
    mac.boot()
    words = 'level=warning msg="/Volumes/Big is not mounted: waiting for it" context=launch'
    wait_for(lambda: words in mac.path(LOG).read_bytes()[since:].decode())
    assert job_pid(mac) is not None
    assert vm_events(mac)[before:] == []
    said = " ".join(checkout.ssh(deploy="deploys/status.py").stdout.split())
    assert "/Volumes/Big is not mounted; Colima starts when it is there" in said
    plug_in(mac)
    wait_for(lambda: ping(mac) == "200", 30)
    docker(mac, "run", "--rm", "-v", "/Volumes/Big:/big", "busybox", "cp", "/big/data", "/big/copy")
    assert mac.path("/Volumes/Big/copy").read_text() == "of the disk\n"
    assert mac.path(LOG).read_bytes()[since:].decode().count("waiting for it") == 1


def test_what_to_mind_of_places_and_clocks(mac: Mac, checkout: Checkout) -> None:
    mac.fault("guest-clock-off", "-93")
    said = " ".join(checkout.ssh(deploy="deploys/status.py").stdout.split())
    mac.heal("guest-clock-off")
    # Whole seconds, and what the question took counts for the guest.
    assert re.search(r"the guest's clock is 9[0-3] s behind the Mac's", said)
    assert "COLIMA_EXTRA_ARGS mounts /Volumes/Big: macOS keeps daemons" in said


@pytest.mark.weekly
def test_su_is_rendered_and_a_restart_still_stops_colima_first(mac: Mac, checkout: Checkout) -> None:
    def of_alice() -> int:
        return sum("--foreground" in each.command and each.uid != 0 for each in ours(mac))

    assert checkout.ssh("-y").status == 0
    su, restart = ("--data", "launch_via=su"), ("--data", "restart=true")
    for form, asked in ((su, ()), (su, restart), ((), ())):
        before = len(vm_events(mac))
        run = checkout.ssh("-y", *form, *asked)
        assert run.status == 0, run.output
        assert vm_events(mac)[before:] == ["graceful-stop", "start"]
        assert of_alice() == 1
        words = plistlib.loads(mac.path(PLIST).read_bytes())["ProgramArguments"]
        assert (words[:4] == ["/usr/bin/su", "-", "alice", "-c"]) is bool(form)
        assert checkout.ssh("-y", "--json", *form).changed == []

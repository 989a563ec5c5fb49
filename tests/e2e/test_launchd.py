"""launchd as it is found: draining, disabled, mangled, silent. FAULTS of launchd, each on a deployed Mac."""

from __future__ import annotations

import plistlib
from collections.abc import Callable

import pytest

from tests.checkout import Checkout
from tests.e2e.looking import LABEL, PLIST, Deployed, is_loaded, job_pid, ours, ping, vm_events, wait_for
from tests.mac.machine import Mac

MakeMac = Callable[..., Mac]


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Docker is broken here by hand: nothing but what is tested is to bring it back."""
    return {"PULSE": "false"}


@pytest.fixture(autouse=True)
def converged_again(deployed: Deployed) -> None:
    """Each test begins on a Mac that a deploy calls converged."""
    assert deployed.run("-y").status == 0
    assert deployed.run("-y", "--json").changed == []


def starts(mac: Mac) -> int:
    return vm_events(mac).count("start")


def test_a_draining_job_is_waited_for(deployed: Deployed) -> None:
    """bootout returns at once, and bootstrap answers 5 while the job drains."""
    mac = deployed.mac
    mac.run(["launchctl", "bootout", f"system/{LABEL}"])
    run = deployed.run("-y")
    assert run.status == 0, run.output
    assert ping(mac) == "200"
    assert job_pid(mac) is not None


def test_bootstrap_that_answers_5_for_a_while_is_tried_again(deployed: Deployed) -> None:
    mac = deployed.mac
    mac.run(["launchctl", "bootout", f"system/{LABEL}"])
    wait_for(lambda: not is_loaded(mac))
    mac.fault("bootstrap-eio", "30")
    run = deployed.run("-y")
    assert run.status == 0, run.output
    assert ping(mac) == "200"


def test_a_disabled_label_is_enabled_first(deployed: Deployed) -> None:
    mac = deployed.mac
    mac.run(["launchctl", "bootout", f"system/{LABEL}"])
    mac.run(["launchctl", "disable", f"system/{LABEL}"])
    wait_for(lambda: not is_loaded(mac))
    dry = deployed.run("--dry")
    assert "not loaded, disabled" in dry.output
    run = deployed.run("-y")
    assert run.status == 0, run.output
    assert ping(mac) == "200"


def test_what_is_wrong_beside_the_job_is_put_right_without_a_restart(deployed: Deployed) -> None:
    mac, before = deployed.mac, job_pid(deployed.mac)
    plist = plistlib.loads(mac.path(PLIST).read_bytes())
    plist["ProgramArguments"][-2] = "--disk=99"
    mac.path(PLIST).write_bytes(plistlib.dumps(plist))
    mac.run(["/usr/sbin/chown", "502", PLIST])
    mac.run(["launchctl", "disable", f"system/{LABEL}"])
    run = deployed.run("-y", "--json")
    assert run.changed == ["Keep Colima loaded in launchd"]
    assert b"--disk=20" in mac.path(PLIST).read_bytes()
    assert f'"{LABEL}" => enabled' in mac.run(["launchctl", "print-disabled", "system"]).stdout
    stat = mac.path(PLIST).stat()
    assert (stat.st_uid, stat.st_mode & 0o777) == (0, 0o644)
    assert job_pid(mac) == before


def test_a_job_loaded_from_elsewhere_is_reloaded(deployed: Deployed) -> None:
    mac, before = deployed.mac, starts(deployed.mac)
    mac.run(["launchctl", "bootout", f"system/{LABEL}"])
    wait_for(lambda: not is_loaded(mac))
    mac.run(["/bin/cp", PLIST, "/private/var/root/elsewhere.plist"])
    mac.run(["launchctl", "bootstrap", "system", "/private/var/root/elsewhere.plist"])
    wait_for(lambda: ping(mac) == "200")
    assert "loaded from /private/var/root/elsewhere.plist" in deployed.run("--dry").output
    run = deployed.run("-y")
    assert run.status == 0, run.output
    assert f"path = {PLIST}" in mac.run(["launchctl", "print", f"system/{LABEL}"]).stdout
    assert starts(mac) == before + 2


def test_a_job_that_launchd_never_spawns_is_kicked_once_without_k(deployed: Deployed) -> None:
    mac = deployed.mac
    mac.run(["launchctl", "bootout", f"system/{LABEL}"])
    wait_for(lambda: not is_loaded(mac))
    mac.fault("never-spawn", "1")
    seen = len(mac.commands())
    run = deployed.run("-y", timeout=180)
    assert run.status == 0, run.output
    kicks = [command for command in mac.commands()[seen:] if "kickstart" in command]
    assert [kick.removeprefix("/bin/") for kick in kicks] == [f"launchctl kickstart system/{LABEL}"]


def test_an_unreadable_answer_is_never_taken_for_absence(deployed: Deployed) -> None:
    mac, before = deployed.mac, job_pid(deployed.mac)
    mac.fault("print-rc", "1")
    try:
        for how in (["--dry"], ["-y"]):
            run = deployed.run(*how)
            assert run.status == 1
            assert f"launchctl print system/{LABEL}" in run.output
    finally:
        mac.heal("print-rc")
    assert job_pid(mac) == before


def test_a_policy_that_forbids_the_daemon_is_told_with_the_way_out(deployed: Deployed) -> None:
    mac = deployed.mac
    mac.run(["launchctl", "bootout", f"system/{LABEL}"])
    wait_for(lambda: not is_loaded(mac))
    mac.fault("btm-161")
    try:
        run = deployed.run("-y")
        assert run.status == 1
        assert "Login Items" in run.output
    finally:
        mac.heal("btm-161")


def test_an_unsupervised_instance_is_stopped_before_ours_starts(
    make_mac: MakeMac, make_checkout: Callable[..., Checkout]
) -> None:
    mac = make_mac()
    env = {"PATH": "/opt/homebrew/bin:/usr/bin:/bin:/usr/sbin:/sbin"}
    start = ["/opt/homebrew/bin/colima", "start", "--vm-type=qemu", "--disk=20"]
    mac.run(start, user="alice", env=env)
    assert ping(mac) == "200"
    run = make_checkout(mac).ssh("-y")
    assert run.status == 0, run.output
    assert ping(mac) == "200"
    events = [event for event in vm_events(mac) if "provisioned" not in event]
    assert events == ["start", "graceful-stop", "start"]


def test_su_is_rendered_and_a_restart_still_stops_colima_first(
    make_deployed: Callable[..., Deployed],
) -> None:
    deployed = make_deployed("ssh", env={"LAUNCH_VIA": "su"})
    mac = deployed.mac
    assert deployed.first.status == 0, deployed.first.output
    plist = plistlib.loads(mac.path(PLIST).read_bytes())
    assert plist["ProgramArguments"][:4] == ["/usr/bin/su", "-", "alice", "-c"]
    assert plist["ProgramArguments"][4].startswith("exec ")
    assert deployed.run("-y", "--json").changed == []

    before = [event for event in vm_events(mac) if "provisioned" not in event]
    run = deployed.run("-y", "--data", "restart=true")
    assert run.status == 0, run.output
    after = [event for event in vm_events(mac) if "provisioned" not in event][len(before) :]
    assert after == ["graceful-stop", "start"]
    assert sum("qemu-system" in each.command for each in ours(mac)) == 1
    assert sum("--foreground" in each.command and each.uid != 0 for each in ours(mac)) == 1

    # Back to UserName: nothing of the su-launched Colima is left beside the new one.
    deployed.checkout.env.pop("LAUNCH_VIA")
    run = deployed.run("-y")
    assert run.status == 0, run.output
    assert sum("--foreground" in each.command for each in ours(mac)) == 1
    assert deployed.run("-y", "--json").changed == []

"""A Mac from its first deploy to its uninstall, and what tests/acceptance cannot see of it or do to it."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pexpect
import pytest

from tests.checkout import PYINFRA, ROOT, Run
from tests.e2e.conftest import INSTALLERS, MakeCheckout, MakeMac
from tests.e2e.looking import (
    LABEL,
    PLIST,
    Deployed,
    container,
    docker,
    is_loaded,
    job_pid,
    ours,
    ping,
    stranger,
    vm_events,
    wait_for,
)
from tests.mac.machine import Mac

LOG, OWN_LOG = "/private/var/log/colima.log", f"/private/var/log/{LABEL}.log"
VM = "/Users/alice/.colima/_lima/colima"
LARGER = ("--data", "colima_memory=4", "--data", "colima_cpus=3", "--data", "colima_disk=30")
# What is Colima's, Docker's or Homebrew's own, a backup, or what a Mac and its stand-in keep of themselves.
KEPT = re.compile(
    r"/Users/alice/(\.colima|\.docker|\.ssh/config|Library/Caches/(colima|lima|Homebrew)|colima-pulse-backups)(/|$)"
    r"|/(opt/homebrew|usr/local)/|/private/var/db/(standin|com\.apple\.xpc\.launchd)/|/run/(guest|sshd|sudo)(/|$)"
    r"|/Users/admin/\.sudo_as_admin_successful$"
)
ENV = {"PULSE_INTERVAL": "2"}

Tree = dict[str, tuple[int, ...]]


def tree(mac: Mac) -> Tree:
    """The disk of a Mac as far as a deploy may reach, without what an uninstall leaves: each path's mode and
    owner, and a file's size."""
    root = mac.path("/")
    found: Tree = {}
    for place in ("Applications", "Library", "Users", "opt", "private", "run", "usr/local"):
        for directory, directories, files in os.walk(root / place):
            for name in (*directories, *files):
                path = Path(directory, name)
                inside = f"/{path.relative_to(root)}"
                if KEPT.match(inside) or inside.startswith(f"/private{ROOT}/"):
                    continue
                stat = path.lstat()
                size = stat.st_size if path.is_file() and not path.is_symlink() else 0
                found[inside] = (stat.st_mode, stat.st_uid, stat.st_gid, size)
    assert "/Library/LaunchDaemons" in found
    return found


@pytest.fixture(scope="module")
def bare(make_mac: MakeMac) -> Mac:
    mac: Mac = make_mac(installed=())
    return mac


@pytest.fixture(scope="module")
def blank(bare: Mac) -> Tree:
    """The disk of the Mac before anything was deployed to it."""
    return tree(bare)


@pytest.fixture(scope="module")
def deployed(bare: Mac, blank: Tree, make_checkout: MakeCheckout) -> Deployed:
    """A Mac to which Homebrew has brought everything; the tests follow its life."""
    assert blank
    checkout = make_checkout(bare, env=ENV, installers=INSTALLERS)
    return Deployed(bare, checkout, checkout.ssh, checkout.ssh("-y"))


def test_a_first_deploy_is_one_start_and_roots_alone(deployed: Deployed) -> None:
    mac = deployed.mac
    assert deployed.first.status == 0, deployed.first.output
    installs = [line for line in mac.commands() if "brew install" in line]
    assert [line.split("brew install ")[1] for line in installs] == ["colima docker qemu"]
    assert vm_events(mac) == ["start"]
    for path in (PLIST, "/Library/ColimaPulse", "/Library/ColimaPulse/bin/launch"):
        stat = mac.path(path).lstat()
        assert (stat.st_uid, stat.st_gid, stat.st_mode & 0o022) == (0, 0, 0), path


def test_a_second_deploy_asks_little(deployed: Deployed) -> None:
    mac = deployed.mac
    sent, called = len(mac.ssh_commands()), len(mac.commands())
    assert deployed.run("-y", "--json").changed == []
    assert not any("/brew" in command for command in mac.commands()[called:])
    assert len(mac.ssh_commands()) - sent <= 12


def test_a_resize_is_shown_before(deployed: Deployed) -> None:
    dry = deployed.run("--dry", "--diff", *LARGER)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", dry.output)
    assert "Restart Colima: memory 2 -> 4 GiB, CPUs 2 -> 3, disk 20 -> 30 GiB" in plain
    changed = re.findall(r"(?m)^ *([-+])\s+<string>(.*)</string>$", plain)
    assert changed == [
        *(("-", f"--{flag}") for flag in ("cpu=2", "memory=2", "disk=20")),
        *(("+", f"--{flag}") for flag in ("cpu=3", "memory=4", "disk=30")),
    ]


def test_a_resize_is_one_graceful_restart(deployed: Deployed) -> None:
    """launchd may clamp the time that a job has to end, and answer 5 for 25 s after a bootout."""
    mac, before, called = deployed.mac, vm_events(deployed.mac), len(deployed.mac.commands())
    mac.fault("bootout-lingers", "5")
    run = deployed.run("-y", *LARGER)
    mac.heal("bootout-lingers")
    assert run.status == 0, run.output
    assert vm_events(mac)[len(before) :] == ["graceful-stop", "start"]
    assert run.output.count("Hello from Docker!") == 1
    verbs = mac.commands()[called:]
    stop, bootout = (
        next(i for i, verb in enumerate(verbs) if words in verb)
        for words in ("colima stop", "launchctl bootout")
    )
    assert stop < bootout
    assert sum("launchctl bootstrap" in verb for verb in verbs) > 1


def test_a_reboot_in_order_brings_docker_back(deployed: Deployed) -> None:
    """launchd's TERM shuts the guest down; what did not come back is named, and nothing was to be healed."""
    mac, before, since = deployed.mac, vm_events(deployed.mac), deployed.mac.path(LOG).stat().st_size
    docker(mac, "create", "--name", "never", "--label", "colima-pulse.spec=x", "busybox")
    reports = mac.path(OWN_LOG).read_text().count(" s after boot; ")
    mac.reboot()
    wait_for(lambda: mac.path(OWN_LOG).read_text().count(" s after boot; ") > reports, 60)
    report = mac.path(OWN_LOG).read_text().splitlines()[-1]
    assert "; console: nobody; containers: " in report
    assert '; not back: never"' in report
    assert container(mac, "web", "State.Status") == "running"
    assert vm_events(mac)[len(before) :] == ["graceful-stop", "start"]
    assert "context=launch" not in mac.path(LOG).read_bytes()[since:].decode()
    docker(mac, "rm", "never")


def test_a_power_cut_is_healed_at_boot(deployed: Deployed) -> None:
    """The home comes later (FileVault); a pid file names a stranger by then, whom `colima stop -f` kills."""
    mac, since = deployed.mac, deployed.mac.path(LOG).stat().st_size
    mac.path("/Users/alice").rename(mac.path("/Users/locked"))
    mac.power_cut()
    mac.boot()
    wait_for(lambda: job_pid(mac) is not None)
    pid = stranger(mac, "alice")
    lima = mac.path("/Users/locked/.colima/_lima/colima")
    assert {"ha.sock", "ssh.sock", "qmp.sock"} <= {each.name for each in lima.iterdir()}
    (lima / "ha.pid").write_text("99999\n")
    (lima / "qemu.pid").write_text(f"{pid}\n")
    mac.path("/Users/locked").rename(mac.path("/Users/alice"))
    wait_for(lambda: ping(mac) == "200", 60)
    text = mac.path(LOG).read_bytes()[since:].decode()
    said = re.findall(r'level=info msg="removed (\S+): (.*?)"', text)
    for name, why in (
        ("ha.pid", "pid 99999 is gone"),
        ("qemu.pid", f"pid {pid} is another process"),
        *((name, "nothing listens behind it") for name in ("ha.sock", "ssh.sock", "qmp.sock")),
        ("../_disks/colima/in_use_by", "instance colima does not run"),
    ):
        assert (os.path.normpath(f"{VM}/{name}"), why) in said
    assert any(each.pid == pid for each in mac.processes())
    wait_for(lambda: container(mac, "web", "State.Status") == "running")
    assert deployed.run("-y", "--json", *LARGER).changed == []


def run(deployed: Deployed, deploy: str, *arguments: str) -> Run:
    return deployed.checkout.ssh(*arguments, deploy=f"deploys/{deploy}.py")


def test_logs_that_are_followed(deployed: Deployed) -> None:
    """Nothing is left of it on the Mac when its reader is gone."""
    mac = deployed.mac
    deployed.checkout.write_env()
    words = [*PYINFRA, "inventory.py", "deploys/logs.py", "--data", "follow=true", "--data", "lines=1"]
    directory = deployed.checkout.directory
    child = pexpect.spawn(words[0], words[1:], cwd=directory, encoding="utf-8", timeout=30)
    child.expect("pulse     ")
    mac.path(LOG).write_text("after it was emptied\n")
    child.expect(r"colima    \| after it was emptied")
    child.kill(signal.SIGKILL)
    child.close()
    wait_for(lambda: not any("ha.stderr.log" in each.command for each in mac.processes()))


def test_stopped_over_a_reboot(deployed: Deployed) -> None:
    mac, before = deployed.mac, vm_events(deployed.mac)
    stop = run(deployed, "stop", "-y")
    assert stop.status == 0, stop.output
    assert "stays stopped, over reboots too" in stop.output
    assert vm_events(mac)[len(before) :] == ["graceful-stop"]
    wait_for(lambda: ours(mac) == [])
    assert run(deployed, "stop", "-y", "--json").changed == []
    mac.reboot()
    state = f"/var/run/colima-pulse/{LABEL}/state"
    wait_for(lambda: "said=away" in mac.run(["/bin/cat", state], check=False).stdout)
    assert not is_loaded(mac)
    assert ours(mac) == []


def test_started_again(deployed: Deployed) -> None:
    start = run(deployed, "start", "-y")
    assert start.status == 0, start.output
    assert f"Start Colima: LaunchDaemon {LABEL} is not loaded, disabled" in start.output
    assert ping(deployed.mac) == "200"
    assert run(deployed, "start", "-y", "--json").changed == []


def test_uninstalled_nothing_is_left_but_the_vm(deployed: Deployed, blank: Tree) -> None:
    mac, before = deployed.mac, vm_events(deployed.mac)
    # Half of it is gone already: launchd has both jobs loaded still.
    mac.path(PLIST).unlink()
    mac.path("/Library/ColimaPulse/bin/pulse").unlink()
    gone = run(deployed, "uninstall", "-y")
    assert gone.status == 0, gone.output
    assert vm_events(mac)[len(before) :] == ["graceful-stop"]
    wait_for(lambda: ours(mac) == [])
    now = tree(mac)
    left = {path for path in blank.keys() | now.keys() if blank.get(path) != now.get(path)}
    assert left == set()
    assert not is_loaded(mac)
    assert not is_loaded(mac, f"{LABEL}.pulse")

"""What a person does with a Mac after its first deploy: read its logs, stop it, start it, uninstall it."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from tests.checkout import PYINFRA, Checkout, Run
from tests.e2e.conftest import HELLO, WEB
from tests.e2e.looking import LABEL, PLIST, container, docker, is_loaded, ours, ping, vm_events, wait_for
from tests.mac.machine import Mac

LOG = "/private/var/log/colima.log"
# What is Colima's, Docker's or Homebrew's own, a backup, or what a Mac and its stand-in keep of themselves.
KEPT = re.compile(
    r"/Users/alice/(\.colima|\.docker|\.ssh/config|Library/Caches/(colima|lima)|colima-pulse-backups)(/|$)"
    r"|/opt/homebrew/|/private/var/db/(standin|com\.apple\.xpc\.launchd)/|/run/(guest|sshd|sudo)(/|$)"
    r"|/Users/admin/\.sudo_as_admin_successful$"
)


def tree(mac: Mac) -> dict[str, tuple[int, ...]]:
    """The disk of a Mac as far as a deploy may reach, without what an uninstall leaves: each path's mode and
    owner, and a file's size."""
    root = mac.path("/")
    found: dict[str, tuple[int, ...]] = {}
    for place in ("Applications", "Library", "Users", "opt", "private", "run", "usr/local"):
        for directory, directories, files in os.walk(root / place):
            for name in (*directories, *files):
                path = Path(directory, name)
                inside = f"/{path.relative_to(root)}"
                if KEPT.match(inside):
                    continue
                stat = path.lstat()
                size = stat.st_size if path.is_file() and not path.is_symlink() else 0
                found[inside] = (stat.st_mode, stat.st_uid, stat.st_gid, size)
    assert "/Library/LaunchDaemons" in found
    return found


def changes(day: Day) -> dict[str, object]:
    """What of the disk is not as it was before the first deploy."""
    now = tree(day.mac)
    paths = day.before.keys() | now.keys()
    return {
        path: (day.before.get(path), now.get(path)) for path in paths if day.before.get(path) != now.get(path)
    }


class Day:
    """A Mac with a deploy on it, and what its disk was like before."""

    def __init__(self, mac: Mac, checkout: Checkout) -> None:
        self.mac, self.checkout = mac, checkout
        self.before = tree(mac)

    def run(self, deploy: str, *arguments: str) -> Run:
        return self.checkout.ssh(*arguments, deploy=f"deploys/{deploy}.py")

    def deploy(self) -> None:
        run = self.checkout.ssh("-y")
        assert run.status == 0, run.output


@pytest.fixture(scope="module")
def day(make_mac: Callable[..., Mac], make_checkout: Callable[..., Checkout]) -> Iterator[Day]:
    mac = make_mac()
    env = {"PULSE_INTERVAL": "1", "COLIMA_EXTRA_ARGS": "--env=PLAIN=s3cret-1d0f"}
    day = Day(mac, make_checkout(mac, env=env, installers={"hello-world": HELLO, "web": WEB}))
    assert day.run("start", "-y").status == 1, "there is nothing to start"
    day.deploy()
    yield day


def test_logs(day: Day) -> None:
    with day.mac.path(LOG).open("a") as log:
        log.write("and s3cret-1d0f is said\n")
    run = day.run("logs", "-vvv", "--data", "lines=3")
    assert run.status == 0, run.output
    lines = run.stdout.splitlines()
    names = [line.partition(" | ")[0].rstrip() for line in lines]
    assert names == [*["colima"] * 3, *["ha.stderr"] * 3, *["ha.stdout"] * 2, "pulse"]
    assert lines[2] == "colima    | and *** is said"
    assert "s after boot; " in lines[-1]
    assert "s3cret" not in run.output
    json = day.run("logs", "--json", "--data", "lines=1").json["hosts"][day.mac.name]
    assert json["colima"] == ["and *** is said"]
    assert day.run("logs", "--json", "--data", "follow=true").status == 1, (
        "it would never be a whole document"
    )
    assert len(json["ha.stderr"]) == len(json["ha.stdout"]) == len(json["pulse"]) == 1


def follow(day: Day) -> pexpect.spawn[str]:
    day.checkout.write_env()
    words = ["inventory.py", "deploys/logs.py", "--data", "follow=true", "--data", "lines=1"]
    command = [*PYINFRA, *words]
    return pexpect.spawn(command[0], command[1:], cwd=day.checkout.directory, encoding="utf-8", timeout=20)


def readers(mac: Mac) -> list[str]:
    """What reads the logs of a Mac, whoever asked."""
    return [each.command for each in mac.processes() if "ha.stderr.log" in each.command]


def test_logs_that_are_followed(day: Day) -> None:
    log = day.mac.path(LOG)

    def say(text: str) -> None:
        with log.open("a") as writer:
            writer.write(text)

    child, cut_off = follow(day), follow(day)
    child.expect("pulse     ")
    cut_off.expect("pulse     ")
    say("one\nhal")
    child.expect(r"colima    \| one")
    say("f\n")
    child.expect(r"colima    \| half")
    log.write_text("")
    say("after it was emptied\n")
    child.expect(r"colima    \| after it was emptied")
    cut_off.expect(r"colima    \| after it was emptied")
    wait_for(lambda: readers(day.mac) != [])
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, child.before
    cut_off.kill(signal.SIGKILL)
    cut_off.close()
    wait_for(lambda: readers(day.mac) == [], 10)


def pulse_says_away(mac: Mac) -> bool:
    """Whether the pulse has noted, since the boot, that it leaves the job alone."""
    state = f"/var/run/colima-pulse/{LABEL}/state"
    return "said=away" in mac.run(["/bin/cat", state], check=False).stdout


def test_stopped_over_a_reboot(day: Day) -> None:
    mac, before = day.mac, vm_events(day.mac)
    run = day.run("stop", "-y")
    assert run.status == 0, run.output
    assert "stays stopped, over reboots too" in run.output
    assert [event.split()[0] for event in vm_events(mac)[len(before) :]] == ["graceful-stop"]
    wait_for(lambda: ours(mac) == [])
    assert day.run("stop", "-y", "--json").changed == []
    mac.reboot()
    wait_for(lambda: pulse_says_away(mac))
    assert not is_loaded(mac)
    wait_for(lambda: ours(mac) == [])


def test_started_again(day: Day) -> None:
    mac = day.mac
    dry = day.run("start", "--dry")
    assert f"Start Colima: LaunchDaemon {LABEL} is not loaded, disabled" in dry.output
    run = day.run("start", "-y")
    assert run.status == 0, run.output
    assert "is ready: 2 good answers in a row" in run.output
    assert ping(mac) == "200"
    wait_for(lambda: container(mac, "web", "State.Status") == "running")
    assert day.run("start", "-y", "--json").changed == []


def test_uninstalled_with_the_vm_left(day: Day) -> None:
    mac = day.mac
    docker(mac, "exec", "web", "sh", "-c", "echo precious >/usr/share/nginx/html/note")
    dry = day.run("uninstall", "--dry")
    assert dry.status == 0
    for words in (PLIST, "/Library/ColimaPulse", "in it web", "to start it by hand: colima start"):
        assert words in dry.output
    assert ping(mac) == "200"
    before = vm_events(mac)
    # Half of it is gone already: launchd has both jobs loaded still.
    mac.path(PLIST).unlink()
    mac.path("/Library/ColimaPulse/bin/pulse").unlink()
    run = day.run("uninstall", "-y")
    assert run.status == 0, run.output
    assert [event.split()[0] for event in vm_events(mac)[len(before) :]] == ["graceful-stop"]
    wait_for(lambda: ours(mac) == [])
    assert changes(day) == {}
    assert not is_loaded(mac)
    assert not is_loaded(mac, f"{LABEL}.pulse")


def test_started_by_hand_it_is_nobodys_business(day: Day) -> None:
    mac = day.mac
    env = {"PATH": "/opt/homebrew/bin:/usr/bin:/bin:/usr/sbin:/sbin"}
    mac.run(["/opt/homebrew/bin/colima", "start"], user="alice", env=env, timeout=120)
    assert docker(mac, "exec", "web", "cat", "/usr/share/nginx/html/note") == "precious"
    assert day.run("uninstall", "-y", "--json").changed == []
    assert ping(mac) == "200"
    assert changes(day) == {}


def test_the_vm_goes_as_well(day: Day) -> None:
    mac = day.mac
    refused = day.run("uninstall", "-y", "--data", "delete_vm=true")
    assert refused.status == 1
    assert "DELETE_VM" in refused.output
    assert ping(mac) == "200"
    day.checkout.write_env()
    command = [*PYINFRA, "inventory.py", "deploys/uninstall.py", "-y", "--data", "delete_vm=true"]
    child = pexpect.spawn(command[0], command[1:], cwd=day.checkout.directory, encoding="utf-8", timeout=60)
    child.expect("Type DESTROY to remove profile default of alice on this host:")
    child.sendline("no")
    child.expect(pexpect.EOF)
    assert "Nothing was touched" in str(child.before)
    assert ping(mac) == "200"
    forced = ("-y", "--data", "delete_vm=true", "--data", "force_yes=true")
    run = day.run("uninstall", *forced)
    assert run.status == 0, run.output
    (unit,) = mac.path("/Users/alice/colima-pulse-backups").iterdir()
    assert (unit / "disk/datadisk").exists()
    assert not mac.path("/Users/alice/.colima/_lima/colima").exists()
    assert not mac.path("/Users/alice/.colima/default").exists()
    wait_for(lambda: ours(mac) == [])
    assert changes(day) == {}
    assert f'"{LABEL}" => disabled' not in mac.run(["launchctl", "print-disabled", "system"]).stdout
    assert day.run("uninstall", *forced, "--json").changed == []


def test_an_interrupted_reset_is_not_uninstalled(day: Day) -> None:
    journal = day.mac.path("/Library/ColimaPulse/reset/alice/default")
    journal.parent.mkdir(parents=True)
    journal.write_text("stage=clearing\nmode=move\nunit=/x\nother=\nparts=\nend\n")
    run = day.run("uninstall", "-y")
    assert run.status == 1
    assert "Run deploy.py for it first" in run.output
    assert journal.exists()

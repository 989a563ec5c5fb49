"""A full reset and the way back: confirmed, one backup, no other profile; and finished when cut off."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.looking import (
    Deployed,
    at_terminal,
    colima,
    container,
    docker,
    job_pid,
    one_vm,
    ours,
    ping,
    vm_events,
)
from tests.mac.machine import Mac

HOME = "/Users/alice"
BACKUPS = f"{HOME}/colima-pulse-backups"
JOURNALS = "/Library/ColimaPulse/reset"
RESET = ("-y", "--data", "full_reset=true")
FORCED = (*RESET, "--data", "force_yes=true")
RESTORE = "deploys/restore.py"


def backups(mac: Mac, base: str = BACKUPS) -> list[str]:
    """The names of the backups of profiles, the newest last."""
    there = mac.path(base)
    return sorted(path.name for path in there.glob("default-*"))


def page(mac: Mac, text: str | None = None) -> str:
    """What web's volume holds; `text` is written to it first."""
    if text is not None:
        docker(mac, "exec", "web", "sh", "-c", f"echo {text} >/usr/share/nginx/html/note")
    return docker(mac, "exec", "web", "cat", "/usr/share/nginx/html/note", check=False)


def foo(mac: Mac) -> list[int]:
    """The processes of alice's other profile."""
    return [each.pid for each in ours(mac) if "colima-foo" in each.command]


@pytest.fixture
def mac(deployed: Deployed) -> Iterator[Mac]:
    """The Mac, with a web server of which something would be missed; it never has two VMs of the profile."""
    mac = deployed.mac
    page(mac, "precious")
    with one_vm(mac):
        yield mac
    assert deployed.run("-y", "--json").changed == []
    assert ping(mac) == "200"


def test_another_word_touches_nothing(deployed: Deployed, mac: Mac) -> None:
    """And force_yes does not stand in for the word where it can be typed."""
    before = job_pid(mac)
    question = r"Type DESTROY to reset profile default of alice on this host:"
    seen = at_terminal(deployed.checkout, *FORCED, answers={question: "destroy\n"})
    assert seen.status == 1
    assert BACKUPS in seen.text
    assert "Nothing was touched" in seen.text
    assert (job_pid(mac), backups(mac)) == (before, [])


def test_two_state_directories(deployed: Deployed, mac: Mac) -> None:
    """Refused; a full reset, confirmed with the word that was asked for, makes a backup of both.

    Another profile never notices.
    """
    other = f"{HOME}/.config/colima"
    mac.run(["/bin/mkdir", "-p", f"{other}/_lima/colima"], user="alice")
    mac.run(["/bin/cp", f"{HOME}/.colima/_lima/colima/lima.yaml", f"{other}/_lima/colima"], user="alice")
    colima(mac, "start", "--profile=foo", "--vm-type=qemu", "--disk=20")
    before, others = job_pid(mac), foo(mac)
    run = deployed.run("-y")
    assert run.status == 1
    assert f"{HOME}/.colima is used and holds default, foo" in run.output
    assert f"{other} is not and holds default" in run.output
    assert "--data full_reset=true" in run.output
    assert job_pid(mac) == before
    events = vm_events(mac)
    seen = at_terminal(
        deployed.checkout, *RESET, "--data", "confirm_token=GO", answers={"Type GO to reset.*:": "GO\n"}
    )
    assert seen.status == 0, seen.text
    assert vm_events(mac)[len(events) :] == ["graceful-stop", "start"]
    (unit,) = backups(mac)
    assert f"deploys/restore.py --data restore={unit}" in seen.text
    assert mac.path(BACKUPS).stat().st_mode & 0o777 == 0o700
    for part in ("profile", "instance", "disk/datadisk", "store.json", "daemon.plist", "manifest"):
        assert mac.path(f"{BACKUPS}/{unit}/{part}").exists(), part
    assert not mac.path(other).exists()
    assert mac.path(f"{BACKUPS}/{unit}/other/_lima/colima/lima.yaml").exists()
    assert foo(mac) == others
    assert mac.path(f"{HOME}/.colima/_store/colima-foo.json").exists()
    colima(mac, "stop", "--profile=foo")


@pytest.mark.weekly
def test_to_another_volume_and_back(deployed: Deployed, mac: Mac) -> None:
    web, base = container(mac, "web", "Id"), "/private/tmp/units"
    mac.run(["/bin/mkdir", "-m", "700", base], user="alice")
    there = ("--data", f"backup_dir_base={base}")
    run = deployed.run(*FORCED, *there)
    assert run.status == 0, run.output
    (unit,) = backups(mac, base)
    run = deployed.checkout.ssh("-y", *there, "--data", f"restore={unit}", deploy=RESTORE)
    assert run.status == 0, run.output
    assert (container(mac, "web", "Id"), page(mac)) == (web, "precious")


@pytest.mark.weekly
def test_deleted_when_asked(deployed: Deployed, mac: Mac) -> None:
    units = backups(mac)
    options = ("--data", "backup=prompt", "--data", "no_confirm=true")
    answers = {r"Move profile default of alice to .*\[Y/n\]": "n\n"}
    seen = at_terminal(deployed.checkout, *RESET, *options, answers=answers)
    assert seen.status == 0, seen.text
    assert backups(mac) == units
    assert "precious" not in page(mac)


# Cut off


def identity(mac: Mac, directory: str) -> tuple[str, str] | None:
    """A data disk's identity, and its record."""
    if directory.endswith(".colima"):
        disk, record = f"{directory}/_lima/_disks/colima/datadisk", f"{directory}/_store/colima.json"
    else:
        disk, record = f"{directory}/disk/datadisk", f"{directory}/store.json"
    if not mac.path(disk).exists():
        return None
    found = re.search(r'"id": "(\w+)"', mac.path(disk).read_text(errors="replace"))
    assert found
    return found[1], mac.path(record).read_text()


Moment = Callable[[Mac], Callable[[], bool]]
HANGS = """#!/bin/sh
case $* in *"/_lima/_disks/colima "*) : >/private/tmp/moving; exec /bin/sleep 100 ;; esac
exec /opt/real/mv "$@"
"""


def moved(mac: Mac) -> Callable[[], bool]:
    """Half of it: the data disk's turn has come, and does not end."""
    mac.run(["/bin/sh", "-c", "mkdir /opt/real && cp /usr/bin/mv /opt/real && rm /usr/bin/mv"])
    mac.path("/usr/bin/mv").write_text(HANGS)
    mac.path("/usr/bin/mv").chmod(0o755)
    return lambda: mac.path("/private/tmp/moving").exists()


def ran(words: str) -> Moment:
    def moment(mac: Mac) -> Callable[[], bool]:
        seen = len(mac.commands())
        return lambda: any(words in each for each in mac.commands()[seen:])

    return moment


def started(mac: Mac) -> Callable[[], bool]:
    seen = vm_events(mac).count("start")
    return lambda: vm_events(mac).count("start") > seen


MOMENTS: dict[str, Moment] = {
    "moved": moved,
    "disabled": ran("launchctl disable"),
    "stopping": ran("colima stop"),
    "anew": ran("launchctl bootstrap"),
    "starting": started,
}


@pytest.mark.parametrize(
    "moment", ["moved", *(pytest.param(name, marks=pytest.mark.weekly) for name in list(MOMENTS)[1:])]
)
def test_a_power_cut_in_the_middle(deployed: Deployed, mac: Mac, moment: str) -> None:
    """The next deploy, which is told of no reset, ends it: Docker answers, and what was there is whole."""
    before, units = identity(mac, f"{HOME}/.colima"), backups(mac)
    has_come = MOMENTS[moment](mac)
    thread = threading.Thread(target=deployed.run, args=FORCED)
    thread.start()
    deadline = time.monotonic() + 60
    while not has_come():
        assert thread.is_alive(), "the deploy was faster"
        assert time.monotonic() < deadline, "the moment did not come"
    mac.power_cut()
    thread.join()
    mac.boot()
    if moment == "moved":
        mac.run(["/bin/sh", "-c", "cp -p /opt/real/mv /usr/bin/mv"])
    run = deployed.run("-y")
    assert run.status == 0, run.output
    assert not list(mac.path(JOURNALS).glob("*/default"))
    made = [name for name in backups(mac) if name not in units]
    assert [identity(mac, f"{BACKUPS}/{name}") for name in made] in ([], [before])
    assert (identity(mac, f"{HOME}/.colima") == before) is not bool(made)
    if moment == "moved":
        assert made
        assert "was interrupted" in run.output

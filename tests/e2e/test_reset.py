"""A full reset and the way back: confirmed, one backup, and no other profile."""

from __future__ import annotations

import re
from collections.abc import Callable

import pexpect
import pytest

from tests.checkout import PYINFRA, Checkout
from tests.e2e.looking import LABEL, Deployed, container, docker, job_pid, one_vm, ours, ping, vm_events
from tests.mac.machine import Mac

MakeCheckout = Callable[..., Checkout]
HOME = "/Users/alice"
BACKUPS = f"{HOME}/colima-pulse-backups"
ENV = {"PATH": "/opt/homebrew/bin:/usr/bin:/bin:/usr/sbin:/sbin"}
RESET = ("-y", "--data", "full_reset=true")
FORCED = (*RESET, "--data", "force_yes=true")


def colima(mac: Mac, *arguments: str) -> None:
    """Colima as alice runs it by hand."""
    mac.run(["/opt/homebrew/bin/colima", *arguments], user="alice", env=ENV, timeout=120)


def backups(mac: Mac) -> list[str]:
    """The names of the backups of profiles."""
    base = mac.path(BACKUPS)
    return (
        sorted(path.name for path in base.iterdir() if not path.name.startswith("launchd-"))
        if base.exists()
        else []
    )


def page(mac: Mac, text: str | None = None) -> str:
    """What web's volume holds; `text` is written to it first."""
    if text is not None:
        docker(mac, "exec", "web", "sh", "-c", f"echo {text} >/usr/share/nginx/html/note")
    return docker(mac, "exec", "web", "cat", "/usr/share/nginx/html/note", check=False)


def on_a_terminal(deployed: Deployed, *arguments: str) -> pexpect.spawn[str]:
    deployed.checkout.write_env()
    command = [*PYINFRA, "inventory.py", "deploy.py", *arguments]
    return pexpect.spawn(
        command[0], command[1:], cwd=deployed.checkout.directory, encoding="utf-8", timeout=90
    )


def test_without_a_terminal_it_is_refused(deployed: Deployed) -> None:
    mac, before = deployed.mac, job_pid(deployed.mac)
    run = deployed.run(*RESET)
    assert run.status == 1
    assert "force_yes=true" in run.output
    assert deployed.run(*RESET, "--data", "no_confirm=true").status == 1
    assert job_pid(mac) == before
    assert backups(mac) == []


def test_in_words_and_without_a_question(deployed: Deployed) -> None:
    mac, before = deployed.mac, job_pid(deployed.mac)
    seen = len(mac.commands())
    child = on_a_terminal(deployed, "--dry", "--data", "full_reset=true")
    child.expect(pexpect.EOF)
    child.close()
    said = str(child.before)
    assert child.exitstatus == 0, said
    assert "Type DESTROY" not in said
    for words in (LABEL, "web", f"{HOME}/.colima/default", f"{HOME}/.colima/_lima/_disks/colima", BACKUPS):
        assert words in said
    assert "makes it anew" in said
    assert job_pid(mac) == before
    assert not [each for each in mac.commands()[seen:] if re.search(r" (disable|bootout) |colima stop", each)]


def test_another_word_touches_nothing(deployed: Deployed) -> None:
    """And force_yes does not stand in for the word where it can be typed."""
    mac, before = deployed.mac, job_pid(deployed.mac)
    child = on_a_terminal(deployed, *FORCED)
    child.expect(r"Type DESTROY to reset profile default of alice on this host:")
    assert BACKUPS in str(child.before)
    child.sendline("destroy")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 1
    assert "Nothing was touched" in str(child.before)
    assert job_pid(mac) == before
    assert backups(mac) == []


class TestAndBack:
    """One Mac: reset with a backup, its fresh profile, and then the backup put back."""

    @pytest.fixture(scope="class")
    @staticmethod
    def mine(make_deployed: Callable[..., Deployed]) -> Deployed:
        deployed = make_deployed("ssh")
        assert deployed.first.status == 0, deployed.first.output
        colima(deployed.mac, "start", "--profile=foo", "--vm-type=qemu", "--disk=20")
        page(deployed.mac, "precious")
        docker(deployed.mac, "tag", "nginx", "kept:1")
        return deployed

    @pytest.fixture(scope="class")
    @staticmethod
    def before(mine: Deployed) -> dict[str, object]:
        foo = [each.pid for each in ours(mine.mac) if "colima-foo" in each.command]
        assert foo
        return {"web": container(mine.mac, "web", "Id"), "foo": foo}

    def test_reset(self, mine: Deployed, before: dict[str, object]) -> None:
        mac = mine.mac
        child = on_a_terminal(mine, *RESET, "--data", "confirm_token=GO")
        with one_vm(mac):
            child.expect("Type GO to reset")
            child.sendline("GO")
            child.expect(pexpect.EOF)
        child.close()
        said = str(child.before)
        assert child.exitstatus == 0, said
        (unit,) = backups(mac)
        assert f"deploys/restore.py --data restore={unit}" in said
        assert mac.path(BACKUPS).stat().st_mode & 0o777 == 0o700
        assert ping(mac) == "200"
        assert container(mac, "web", "Id") != before["web"]
        assert "precious" not in page(mac)
        assert "kept" not in docker(mac, "image", "ls")
        for part in ("profile", "instance", "disk/datadisk", "store.json", "daemon.plist", "manifest"):
            assert mac.path(f"{BACKUPS}/{unit}/{part}").exists(), part
        assert vm_events(mac).count("killed") == 0

    def test_the_other_profile_never_noticed(self, mine: Deployed, before: dict[str, object]) -> None:
        assert [each.pid for each in ours(mine.mac) if "colima-foo" in each.command] == before["foo"]
        assert mine.mac.path(f"{HOME}/.colima/_store/colima-foo.json").exists()

    def test_then_nothing_changes(self, mine: Deployed) -> None:
        assert mine.run("-y", "--json").changed == []

    def test_a_backup_that_is_not_there(self, mine: Deployed) -> None:
        run = mine.checkout.ssh("-y", "--data", "restore=default-1", deploy="deploys/restore.py")
        assert run.status == 1
        assert backups(mine.mac)[0] in run.output

    def test_they_are_listed(self, mine: Deployed) -> None:
        run = mine.checkout.ssh("-y", deploy="deploys/restore.py")
        assert run.status == 0, run.output
        assert backups(mine.mac)[0] in run.output

    def test_restore(self, mine: Deployed, before: dict[str, object]) -> None:
        mac = mine.mac
        (unit,) = backups(mac)
        with one_vm(mac):
            run = mine.checkout.ssh("-y", "--data", f"restore={unit}", deploy="deploys/restore.py")
        assert run.status == 0, run.output
        assert container(mac, "web", "Id") == before["web"]
        assert page(mac) == "precious"
        assert "kept" in docker(mac, "image", "ls")
        assert len(backups(mac)) == 2  # the one that was put back stays, and what it replaced is another
        assert mine.run("-y", "--json").changed == []
        assert [each.pid for each in ours(mac) if "colima-foo" in each.command] == before["foo"]


def test_prompted(make_deployed: Callable[..., Deployed]) -> None:
    deployed = make_deployed("ssh")
    child = on_a_terminal(deployed, *RESET, "--data", "backup=prompt", "--data", "no_confirm=true")
    child.expect(r"Move profile default of alice to .*\[Y/n\]")
    child.sendline("n")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, child.before
    assert backups(deployed.mac) == []
    assert ping(deployed.mac) == "200"


def test_what_cannot_be_converted_is_made_anew(
    make_mac: Callable[..., Mac], make_checkout: MakeCheckout
) -> None:
    """A profile of vz with a larger disk: refused, and reset."""
    mac = make_mac()
    colima(mac, "start", "--vm-type=vz", "--disk=40")
    checkout = make_checkout(mac)
    said = checkout.ssh("-y").output
    assert said.count("--data full_reset=true") == 2
    run = checkout.ssh(*FORCED)
    assert run.status == 0, run.output
    assert ping(mac) == "200"
    (unit,) = backups(mac)
    said = checkout.ssh("-y", "--data", f"restore={unit}", deploy="deploys/restore.py").output
    assert "its VM is one of vz" in said
    assert "COLIMA_DISK=40" in said
    assert ping(mac) == "200"


# Two state directories


def test_split_brain(make_deployed: Callable[..., Deployed]) -> None:
    deployed = make_deployed("ssh")
    mac = deployed.mac
    mac.run(["/bin/mkdir", "-p", f"{HOME}/.config/colima/_lima/colima"], user="alice")
    mac.run(
        ["/bin/cp", f"{HOME}/.colima/_lima/colima/lima.yaml", f"{HOME}/.config/colima/_lima/colima"],
        user="alice",
    )
    before = job_pid(mac)
    for arguments in (["-y"], ["--dry"]):
        run = deployed.run(*arguments)
        assert run.status == 1
        assert f"{HOME}/.colima is used and holds default" in run.output
        assert f"{HOME}/.config/colima is not and holds default" in run.output
        assert "--data full_reset=true" in run.output
    assert job_pid(mac) == before

    # One that holds another profile as well is no business of this reset.
    other = f"{HOME}/.config/colima/_lima/colima-bar"
    mac.run(["/bin/mkdir", other], user="alice")
    mac.run(["/usr/bin/touch", f"{other}/lima.yaml"], user="alice")
    run = deployed.run(*FORCED)
    assert run.status == 1
    assert "bar" in run.output
    mac.run(["/bin/rm", "-r", other], user="alice")

    run = deployed.run(*FORCED)
    assert run.status == 0, run.output
    assert not mac.path(f"{HOME}/.config/colima").exists()
    (unit,) = backups(mac)
    assert mac.path(f"{BACKUPS}/{unit}/other/_lima/colima/lima.yaml").exists()
    assert deployed.run("-y", "--json").changed == []


def test_state_in_the_other_directory_alone(
    make_mac: Callable[..., Mac], make_checkout: MakeCheckout
) -> None:
    """A deploy would make ~/.colima beside it, and hide what is there; the message's way keeps it."""
    mac = make_mac()
    where = {**ENV, "COLIMA_HOME": f"{HOME}/.config/colima"}
    mac.run(["/bin/mkdir", "-p", f"{HOME}/.config/colima"], user="alice")
    mac.run(["/opt/homebrew/bin/colima", "start", "--vm-type=qemu", "--disk=20"], user="alice", env=where)
    mac.run(["/opt/homebrew/bin/colima", "stop"], user="alice", env=where)
    checkout = make_checkout(mac)
    run = checkout.ssh("-y")
    assert run.status == 1
    (command,) = re.findall(r"(mv \S+/\.config/colima \S+/\.colima);", run.output)
    mac.run(["/bin/sh", "-c", command], user="alice")
    run = checkout.ssh("-y")
    assert run.status == 0, run.output
    assert ping(mac) == "200"

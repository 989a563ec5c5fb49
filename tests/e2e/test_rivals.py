"""Other launchd jobs that start the same profile: found by what they run, removed, and kept in the backup."""

from __future__ import annotations

import plistlib
from collections.abc import Iterator
from typing import Any

import pexpect
import pytest

from tests.checkout import PYINFRA
from tests.e2e.looking import LABEL, Deployed, is_loaded, job_pid, ping
from tests.mac.machine import Mac

DAEMONS = "/Library/LaunchDaemons"
AGENTS = "/Users/alice/Library/LaunchAgents"
COLIMA = "/opt/homebrew/opt/colima/bin/colima"


@pytest.fixture(autouse=True)
def tidy(deployed: Deployed) -> Iterator[None]:
    mac = deployed.mac
    mac.run(["/bin/mkdir", "-p", AGENTS], user="alice")
    yield
    for directory in (DAEMONS, AGENTS, "/Library/LaunchAgents"):
        for path in mac.path(directory).glob("*.plist"):
            if not path.stem.startswith(LABEL):
                mac.run(["launchctl", "bootout", f"system/{path.stem}"], check=False)
                path.unlink()


def define(mac: Mac, directory: str, label: str, *arguments: str, **keys: Any) -> str:
    path = f"{directory}/{label}.plist"
    plist = {"Label": label, "ProgramArguments": list(arguments), **keys}
    mac.path(path).write_bytes(plistlib.dumps(plist))
    if directory.startswith("/Users"):
        mac.run(["/usr/sbin/chown", "alice:staff", path])
    return path


def kept(mac: Mac) -> list[str]:
    """The files in the backup directory, by the paths that they had."""
    base = mac.path("/Users/alice/colima-pulse-backups")
    return sorted(
        "/" + str(path.relative_to(base).relative_to(path.relative_to(base).parts[0]))
        for path in base.rglob("*.plist")
    )


def test_homebrews_agent_while_nobody_is_logged_in_is_moved_away(deployed: Deployed) -> None:
    """gui/UID does not exist then (125): that is no failure."""
    mac, before = deployed.mac, job_pid(deployed.mac)
    path = define(mac, AGENTS, "homebrew.mxcl.colima", COLIMA, "start", "-f", RunAtLoad=True)
    assert "Remove what else starts Colima: homebrew.mxcl.colima" in deployed.run("--dry").output
    run = deployed.run("-y")
    assert run.status == 0, run.output
    assert not mac.path(path).exists()
    assert path in kept(mac)
    backup = mac.path("/Users/alice/colima-pulse-backups").stat()
    assert (backup.st_uid, backup.st_mode & 0o777) == (mac.user("alice").uid, 0o700)
    assert job_pid(mac) == before
    assert deployed.run("-y", "--json").changed == []


def test_a_daemon_of_another_name_that_starts_our_profile_is_removed(deployed: Deployed) -> None:
    mac = deployed.mac
    line = "unset XDG_CONFIG_HOME; export HOME=/Users/alice; exec colima start --profile default --foreground"
    path = define(mac, DAEMONS, "com.example.docker", "/usr/bin/su", "-", "alice", "-c", line)
    mac.run(["launchctl", "bootstrap", "system", path])
    run = deployed.run("-y")
    assert run.status == 0, run.output
    assert not is_loaded(mac, "com.example.docker")
    assert path in kept(mac)
    assert ping(mac) == "200"


def test_a_job_loaded_without_a_file_is_unloaded(deployed: Deployed) -> None:
    mac = deployed.mac
    path = define(mac, DAEMONS, "com.example.gone", COLIMA, "start", "default", UserName="alice")
    mac.run(["launchctl", "bootstrap", "system", path])
    mac.path(path).unlink()
    run = deployed.run("-y")
    assert run.status == 0, run.output
    assert not is_loaded(mac, "com.example.gone")


@pytest.mark.parametrize(
    ("arguments", "keys", "why"),
    [
        ((COLIMA, "start", "--profile=work"), {"UserName": "alice"}, "it starts profile work"),
        ((COLIMA, "start", "-p", "colima-work"), {"UserName": "alice"}, "it starts profile work"),
        ((COLIMA, "start"), {"UserName": "admin"}, "it runs as admin"),
        ((COLIMA, "start"), {}, "it runs as root"),
        (("/usr/local/bin/start-colima.sh",), {"UserName": "alice"}, "not known to start Colima"),
        (("/opt/homebrew/bin/limactl", "start", "colima"), {"UserName": "alice"}, "not known"),
    ],
)
def test_what_is_not_ours_to_remove_is_mentioned(
    deployed: Deployed, arguments: tuple[str, ...], keys: dict[str, str], why: str
) -> None:
    mac = deployed.mac
    path = define(mac, DAEMONS, "com.example.other", *arguments, **keys)
    run = deployed.run("-y")
    assert run.status == 0, run.output
    assert "left alone: com.example.other" in run.output
    assert why in run.output
    assert mac.path(path).exists()
    assert deployed.run("-y", "--json").changed == []


def test_a_link_and_an_unreadable_file_are_mentioned(deployed: Deployed) -> None:
    mac = deployed.mac
    target = define(mac, "/private/var/root", "com.example.linked", COLIMA, "start", UserName="alice")
    mac.run(["/bin/ln", "-s", target, f"{DAEMONS}/com.example.linked.plist"])
    mac.path(f"{DAEMONS}/broken-colima.plist").write_text("<?xml version='1.0'?><plist><dict>colima")
    run = deployed.run("-y")
    assert "it is a symbolic link" in run.output
    assert "it cannot be read" in run.output
    assert mac.path(f"{DAEMONS}/broken-colima.plist").exists()


def test_false_leaves_them(deployed: Deployed) -> None:
    mac = deployed.mac
    path = define(mac, AGENTS, "homebrew.mxcl.colima", COLIMA, "start", "-f")
    run = deployed.run("-y", "--json", "--data", "clean_other_colima_daemons=false")
    assert (run.status, run.changed) == (0, [])
    assert "left alone: homebrew.mxcl.colima" in run.output
    assert mac.path(path).exists()


def test_lima_in_colimas_home_is_recognised(deployed: Deployed) -> None:
    mac = deployed.mac
    path = define(
        mac,
        DAEMONS,
        "io.lima-vm.daemon.colima",
        *("/opt/homebrew/bin/limactl", "start", "colima", "--foreground"),
        UserName="alice",
        EnvironmentVariables={"LIMA_HOME": "/Users/alice/.colima/_lima"},
    )
    assert deployed.run("-y").status == 0
    assert path in kept(mac)


@pytest.mark.parametrize(("answer", "stays"), [("n", True), ("", False)])
def test_prompt_asks_on_a_terminal(deployed: Deployed, answer: str, stays: bool) -> None:
    """Enter alone is yes; and with -y, or without a terminal, nobody is asked."""
    mac = deployed.mac
    path = define(mac, AGENTS, "homebrew.mxcl.colima", COLIMA, "start", "-f")
    deployed.checkout.write_env()
    command = [*PYINFRA, "inventory.py", "deploy.py"]
    child = pexpect.spawn(
        command[0], command[1:], cwd=deployed.checkout.directory, encoding="utf-8", timeout=60
    )
    child.expect("Press enter to execute")
    child.sendline("")
    child.expect(r"Remove homebrew\.mxcl\.colima .*\[Y/n\]")
    child.sendline(answer)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, child.before
    assert mac.path(path).exists() is stays

"""Other jobs that start the same profile are removed; what a user puts in their place harms nobody."""

from __future__ import annotations

import os
import plistlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.looking import LABEL, Deployed, at_terminal, boot_out, is_loaded, job_pid, ours, ping, wait_for
from tests.mac.machine import Mac
from tests.terminal import ENTER, Terminal

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


def test_jobs_that_start_our_profile_are_removed(deployed: Deployed) -> None:
    """Homebrew's agent while nobody is logged in (gui/UID does not exist then), one by the original's su, one
    by Lima itself, and one that is loaded without a file."""
    mac, before = deployed.mac, job_pid(deployed.mac)
    line = "unset XDG_CONFIG_HOME; export HOME=/Users/alice; exec colima start --profile default --foreground"
    brew = define(mac, AGENTS, "homebrew.mxcl.colima", COLIMA, "start", "-f", RunAtLoad=True)
    su = define(mac, DAEMONS, "com.example.docker", "/usr/bin/su", "-", "alice", "-c", line)
    lima = define(
        mac,
        DAEMONS,
        "io.lima-vm.daemon.colima",
        *("/opt/homebrew/bin/limactl", "start", "colima", "--foreground"),
        UserName="alice",
        EnvironmentVariables={"LIMA_HOME": "/Users/alice/.colima/_lima"},
    )
    gone = define(mac, DAEMONS, "com.example.gone", COLIMA, "start", "default", UserName="alice")
    for path in (su, gone):
        mac.run(["launchctl", "bootstrap", "system", path])
    mac.path(gone).unlink()
    run = deployed.run("-y")
    assert run.status == 0, run.output
    assert "Remove what else starts Colima: " in run.output
    assert not is_loaded(mac, "com.example.docker")
    assert not is_loaded(mac, "com.example.gone")
    assert {brew, su, lima} <= set(kept(mac))
    assert not any(mac.path(path).exists() for path in (brew, su, lima))
    backup = mac.path("/Users/alice/colima-pulse-backups").stat()
    assert (backup.st_uid, backup.st_mode & 0o777) == (mac.user("alice").uid, 0o700)
    assert job_pid(mac) == before
    assert ping(mac) == "200"
    assert deployed.run("-y", "--json").changed == []


SECRET = "/private/var/root/secret.plist"


@pytest.fixture
def secret(deployed: Deployed) -> bytes:
    """A property list that root alone may read, of a daemon that would be a rival."""
    mac = deployed.mac
    define(mac, "/private/var/root", "secret", COLIMA, "start", UserName="alice")
    mac.run(["/bin/chmod", "600", SECRET])
    return mac.path(SECRET).read_bytes()


def alices(mac: Mac) -> list[bytes]:
    """What there is in the backup directory and among alice's agents, links left out."""
    found = [*mac.path("/Users/alice/colima-pulse-backups").rglob("*"), *mac.path(AGENTS).iterdir()]
    return [path.read_bytes() for path in found if path.is_file() and not path.is_symlink()]


def test_what_a_user_can_put_among_the_agents_harms_nobody(deployed: Deployed, secret: bytes) -> None:
    mac = deployed.mac
    # A name is no path: where the deploy's commands run, such a name would be the administrator's.
    admins = define(mac, "/Users/admin", "admins", COLIMA, "start")
    service = mac.path(admins).read_bytes()
    agents = mac.path(AGENTS)
    for name in ("x\npath=admins.plist", "x\n[job]\npath=admins.plist\nkind=file\ndomain=system.plist"):
        (agents / name).write_bytes(service.replace(b"admins", b"alices"))
    mac.run(["/usr/bin/perl", "-MPOSIX=mkfifo", "-e", "mkfifo $ARGV[0], 0644", f"{AGENTS}/pipe-colima.plist"])
    mac.run(["/bin/ln", "-s", "/dev/zero", f"{AGENTS}/endless-colima.plist"])
    mac.run(["/bin/ln", "-s", SECRET, f"{AGENTS}/secret-colima.plist"])
    run = deployed.run("-y", "--json")
    assert (run.status, run.changed) == (0, []), run.output
    assert run.output.count("it cannot be read") == 3
    assert run.output.count("it is a symbolic link") == 2
    assert mac.path(admins).read_bytes() == service
    assert secret not in alices(mac)
    mac.path(admins).unlink()


def remove_job(mac: Mac, label: str) -> str:
    """What a deploy does with a rival, after it has looked; with what it says of its failure."""
    uid = mac.user("alice").uid
    words = [LABEL, f"gui/{uid}", label, f"{AGENTS}/{label}.plist", "/Users/alice/colima-pulse-backups"]
    done = mac.run(["/Library/ColimaPulse/bin/remove-job", *words], check=False)
    assert done.returncode != 0
    return done.stderr


def test_a_file_swapped_for_a_link_hands_nothing_over(deployed: Deployed, secret: bytes) -> None:
    mac = deployed.mac
    mac.run(["/bin/ln", "-s", SECRET, f"{AGENTS}/swapped.plist"], user="alice")
    assert "not a regular file" in remove_job(mac, "swapped")
    assert secret not in alices(mac)
    assert mac.path(SECRET).read_bytes() == secret


def test_a_directory_swapped_for_a_link_to_roots_removes_nothing_there(deployed: Deployed) -> None:
    mac = deployed.mac
    path = define(mac, DAEMONS, "com.example.admins", "/bin/sleep", "9")
    mac.run(["/bin/mv", AGENTS, f"{AGENTS}.aside"], user="alice")
    mac.run(["/bin/ln", "-s", DAEMONS, AGENTS], user="alice")
    remove_job(mac, "com.example.admins")
    run = deployed.run("-y")
    mac.run(["/bin/rm", AGENTS], user="alice")
    mac.run(["/bin/mv", f"{AGENTS}.aside", AGENTS], user="alice")
    assert run.status == 0, run.output
    assert f"left alone: a job ({AGENTS}): it cannot be read" in run.output
    assert mac.path(path).exists()


def test_a_rival_that_only_root_may_read_is_unloaded_and_left_to_a_person(deployed: Deployed) -> None:
    mac = deployed.mac
    path = define(mac, DAEMONS, "com.example.secret", COLIMA, "start", UserName="alice")
    mac.run(["/bin/chmod", "600", path])
    content = mac.path(path).read_bytes()
    mac.run(["launchctl", "bootstrap", "system", path])
    run = deployed.run("-y")
    assert run.status != 0
    assert f'Its job is unloaded; remove it: sudo rm "{path}"' in " ".join(run.output.split())
    assert not is_loaded(mac, "com.example.secret")
    assert mac.path(path).read_bytes() == content
    assert content not in alices(mac)


def test_prompt_asks_on_a_terminal(deployed: Deployed) -> None:
    path = define(deployed.mac, AGENTS, "homebrew.mxcl.colima", COLIMA, "start", "-f")
    answers = {**ENTER, r"Remove homebrew\.mxcl\.colima .*\[Y/n\]": "n\n"}
    seen = at_terminal(deployed.checkout, answers=answers)
    assert seen.status == 0, seen.text
    assert "Remove homebrew.mxcl.colima" in seen.text
    assert deployed.mac.path(path).exists()


# Says where it could be read that it has the administrator's terminal, and that it ran.
REPLACED = """#!/bin/sh
echo "$0" >>/Users/alice/ran
{ printf 'Password:' >/dev/tty; } 2>/dev/null && echo "$0" >>/Users/alice/asked
for descriptor in 0 1 2; do
    if [ -t $descriptor ]; then echo "$0" >>/Users/alice/asked; fi
done
exit 1
"""


def test_what_she_replaced_of_homebrews_has_no_terminal(deployed: Deployed, tmp_path: Path) -> None:
    """A deploy at an administrator's terminal; the last test, for nothing is left of her Docker."""
    mac = deployed.mac
    boot_out(mac)
    wait_for(lambda: ours(mac) == [])
    for name in ("limactl", "brew"):
        program = mac.path(f"/opt/homebrew/bin/{name}")
        program.unlink()
        program.write_text(REPLACED)
        program.chmod(0o755)
        os.chown(program, mac.user("alice").uid, 20)
    terminal = Terminal(tmp_path / "home", mac)
    terminal.clone()
    terminal.configure({"HOMEBREW_USER": "alice"})

    def replaced(command: str, program: str) -> None:
        seen = terminal.run_on_mac(command)
        ran = mac.run(["/bin/cat", "/Users/alice/ran"], check=False).stdout
        assert f"/opt/homebrew/bin/{program}" in ran, seen.text
        assert not mac.path("/Users/alice/asked").exists(), seen.text
        assert "Password:" not in seen.text
        mac.path("/Users/alice/ran").unlink()

    for command in ("deploy.py --dry", "deploys/status.py", "deploys/diagnose.py"):
        replaced(f"pyinfra @local {command}", "limactl")
    # With an instance that limactl does not tell of a deploy is refused before.
    mac.run(["/bin/rm", "-r", "/Users/alice/.colima", "/opt/homebrew/bin/docker"], user="alice")
    replaced("pyinfra @local deploy.py -y", "brew")

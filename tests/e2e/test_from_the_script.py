"""A Mac on which the shell script of the same name has run is taken over, as its page in docs/ shows it."""

from __future__ import annotations

import plistlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.checkout import ROOT
from tests.e2e.looking import (
    LABEL,
    PLIST,
    bootstrap,
    colima,
    container,
    docker,
    job_pid,
    one_vm,
    ours,
    ping,
    process,
    vm_events,
    wait_for,
)
from tests.mac.machine import ALICE, Mac
from tests.shown import commands
from tests.terminal import CLONE, Terminal

PAGE = ROOT / "docs" / "from-the-shell-script.md"
LOG = "/private/var/log/colima.log"
BACKUP = "/Users/alice/backups/moved-default-20260101-120000.dotcolima"
HEADER = "colima start raw output (Mon Feb  2 10:00:00 AEDT 2026)"

# Of the form of its .env.example.
ENV = """\
# The Mac in the cupboard.
#
HOMEBREW_USER=alice
#
# The VM
export COLIMA_PROFILE="default"
COLIMA_VM_TYPE=qemu   # never vz
COLIMA_CPUS=2
COLIMA_MEMORY=3
COLIMA_DISK=30
#
LABEL=homebrew.mrcee.colima-pulse
LOG_PATH='/var/log/colima.log'
BACKUP_DIR_BASE=./backups
CLEAN_OTHER_COLIMA_DAEMONS=prompt
PRUNE_DOCKER_AFTER_START=true
PRUNE_MODE=safe
#
WAIT_SOCKET_MAX=20
WAIT_DOCKER_API_MAX=20
WAIT_QEMU_MAX=20
WAIT_STABLE_REQUIRED=2
COLIMA_START_FILTER_INFO=true
WRITE_ENV_EXAMPLE=false
"""
WEB = """\
#!/bin/zsh
$ docker run -d --name web --restart always \\
>   -v pages:/usr/share/nginx/html nginx
"""
INSTALLERS = {
    "README.md": "# Local installers\n",
    "hello-world": "docker run --name colima-pulse-demo --rm hello-world\n",
    "web": WEB,
}

# What a login shell of hers reads. Homebrew is in the PATH by it alone, and the rest is of no use to Colima.
ZPROFILE = """\
echo "Good morning"
export PATH=/opt/homebrew/bin:$PATH XDG_CONFIG_HOME=$HOME/.config DOCKER_HOST=tcp://nowhere:1
"""


@pytest.fixture(scope="module")
def mac(make_mac: Callable[..., Mac]) -> Mac:
    """The VM made by hand, a container and a volume in it, and then the daemon."""
    mac = make_mac(users=[replace(ALICE, shell="/bin/zsh")])
    # The stand-in's zsh is bash, which reads a file of its own.
    for name in (".zprofile", ".bash_profile"):
        mac.path(f"/Users/alice/{name}").write_text(ZPROFILE)
    made = ("--profile", "default", "--runtime", "docker", "--vm-type", "qemu")
    colima(mac, "start", *made, "--cpus", "2", "--memory", "3", "--disk", "30")
    docker(mac, "run", "-d", "--name", "db", "--restart", "unless-stopped", "-v", "data:/data", "nginx")
    docker(mac, "exec", "db", "sh", "-c", "echo precious >/data/note")
    docker(mac, *"run -d --name web --restart always -v pages:/usr/share/nginx/html nginx".split())
    docker(mac, "exec", "web", "sh", "-c", "echo mine >/usr/share/nginx/html/note")
    colima(mac, "stop", "--profile", "default")
    mac.path(LOG).write_text(f"{'-' * 79}\n{HEADER}\n{'-' * 79}\n")
    mac.run(["/bin/mkdir", "-p", BACKUP], user="alice")
    start_by_su(mac)
    return mac


def start_by_su(mac: Mac) -> None:
    """Load the daemon as the script writes and starts it."""
    line = (
        "unset XDG_CONFIG_HOME; export HOME=/Users/alice; exec /opt/homebrew/bin/colima start "
        "--profile default --runtime docker --vm-type qemu --foreground"
    )
    plist = {
        "Label": LABEL,
        "ProgramArguments": ["/usr/bin/su", "-", "alice", "-c", line],
        "RunAtLoad": True,
        "KeepAlive": True,
        "WorkingDirectory": "/Users/alice",
        "StandardOutPath": "/var/log/colima.log",
        "StandardErrorPath": "/var/log/colima.log",
    }
    mac.path(PLIST).write_bytes(plistlib.dumps(plist))
    bootstrap(mac)
    wait_for(lambda: ping(mac) == "200")
    assert process(mac, "/usr/bin/su - alice -c").pid == job_pid(mac)
    # As the script goes on: su is gone and its Colima is not, as each one that follows is told.
    mac.run(["launchctl", "kickstart", "-k", f"system/{LABEL}"])
    wait_for(lambda: "already running, ignoring" in mac.path(LOG).read_text())


@pytest.fixture(scope="module")
def terminal(mac: Mac, tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    """Where the script's directory is."""
    made = Terminal(tmp_path_factory.mktemp("script") / "home", mac)
    there = made.home / "colima-pulse"
    (there / "containers").mkdir(parents=True)
    (there / ".env").write_bytes(ENV.replace("\n", "\r\n").encode())
    for name, text in INSTALLERS.items():
        (there / "containers" / name).write_text(text)
    return made


def fill(command: str) -> str:
    return command.replace("HOST", "@ssh/macmini.lan")


def typed(terminal: Terminal, command: str, *says: str) -> str:
    """Type a command; it goes well, and says all this, and what is returned."""
    seen = terminal.run(command)
    assert seen.status == 0, seen.text
    for words in says:
        assert words in seen.text, seen.text
    return seen.text


def test_the_scripts_daemon_is_taken_over(mac: Mac, terminal: Terminal) -> None:
    before, db = vm_events(mac), container(mac, "db", "Id")
    move, clone, copy, dry, deploy = (fill(each.command) for each in commands(PAGE))
    typed(terminal, move)
    assert clone == CLONE
    terminal.clone()
    typed(terminal, copy)
    said = typed(
        terminal,
        dry,
        "BACKUP_DIR_BASE=./backups is /Users/alice/backups on this Mac",
        "Restart Colima: launchd supervises su, and is to supervise Colima\n",
        "Install web: it was not made from this file",
    )
    assert ".env: " not in said, "it warns of the .env"
    assert vm_events(mac) == before
    with one_vm(mac):
        typed(terminal, deploy)

    assert vm_events(mac)[len(before) :] == ["graceful-stop", "start"]
    (daemon,) = [each for each in ours(mac) if "colima start" in each.command]
    assert (daemon.pid, daemon.uid) == (job_pid(mac), ALICE.uid)
    assert not [each for each in mac.processes() if "/usr/bin/su" in each.command]
    assert container(mac, "db", "Id") == db
    assert docker(mac, "exec", "db", "cat", "/data/note") == "precious"
    assert docker(mac, "exec", "web", "cat", "/usr/share/nginx/html/note") == "mine"
    assert mac.path(BACKUP).is_dir()
    assert HEADER in mac.path(f"{LOG}.old").read_text()
    assert "] Success" not in typed(terminal, f"{deploy} -y", "unchanged")

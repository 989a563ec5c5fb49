"""One Mac, and what ps, launchctl, limactl, docker and curl show there of a profile for acceptance alone."""

from __future__ import annotations

import json
import re
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import dotenv

from settings import Settings
from tests.checkout import ROOT, Run
from tests.host import Host

# Nobody has one of this name, which goes without a backup.
PROFILE = "pulse-acceptance"
INSTANCE = f"colima-{PROFILE}"
LABEL = f"homebrew.mrcee.colima-pulse.{PROFILE}"
PULSE = f"{LABEL}.pulse"
RIVAL = f"{LABEL}.rival"
LOG = f"/var/log/{LABEL}.colima.log"
PORT = 48080

OURS = {
    "COLIMA_PROFILE": PROFILE,
    "LABEL": LABEL,
    "LOG_PATH": LOG,
    "BACKUP_DIR_BASE": f"{INSTANCE}-backups",
    # Neither the owner's docker context nor ~/.ssh/config.
    "COLIMA_EXTRA_ARGS": "--activate=false --ssh-config=false",
}

# busybox's httpd heeds no TERM.
WEB = (
    "docker run --detach --restart always --name web --stop-signal KILL"
    f" --publish {PORT}:80 --volume pages:/www busybox httpd -f -p 80 -h /www\n"
)


class Process(NamedTuple):
    """A process as ps(1) shows it."""

    pid: int
    ppid: int
    uid: int
    command: str


class Life:
    """A Mac, a checkout to deploy to it from, and the settings that these deploys have.

    `own` is what the `.env` of the Mac's owner says: who runs Colima, and how long to wait for it, say.
    """

    def __init__(self, host: Host, own: dict[str, str]) -> None:
        self.host = host
        self.env = own | OURS
        self.write_env()
        for name, text in (("hello-world", (ROOT / "containers/hello-world").read_text()), ("web", WEB)):
            (host.directory / "containers" / name).write_text(text)
        homebrew = host.fact("homebrew.Homebrew")
        self.prefix: str = homebrew["prefix"]
        self.user: str = own.get("HOMEBREW_USER") or homebrew["owner"]
        assert self.user, "there is no Homebrew"
        found = host.fact("mac.User", user=self.user)
        self.uid: int = found["uid"]
        self.home: str = found["home"]
        self.backups = f"{self.home}/{OURS['BACKUP_DIR_BASE']}"
        self.lima = f"{self.home}/.colima/_lima/{INSTANCE}"
        self.lock = f"{self.home}/.colima/_lima/_disks/{INSTANCE}/in_use_by"

    def write_env(self) -> None:
        path = self.host.directory / ".env"
        path.write_text("")
        for key, value in self.env.items():
            dotenv.set_key(path, key, value)

    @property
    def seconds(self) -> float:
        """How long anything may take here: as long as a deploy would wait for it, and two minutes."""
        settings, _ = Settings.parse({key.lower(): value for key, value in self.env.items()})
        waits = (settings.wait_provision_max, settings.wait_socket_max, settings.wait_docker_api_max)
        return 120 + settings.wait_qemu_max + sum(waits)

    def pyinfra(self, *words: str) -> Run:
        """A run of pyinfra that goes well; pytest shows it where the step fails."""
        line = f"pyinfra {self.host.name} {' '.join(words)}"
        run = self.host.pyinfra(*words, seconds=self.seconds)
        print(f"$ {line}\n{run.output}")
        assert run.status == 0, f"{line}: exit {run.status}"
        return run

    def as_user(self, *words: str, check: bool = True, seconds: float = 120, **variables: str) -> str:
        """A command of the user's, in no directory and environment of root's: what it prints."""
        environment = {
            "HOME": self.home,
            "USER": self.user,
            "PATH": f"{self.prefix}/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            **variables,
        }
        command = [*(f"{key}={value}" for key, value in environment.items()), *words]
        script = 'cd / && user=$1 && shift && exec /usr/bin/sudo -n -u "$user" /usr/bin/env -i "$@"'
        return self.host.run(script, self.user, *command, check=check, seconds=seconds).stdout.strip()

    # launchd

    def printed(self, label: str = LABEL) -> str | None:
        """What launchd says of a job; None where it has none."""
        done = self.host.run('/bin/launchctl print "system/$1"', label, check=False)
        assert done.returncode in (0, 113), done.stdout + done.stderr
        return done.stdout if done.returncode == 0 else None

    def number(self, key: str) -> int | None:
        """A number that launchd has for the job, such as its pid."""
        found = re.search(rf"(?m)^\t{key} = (\d+)$", self.printed() or "")
        return int(found[1]) if found else None

    # Processes, Lima and Docker

    def processes(self) -> list[Process]:
        """All of the Mac's."""
        table = self.host.run("/bin/ps -axww -o pid= -o ppid= -o uid= -o command=").stdout
        rows = [line.split(None, 3) for line in table.splitlines()]
        return [Process(int(row[0]), int(row[1]), int(row[2]), row[3]) for row in rows if len(row) == 4]

    def ours(self) -> list[Process]:
        """Those of the profile."""
        words = re.compile(rf"\b{INSTANCE}\b|--profile={PROFILE}\b")
        return [each for each in self.processes() if words.search(each.command)]

    def networks(self) -> list[Process]:
        """The network that all instances of the user share: one, while any runs."""
        words = re.compile(rf"limactl usernet .*{re.escape(self.home)}/\.colima/_lima/_networks/")
        return [each for each in self.processes() if words.search(each.command)]

    def qemu(self) -> Process:
        (found,) = [each for each in self.ours() if "qemu-system-" in each.command.split()[0]]
        return found

    def instance(self) -> dict[str, Any] | None:
        """What Lima says of the instance; None where there is none."""
        words = (f"{self.prefix}/bin/limactl", "list", "--json")
        listed = self.as_user(*words, LIMA_HOME=f"{self.home}/.colima/_lima")
        found = {each["name"]: each for each in map(json.loads, listed.splitlines())}
        return found.get(INSTANCE)

    def sockets(self) -> list[str]:
        """The sockets in the profile's directories."""
        places = (f"{self.home}/.colima/{PROFILE}", self.lima)
        return self.host.run('/usr/bin/find "$@" -type s', *places).stdout.split("\n")[:-1]

    def docker(self, *words: str, check: bool = True) -> str:
        socket = f"unix://{self.home}/.colima/{PROFILE}/docker.sock"
        return self.as_user(f"{self.prefix}/bin/docker", "--host", socket, *words, check=check)

    def started(self) -> str:
        """When the web server's container was started; empty where nobody can tell."""
        with suppress(subprocess.TimeoutExpired):  # a socket that takes and does not answer
            return self.docker("inspect", "--format", "{{.State.StartedAt}}", "web", check=False)
        return ""

    def starts(self) -> int:
        """How often Colima has come up, by its log."""
        command = '/usr/bin/grep -c "keeping Colima in the foreground" "$1"'
        return int(self.host.run(command, LOG, check=False).stdout)

    def write_note(self, text: str) -> None:
        """Have the web server's volume hold this, on the disk."""
        self.docker("exec", "web", "sh", "-c", f"echo {text} >/www/note && sync")

    def note(self, address: str = "127.0.0.1") -> str:
        """What the volume holds, by the web server on an address of the Mac's; empty without one."""
        command = '/usr/bin/curl -s -f -m 10 "$1"'
        return self.host.run(command, f"http://{address}:{PORT}/note", check=False).stdout.strip()

    def address(self) -> str:
        """An address that the Mac has in its network."""
        shown = self.host.run("/sbin/ifconfig -a").stdout
        found: list[str] = re.findall(r"(?m)^\tinet ([\d.]+)", shown)
        return next(each for each in found if not each.startswith("127."))

    # What there is of acceptance on the Mac

    def traces(self) -> list[str]:
        """Every path that is there and is acceptance's by its name."""
        places = (
            "/Library/LaunchDaemons",
            "/Library/ColimaPulse",
            "/private/var/run/colima-pulse",
            "/private/var/log",
            f"{self.home}/.colima",
            self.backups,
        )
        names = f"-name '{LABEL}*' -o -name '{INSTANCE}*' -o -name {PROFILE}"
        command = f'/usr/bin/find "$@" \\( {names} \\) -prune -print 2>/dev/null'
        return self.host.run(command, *places, check=False).stdout.splitlines()

    def units(self) -> list[str]:
        """The backups of the profile."""
        listed = self.as_user("/bin/ls", self.backups).splitlines()
        return [name for name in listed if re.fullmatch(rf"{PROFILE}-\d{{8}}-\d{{6}}", name)]

    def remove(self) -> None:
        """Take off the Mac whatever there is of acceptance, that of a run which was cut off included."""
        if f"/Library/ColimaPulse/reset/{self.user}/{PROFILE}" in self.traces():
            self.pyinfra("deploy.py", "-y")  # ends a reset that was interrupted
        options = ("--data", "delete_vm=true", "--data", "backup=false", "--data", "force_yes=true")
        self.pyinfra("deploys/uninstall.py", "-y", *options)
        if self.printed(RIVAL) is not None:
            self.host.run('/bin/launchctl bootout "system/$1"', RIVAL)
        self.host.run('/bin/rm -f "/Library/LaunchDaemons/$1.plist"', RIVAL)
        self.as_user("/bin/rm", "-rf", self.backups)

    def keep(self, directory: Path) -> str:
        """Keep in a directory the status, the logs and a diagnosis, secrets masked. Returns the status."""
        directory.mkdir(parents=True, exist_ok=True)
        said = []
        for name, *words in (("status",), ("logs", "--data", "lines=10000"), ("diagnose",)):
            run = self.host.pyinfra(f"deploys/{name}.py", "-y", *words, seconds=600)
            (directory / f"{name}.txt").write_text(run.output)
            said.append(run.output)
        for path in (self.host.directory / "diagnostics").glob("*.txt"):
            (directory / path.name).write_text(path.read_text())
        return said[0]

"""What a test looks at on a Mac after a deploy: launchd's job, the VM, Docker."""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.checkout import PYINFRA, Checkout, Run
from tests.host import wait_for as wait_for
from tests.mac.machine import Mac, Process
from tests.terminal import TERMINAL, Seen, on_a_terminal

LABEL = "homebrew.mrcee.colima-pulse"
PLIST = f"/Library/LaunchDaemons/{LABEL}.plist"
OURS = re.compile(r"colima|limactl|qemu-system|ssh\.sock")


@dataclass(frozen=True)
class Deployed:
    """A Mac after its first deploy, and how that deploy was run."""

    mac: Mac
    checkout: Checkout
    run: Callable[..., Run]
    first: Run


def socket_of(mac: Mac, profile: str = "default", user: str = "alice") -> str:
    return f"{mac.user(user).home}/.colima/{profile}/docker.sock"


def docker(mac: Mac, *arguments: str, user: str = "alice", check: bool = True) -> str:
    """Run the docker client as the user, on the profile's socket."""
    prefix = "/opt/homebrew" if mac.path("/opt/homebrew/bin/brew").exists() else "/usr/local"
    command = [f"{prefix}/bin/docker", "--host", f"unix://{socket_of(mac, user=user)}", *arguments]
    return mac.run(command, user=user, check=check).stdout.strip()


def ping(mac: Mac, user: str = "alice") -> str:
    """The HTTP status of GET /_ping on the profile's socket; empty when nothing answers."""
    curl = ["/usr/bin/curl", "-s", "-m", "3", "-o", "/dev/null", "-w", "%{http_code}"]
    socket = socket_of(mac, user=user)
    done = mac.run([*curl, "--unix-socket", socket, "http://localhost/_ping"], check=False)
    return done.stdout


def container(mac: Mac, name: str, key: str) -> object:
    """One value of `docker inspect`, such as "State.StartedAt"."""
    value: object = json.loads(docker(mac, "inspect", "--format", f"{{{{json .{key}}}}}", name))
    return value


def job_pid(mac: Mac, label: str = LABEL) -> int | None:
    """The pid that launchd has for a system job."""
    printed = mac.run(["launchctl", "print", f"system/{label}"], check=False)
    match = re.search(r"^\tpid = (\d+)$", printed.stdout, re.MULTILINE)
    return int(match[1]) if match else None


def is_loaded(mac: Mac, label: str = LABEL) -> bool:
    return mac.run(["launchctl", "print", f"system/{label}"], check=False).returncode != 113


def ours(mac: Mac) -> list[Process]:
    """The processes of Colima, Lima and QEMU."""
    return [each for each in mac.processes() if OURS.search(each.command)]


def process(mac: Mac, words: str) -> Process:
    """The one process whose command has these words."""
    (found,) = [each for each in mac.processes() if words in each.command]
    return found


def vm_events(mac: Mac) -> list[str]:
    """What happened to the guests, in order, in a word each: start, graceful-stop, killed."""
    logs = sorted((mac.records / "vm").glob("**/events.log"))
    lines = sorted(line for log in logs for line in log.read_text().splitlines())
    return [line.split()[1] for line in lines if "provisioned" not in line]


class Watch:
    """Samples the processes of a Mac: how many QEMUs of one instance ran at a time, at most."""

    def __init__(self, mac: Mac, instance: str = "colima") -> None:
        self.mac = mac
        self.words = f"-pidfile /Users/alice/.colima/_lima/{instance}/qemu.pid"
        self.most = self.samples = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._end.wait(0.2):
            with contextlib.suppress(OSError, RuntimeError):  # off
                found = {each.pid: each for each in self.mac.processes() if self.words in each.command}
                # What a VM has forked, and is about to become something else, is no other VM.
                vms = [each for each in found.values() if each.ppid not in found]
                self.most = max(self.most, len(vms))
                self.samples += 1

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


@contextlib.contextmanager
def one_vm(mac: Mac) -> Iterator[None]:
    """See that the default profile never has two VMs at once."""
    with Watch(mac) as watch:
        yield
    assert watch.samples
    assert watch.most <= 1, "a second VM ran"


BY_HAND = {"PATH": "/opt/homebrew/bin:/usr/bin:/bin:/usr/sbin:/sbin"}


def colima(mac: Mac, *words: str, env: dict[str, str] | None = None) -> None:
    """Colima as alice runs it by hand."""
    mac.run(["/opt/homebrew/bin/colima", *words], user="alice", env=BY_HAND | (env or {}), timeout=120)


def in_guest(mac: Mac, *words: str) -> None:
    """Run a command as root in the default profile's guest."""
    env = BY_HAND | {"LIMA_HOME": "/Users/alice/.colima/_lima"}
    mac.run(["/opt/homebrew/bin/limactl", "shell", "colima", "sudo", *words], user="alice", env=env)


def qemu(mac: Mac) -> int:
    return process(mac, "-pidfile /Users/alice/.colima/_lima/colima/qemu.pid").pid


def kill(mac: Mac, pid: int | None, name: str = "KILL") -> None:
    mac.run(["/bin/kill", f"-{name}", str(pid)])


def alive(mac: Mac, pid: int) -> bool:
    return any(each.pid == pid for each in mac.processes())


def stranger(mac: Mac, user: str) -> int:
    """A process that has nothing to do with Colima; its pid."""
    line = "/bin/sleep 1000 >/dev/null 2>&1 & echo $!"
    return int(mac.run(["/bin/sh", "-c", line], user=user, env={"HOME": "/private/tmp"}).stdout)


def boot_out(mac: Mac, label: str = LABEL) -> None:
    """The job goes, by somebody's hand, and with it the VM."""
    mac.run(["launchctl", "bootout", f"system/{label}"])
    wait_for(lambda: not is_loaded(mac, label))
    wait_for(lambda: not [each for each in ours(mac) if "/_lima/colima/" in each.command])


def bootstrap(mac: Mac, plist: str = PLIST) -> None:
    mac.run(["launchctl", "bootstrap", "system", plist])


def at_terminal(
    checkout: Checkout, *arguments: str, answers: dict[str, str], deploy: str = "deploy.py"
) -> Seen:
    """A run over SSH on a terminal, with what is typed when a pattern is seen."""
    checkout.write_env()
    words = [*PYINFRA, "inventory.py", deploy, *arguments]
    environment = {**os.environ, **TERMINAL}
    return on_a_terminal(words, checkout.directory, environment, answers, seconds=120, columns=200)

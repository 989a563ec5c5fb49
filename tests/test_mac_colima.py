"""The stand-in's Colima, Lima and Docker behave as the recorded real ones do, faults included."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mac.machine import Mac, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"no stand-in Mac: {'; '.join(missing())}")

HOME = "/Users/alice"
BASE = f"{HOME}/.colima"
VM = f"{BASE}/_lima/colima"
SOCKET = f"{BASE}/default/docker.sock"
ENVIRONMENT = {
    "PATH": "/opt/homebrew/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    "COLIMA_HOME": BASE,
    "LIMA_HOME": f"{BASE}/_lima",
    "TMPDIR": "/var/folders/zz/502/T",
}
START = ("start", "--vm-type", "qemu", "--cpu", "2", "--memory", "4", "--disk", "20")


class Colima:
    """Alice's default profile."""

    def __init__(self, mac: Mac) -> None:
        self.mac = mac

    def run(
        self, *argv: str, user: str = "alice", timeout: float = 60, **env: str
    ) -> subprocess.CompletedProcess[str]:
        return self.mac.run(
            argv, user=user, env={**ENVIRONMENT, **env}, check=False, timeout=timeout, stdin=""
        )

    def __call__(self, *argv: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return self.run("colima", *argv, **more)

    def docker(self, *argv: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return self.run("docker", "-H", f"unix://{SOCKET}", *argv, **more)

    def ping(self) -> str:
        """What one request over the socket brings: a status, or curl's complaint."""
        write = ("-o", "/dev/null", "-w", "%{http_code}", "--max-time", "1")
        done = self.run("curl", "-s", *write, "--unix-socket", SOCKET, "http://docker/_ping")
        return done.stdout if done.returncode == 0 else f"curl {done.returncode}"

    def status(self) -> str:
        return str(self.instance()["status"]) if self.mac.path(VM).exists() else ""

    def instance(self) -> dict[str, Any]:
        done = self.run("limactl", "list", "--json", "colima")
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def pids(self, pattern: str) -> list[int]:
        return [p.pid for p in self.mac.processes() if re.search(pattern, p.command)]

    def signal(self, name: str, *pids: int) -> None:
        self.mac.run(["/bin/kill", f"-{name}", *map(str, pids)])

    def events(self) -> list[str]:
        log = self.mac.records / "vm/colima/events.log"
        return [line.partition(" ")[2] for line in log.read_text().splitlines()]

    @contextlib.contextmanager
    def foreground(self, *argv: str) -> Iterator[Foreground]:
        process = Foreground(self, (*argv, "--foreground"))
        try:
            yield process
        finally:
            process.end()


class Foreground:
    """`colima start --foreground`."""

    def __init__(self, colima: Colima, argv: tuple[str, ...]) -> None:
        self.colima = colima
        command, environment = colima.mac.command(["colima", *argv], "alice", ENVIRONMENT)
        self.process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        """Colima's own number in the Mac."""
        pattern = r"^/opt/homebrew/bin/colima start .*--foreground"
        found: list[int] = wait_for(lambda: self.colima.pids(pattern))
        return found[0]

    def read_until(self, text: str) -> None:
        assert self.process.stderr is not None
        assert any(text in line for line in self.process.stderr), text

    def alive(self) -> bool:
        return self.process.poll() is None

    def wait(self) -> tuple[int, list[str]]:
        """The exit code (negative: the signal) and the messages of the rest of the log."""
        _, log = self.process.communicate(timeout=30)
        return self.process.returncode, messages(log)

    def end(self) -> None:
        if self.alive():
            self.colima.signal("KILL", self.pid)
        self.process.communicate(timeout=10)


def wait_for(condition: Callable[[], Any], seconds: float = 10) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return value


def messages(log: str) -> list[str]:
    """What logrus lines say, each with its context."""
    found = re.findall(r'^time="[^"]+" level=\w+ msg=("(?:[^"\\]|\\.)*"|\S+)(?: context=(\w+))?', log, re.M)
    return [
        (json.loads(text) if text[0] == '"' else text) + (f" [{context}]" if context else "")
        for text, context in found
    ]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mac]:
    mac = Mac("mini", tmp_path_factory.mktemp("mac") / "mini")
    mac.boot()
    yield mac
    mac.destroy()


@pytest.fixture
def colima(machine: Mac) -> Iterator[Colima]:
    """No profile at all, and no fault."""
    machine.run(["/bin/mkdir", "-p", BASE], user="alice")
    found = Colima(machine)
    yield found
    machine.heal("start-hangs")
    found.run("limactl", "delete", "-f", "colima")
    found("delete", "-f", "--data")
    left = found.pids(r"^(/opt/homebrew/bin/(colima|limactl|qemu)|ssh: )")
    if left:
        found.signal("KILL", *left)
    machine.run(["/bin/rm", "-rf", BASE, f"{HOME}/.docker", "/private/var/db/standin/vm/colima"])


@pytest.fixture
def running(colima: Colima) -> Colima:
    assert colima(*START).returncode == 0
    return colima


def test_processes_of_a_running_profile(running: Colima) -> None:
    found = {p.command: p for p in running.mac.processes() if p.uid == 502}
    lima, network = f"{BASE}/_lima", f"{BASE}/_lima/_networks/user-v2"
    host_agent = (
        f"/opt/homebrew/bin/limactl hostagent --pidfile {VM}/ha.pid --socket {VM}/ha.sock"
        " --guestagent /opt/homebrew/share/lima/lima-guestagent.Linux-aarch64.gz colima"
    )
    usernet = (
        f"/opt/homebrew/bin/limactl usernet -p {network}/usernet_user-v2.pid"
        f" -e {network}/user-v2_ep.sock --listen-qemu {network}/user-v2_qemu.sock"
        f" --listen {network}/user-v2_fd.sock --subnet 192.168.5.0/24"
    )
    master = f"ssh: {lima}/colima/ssh.sock [mux]"
    shown = running.run("ps", "-axww", "-o", "command=").stdout.splitlines()
    assert f"{master}{' ' * 35}" in shown
    qemu = next(command for command in found if command.startswith("/opt/homebrew/bin/qemu"))
    assert set(found) == {host_agent, usernet, master, qemu}
    assert qemu.endswith(f" -name lima-colima -pidfile {VM}/qemu.pid")
    assert found[qemu].ppid == found[host_agent].pid
    assert {found[name].ppid for name in (host_agent, usernet, master)} == {1}
    assert running.mac.path(f"{VM}/qemu.pid").read_text() == f"{found[qemu].pid}\n"


def test_foreground_stops_gracefully_on_term(colima: Colima) -> None:
    with colima.foreground(*START) as process:
        process.read_until("keeping Colima in the foreground, press ctrl+c to exit...")
        colima.docker("run", "-d", "--name", "web", "--restart", "always", "nginx")
        colima.signal("TERM", process.pid)
        colima.signal("TERM", process.pid)
        assert process.wait() == (
            0,
            [
                "interrupted by: terminated", "stopping colima", "stopping ... [docker]",
                "stopping ... [vm]", "done",
            ],
        )  # fmt: skip
    assert colima.status() == "Stopped"
    assert colima.events() == ["provisioned", "start", "graceful-stop"]
    assert colima.pids(r"^/opt|^ssh: ") == []
    left = {path.name for path in colima.mac.path(VM).iterdir()}
    assert not {name for name in left if name.endswith((".pid", ".sock"))}
    assert colima("start").returncode == 0
    assert colima.docker("ps", "--format", "{{.Names}}").stdout == "web\n"


def test_foreground_does_not_notice_that_qemu_died(colima: Colima) -> None:
    with colima.foreground(*START) as process:
        process.read_until("keeping Colima")
        colima.signal("KILL", *colima.pids("qemu-system"))
        wait_for(lambda: colima.status() == "Stopped")
        wait_for(lambda: colima.events()[-1] == "killed")
        wait_for(lambda: not colima.pids("hostagent"))
        assert colima.ping() == "curl 7"
        assert colima.pids("usernet")
        assert process.alive()
        colima.signal("TERM", process.pid)
        assert process.wait() == (
            0, ["interrupted by: terminated", "stopping colima", "not running [vm]", "done"]
        )  # fmt: skip


def test_host_agent_killed_is_broken(running: Colima) -> None:
    running.signal("KILL", *running.pids("hostagent"))
    assert running.status() == "Broken"
    assert running.ping() == "200"
    reason = "qemu driver is running but host agent is not"
    assert running.instance()["errors"] == [reason]
    done = running("start")
    assert done.returncode == 1
    assert messages(done.stdout)[-1] == f"errors inspecting instance: [{reason}]"
    assert messages(done.stderr)[-1] == "error starting vm: error at 'starting': exit status 1"
    done = running("stop")
    assert (done.returncode, running.status()) == (0, "Broken")
    assert running("stop", "-f").returncode == 0
    assert running.status() == "Stopped"
    assert running("start").returncode == 0
    assert running.ping() == "200"


def test_pid_files_that_name_strangers(running: Colima) -> None:
    assert running("stop").returncode == 0
    stranger = int(running.run("sh", "-c", "sleep 60 > /dev/null 2>&1 & echo $!").stdout)
    running.mac.path(f"{VM}/ha.pid").write_text(f"{stranger}\n")
    assert running.status() == "Broken"
    done = running("start")
    assert done.returncode == 1
    assert f"failed to connect to `{VM}/ha.sock`" in messages(done.stdout)[-1]
    assert stranger in running.pids("^sleep")
    assert running("stop", "-f").returncode == 0
    wait_for(lambda: stranger not in running.pids("^sleep"))
    assert running.status() == "Stopped"
    running.mac.path(f"{VM}/ha.pid").write_text("1\n")  # root's: counts as alive
    assert running.status() == "Broken"
    running.mac.path(f"{VM}/ha.pid").write_text("99999\n")  # nobody's: deleted by looking
    assert running.status() == "Stopped"
    assert not running.mac.path(f"{VM}/ha.pid").exists()


def test_a_mount_that_cannot_be_made_leaves_a_vm_without_docker(colima: Colima) -> None:
    done = colima(*START, "--mount", f"{HOME}/made/a:w,/Volumes/Big:w")
    assert done.returncode == 1
    assert messages(done.stderr)[-1] == "error starting vm: error at 'creating and starting': exit status 1"
    assert "Errors:[mkdir /Volumes/Big: permission denied]" in messages(done.stdout)[-1]
    assert colima.status() == "Running"
    assert colima.mac.path(f"{HOME}/made/a").is_dir()


def test_a_boot_that_dies_before_ssh_leaves_its_disk_locked(colima: Colima) -> None:
    colima.mac.fault("start-hangs")
    with colima.foreground(*START) as process:
        wait_for(lambda: colima.status() == "Running")
        colima.signal("INT", *colima.pids("hostagent"))
        assert process.wait()[0] == 1
    colima.mac.heal("start-hangs")
    lock = colima.mac.path(f"{BASE}/_lima/_disks/colima/in_use_by")
    assert lock.readlink() == Path(VM)
    assert colima("start").returncode == 0, "QEMU takes it again for the same instance"
    assert colima("stop").returncode == 0
    lock.symlink_to(f"{BASE}/_lima/colima-gone")
    done = colima("start")
    assert done.returncode == 1
    assert 'in use by instance "colima-gone"' in done.stdout.replace("\\", "")
    lock.unlink()

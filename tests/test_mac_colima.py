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

from operations.util.installer import is_transient
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
FAULTS = (
    "api-503 api-eof api-flaps brew-fails colima-ignores-term docker-hangs docker-start-fails"
    " docker-stays-dead guest-frozen image-download-fails list-garbage list-hangs socket-deaf start-fails"
    " start-hangs start-slow status-hangs stop-hangs transient-run vz-anyway"
).split()


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
        done = self("list", "--json")
        return str(json.loads(done.stdout)["status"]) if done.stdout else ""

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
    for name in FAULTS:
        machine.heal(name)
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


def test_fresh_home(colima: Colima) -> None:
    done = colima("status")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r'time="\S+" level=fatal msg="colima is not running"\n', done.stderr)
    done = colima("status", "-p", "foo", "--json")
    assert messages(done.stderr) == ["colima [profile=foo] is not running"]
    done = colima("list", "--json")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert messages(colima("stop").stderr) == ["stopping colima", "not running [vm]", "done"]
    done = colima("stop", "-f")
    assert done.returncode == 1
    assert messages(done.stdout) == [f"open {VM}/lima.yaml: no such file or directory"]
    done = colima("delete", "-f")
    assert (done.returncode, messages(done.stdout)) == (
        0, ["Ignoring non-existent instance `colima`"]
    )  # fmt: skip
    done = colima("delete")
    assert (done.returncode, "[y/N]" in done.stdout, done.stderr) == (0, True, "")
    assert messages(colima("ssh", "--", "true").stderr) == ["colima not running"]
    assert colima("--version").stdout == "colima version 0.10.3\n"


def test_first_start_and_use(colima: Colima) -> None:
    done = colima(*START)
    assert done.returncode == 0
    assert messages(done.stderr) == [
        "starting colima",
        "runtime: docker",
        "creating and starting ... [vm]",
        "downloading disk image ... [vm]",
        "provisioning ... [docker]",
        "starting ... [docker]",
        "done",
    ]
    assert "READY. Run `limactl shell colima` to open the shell." in messages(done.stdout)
    assert colima("list", "--json").stdout == (
        '{"name":"default","status":"Running","arch":"aarch64","cpus":2,"memory":4294967296,'
        '"disk":21474836480,"runtime":"docker"}\n'
    )
    instance = colima.instance()
    assert (instance["vmType"], instance["status"], instance["dir"]) == ("qemu", "Running", VM)
    for name, mode in {"default/docker.sock": 0o600, "docker.sock": 0o600}.items():
        found = colima.mac.path(f"{BASE}/{name}").stat()
        assert (found.st_mode & 0o777, found.st_uid) == (mode, 502)
    status = json.loads(colima("status", "--json").stdout)
    assert (status["driver"], status["docker_socket"]) == ("QEMU", f"unix://{SOCKET}")
    assert "Hello from Docker!" in colima.docker("run", "--rm", "hello-world").stdout
    assert colima.docker("run", "--rm", "alpine", "sh", "-c", "exit 7").returncode == 7
    done = colima.docker("run", "nosuch")
    assert (done.returncode, "Unable to find image" in done.stderr) == (125, True)
    assert json.loads(colima.mac.path(f"{BASE}/_store/colima.json").read_text())["disk_formatted"]
    assert colima.mac.path(f"{BASE}/_lima/_disks/colima/in_use_by").readlink() == Path(VM)
    assert colima.events() == ["provisioned", "start"]


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


def test_start_while_running_only_rewrites_colima_yaml(running: Colima) -> None:
    done = running("start", "--cpu=3", "--disk", "10", "--runtime", "containerd", "-t", "vz")
    assert done.returncode == 0
    assert messages(done.stderr) == [
        "'runtime' cannot be updated after initial setup, discarded",
        "'virtual machine type' cannot be updated after initial setup, discarded",
        "already running, ignoring",
    ]
    text = running.mac.path(f"{BASE}/default/colima.yaml").read_text()
    assert {"cpu: 3", "disk: 10", "vmType: qemu", "runtime: docker"} <= set(text.splitlines())
    assert running.instance()["cpus"] == 2
    assert running.events() == ["provisioned", "start"]


def test_command_lines_refused(colima: Colima) -> None:
    for argv, message in {
        ("start", "--nope"): "unknown flag: --nope",
        ("start", "a", "b"): "accepts at most 1 arg(s), received 2",
        ("nope",): 'unknown command "nope" for "colima"',
        ("start", "--mount-type", "x", "--vm-type", "qemu"): "error in config: invalid mountType: 'x'",
        ("start", "--cpus", "abc"): 'invalid argument "abc" for "-c, --cpus" flag:'
        ' strconv.ParseInt: parsing "abc": invalid syntax',
    }.items():
        done = colima(*argv)
        assert (done.returncode, messages(done.stderr)[-1]) == (1, message)
    assert not colima.mac.path(f"{BASE}/default/colima.yaml").exists()


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


def test_term_during_boot_leaves_a_half_started_vm(colima: Colima) -> None:
    colima.mac.fault("start-slow", "1.5")
    with colima.foreground(*START) as process:
        wait_for(lambda: colima.status() == "Running")
        colima.signal("TERM", process.pid)
        assert process.wait()[0] == -15
    assert messages(colima("status").stderr) == ["error retrieving current runtime: empty value"]
    wait_for(lambda: colima.mac.path(SOCKET).exists())
    assert colima.ping() == "curl 52"
    done = colima("start", "--foreground")
    assert (done.returncode, messages(done.stderr)) == (0, ["already running, ignoring"])
    assert colima("stop").returncode == 0
    assert colima.status() == "Stopped"


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


def test_foreground_dies_of_hup_and_leaves_the_vm(colima: Colima) -> None:
    with colima.foreground(*START) as process:
        process.read_until("keeping Colima")
        colima.signal("HUP", process.pid)
        assert process.wait()[0] == -1
    assert colima.ping() == "200"


def test_host_agent_killed_is_broken(running: Colima) -> None:
    running.signal("KILL", *running.pids("hostagent"))
    assert running.status() == "Broken"
    assert running.ping() == "200"
    reason = "qemu driver is running but host agent is not"
    assert running.instance()["errors"] == [reason]
    assert messages(running("status").stderr) == ["colima is not running"]
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


def test_a_network_whose_pid_file_names_a_stranger(running: Colima) -> None:
    """Lima believes it; Colima wipes the directory, but only when no instance runs."""
    assert running("stop").returncode == 0
    network = running.mac.path(f"{BASE}/_lima/_networks/user-v2")
    stranger = int(running.run("sh", "-c", "sleep 60 > /dev/null 2>&1 & echo $!").stdout)
    line = "use Socket; socket S, AF_UNIX, SOCK_STREAM, 0; bind S, pack_sockaddr_un(shift) or die"
    path = f"{BASE}/_lima/_networks/user-v2/user-v2_qemu.sock"
    assert running.run("/usr/bin/perl", "-e", line, path).returncode == 0
    (network / "usernet_user-v2.pid").write_text(f"{stranger}\n")
    done = running.run("limactl", "start", "colima")
    assert done.returncode == 1
    assert "error calling fd_connect" in done.stderr + done.stdout
    assert "connection refused" in done.stderr + done.stdout
    assert running("start").returncode == 0
    running.signal("KILL", stranger)


def test_data_disk_survives_delete_and_grows(running: Colima) -> None:
    running.docker("volume", "create", "precious")
    assert running("stop").returncode == 0
    done = running("start", "--disk", "10")
    assert "disk size cannot be reduced, ignoring... [vm]" in messages(done.stderr)
    assert running("stop").returncode == 0
    done = running("start", "--disk", "30")
    assert "resizing disk to 30GiB... [vm]" in messages(done.stderr)
    assert json.loads(running("list", "--json").stdout)["disk"] == 30 << 30
    assert running("delete", "-f").returncode == 0
    assert not running.mac.path(f"{BASE}/default").exists()
    assert running(*START, "--runtime", "containerd").returncode == 1
    assert running(*START, "--runtime", "docker").returncode == 0
    assert running.docker("volume", "ls", "-q").stdout == "precious\n"
    assert running.events().count("provisioned") == 1
    assert running("stop").returncode == 0
    running.mac.path(f"{BASE}/_store/colima.json").unlink()  # Colima formats a disk without it
    assert running("start").returncode == 0
    assert running.docker("volume", "ls", "-q").stdout == ""


def test_as_root(running: Colima) -> None:
    done = running("start", user="root")
    reason = "lima compatibility error: error checking Lima version: exit status 1"
    assert (done.returncode, messages(done.stderr)) == (1, [reason])
    assert messages(running("status", user="root").stderr) == ["colima is not running"]
    done = running("stop", user="root")
    assert (done.returncode, "not running [vm]" in messages(done.stderr)) == (0, True)
    assert running.run("limactl", "list", user="root").returncode == 1
    assert running.run("brew", "list", user="root").returncode == 1
    assert running.status() == "Running"


def test_missing_programs(colima: Colima) -> None:
    colima.run("sh", "-c", "mkdir -p bin; ln -sf /opt/homebrew/bin/colima bin/")
    path = f"{HOME}/bin:/usr/bin:/bin"
    for verb, message in {
        "start": 'lima compatibility error: error checking Lima version: exec: "limactl":'
        " executable file not found in $PATH",
        "status": "Error: dependency check failed for VM: lima not found, run 'brew install lima' to install",
        "list": 'error retrieving instances: exec: "limactl": executable file not found in $PATH',
    }.items():
        done = colima(verb, PATH=path)
        assert (done.returncode, messages(done.stderr)) == (1, [message])
    colima.run("sh", "-c", "ln -sf /opt/homebrew/bin/lima* bin/")
    done = colima(*START, PATH=path)
    assert messages(done.stderr) == [
        "error in config: cannot use vmType: 'qemu', error: qemu-img not found, run"
        " 'brew install qemu' to install"
    ]
    done = colima("list", HOME="")
    assert messages(done.stderr) == ["cannot fetch required directory: $HOME is not defined"]


def test_ssh_and_systemctl(running: Colima) -> None:
    done = running("ssh", "--", "sh", "-c", "exit 7")
    assert (done.returncode, messages(done.stderr)) == (1, ["exit status 7"])
    assert running.run("limactl", "shell", "colima", "sh", "-c", "exit 7").returncode == 7
    assert running("ssh", "--", "systemctl", "is-active", "docker").stdout == "active\n"
    assert running("ssh", "--", "systemctl", "restart", "docker").returncode == 1
    assert running("ssh", "--", "sudo", "systemctl", "stop", "docker").returncode == 0
    assert running("ssh", "--", "systemctl", "is-active", "docker.service").stdout == "inactive\n"
    assert running.ping() == "curl 52"
    assert running("status").returncode == 0
    assert running("ssh", "--", "sudo", "systemctl", "restart", "docker").returncode == 0
    assert running.ping() == "200"
    assert running("ssh", "--", "sudo", "pkill", "-KILL", "dockerd").returncode == 0
    wait_for(lambda: running.ping() == "curl 52")
    wait_for(lambda: running.ping() == "200")  # Restart=always


def test_docker_that_systemd_has_given_up_on(running: Colima) -> None:
    """It stays dead until someone says restart; the VM does not mind."""
    running.mac.fault("docker-stays-dead")
    assert running("ssh", "--", "sudo", "pkill", "-KILL", "dockerd").returncode == 0
    wait_for(lambda: running.ping() == "curl 52")
    time.sleep(3)  # more than the two seconds after which systemd restarts it otherwise
    assert running.ping() == "curl 52"
    assert running("ssh", "--", "systemctl", "is-active", "docker").stdout == "failed\n"
    assert running("ssh", "--", "sudo", "systemctl", "restart", "docker").returncode == 0
    assert running.ping() == "200"
    assert running.events() == ["provisioned", "start"]


def test_programs_replaced_under_a_running_vm(running: Colima) -> None:
    """`brew upgrade`: what runs goes on, and what is called is the new file."""
    before = running.pids("qemu-system|hostagent|mux")
    line = 'cd /opt/homebrew/bin && for file in *; do cp -p "$file" ".$file" && mv -f ".$file" "$file"; done'
    assert running.run("/bin/sh", "-c", line).returncode == 0
    assert running.ping() == "200"
    assert running.pids("qemu-system|hostagent|mux") == before
    assert running("stop").returncode == 0
    assert running.events()[-1] == "graceful-stop"
    assert running("start").returncode == 0


def test_streams_through_the_socket(running: Colima) -> None:
    done = running.run("sh", "-c", f"echo hi | docker -H unix://{SOCKET} run --rm -i busybox cat")
    assert done.stdout == "hi\n"
    running.docker("run", "-d", "--name", "web", "-p", "8080:80", "nginx")
    url = ("curl", "-s", "http://127.0.0.1:8080/")
    wait_for(lambda: "Welcome to nginx" in running.run(*url).stdout)


def test_vz(colima: Colima) -> None:
    assert colima("start", "--vm-type", "vz").returncode == 0
    instance = colima.instance()
    assert (instance["vmType"], instance["driverPID"]) == ("vz", instance["hostAgentPID"])
    assert colima.pids("qemu-system") == []
    assert "using macOS Virtualization.Framework" in colima("status").stderr
    assert colima.ping() == "200"
    assert colima("stop").returncode == 0
    assert colima.events()[-1] == "graceful-stop"


def test_disk_locked_by_another_instance(running: Colima) -> None:
    assert running("stop").returncode == 0
    lock = running.mac.path(f"{BASE}/_lima/_disks/colima/in_use_by")
    lock.symlink_to(f"{BASE}/_lima/other")
    done = running("start")
    assert done.returncode == 1
    assert 'in use by instance "other"' in messages(done.stdout)[-1]
    assert running.run("limactl", "disk", "unlock", "colima").returncode == 0
    lock.symlink_to(VM)  # the same instance takes its own lock again
    assert running("start").returncode == 0


def test_a_frozen_guest_hangs_even_a_forced_stop(running: Colima) -> None:
    running.signal("STOP", *running.pids("qemu-system"))
    time.sleep(0.3)
    for argv in (("status",), ("stop", "-f")):
        with pytest.raises(subprocess.TimeoutExpired):
            running(*argv, timeout=1)
    assert running.ping() == "curl 28"
    assert running.status() == "Running"
    assert running.run("limactl", "stop", "-f", "colima").returncode == 0
    assert running.status() == "Stopped"


def test_faults_of_a_start(colima: Colima) -> None:
    colima.mac.fault("image-download-fails")
    done = colima(*START)
    assert done.returncode == 1
    assert "DNS lookup failed for host 'github.com'" in messages(done.stderr)[-1]
    colima.mac.fault("start-fails", "2")
    for step in ("creating and starting", "starting"):
        done = colima(*START)
        assert done.returncode == 1
        assert messages(done.stdout)[-1] == "host agent process has exited: exit status 2"
        fatal = f"error starting vm: error at '{step}': exit status 1"
        assert messages(done.stderr)[-1] == fatal
    colima.mac.fault("docker-start-fails")
    assert messages(colima(*START).stderr)[-1] == "error starting docker: exit status 1"
    assert colima("stop").returncode == 0
    colima.mac.fault("start-hangs")
    with colima.foreground(*START) as process:
        wait_for(lambda: colima.status() == "Running", 30)
        assert process.alive()
    colima.mac.heal("start-hangs")
    assert colima("delete", "-f").returncode == 0
    colima.mac.fault("vz-anyway")
    assert colima(*START).returncode == 0
    assert colima.instance()["vmType"] == "vz"


def test_faults_of_the_api(running: Colima) -> None:
    for name, answer in {"api-503": "503", "api-eof": "curl 52", "docker-hangs": "curl 28"}.items():
        running.mac.fault(name)
        assert running.ping() == answer
        running.mac.heal(name)
        assert running.ping() == "200"
    running.mac.fault("api-flaps")
    assert [running.ping() for _ in range(6)] == ["200", "200", "curl 52"] * 2
    running.mac.heal("api-flaps")
    running.mac.fault("transient-run", "2")
    for _ in range(2):
        done = running.docker("run", "--rm", "busybox", "true")
        assert done.returncode == 125
        # In one of several wordings; whichever, an installer is tried again.
        assert is_transient([done.stderr]), done.stderr
    assert running.docker("run", "--rm", "busybox", "true").returncode == 0
    running.mac.fault("socket-deaf")
    wait_for(lambda: running.ping() == "curl 7")
    assert running("status").returncode == 0


def test_faults_of_the_commands(running: Colima) -> None:
    for verb in ("status", "list", "stop"):
        running.mac.fault(f"{verb}-hangs")
        with pytest.raises(subprocess.TimeoutExpired):
            running(verb, timeout=0.7)
        running.mac.heal(f"{verb}-hangs")
    running.mac.fault("list-garbage")
    with pytest.raises(ValueError):
        running.instance()
    assert running.instance()["status"] == "Running"
    with running.foreground("start", "-p", "other", "--vm-type", "qemu") as process:
        process.read_until("keeping Colima")
        running.mac.fault("colima-ignores-term")
        running.signal("TERM", process.pid)
        time.sleep(0.5)
        assert process.alive()
    assert running("delete", "-f", "--data", "-p", "other").returncode == 0
    assert running.ping() == "200"


def test_brew(colima: Colima) -> None:
    assert colima.run("brew", "--prefix").stdout == "/opt/homebrew\n"
    assert "colima 0.10.3" in colima.run("brew", "list", "--versions").stdout.splitlines()
    assert colima.run("brew", "install", "nope").returncode == 1
    done = colima.run("sh", "-c", "mkdir -p shut && cd shut && chmod 0 . && brew list")
    assert (done.returncode, "must be readable to alice" in done.stderr) == (1, True)
    assert colima.run("brew", "uninstall", "qemu").returncode == 0
    assert colima.run("brew", "list", "--versions", "qemu").returncode == 1
    colima.mac.fault("brew-fails")
    assert colima.run("brew", "install", "qemu").returncode == 1
    assert colima.run("brew", "install", "qemu").returncode == 0
    assert colima.run("qemu-img", "--version").returncode == 0

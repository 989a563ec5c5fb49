"""launchd: process 1 of a stand-in Mac. It loads, starts, watches and stops jobs.

It follows launchd.plist(5), Apple's last open launchd (launchd-842, core.c) where the manual is
silent, and what macOS 12 to 26 were recorded to do (a bootout that returns at once, an exit timeout
of 5 s, EX_CONFIG). Not here: StartCalendarInterval, WatchPaths, QueueDirectories, Sockets, KeepAlive by
PathState, NetworkState or OtherJobEnabled, and gui domains: nobody logs in. What launchctl is told, and
in which words, is in launchctl.py. As in launchd, one thread does everything: no call here may wait for
long.

Faults: `never-spawn` (count: so many bootstrapped jobs stay idle until a kickstart), `btm-161`
(Background Task Management forbids every job, at boot too), `bootout-lingers` (seconds: so long after a
bootout, when `print` already says 113, bootstrap goes on answering 5, as real Macs do for 25 s and more).
"""

from __future__ import annotations

import contextlib
import grp
import json
import os
import plistlib
import pwd
import resource
import selectors
import shlex
import signal
import socket
import stat
import struct
import time
import traceback
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REBOOT = 88  # process 1 exits with this when the machine is to start again
PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
SOCKET = "/var/run/launchd.sock"
STORE = Path("/var/db/com.apple.xpc.launchd")
RECORDS = Path("/var/db/standin")
MINIMUM_RUNTIME, EXIT_TIMEOUT, SHUTDOWN_LIMIT, PENALTY_POLL = 10, 5, 65, 1.0
EX_CONFIG = 78
DEFAULT_FILES = 256  # kern.maxfiles' soft limit for what launchd starts: launchctl limit maxfiles
CRASHES = (
    signal.SIGILL,
    signal.SIGTRAP,
    signal.SIGABRT,
    signal.SIGFPE,
    signal.SIGBUS,
    signal.SIGSEGV,
    signal.SIGSYS,
)


def take_fault(name: str) -> bool:
    """Whether a counted fault strikes now; its count goes down."""
    file = RECORDS / "faults" / name
    try:
        left = int(file.read_text()) - 1
    except (OSError, ValueError):
        return False
    if left > 0:
        file.write_text(str(left))
    else:
        file.unlink()
    return True


def read_fault(name: str) -> str:
    """The content of a fault that lasts until it is healed; empty without it."""
    with contextlib.suppress(OSError):
        return (RECORDS / "faults" / name).read_text().strip() or "1"
    return ""


def note(*words: object) -> None:
    """A line in the stand-in's own record."""
    line = "\t".join(map(str, (f"{time.time():.3f}", *words)))
    with (RECORDS / "launchd.log").open("a") as log:
        log.write(line + "\n")


class RefusedError(Exception):
    """A request that launchd answers with an error number."""

    def __init__(self, code: int, *lines: str) -> None:
        super().__init__(code)
        self.code = code
        self.lines = lines


def read_definition(path: Path) -> dict[str, Any]:
    """A job's property list, as launchd accepts it."""
    try:
        status = path.stat()
    except OSError as error:
        raise RefusedError(2, f"{path}: No such file or directory") from error
    if status.st_uid != 0 or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise RefusedError(122, f"{path}: Path had bad ownership/permissions")
    try:
        plist = plistlib.loads(path.read_bytes())
    except Exception as error:  # plistlib raises whatever expat, struct or int meet
        raise RefusedError(5, f"{path}: Invalid property list") from error
    if not isinstance(plist, dict) or not isinstance(plist.get("Label"), str) or not plist["Label"]:
        raise RefusedError(5, f"{path}: Invalid property list")
    arguments = plist.get("ProgramArguments", [])
    words = isinstance(arguments, list) and all(isinstance(word, str) for word in arguments)
    if not words or not (plist.get("Program") or arguments):
        raise RefusedError(5, f"{path}: Invalid or missing Program/ProgramArguments")
    for key, find, code in (("UserName", pwd.getpwnam, 114), ("GroupName", grp.getgrnam, 115)):
        try:
            if key in plist:
                find(plist[key])
        except KeyError as error:
            what = "user" if code == 114 else "group"
            raise RefusedError(code, f"{path}: The specified {what} does not exist") from error
    return plist


@dataclass(eq=False)
class Job:
    """One loaded job: a snapshot of its property list, and what became of it."""

    plist: dict[str, Any]
    path: str
    domain: Domain
    pid: int = 0
    runs: int = 0
    status: int | None = None  # of the run before, as wait(2) gives it
    started: float = 0.0
    reason: str = "speculative"
    start_at: float | None = None  # the next start that is scheduled
    interval_at: float | None = None  # StartInterval's next turn
    kill_at: float | None = None  # when a stop has taken too long
    stopping: str = ""  # SIGTERMed or SIGKILLed
    leaving: bool = False  # booted out: gone when its process is
    start_again: bool = False  # kickstart -k
    penalty: bool = False  # could not be started as configured
    absent: bool = False  # ... because its program is not there
    waiting: list[Callable[[], None]] = field(default_factory=list)

    @property
    def label(self) -> str:
        return str(self.plist["Label"])

    @property
    def program(self) -> str:
        return str(self.plist.get("Program") or self.plist["ProgramArguments"][0])

    @property
    def arguments(self) -> list[str]:
        return [str(word) for word in self.plist.get("ProgramArguments") or [self.program]]

    @property
    def minimum_runtime(self) -> int:
        return self._seconds("ThrottleInterval", MINIMUM_RUNTIME) or MINIMUM_RUNTIME

    @property
    def exit_timeout(self) -> int:
        """Seconds from SIGTERM to SIGKILL; 0 is for ever."""
        return self._seconds("ExitTimeOut", EXIT_TIMEOUT)

    def _seconds(self, key: str, default: int) -> int:
        value = self.plist.get(key, default)
        return value if isinstance(value, int) and value >= 0 else default

    @property
    def run_interval(self) -> int:
        return self._seconds("StartInterval", 0)

    @property
    def keep_alive(self) -> bool | dict[str, Any]:
        value = self.plist.get("KeepAlive", False)
        return value if isinstance(value, (bool, dict)) else False

    @property
    def state(self) -> str:
        if self.pid:
            return self.stopping or "running"
        return "spawn scheduled" if self.start_at is not None or self.absent else "not running"

    def wanted_after_exit(self, status: int) -> bool:
        """KeepAlive, after a run that ended like this; the keys of a dictionary are ORed."""
        keep = self.keep_alive
        if isinstance(keep, bool):
            return keep
        crashed = os.WIFSIGNALED(status) and os.WTERMSIG(status) in CRASHES
        return ("SuccessfulExit" in keep and bool(keep["SuccessfulExit"]) == (status == 0)) or (
            "Crashed" in keep and bool(keep["Crashed"]) == crashed
        )

    # Starting

    def load(self, now: float) -> None:
        """Enter the domain, and start if the property list says so."""
        if self.run_interval:
            self.interval_at = now + self.run_interval
        starts = bool(self.plist.get("RunAtLoad") or self.keep_alive)
        if starts and not take_fault("never-spawn"):
            self.spawn(now)

    def schedule(self, now: float, reason: str) -> None:
        """Start as soon as the throttle allows."""
        self.reason = reason
        earliest = self.started + self.minimum_runtime if self.runs else now
        if earliest <= now:
            self.spawn(now)
        else:
            self.start_at = earliest

    def spawn(self, now: float) -> None:
        """Start now: xpcproxy's part."""
        self.runs += 1
        self.started = now
        self.start_at = None
        self.penalty = False
        problem, failed = os.pipe()
        pid = os.fork()
        if pid == 0:
            self._become_job(failed)
        os.close(failed)
        trouble = os.read(problem, 1)  # comes at once: the child execs, or says that it cannot
        os.close(problem)
        self.pid = pid
        self.penalty = bool(trouble)
        self.absent = self.penalty and not self.executable
        note("spawn", self.label, pid)

    def _become_job(self, failed: int) -> None:
        """In the child: be what the property list says, or exit with EX_CONFIG."""
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            os.setsid()
            environment = self._prepare()
            os.execve(self.program, self.arguments, environment)
        except BaseException:
            os.write(failed, b"!")
        os._exit(EX_CONFIG)

    def _prepare(self) -> dict[str, str]:
        plist = self.plist
        name = plist.get("UserName") or ""
        user = pwd.getpwnam(name) if name else pwd.getpwuid(0)
        group = grp.getgrnam(plist["GroupName"]).gr_gid if plist.get("GroupName") else user.pw_gid
        set_limits(plist)
        mask = plist.get("Umask", 0o022)
        os.umask(int(mask, 8) if isinstance(mask, str) else mask)
        if plist.get("Nice"):
            os.nice(plist["Nice"])
        outputs = [plist.get(key) for key in ("StandardOutPath", "StandardErrorPath")]
        for output in filter(None, outputs):
            Path(output).parent.mkdir(parents=True, exist_ok=True)
        if plist.get("InitGroups", True):
            os.initgroups(user.pw_name, group)
        os.setgid(group)
        os.setuid(user.pw_uid)
        os.chdir(plist.get("WorkingDirectory", "/"))
        os.dup2(os.open(plist.get("StandardInPath", "/dev/null"), os.O_RDONLY), 0)
        for number, output in enumerate(outputs, 1):
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            os.dup2(os.open(output or "/dev/null", flags, 0o666), number)
        environment = {"PATH": PATH, "XPC_SERVICE_NAME": self.label, "XPC_FLAGS": "0x0"}
        if name:
            environment |= {"HOME": user.pw_dir, "USER": name, "LOGNAME": name}
            environment |= {"SHELL": user.pw_shell, "TMPDIR": f"/var/folders/zz/{user.pw_uid}/T/"}
        return environment | self.own_environment

    @property
    def own_environment(self) -> dict[str, str]:
        """EnvironmentVariables: strings; all else is ignored."""
        given = self.plist.get("EnvironmentVariables")
        items = given.items() if isinstance(given, dict) else ()
        return {key: value for key, value in items if isinstance(value, str)}

    # Stopping

    def stop(self, now: float) -> None:
        """SIGTERM to the job's process, and to no other; SIGKILL when its time is up."""
        if self.pid and not self.stopping:
            self.stopping = "SIGTERMed"
            self.kill_at = now + self.exit_timeout if self.exit_timeout else None
            os.kill(self.pid, signal.SIGTERM)

    def boot_out(self, now: float) -> None:
        """Leave the domain; now, or when the process has gone."""
        self.leaving = True
        self.start_at = self.interval_at = None
        if self.pid:
            self.stop(now)
        else:
            self.domain.drop(self)

    def ended(self, status: int, now: float) -> None:
        """The process has been reaped."""
        note("exit", self.label, self.pid, status)
        self.pid = 0
        self.status = status
        self.stopping = ""
        self.kill_at = None
        again, self.start_again = self.start_again, False
        if self.leaving:
            self.domain.drop(self)
        elif again:
            self.reason = "non-ipc demand"
            self.spawn(now)
        elif self.wanted_after_exit(status) and not self.absent:
            self.schedule(now, "semaphore" if isinstance(self.keep_alive, dict) else "inefficient")
        waiting, self.waiting = self.waiting, []
        for answer in waiting:
            answer()

    @property
    def executable(self) -> bool:
        return os.access(self.program, os.X_OK) and Path(self.program).is_file()

    # Time

    def deadlines(self) -> list[float]:
        times = [self.start_at, self.interval_at, self.kill_at]
        return [moment for moment in times if moment is not None]

    def tick(self, now: float) -> None:
        """Do what has come due."""
        if self.kill_at is not None and self.kill_at <= now:
            self.kill_at = None
            self.stopping = "SIGKILLed"
            os.kill(self.pid, signal.SIGKILL)
        if self.interval_at is not None and self.interval_at <= now:
            self.interval_at = now + self.run_interval
            if not self.pid and self.start_at is None:
                self.schedule(now, "timer")
        if self.start_at is not None and self.start_at <= now:
            self.spawn(now)
        if self.absent and not self.pid and self.start_at is None and self.executable:
            self.schedule(now, "speculative")


def set_limits(plist: dict[str, Any]) -> None:
    """SoftResourceLimits' NumberOfFiles, over what launchd gives every job."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = (plist.get("SoftResourceLimits") or {}).get("NumberOfFiles", min(DEFAULT_FILES, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))


class Domain:
    """The system's domain; a user's has no jobs here."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.jobs: dict[str, Job] = {}
        self.left: dict[str, float] = {}  # label -> when it was last booted out, or ended so
        self._file = STORE / (
            "disabled.plist" if name == "system" else f"disabled.{name.partition('/')[2]}.plist"
        )
        self.overrides: dict[str, bool] = {}  # label -> disabled; survives everything
        with contextlib.suppress(OSError, plistlib.InvalidFileException):
            self.overrides = plistlib.loads(self._file.read_bytes())

    def set_disabled(self, label: str, disabled: bool) -> None:
        self.overrides[label] = disabled
        self._file.write_bytes(plistlib.dumps(self.overrides))

    def is_disabled(self, plist: dict[str, Any]) -> bool:
        return self.overrides.get(plist["Label"], bool(plist.get("Disabled")))

    def bootstrap(self, path: Path, now: float) -> Job:
        """Load one property list."""
        plist = read_definition(path)
        if self.is_disabled(plist):
            raise RefusedError(119, f"{path}: Service is disabled")
        if read_fault("btm-161"):
            raise RefusedError(161, f"{path}: Service cannot be launched because of BTM policy")
        if plist["Label"] in self.jobs:  # loaded, or still draining
            raise RefusedError(5)
        if now < self.left.get(plist["Label"], now) + float(read_fault("bootout-lingers") or 0):
            raise RefusedError(5)
        job = Job(plist, str(path), self)
        self.jobs[job.label] = job
        job.load(now)
        return job

    def load_all(self, directory: str) -> None:
        """At boot: what is not right is passed over without a word."""
        for path in sorted(Path(directory).glob("*.plist")):
            if path.is_symlink() or not path.is_file() or path.name.startswith("."):
                continue
            try:
                self.bootstrap(path, time.monotonic())
            except RefusedError as refused:
                note("skipped", path, refused.code)

    def drop(self, job: Job) -> None:
        if self.jobs.get(job.label) is job:
            del self.jobs[job.label]
            self.left[job.label] = time.monotonic()


class Launchd:
    """Process 1."""

    def __init__(self, ssh: socket.socket, macos: str) -> None:
        self.macos = tuple(int(part) for part in macos.split("."))
        self.system = Domain("system")
        self.shutting_down: float | None = None
        self.exit_code = 0
        self.selector = selectors.DefaultSelector()
        self._ssh = ssh
        self._boot_time, self._boot_id = time.time(), str(uuid.uuid4()).upper()
        self._listen()

    def _listen(self) -> None:
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Python would handle it
        self.selector.register(reading, selectors.EVENT_READ, lambda: os.read(reading, 4096))
        Path(SOCKET).unlink(missing_ok=True)
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.bind(SOCKET)
        Path(SOCKET).chmod(0o666)
        server.listen(64)
        self.selector.register(server, selectors.EVENT_READ, lambda: self._accept(server))
        self._ssh.setblocking(False)
        self.selector.register(self._ssh, selectors.EVENT_READ, self._accept_ssh)

    # Clients

    def _accept(self, server: socket.socket) -> None:
        client, _ = server.accept()
        client.setblocking(False)
        received = bytearray()

        def on_data() -> None:
            try:
                received.extend(chunk := client.recv(65536))
            except OSError:
                chunk = b""
            if not chunk:
                self.selector.unregister(client)
                self._answer(client, bytes(received))

        self.selector.register(client, selectors.EVENT_READ, on_data)

    def _answer(self, client: socket.socket, request: bytes) -> None:
        from tests.mac import launchctl

        credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid, uid, _ = struct.unpack("3i", credentials)
        client.setblocking(True)
        client.settimeout(5)

        def send(reply: launchctl.Reply) -> None:
            with contextlib.suppress(OSError), client:
                client.sendall(reply.as_bytes())

        terminal, directory, *argv = os.fsdecode(request).split("\0")
        with (RECORDS / "commands.log").open("a", errors="surrogateescape") as record:
            words = (word.replace("\n", " ") for word in ("launchctl", *argv))
            record.write("\t".join([str(uid), str(pid), *words]) + "\n")
        try:
            launchctl.Client(self, uid, argv, directory, terminal == "1", send).serve()
        except Exception:  # a fault of the stand-in must not take the whole Mac down
            traceback.print_exc()
            send(launchctl.Reply(5, err="launchd: see the Mac's console.log\n"))

    def _accept_ssh(self) -> None:
        """com.openssh.sshd's socket: one `sshd -i` for each connection."""
        with contextlib.suppress(OSError):
            connection, _ = self._ssh.accept()
            with connection:
                connection.setblocking(True)
                pid = os.fork()
                if pid == 0:
                    self._become_sshd(connection.fileno())
                note("ssh", pid)

    def _become_sshd(self, connection: int) -> None:
        with contextlib.suppress(BaseException):
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            os.setsid()
            set_limits({})
            for stream in (0, 1):
                os.dup2(connection, stream)
            log = os.open(RECORDS / "sshd.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            os.dup2(log, 2)
            Path("/run/sshd").mkdir(exist_ok=True)
            os.execve("/usr/sbin/sshd", ["/usr/sbin/sshd", "-i", "-e"], {"PATH": PATH})
        os._exit(1)

    def jobs(self) -> list[Job]:
        return list(self.system.jobs.values())

    # Children and time

    def reap(self) -> None:
        """Every child that ended: jobs, and orphans, whom process 1 inherits."""
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            job = next((job for job in self.jobs() if job.pid == ended.si_pid), None)
            if job and not job.plist.get("AbandonProcessGroup"):
                # core.c: "While the PID/PGID is still known to be valid, try to kill abandoned
                # descendant processes."
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(job.pid, signal.SIGTERM)
            status = os.waitpid(ended.si_pid, 0)[1]
            if job:
                job.ended(status, time.monotonic())

    def shut_down(self, exit_code: int) -> None:
        """Stop every job, each in its exit timeout, all in the domain's; then process 1 ends."""
        now = time.monotonic()
        self.exit_code = exit_code
        self.shutting_down = now + SHUTDOWN_LIMIT
        note("shutdown")
        for job in self.jobs():
            job.boot_out(now)

    def _announce(self) -> None:
        """For the other stand-ins: kern.boottime, kern.bootsessionuuid."""
        machine = json.loads((RECORDS / "machine.json").read_text())
        machine |= {"boottime": int(self._boot_time), "bootuuid": self._boot_id}
        machine["memory"] = machine["memory_gib"] << 30
        lines = [f"{key}={shlex.quote(str(value))}\n" for key, value in machine.items()]
        (RECORDS / "machine.sh").write_text("".join(lines))

    def _timeout(self, now: float) -> float | None:
        due = [moment for job in self.jobs() for moment in job.deadlines()]
        if any(job.absent and not job.pid for job in self.jobs()):
            due.append(now + PENALTY_POLL)
        if self.shutting_down is not None:
            due.append(self.shutting_down)
        return max(0.0, min(due) - now) if due else None

    def run(self) -> int:
        """Serve until the machine goes down."""
        if not read_fault("btm-161"):
            self.system.load_all("/Library/LaunchDaemons")
        self._announce()
        note("boot")
        (RECORDS / "booted").write_text(f"{self._boot_time:.6f} {self._boot_id}\n")
        while True:
            self.reap()
            now = time.monotonic()
            for job in self.jobs():
                job.tick(now)
            if self.shutting_down is not None and (not self.jobs() or self.shutting_down <= now):
                return self.exit_code
            for key, _ in self.selector.select(self._timeout(time.monotonic())):
                key.data()


def rename_process(name: str) -> None:
    """Be `name` in ps: write over the argument vector the kernel shows (proc(5), arg_start)."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    memory = os.open("/proc/self/mem", os.O_WRONLY)
    os.pwrite(memory, name.encode().ljust(end - start, b"\0"), start)
    os.close(memory)
    Path("/proc/self/comm").write_text(name.rpartition("/")[2])


def main(ssh: socket.socket, macos: str) -> None:
    """Be process 1."""
    rename_process("/sbin/launchd")
    os._exit(Launchd(ssh, macos).run())

"""What launchd says to launchctl: launchctl(1)'s verbs as macOS 12 to 26 answer them.

As on macOS launchd itself formats what `print` shows, so the client (overlay/usr/bin/launchctl) is
thin. The exit status is launchd's error number. Where recordings disagree, the harsher reading is
taken. Nobody is logged in: there is the system's domain, and no gui domain.

Faults: `bootstrap-eio` (count: so many bootstraps answer 5), `print-rc` (its content is what
`print SERVICE` exits with), `bootout-36` (count: so many bootouts work, but answer 36, as up to
macOS 11).
"""

from __future__ import annotations

import grp
import os
import pwd
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.mac.launchd import (
    REBOOT,
    Domain,
    Job,
    Launchd,
    RefusedError,
    read_definition,
    read_fault,
    take_fault,
)

ERRORS = {
    1: "Operation not permitted",
    2: "No such file or directory",
    3: "No such process",
    5: "Input/output error",
    17: "File exists",
    22: "Invalid argument",
    36: "Operation now in progress",
    37: "Operation already in progress",
    109: "Invalid property list",
    111: "Invalid or missing Program/ProgramArguments",
    112: "Could not find specified domain",
    113: "Could not find specified service",
    114: "The specified user does not exist",
    115: "The specified group does not exist",
    119: "Service is disabled",
    122: "Path had bad ownership/permissions",
    124: "Domain is tearing down",
    125: "Domain does not support specified action",
    133: "Multiple errors were returned; see stderr",
    134: "Service cannot load in requested session",
    144: "Requestor lacks required entitlement",
    150: "Operation not permitted while System Integrity Protection is engaged",
    155: "Refusing to execute/trust quarantined program/file",
    161: "Service cannot be launched because of BTM policy",
}
SYSEXITS = dict(
    enumerate(
        (
            *("USAGE", "DATAERR", "NOINPUT", "NOUSER", "NOHOST", "UNAVAILABLE", "SOFTWARE"),
            *("OSERR", "OSFILE", "CANTCREAT", "IOERR", "TEMPFAIL", "PROTOCOL", "NOPERM", "CONFIG"),
        ),
        64,
    )
)
# Linux's number -> macOS's name and number.
SIGNALS = {
    1: ("HUP", "Hangup", 1),
    2: ("INT", "Interrupt", 2),
    3: ("QUIT", "Quit", 3),
    4: ("ILL", "Illegal instruction", 4),
    5: ("TRAP", "Trace/BPT trap", 5),
    6: ("ABRT", "Abort trap", 6),
    7: ("BUS", "Bus error", 10),
    8: ("FPE", "Floating point exception", 8),
    9: ("KILL", "Killed", 9),
    10: ("USR1", "User defined signal 1", 30),
    11: ("SEGV", "Segmentation fault", 11),
    12: ("USR2", "User defined signal 2", 31),
    13: ("PIPE", "Broken pipe", 13),
    14: ("ALRM", "Alarm clock", 14),
    15: ("TERM", "Terminated", 15),
    18: ("CONT", "Continued", 19),
    19: ("STOP", "Suspended (signal)", 17),
    24: ("XCPU", "Cputime limit exceeded", 24),
    25: ("XFSZ", "Filesize limit exceeded", 25),
    31: ("SYS", "Bad system call", 12),
}
SPAWN_TYPES = {
    "Interactive": "interactive (4)",
    "Background": "background (5)",
    "Adaptive": "adaptive (6)",
}
RICHER = "Try re-running the command as root for richer errors."
SERVICE_USAGE = (
    "Unrecognized target specifier. "
    "<service-target> takes a form of <domain-target>/<service-id>.\n"
    "Please refer to `man launchctl` for explanation of the <domain-target> specifiers.\n"
)
USAGES = {
    "print": "<domain-target> | <service-target>",
    "bootstrap": "<domain-target> [service-path, service-path2, ...]",
    "bootout": "<domain-target> [service-path1, service-path2, ...] | <service-target>",
    "enable": "<service-target>",
    "disable": "<service-target>",
    "kickstart": "[-k] [-p] [-s] <service-target>",
    "kill": "<signal-number|signal-name> <service-target>",
    "print-disabled": "<domain-target>",
    "error": "[posix|mach|bootstrap] <code>",
}


@dataclass
class Reply:
    """What the client prints and exits with, or becomes."""

    code: int = 0
    out: str = ""
    err: str = ""
    become: list[str] = field(default_factory=list)

    def as_bytes(self) -> bytes:
        """As the client reads it (overlay/usr/bin/launchctl): code and lengths on a line, then the texts."""
        out, err = self.out.encode(), self.err.encode()
        become = "\0".join(self.become).encode()
        return f"{self.code} {len(out)} {len(err)}\n".encode() + out + err + become


def _usage(verb: str, before: str = "") -> Reply:
    return Reply(64, err=f"{before}Usage: launchctl {verb} {USAGES[verb]}\n")


def _failed(what: str, code: int, *lines: str) -> Reply:
    text = "".join(f"{line}\n" for line in lines)
    return Reply(code, err=f"{text}{what} failed: {code}: {ERRORS.get(code, 'Unknown error')}\n")


def domain_words(name: str) -> str:
    """A domain as error messages call it."""
    kind, _, uid = name.partition("/")
    return f"user {kind}: {uid}" if kind == "gui" else f"{kind}: {uid}" if uid else kind


def not_found(label: str, domain: str) -> Reply:
    where = domain_words(domain)
    return Reply(113, err=f'Bad request.\nCould not find service "{label}" in domain for {where}\n')


class Client:
    """One launchctl that asks."""

    def __init__(
        self,
        launchd: Launchd,
        uid: int,
        argv: list[str],
        cwd: str,
        tty: bool,
        send: Callable[[Reply], None],
    ) -> None:
        self.launchd = launchd
        self.uid = uid
        self.verb, self.args = (argv[0] if argv else "help"), argv[1:]
        self.cwd = Path(cwd)
        self.tty = tty
        self._send = send

    def serve(self) -> None:
        """Answer; a verb that has to wait answers later, by itself."""
        serve = getattr(self, f"do_{self.verb.replace('-', '_')}", None)
        if serve is None or "_" in self.verb:
            reply: Reply | None = Reply(1, err=f"Unrecognized subcommand: {self.verb}\n{_help()}")
        else:
            try:
                reply = serve()
            except RefusedError as refused:
                reply = Reply(refused.code, err="".join(f"{line}\n" for line in refused.lines))
        if reply is not None:
            self._send(reply)

    # Targets

    def _target(self, usage: str) -> tuple[str, str]:
        """(`system`, `com.example.x`) of `system/com.example.x`; no label for a domain."""
        if not self.args:
            raise RefusedError(64, f"Usage: launchctl {usage} {USAGES[usage]}")
        kind, *rest = self.args[-1].split("/")
        if kind == "system":
            return "system", "/".join(rest)
        if kind in ("gui", "user", "login") and rest and rest[0].isdigit():
            return f"{kind}/{rest[0]}", "/".join(rest[1:])
        raise RefusedError(64, f"{SERVICE_USAGE}Usage: launchctl {usage} {USAGES[usage]}")

    def _service(self, usage: str) -> tuple[str, str]:
        name, label = self._target(usage)
        if not label:
            raise RefusedError(64, f"{SERVICE_USAGE}Usage: launchctl {usage} {USAGES[usage]}")
        return name, label

    def _domain(self, name: str) -> Domain | None:
        return self.launchd.system if name == "system" else None

    def _may(self) -> bool:
        return self.uid == 0

    def _job(self, name: str, label: str) -> Job | None:
        domain = self._domain(name)
        return domain.jobs.get(label) if domain else None

    def _now(self) -> float:
        return time.monotonic()

    # Looking

    def do_print(self) -> Reply:
        name, label = self._target("print")
        domain = self._domain(name)
        if domain is None and name.startswith(("gui/", "login/")):
            return Reply(112, err=f"Bad request.\nCould not find domain for {domain_words(name)}\n")
        if not label:
            return Reply(out=self._print_domain(domain or Domain(name)))
        if code := read_fault("print-rc"):
            return Reply(int(code), err=f"Could not print service: {code}: {ERRORS.get(int(code), '?')}\n")
        job = domain.jobs.get(label) if domain else None
        return Reply(out=print_job(job, self.launchd.macos)) if job else not_found(label, name)

    def _print_domain(self, domain: Domain) -> str:
        jobs = domain.jobs.values()
        active = sum(bool(job.pid) for job in jobs)
        lines = [
            f"{domain.name} = {{",
            f"\ttype = {domain.name.partition('/')[0]}",
            "\thandle = 0",
            f"\tactive count = {active + 1}",
            f"\tservice count = {len(jobs)}",
            f"\tactive service count = {active}",
            "\tmaximum allowed shutdown time = 65 s",
            "\tcreator = launchd[1]",
            "",
            "\tservices = {",
            *(f"\t\t{job.pid:>8} {_short_status(job):>6} \t{job.label}" for job in jobs),
            "\t}",
            "",
            "\tunmanaged processes = {",
            "\t}",
            "",
            "\tdisabled services = {",
            *(self._disabled_row(label, off, "\t\t") for label, off in domain.overrides.items()),
            "\t}",
            "}",
        ]
        return "\n".join(lines) + "\n"

    def _disabled_row(self, label: str, disabled: bool, indent: str) -> str:
        if self.launchd.macos < (13,):
            return f'{indent}"{label}" => {str(disabled).lower()}'
        return f'{indent}"{label}" => {"disabled" if disabled else "enabled"}'

    def do_print_disabled(self) -> Reply:
        name, _ = self._target("print-disabled")
        domain = self._domain(name)
        if domain is None:
            if name.startswith("gui/"):
                return Reply(112, err=f"Could not find domain for {domain_words(name)}\n")
            domain = Domain(name)
        old = self.launchd.macos < (13,)
        tab, blank = ("", []) if old else ("\t", [""])
        rows = [self._disabled_row(label, off, f"{tab}\t") for label, off in domain.overrides.items()]
        lines = [*blank, f"{tab}disabled services = {{", *rows, f"{tab}}}", *blank]
        lines += [f"{tab}login item associations = {{", f"{tab}}}"]
        return Reply(out="\n".join(lines) + "\n")

    # Loading

    def do_bootstrap(self) -> Reply:
        if len(self.args) < 2:
            return _usage("bootstrap")
        paths, self.args = self.args[1:], self.args[:1]
        name, label = self._target("bootstrap")
        if label:
            return _usage("bootstrap", SERVICE_USAGE)
        domain = self._domain(name)
        if domain is None:
            return self._denied("Bootstrap", 125)
        if not self._may():
            return self._denied("Bootstrap", 5)
        if self.launchd.shutting_down is not None:
            return _failed("Bootstrap", 124)
        if take_fault("bootstrap-eio"):
            return _failed("Bootstrap", 5)
        codes, lines = list[int](), list[str]()
        for path in self._plists(paths):
            try:
                domain.bootstrap(path, self._now())
            except RefusedError as refused:
                codes.append(refused.code)
                lines += refused.lines
        if not codes:
            return Reply()
        return _failed("Bootstrap", codes[0] if len(codes) == 1 else 133, *lines)

    def _plists(self, paths: list[str]) -> list[Path]:
        found: list[Path] = []
        for path in (self.cwd / path for path in paths):
            found += sorted(path.glob("*.plist")) if path.is_dir() else [path]
        return found

    def _denied(self, what: str, code: int) -> Reply:
        reply = _failed(what, code)
        if self.uid:
            reply.err += f"{RICHER}\n"
        return reply

    def do_bootout(self) -> Reply:
        paths, self.args = self.args[1:], self.args[:1]
        name, label = self._target("bootout")
        if label.startswith("-") or any(path.startswith("-") for path in paths):
            return _usage("bootout")  # --wait is younger than most Macs
        domain = self._domain(name)
        if domain is None:
            return self._denied("Boot-out", 125)
        if not self._may():
            return self._denied("Boot-out", 1)
        if not label and not paths:
            return _failed("Boot-out", 150)
        if paths:
            return self._boot_out_paths(domain, self._plists(paths))
        job = domain.jobs.get(label)
        if job is None:
            return _failed("Boot-out", 3)
        if job.leaving:
            return _failed("Boot-out", 36)
        job.boot_out(self._now())
        return _failed("Boot-out", 36) if take_fault("bootout-36") else Reply()

    def _boot_out_paths(self, domain: Domain, paths: list[Path]) -> Reply:
        code, lines = 0, list[str]()
        for path in paths:
            try:
                job = domain.jobs.get(read_definition(path)["Label"])
            except RefusedError as refused:
                code, lines = refused.code, [*lines, *refused.lines]
                continue
            if job is None or job.leaving:
                code = 5
            else:
                job.boot_out(self._now())
        return _failed("Boot-out", code, *lines) if code else Reply()

    def do_enable(self) -> Reply:
        return self._override(False)

    def do_disable(self) -> Reply:
        return self._override(True)

    def _override(self, disabled: bool) -> Reply:
        name, label = self._service(self.verb)
        code = 0
        domain = self._domain(name)
        if domain is None and name == f"user/{self.uid}":
            domain = Domain(name)
        if domain is None:
            code = 125
        elif not self._may():
            code = 1
        else:
            domain.set_disabled(label, disabled)
        text = f"Could not {self.verb} service: {code}: {ERRORS.get(code)}\n" if code else ""
        return Reply(code, err=text)

    # Starting and stopping

    def do_kickstart(self) -> Reply | None:
        flags = "".join(word[1:] for word in self.args if word.startswith("-"))
        self.args = [word for word in self.args if not word.startswith("-")]
        if set(flags) - set("kps"):
            return _usage("kickstart")
        name, label = self._service("kickstart")
        if not self._may():
            return self._not_kicked(label, 1)
        domain = self._domain(name)
        if domain is None:
            return self._not_kicked(label, 125)
        job = domain.jobs.get(label)
        if job is None:
            where = domain_words(name)
            return Reply(113, err=f'Could not find service "{label}" in domain for {where}\n')
        if job.leaving:
            return self._not_kicked(label, 37)
        if job.pid and "k" in flags:
            job.start_again = True
            job.waiting.append(lambda: self._send(self._kicked(job, flags)))
            job.stop(self._now())
            return None
        if not job.pid:
            job.reason = "non-ipc demand"
            job.spawn(self._now())
        return self._kicked(job, flags)

    def _not_kicked(self, label: str, code: int) -> Reply:
        return Reply(code, err=f'Could not kickstart service "{label}": {code}: {ERRORS[code]}\n')

    def _kicked(self, job: Job, flags: str) -> Reply:
        if "p" not in flags:
            return Reply()
        return Reply(out=f"service spawned with pid: {job.pid}\n" if self.tty else f"{job.pid}\n")

    def do_kill(self) -> Reply:
        if len(self.args) != 2:
            return _usage("kill")
        wanted = self.args[0].upper().removeprefix("SIG")
        number = next((n for n, (short, _, mac) in SIGNALS.items() if wanted in (short, str(mac))), 0)
        if not number:
            return Reply(64, err="Invalid signal.\n")
        name, label = self._service("kill")
        job = self._job(name, label)
        if job is None:
            where = domain_words(name)
            return Reply(113, err=f'Could not find service "{label}" in domain for {where}\n')
        if not self._may():
            return Reply(1, err="Not privileged to signal service.\n")
        if not job.pid:
            return Reply(3, err="No process to signal.\n")
        os.kill(job.pid, number)
        return Reply()

    # The rest

    def do_error(self) -> Reply:
        if not self.args or not self.args[-1].isdigit():
            return _usage("error")
        number = int(self.args[-1])
        return Reply(out=f"{number}: {ERRORS.get(number, 'unknown error code')}\n")

    def do_reboot(self) -> Reply:
        if self.uid:
            return Reply(1, err="This subcommand requires root privileges: reboot\n")
        self.launchd.shut_down(0 if "halt" in self.args else REBOOT)
        return Reply()

    def do_help(self) -> Reply:
        if self.args and self.args[0] not in USAGES:
            return Reply(64, err=f"Unrecognized subcommand: {self.args[0]}\n{_help()}")
        if self.args:
            return Reply(out=f"Usage: launchctl {self.args[0]} {USAGES[self.args[0]]}\n")
        return Reply(out=_help())


def _help() -> str:
    return "Usage: launchctl <subcommand> ... | help [subcommand]\nSubcommands:\n" + "".join(
        f"\t{verb}\n" for verb in sorted(USAGES)
    )


def _short_status(job: Job) -> str:
    """The second column of a domain's services."""
    if job.status is None:
        return "-"
    return str(_exit_number(job.status))


def _exit_number(status: int) -> int:
    if os.WIFSIGNALED(status):
        return -_signal(os.WTERMSIG(status))[1]
    return os.WEXITSTATUS(status)


def _signal(number: int) -> tuple[str, int]:
    _, text, mac = SIGNALS.get(number, ("", signal.strsignal(number) or "Unknown signal", number))
    return text, mac


def _block(name: str, lines: list[str]) -> list[str]:
    return [f"{name} = {{", *(f"\t{line}" for line in lines), "}"]


def _coalitions(job: Job) -> list[str]:
    """macOS 26 shows these for what ran once; they say `state = active` of a job that is not."""
    lines: list[str] = []
    for offset, kind in enumerate(("resource", "jetsam")):
        number = 1000 + 2 * (sum(job.label.encode()) % 30000) + offset
        values = [f"ID = {number}", f"type = {kind}", "state = active"]
        values += [f"active count = {1 if job.pid else 0}", f"name = {job.label}"]
        lines += [*_block(f"{kind} coalition", values), ""]
    return lines


def _last_exit(job: Job) -> str:
    if job.status is None:
        return "last exit code = (never exited)"
    if os.WIFSIGNALED(job.status):
        text, number = _signal(os.WTERMSIG(job.status))
        return f"last terminating signal = {text}: {number}"
    code = os.WEXITSTATUS(job.status)
    return f"last exit code = {code}: EX_{SYSEXITS[code]}" if code in SYSEXITS else f"last exit code = {code}"


def _semaphores(job: Job) -> list[str]:
    keep = job.keep_alive
    if isinstance(keep, bool):
        return []
    names = {"SuccessfulExit": "successful exit", "Crashed": "crashed"}
    rows = [f"{names[key]} => {int(bool(keep[key]))}" for key in names if key in keep]
    return [*_block("semaphores", rows), ""]


def _penalty(job: Job) -> list[str]:
    if not job.penalty:
        return []
    descriptor = _block("descriptor", [f'"Executable" => "{job.program}"', '"SkipImmediatePoll" => false'])
    trigger = ["keepalive = 0", f"service = {job.label}", "stream = com.apple.launchd.helper"]
    trigger += ["monitor = com.apple.UserEventAgent-Aqua", *descriptor]
    inside = [f"{job.label} => {{", *(f"\t{line}" for line in trigger), "}"]
    return [*_block("event triggers", inside), ""]


def _running(job: Job, tahoe: bool) -> list[str]:
    if not job.pid:
        return []
    lines = [f"pid = {job.pid}", f"immediate reason = {job.reason}", "forks = 0", "execs = 1"]
    lines += [
        "initialized = 1",
        "trampolined = 1",
        "started suspended = 0",
        "proxy started suspended = 0",
    ]
    if tahoe:
        lines += ["checked allocations = 0 (queried = 1)", "checked allocations reason = no host"]
        lines += ["checked allocations flags = 0x0"]
    return lines


def _properties(job: Job) -> str:
    flags = {
        "keepalive": job.keep_alive is True,
        "runatload": bool(job.plist.get("RunAtLoad") or job.keep_alive),
        "penalty box": job.penalty,
        "inferred program": "Program" not in job.plist,
    }
    return " | ".join(name for name, on in flags.items() if on)


def _identity(job: Job) -> list[str]:
    lines = [f"domain = {job.domain.name}"]
    user, group = job.plist.get("UserName"), job.plist.get("GroupName")
    if user or group:
        group = group or grp.getgrgid(pwd.getpwnam(str(user)).pw_gid).gr_name
        lines += [f"username = {user or 'root'}", f"group = {group}", ""]
    if "Umask" in job.plist:
        mask = job.plist["Umask"]
        lines.append(f"umask = {mask if isinstance(mask, str) else format(mask, 'o')}")
    return lines


def print_job(job: Job, macos: tuple[int, ...]) -> str:
    """`launchctl print SERVICE`, line by line as launchd writes it."""
    tahoe = macos >= (26,)
    plist = job.plist
    environment = [f"{key} => {value}" for key, value in job.own_environment.items()]
    environment.append(f"XPC_SERVICE_NAME => {job.label}")
    if tahoe:
        environment.insert(0, "OSLogRateLimit => 64")
    paths = (
        ("stdin", "StandardInPath"),
        ("stdout", "StandardOutPath"),
        ("stderr", "StandardErrorPath"),
    )
    directory = plist.get("WorkingDirectory")
    guard = ["activation rate = 1/1000", "sample rate = 1/0"]
    lines = [
        f"active count = {1 if job.pid else 0}",
        f"path = {job.path}",
        "type = LaunchDaemon",
        f"state = {job.state}",
        "",
        f"program = {job.program}",
        *_block("arguments", job.arguments),
        "",
        *([f"working directory = {directory}", ""] if directory else []),
        *(f"{name} path = {plist[key]}" for name, key in paths if key in plist),
        *_block("default environment", ["PATH => /usr/bin:/bin:/usr/sbin:/sbin"]),
        "",
        *_block("environment", environment),
        "",
        *_identity(job),
        f"minimum runtime = {job.minimum_runtime}",
        f"exit timeout = {job.exit_timeout}",
        *([f"nice = {plist['Nice']}"] if plist.get("Nice") else []),
        f"runs = {job.runs}",
        *_running(job, tahoe),
        _last_exit(job),
        "",
        *_semaphores(job),
        *_penalty(job),
        *(_coalitions(job) if tahoe and job.runs else []),
        f"spawn type = {SPAWN_TYPES.get(plist.get('ProcessType', ''), 'daemon (3)')}",
        "jetsam priority = 40",
        "jetsam memory limit (active) = (unlimited)",
        "jetsam memory limit (inactive) = (unlimited)",
        "jetsamproperties category = daemon",
        "submitted job. ignore execute allowed",
        "jetsam thread limit = 32",
        "cpumon = default",
        *([f"run interval = {job.run_interval} seconds"] if job.run_interval else []),
        *([] if tahoe else _block("probabilistic guard malloc policy", guard)),
        "",
        f"properties = {_properties(job)}",
    ]
    header = f"{job.domain.name}/{job.label}"
    # Arguments are printed raw: one with a newline in it breaks the indentation, as on a Mac.
    body = "".join(f"\t{line}\n" if line else "\n" for line in lines)
    return f"{header} = {{\n{body}}}\n"

"""What launchd knows of a system job. The one module that reads launchctl's texts and exit codes.

`launchctl print` calls its own output "NOT API in any sense at all", and nothing else says this much. So
only lines one TAB deep are read, the first of a key counts, and what does not look as it should is unknown,
never absent.
"""

from __future__ import annotations

import plistlib
import re
from dataclasses import dataclass, field
from typing import Any

from pyinfra.api import FactBase, FactProcessError, StringCommand

from facts.util import Record, read_lines
from files import script

# launchctl's exit status is launchd's error number (`launchctl error N`).
OK = 0
NOT_FOUND = 113  # "Could not find service": the only answer that means "not loaded"

DAEMONS = "/Library/LaunchDaemons"

# What the two daemons run, of the toolkit.
LAUNCH = "/Library/ColimaPulse/bin/launch"
PULSE = "/Library/ColimaPulse/bin/pulse"


def plist_path(label: str) -> str:
    """Where the daemon `label` has its plist."""
    return f"{DAEMONS}/{label}.plist"


@dataclass(frozen=True)
class FileState(Record):
    """A file on the Mac: its type as stat(1) says it, numeric owner and group, mode, and content."""

    kind: str
    uid: int
    gid: int
    mode: str
    text: str | None

    @property
    def is_roots_alone(self) -> bool:
        """Whether it is a regular file that root:wheel owns and nobody else can write."""
        return (
            self.kind == "Regular File" and (self.uid, self.gid) == (0, 0) and int(self.mode, 8) & 0o022 == 0
        )


@dataclass(frozen=True)
class JobState(Record):
    """A system job as launchd has it loaded, and its files as they are.

    `state` is launchd's word for it, `last_exit` what it says of the run before ("0", "78: EX_CONFIG",
    "Terminated: 15", None: never exited). The times are in seconds.
    """

    loaded: bool
    disabled: bool
    state: str | None = None
    pid: int | None = None
    path: str | None = None
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    username: str | None = None
    runs: int = 0
    last_exit: str | None = None
    exit_timeout: int | None = None
    run_interval: int | None = None
    stdout_path: str | None = None
    properties: tuple[str, ...] = ()
    plist_file: FileState | None = None

    @property
    def running(self) -> bool:
        """Whether the job has a process that is not on its way out."""
        return self.pid is not None and self.state not in {"SIGTERMed", "SIGKILLed"}

    @property
    def off(self) -> bool:
        """Whether launchd does not start it, as somebody has said."""
        return self.disabled or not self.loaded

    @property
    def plist(self) -> dict[str, Any] | None:
        """The plist on disk, parsed; None when there is none or launchd could not read it."""
        if self.plist_file is None or self.plist_file.text is None:
            return None
        try:
            parsed = plistlib.loads(self.plist_file.text.encode())
        except Exception:  # plistlib raises whatever expat, int() or base64 raise
            return None
        return parsed if isinstance(parsed, dict) else None


def parse_print(target: str, lines: list[str]) -> dict[str, Any] | None:
    """Read `launchctl print TARGET`'s text: one-TAB `key = value` lines and the blocks of such lines.

    None when it is not the whole text of that target. Blocks end by their indentation: an argument may
    itself be "}". It is printed raw, so that a line of it that is not indented belongs to the one before.
    """
    lines = "\n".join(lines).strip("\n").split("\n")
    if lines[0] not in (f"{target} = {{", f"{target.partition('/')[2]} = {{") or lines[-1] != "}":
        return None
    found: dict[str, Any] = {}
    block: list[str] | None = None
    for line in lines[1:-1]:
        if line == "\t}":
            block = None
        elif block and not line.startswith("\t\t"):
            block[-1] += f"\n{line}"
        elif block is not None:
            block.append(line.removeprefix("\t\t"))
        elif match := re.fullmatch(r"\t([a-z][a-z ()]*?) = (.*)", line):
            if match[2] == "{":
                block = []
                found.setdefault(match[1], block)
            else:
                found.setdefault(match[1], match[2])
    return found


def parse_disabled(lines: list[str], label: str) -> bool:
    """Whether `launchctl print-disabled` has the label disabled: "true" up to macOS 12, "disabled" since."""
    inside = False
    for line in lines:
        if re.match(r"\s*disabled services = \{", line):
            inside = True
        elif inside and line.strip() == "}":
            break
        elif inside:
            match = re.fullmatch(r'\s*"([^"]+)" => (true|false|disabled|enabled)\s*', line)
            if match and match[1] == label:
                return match[2] in {"true", "disabled"}
    return False


def _sections(output: list[str]) -> dict[str, tuple[int, list[str]]]:
    found: dict[str, tuple[int, list[str]]] = {}
    current: list[str] = []
    for line in output:
        if line.startswith("|"):
            current.append(line[1:])
        elif match := re.fullmatch(r"\[([a-z-]+) (\d+)\]", line):
            current = []
            found[match[1]] = (int(match[2]), current)
    if not {"label", "print", "disabled", "end"} <= found.keys():
        raise FactProcessError("the answer is incomplete")
    return found


def _plist_file(sections: dict[str, tuple[int, list[str]]]) -> FileState | None:
    if "owner" not in sections:
        return None
    _, owner = sections["owner"]
    match = re.fullmatch(r"(.+) (\d+) (\d+) ([0-7]+)", "\n".join(owner))
    if match is None:
        raise FactProcessError(f"stat said {owner!r}")
    status, lines = sections.get("plist", (1, []))
    text = "\n".join(lines) + "\n" if status == 0 else None
    return FileState(match[1], int(match[2]), int(match[3]), match[4], text)


def _number(value: object) -> int | None:
    match = re.match(r"\d+", str(value or ""))
    return int(match[0]) if match else None


class LaunchdJob(FactBase["JobState | None"]):
    """
    Returns a system job as launchd has it and the files it is made from; None when unreadable, which is
    not the same as `loaded=False`.

    + label: the job's label

    .. code:: python

        JobState(loaded=True, disabled=False, state="running", pid=312, runs=1, ...)
    """

    def command(self, label: str) -> StringCommand:
        return script("facts/job", label)

    def process(self, output: list[str]) -> JobState | None:
        sections = _sections(output)
        label = "\n".join(sections["label"][1])
        status, lines = sections["print"]
        disabled_status, disabled_lines = sections["disabled"]
        if disabled_status != OK:
            return None
        plist_file = _plist_file(sections)
        disabled = parse_disabled(disabled_lines, label)
        if status == NOT_FOUND:
            return JobState(loaded=False, disabled=disabled, plist_file=plist_file)
        job = parse_print(f"system/{label}", lines) if status == OK else None
        if job is None or "state" not in job:
            return None
        exits = ("last exit code", "last terminating signal", "last exit reason")
        last_exit = next((str(job[key]) for key in exits if key in job), None)
        environment = (line.split(" => ", 1) for line in job.get("environment", ()) if " => " in line)
        return JobState(
            loaded=True,
            disabled=disabled,
            state=job["state"],
            pid=_number(job.get("pid")),
            path=job.get("path"),
            arguments=tuple(job.get("arguments", ())),
            environment=dict(environment),
            username=job.get("username"),
            runs=_number(job.get("runs")) or 0,
            last_exit=None if last_exit == "(never exited)" else last_exit,
            exit_timeout=_number(job.get("exit timeout")),
            run_interval=_number(job.get("run interval")),
            stdout_path=job.get("stdout path"),
            properties=tuple(str(job.get("properties", "")).split(" | ")),
            plist_file=plist_file,
        )


# Milestones: a start that makes the profile, until it has come up; a prune that is due after a start; and
# that Docker has passed the gate since.
FIRST_START = "first-start"
PRUNE_DUE = "prune"
VERIFIED = "verified"


class Milestones(FactBase["dict[str, str] | None"]):
    """
    Returns what deploys have noted of a daemon since one of them last started it, each with its text: so that
    a deploy cut off half-way is taken up by the next. None when unreadable.

    + label: the job's label

    .. code:: python

        {"log-offset": "1024", "verified": "5"}
    """

    def command(self, label: str) -> StringCommand:
        return script("facts/milestones", label)

    def process(self, output: list[str]) -> dict[str, str]:
        return read_lines(output).values

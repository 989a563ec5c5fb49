"""What all stand-ins of Homebrew's programs share: records, faults, logrus, process titles.

What takes long to import is imported where it is used: these programs are started all the time.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from datetime import datetime

STANDIN = "/usr/libexec/standin"
DATABASE = Path("/private/var/db/standin")
FAULTS = DATABASE / "faults"


def record(argv: Sequence[str]) -> None:
    """One line in commands.log."""
    line = "\t".join([str(os.getuid()), str(os.getpid()), *argv])
    try:
        log = os.open(DATABASE / "commands.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    except OSError:
        return
    os.write(log, line.replace("\n", "\\n").encode() + b"\n")
    os.close(log)


def fault(name: str) -> str | None:
    """The content of a fault that is on, as long as it is on; None when it is off."""
    try:
        return (FAULTS / name).read_text().strip()
    except OSError:
        return None


def take_fault(name: str) -> bool:
    """Whether a counted fault strikes now; its count goes down, at 0 it is gone.

    A content that is no number strikes every time, until it is healed.
    """
    if fault(name) is None:  # the usual case costs one failed open
        return False
    lock = os.open(FAULTS, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        content = fault(name)
        if content is None:
            return False
        if content.isdigit():
            if int(content) > 1:
                rest = FAULTS / f".{name}.{os.getpid()}"
                rest.write_text(f"{int(content) - 1}\n")
                rest.rename(FAULTS / name)
            else:
                (FAULTS / name).unlink(missing_ok=True)
        return content != "0"
    finally:
        os.close(lock)


def hang_while(name: str) -> None:
    """Hang as long as a fault is on."""
    while fault(name) is not None:
        time.sleep(0.1)


def own_path() -> Path:
    """The program that runs, as Homebrew links it."""
    from shutil import which

    return Path(which(sys.argv[0]) or sys.argv[0]).absolute()


def retitle(argv: Sequence[str]) -> None:
    """Make ps show this command line (without the interpreter): written over the real one."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    title = b"\0".join(os.fsencode(word) for word in argv) + b"\0"
    if len(title) > end - start:
        raise ValueError("the command line is too short for its new title")
    memory = os.open("/proc/self/mem", os.O_WRONLY)
    os.pwrite(memory, title.ljust(end - start, b"\0"), start)
    os.close(memory)
    Path("/proc/self/comm").write_text(Path(argv[0]).name[:15])


def quote(value: str) -> str:
    """logrus's text formatter: bare when harmless, else as Go's %q."""
    if value and all(c.isascii() and (c.isalnum() or c in "-._/@^+") for c in value):
        return value
    return json.dumps(value, ensure_ascii=False)


def clock() -> datetime:
    """What the Mac's clock shows (Mac.set_clock)."""
    from datetime import datetime

    try:
        offset = int((DATABASE / "clock").read_text().split()[-2])
    except OSError:
        offset = 0
    return datetime.fromtimestamp(time.time() + offset).astimezone()


def now() -> str:
    """RFC 3339, as Go prints it."""
    return clock().isoformat(timespec="seconds").replace("+00:00", "Z")


class Log:
    """A logrus logger with the text formatter."""

    def __init__(self, **fields: str) -> None:
        self.fields = fields

    def write(self, level: str, message: str, **fields: str) -> None:
        fields = {**self.fields, **fields}
        line = f'time="{now()}" level={level} msg={quote(message)}'
        line += "".join(f" {key}={quote(value)}" for key, value in fields.items())
        os.write(2, line.encode() + b"\n")

    def info(self, message: str) -> None:
        self.write("info", message)

    def warning(self, message: str) -> None:
        self.write("warning", message)


class FatalError(Exception):
    """What ends a command with a fatal line and exit code 1."""


def spawn_group(argv: Sequence[str], out: int, err: int) -> subprocess.Popen[bytes]:
    """Start a program in a process group of its own (Go's Setpgid)."""
    import subprocess

    return subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd="/", preexec_fn=os.setpgrp
    )


def start_detached(argv: Sequence[str], title_room: int = 0) -> None:
    """Start a program as a daemon: own session, parent 1, no descriptors of ours."""
    if os.fork():
        os.wait()
        return
    if os.fork():
        os._exit(0)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.closerange(3, 1024)
    try:
        os.execv(argv[0], [*argv, " " * title_room] if title_room else list(argv))
    finally:
        os._exit(127)

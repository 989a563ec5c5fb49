"""pyinfra without its start-up: a process that has imported it forks one for every run.

Importing pyinfra and paramiko takes longer than all else that a run on a converged Mac computes here. A
fork starts as `python -m pyinfra` would: in a session of its own, with the run's directory, environment,
stdout and stderr.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

# Before gevent replaces what they lead to: the process that forks is to have no event loop.
from os import fork, waitpid
from pathlib import Path
from select import POLLIN, poll, select
from signal import SIG_DFL, SIGCHLD, SIGKILL, set_wakeup_fd, signal
from socket import AF_UNIX, SOCK_SEQPACKET, recv_fds, send_fds, socket, socketpair
from typing import Any

BEHIND_PYINFRA = (
    "pyinfra.connectors.ssh",
    "pyinfra.connectors.local",
    "pyinfra.operations.files",
    "paramiko",
)


@functools.cache
def _server() -> socket:
    """The process that forks, which goes with the one that asks it."""
    ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
    command = [sys.executable, str(Path(__file__).resolve()), str(theirs.fileno())]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYINFRA_")}
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        cwd="/",
        env=environment,
        pass_fds=[theirs.fileno()],
    )
    theirs.close()
    atexit.register(process.wait)
    atexit.register(ours.close)
    return ours


def run(
    arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """`python -m pyinfra ARGUMENTS`, without a terminal; raises subprocess.TimeoutExpired."""
    if sys.platform != "linux":  # not every system lets a process fork that has imported so much
        return subprocess.run(
            [sys.executable, "-m", "pyinfra", *arguments],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            start_new_session=True,  # a question would be asked on /dev/tty
        )
    request = {"arguments": list(arguments), "cwd": str(cwd), "environment": dict(environment)}
    reading, writing = os.pipe()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, os.fdopen(reading) as answer:
        send_fds(_server(), [json.dumps(request).encode()], [out.fileno(), err.fileno(), writing])
        os.close(writing)
        pid = int(answer.readline())
        if not select([answer], [], [], timeout)[0]:
            os.killpg(pid, SIGKILL)
            raise subprocess.TimeoutExpired(list(arguments), timeout)
        status = int(answer.readline())
        for stream in (out, err):
            stream.seek(0)
        stdout, stderr = (stream.read().decode(errors="replace") for stream in (out, err))
    return subprocess.CompletedProcess(list(arguments), status, stdout, stderr)


def _become_pyinfra(request: dict[str, Any], fds: list[int]) -> None:
    os.setsid()
    for source, target in zip(fds, (1, 2), strict=False):
        os.dup2(source, target)
    os.closerange(3, 64)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["pyinfra", *request["arguments"]]
    sys.path.insert(0, str(Path.cwd()))
    importlib.import_module("pyinfra_cli.main").main()


def _serve(asked: socket) -> None:
    """Fork for each request, and say with what each fork has ended, until nobody can ask any more."""
    running: dict[int, int] = {}
    ended, waking = os.pipe()
    os.set_blocking(ended, False)
    os.set_blocking(waking, False)
    signal(SIGCHLD, lambda *_: None)
    set_wakeup_fd(waking, warn_on_full_buffer=False)
    waiting = poll()
    waiting.register(asked, POLLIN)
    waiting.register(ended, POLLIN)
    while True:
        for descriptor, _ in waiting.poll():
            if descriptor == ended:
                os.read(ended, 4096)
                for pid in list(running):
                    found, status = waitpid(pid, os.WNOHANG)
                    if found:
                        answer = running.pop(pid)
                        os.write(answer, f"{os.waitstatus_to_exitcode(status)}\n".encode())
                        os.close(answer)
                continue
            message, fds, _, _ = recv_fds(asked, 1 << 20, 3)
            if not message:
                return
            pid = fork()
            if pid == 0:
                set_wakeup_fd(-1)
                signal(SIGCHLD, SIG_DFL)
                _become_pyinfra(json.loads(message), fds)
                sys.exit(0)
            running[pid] = fds.pop()
            os.write(running[pid], f"{pid}\n".encode())
            for each in fds:
                os.close(each)


if __name__ == "__main__":
    del sys.path[0]  # this file's own directory
    for name in ("pyinfra_cli.main", *BEHIND_PYINFRA):
        importlib.import_module(name)
    gc.freeze()  # what is shared stays shared
    _serve(socket(fileno=int(sys.argv[1])))

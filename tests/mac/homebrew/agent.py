"""The Mac's end of the guest's agent: what goes over SSH with the real thing."""

import json
import os
import socket
from collections.abc import Sequence

from .store import Instance


class UnreachableError(Exception):
    """No guest answers (ssh exits 255)."""


def connect(instance: Instance) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(instance.share / "agent.sock"))
    except OSError:
        connection.close()
        raise UnreachableError from None
    return connection


def execute(
    instance: Instance,
    argv: Sequence[str],
    fds: tuple[int, int, int] = (0, 1, 2),
    cwd: str = "",
    timeout: float | None = None,
) -> int:
    """Run a command in the guest with these descriptors; its exit code."""
    with connect(instance) as connection:
        connection.settimeout(timeout)
        request = {"exec": list(argv), "cwd": cwd, "user": os.environ.get("USER", "")}
        try:
            socket.send_fds(connection, [json.dumps(request).encode()], list(fds))
            answer = connection.recv(64)
        except OSError:
            raise UnreachableError from None
        if not answer.strip():
            raise UnreachableError
        return int(answer)


def capture(instance: Instance, argv: Sequence[str], timeout: float | None = None) -> tuple[int, str]:
    """Run a command in the guest: exit code and output."""
    import tempfile

    null = os.open(os.devnull, os.O_RDWR)
    try:
        with tempfile.TemporaryFile() as output:
            code = execute(instance, argv, (null, output.fileno(), output.fileno()), "", timeout)
            output.seek(0)
            return code, output.read().decode(errors="replace")
    finally:
        os.close(null)

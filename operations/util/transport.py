"""How commands travel to a host: found in the system's directories alone, and without paramiko's delays."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

import gevent
import paramiko
from paramiko import Channel, SSHException, Transport
from pyinfra.api import Host
from pyinfra.connectors.sshuserclient import SSHClient

# Where a Mac has sudo and sh, and none but root writes.
SYSTEM_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"


def _exec_command(client: paramiko.SSHClient, command: str, *arguments: Any, **options: Any) -> Any:
    """paramiko's SSHClient.exec_command(), whatever PATH the login shell has."""
    return paramiko.SSHClient.exec_command(
        client, f"/usr/bin/env PATH={SYSTEM_PATH} {command}", *arguments, **options
    )


def keep_to_the_system() -> None:
    """Have sudo and sh found in the system's directories, on this machine and over SSH.

    pyinfra names them without a directory, and macOS's sudo hands its caller's PATH on: with Homebrew's first
    in it, who owns Homebrew would have root run a `sh` of theirs.
    """
    os.environ["PATH"] = f"{SYSTEM_PATH}:{os.environ.get('PATH', '')}".removesuffix(":")
    SSHClient.exec_command = _exec_command  # type: ignore[assignment,method-assign]


def _transport(host: Host) -> Transport | None:
    """The connection to an SSH host; None for others."""
    client = getattr(host.connector, "client", None)
    return client.get_transport() if client is not None else None


def without_nagle(host: Host) -> None:
    """Send each command to an SSH host at once; paramiko leaves Nagle's algorithm on, 40 ms a command."""
    transport = _transport(host)
    if transport is not None and isinstance(transport.sock, socket.socket):
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Opener:
    """Opens channels of one connection, each before it is asked for: a command waits no round trip for it.

    `open_session` is paramiko's. While channels are used one more is kept open; where the server refuses that
    (sshd_config(5), MaxSessions) there is none from then on, and each is opened when it is asked for.
    """

    def __init__(self, open_session: Callable[..., Channel]) -> None:
        self._open_session = open_session
        self._next: gevent.Greenlet[[], Channel | None] | None = None
        self._allowed = True

    def _ahead(self) -> Channel | None:
        try:
            return self._open_session()
        except (SSHException, OSError, EOFError):
            self._allowed = False
            return None

    def open(self, *arguments: Any, **options: Any) -> Channel:
        """A new channel, with the arguments of paramiko's Transport.open_session(), and what that raises."""
        opened, self._next = self._next, None
        channel = opened.get() if opened is not None else None
        if channel is None or channel.closed:
            channel = self._open_session(*arguments, **options)
        # Several may be asked for at once: one that nobody takes would count among the server's sessions.
        if self._next is None and self._allowed:
            self._next = gevent.spawn(self._ahead)
        return channel


def ready_channels(host: Host) -> None:
    """Have the channel of each command to an SSH host open before it is needed."""
    transport = _transport(host)
    if transport is not None and not isinstance(getattr(transport.open_session, "__self__", None), Opener):
        transport.open_session = Opener(transport.open_session).open  # type: ignore[method-assign]

"""The SSH master of a running instance (`ssh: L/ID/ssh.sock [mux]`), and how it forwards.

It owns the profile's docker.sock and carries each connection to the engine's socket in the guest, and
the published ports: they go with it, and the host agent does not notice (`-O forward`).
As with OpenSSH: a refused target is an accepted connection that is closed at once; the sockets
stay behind when the master is killed; when the guest dies without a word nothing tells the master,
and its connections hang, until TCP gives up.

Faults (files in /private/var/db/standin/faults):
  while they exist: api-503, api-eof, docker-hangs, and api-flaps (its content a pattern of
  g and b, one letter a connection, over and over; anything else means ggb);
  counted: socket-deaf (the master dies, its sockets stay), transient-run (cuts the connection
  that asks for /containers/create or /start).
"""

import contextlib
import errno
import json
import os
import re
import socket
import sys
import threading
import time
from pathlib import Path

from .common import fault, hang_while, retitle, take_fault

RUN = re.compile(rb"POST /(v[0-9.]+/)?containers/(create|[^/ ]+/start)[? ]")
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
DEAD_PEER_SECONDS = 30  # stands for TCP's patience with a guest that is gone


def pump(source: socket.socket, target: socket.socket, watch: bool = False) -> None:
    """Carry bytes one way; end of file is passed on as a half-close."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            if watch and RUN.match(data) and take_fault("transient-run"):
                source.shutdown(socket.SHUT_RDWR)
                target.shutdown(socket.SHUT_RDWR)
                return
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def relay(left: socket.socket, right: socket.socket, watch: bool = False) -> None:
    """Join two sockets until both directions have ended."""
    other = threading.Thread(target=pump, args=(left, right, watch), daemon=True)
    other.start()
    pump(right, left)
    other.join()


def drain(client: socket.socket) -> None:
    """Take what was sent: Linux, unlike macOS, makes a reset of a close with unread bytes."""
    client.settimeout(0.2)
    with contextlib.suppress(OSError):
        client.recv(65536)


def listen(path: str) -> socket.socket:
    """A listening socket for its owner alone; a stale one is replaced."""
    Path(path).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    Path(path).chmod(0o600)
    listener.listen(128)
    return listener


def listen_tcp(place: str) -> socket.socket:
    """A listening socket at ADDRESS:PORT. As on macOS, one below 1024 on one address alone is root's."""
    address, _, port = place.rpartition(":")
    if int(port) < 1024 and address not in ("0.0.0.0", "[::]"):
        raise PermissionError(errno.EACCES, "Permission denied")
    family = socket.AF_INET6 if address.startswith("[") else socket.AF_INET
    return socket.create_server((address.strip("[]"), int(port)), family=family, backlog=64)


def close(listener: socket.socket) -> None:
    """Close a listening socket, also under the thread that accepts from it."""
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


class Master:
    """The forwards of one SSH connection."""

    def __init__(self, control: str, share: str, forwards: dict[str, str]) -> None:
        self.forwards = forwards
        self.share = share
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.connect(f"{share}/agent.sock")
        self.connection.sendall(b"{}")
        self.control = listen(control)
        self.guest_died = threading.Event()
        self.turn = 0
        self.turns = threading.Lock()
        self.ports: dict[str, socket.socket] = {}

    def run(self) -> None:
        for path, target in self.forwards.items():
            arguments = (listen(path), target)
            threading.Thread(target=self.accept, args=arguments, daemon=True).start()
        for work in (self.watch_guest, self.watch_fault):
            threading.Thread(target=work, daemon=True).start()
        while True:
            client, _ = self.control.accept()
            with client:
                word, _, rest = client.recv(4096).partition(b" ")
                if word == b"exit":
                    for path in self.forwards:
                        Path(path).unlink(missing_ok=True)
                    Path(self.control.getsockname()).unlink(missing_ok=True)
                    os._exit(0)
                try:
                    if word == b"forward":
                        self.open_port(*json.loads(rest))
                    elif word == b"cancel":
                        close(self.ports.pop(json.loads(rest)))
                except (OSError, KeyError) as error:
                    client.sendall(str(error).encode())

    def open_port(self, place: str, guest: list[str | int]) -> None:
        """Listen at a path or at ADDRESS:PORT of the Mac, for an address and a port in the guest."""
        self.ports[place] = listener = listen(place) if place.startswith("/") else listen_tcp(place)

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=self.forward_port, args=(client, guest), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()

    def forward_port(self, client: socket.socket, guest: list[str | int]) -> None:
        with client, socket.socket(socket.AF_UNIX) as remote, contextlib.suppress(OSError):
            if self.guest_died.is_set():
                time.sleep(DEAD_PEER_SECONDS)
                return
            remote.connect(f"{self.share}/agent.sock")
            remote.sendall(json.dumps({"dial": guest}).encode())
            if remote.recv(1) == b"+":
                relay(client, remote)

    def watch_guest(self) -> None:
        with contextlib.suppress(OSError):
            self.connection.recv(1)
        self.guest_died.set()
        time.sleep(DEAD_PEER_SECONDS)
        os._exit(255)

    def watch_fault(self) -> None:
        while not take_fault("socket-deaf"):
            time.sleep(0.2)
        os._exit(255)

    def accept(self, listener: socket.socket, target: str) -> None:
        while True:
            client, _ = listener.accept()
            threading.Thread(target=self.forward, args=(client, target), daemon=True).start()

    def bad_turn(self) -> bool:
        """api-flaps: whether this connection is one of the bad ones."""
        pattern = fault("api-flaps")
        if pattern is None:
            self.turn = 0
            return False
        pattern = pattern if pattern and set(pattern) <= {"g", "b"} else "ggb"
        with self.turns:
            self.turn += 1
            return pattern[(self.turn - 1) % len(pattern)] == "b"

    def forward(self, client: socket.socket, target: str) -> None:
        with client, socket.socket(socket.AF_UNIX) as remote:
            if self.guest_died.is_set():
                time.sleep(DEAD_PEER_SECONDS)
                return
            if fault("docker-hangs") is not None:
                hang_while("docker-hangs")
                return
            if fault("api-eof") is not None or self.bad_turn():
                drain(client)
                return
            if fault("api-503") is not None:
                client.recv(65536)
                client.sendall(UNAVAILABLE)
                return
            try:
                remote.connect(target)
            except OSError:
                # a dead guest resets what its kernel held; the SSH connection only falls silent
                if self.guest_died.wait(0.3):
                    time.sleep(DEAD_PEER_SECONDS)
                drain(client)
                return
            relay(client, remote, watch=True)


def main() -> int:
    """`mux ssh.sock SHARE {"listening socket": "target"}`, started by the host agent."""
    control, share, forwards = sys.argv[1:4]
    master = Master(control, share, json.loads(forwards))
    # OpenSSH fills its title with blanks.
    retitle([f"ssh: {control} [mux]{' ' * 35}"])
    master.run()
    return 0

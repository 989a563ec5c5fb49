"""The proxy that is a slow network: it holds back, keeps the order, and narrows nothing."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.network import Delay

ROUND_TRIP = 0.2


@contextmanager
def echo() -> Iterator[int]:
    """A port whose other end sends back what it gets, and ends when it is told that this is all."""

    def answer(client: socket.socket) -> None:
        with client:
            while data := client.recv(65536):
                client.sendall(data)

    def serve() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def away() -> Iterator[int]:
    """A port that echoes, a round trip away."""
    with echo() as port, Delay(port, ROUND_TRIP) as delay:
        yield delay.port


def receive(client: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size and (data := client.recv(65536)):
        found += data
    return found


def test_opening_a_connection_and_an_answer_take_a_round_trip_each(away: int) -> None:
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", away)) as client:
        for trips in (2, 3):
            client.sendall(b"x")
            assert client.recv(1) == b"x"
            assert time.monotonic() - start >= trips * ROUND_TRIP


def test_what_is_sent_together_arrives_together_and_in_order(away: int) -> None:
    """Held back one after the other, a hundred pieces would take a hundred times as long."""
    pieces = [os.urandom(50_000) for _ in range(100)]

    def send() -> None:
        for piece in pieces:
            client.sendall(piece)

    with socket.create_connection(("127.0.0.1", away)) as client:
        client.sendall(b"x")
        client.recv(1)
        start = time.monotonic()
        sender = threading.Thread(target=send)
        sender.start()
        found = receive(client, 5_000_000)
        taken = time.monotonic() - start
        sender.join()
    assert hashlib.sha256(found).digest() == hashlib.sha256(b"".join(pieces)).digest()
    assert ROUND_TRIP <= taken < 20 * ROUND_TRIP


def test_the_end_arrives_too(away: int) -> None:
    with socket.create_connection(("127.0.0.1", away)) as client:
        client.sendall(b"last words")
        client.shutdown(socket.SHUT_WR)
        assert receive(client, 1000) == b"last words"
        assert client.recv(1) == b""


def test_many_connections_wait_side_by_side(away: int) -> None:
    start = time.monotonic()
    clients = [socket.create_connection(("127.0.0.1", away)) for _ in range(40)]
    for client in clients:
        client.sendall(b"x")
    assert [client.recv(1) for client in clients] == [b"x"] * 40
    assert time.monotonic() - start < 20 * ROUND_TRIP
    for client in clients:
        client.close()


def test_where_nobody_listens_the_connection_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with Delay(port, 0.01) as delay, socket.create_connection(("127.0.0.1", delay.port)) as client:
        client.settimeout(5)
        assert client.recv(1) == b""


def test_it_ends_with_connections_open() -> None:
    with echo() as port, Delay(port, 0.01) as delay:
        client = socket.create_connection(("127.0.0.1", delay.port))
        client.sendall(b"x")
        assert client.recv(1) == b"x"
    client.settimeout(5)
    assert client.recv(1) == b""
    client.close()

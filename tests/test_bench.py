"""What the benchmark makes of its figures; the figures themselves nobody tests."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.bench import Outage, Row, in_turns, table


@pytest.mark.parametrize(
    "row, ratio, holds",
    [
        (Row("", 2.0, 1.0, aim=2), 2.0, True),
        (Row("", 2.1, 1.0, aim=2), 2.1, False),
        (Row("", 17.0, 10.0, aim=1.2, allowed=5), 1.2, True),
        (Row("", 17.1, 10.0, aim=1.2, allowed=5), 1.21, False),
        (Row("", 3.0, 1.0), 3.0, None),
        (Row("", 7, aim=7), None, True),
        (Row("", 8, aim=7), None, False),
        (Row("", 8), None, None),
    ],
)
def test_a_row_is_held_to_its_aim(row: Row, ratio: float | None, holds: bool | None) -> None:
    assert (row.ratio, row.holds) == (pytest.approx(ratio) if ratio else None, holds)


def test_the_table() -> None:
    rows = [
        Row("converged : nothing", 0.73, 0.41, aim=2),
        Row("first : bare", 30.2, 20.0, aim=1.2, allowed=5),
        Row("5 Macs : 1", 1.0, 0.5),
        Row("commands", 7, aim=5, unit=""),
    ]
    assert table(rows) == (
        "                      measured   against      ratio         at most   holds\n"
        "converged : nothing     0.73 s    0.41 s   1.78 : 1           2 : 1   yes\n"
        "first : bare           30.20 s   20.00 s   1.26 : 1   1.2 : 1 + 5 s   NO\n"
        "5 Macs : 1              1.00 s    0.50 s   2.00 : 1\n"
        "commands                     7                                    5   NO"
    )


def test_what_is_compared_runs_in_turns_and_the_median_counts() -> None:
    ran: list[str] = []
    values = {"a": [5.0, 1.0, 2.0], "b": [4.0, 9.0, 8.0]}

    def action(name: str) -> float:
        ran.append(name)
        return values[name].pop(0)

    assert in_turns(3, lambda: action("a"), lambda: action("b")) == [2.0, 8.0]
    assert ran == ["a", "b"] * 3


def test_an_outage_is_the_longest_time_without_an_answer(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"

    def serve(answers: int, answer: bytes) -> None:
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
            server.listen()
            for _ in range(answers):
                client, _ = server.accept()
                with client:
                    client.recv(64)
                    client.sendall(answer)

    def docker() -> None:
        serve(3, b"HTTP/1.0 200 OK\r\n\r\n")
        time.sleep(0.3)
        serve(3, b"HTTP/1.0 500 Not yet\r\n\r\n")
        time.sleep(0.1)
        serve(5, b"HTTP/1.0 200 OK\r\n\r\n")

    mac: Any = SimpleNamespace(path=lambda inside: path)
    thread = threading.Thread(target=docker)
    start = time.monotonic()
    with Outage(mac) as outage:
        thread.start()
        thread.join()
        taken = time.monotonic() - start
    assert 0.4 <= outage.seconds <= taken + 0.1

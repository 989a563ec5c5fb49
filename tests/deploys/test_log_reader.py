"""What is shown of the logs of one host and of many: in order, told apart, masked, and never obeyed."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from pyinfra.context import ctx_config, ctx_state

from deploys import log_reader
from deploys.log_reader import WAIT_SECONDS, Reader, rows
from facts.logs import ABSENT, NAMES, LogLines, Logs
from operations.util import internals
from settings import Settings
from tests.fakes import FakeHost, Series

SEEN = (
    LogLines("7:20", ("one", "two")),
    LogLines(ABSENT),
    LogLines("unreadable", why="Permission denied"),
    LogLines("8:0"),
)
WELL = (LogLines("7:20", ("one",)), LogLines("8:1"), LogLines("9:1"), LogLines("10:4", ("tick",)))
NEWS = (LogLines("7:30", ("news",)), *WELL[1:3], LogLines("10:4"))


class Host(FakeHost):
    """A host that can be a dictionary's key, as pyinfra's can."""

    __hash__ = object.__hash__


def host_of(name: str, answer: Any) -> Any:
    return Host({Logs: answer}, name=name)


@pytest.fixture
def run_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """A function that makes these hosts the run's: run_of(host, ...)."""
    monkeypatch.setattr(internals, "_failures", {})
    monkeypatch.setattr(internals, "_refusals", {})
    monkeypatch.setattr(log_reader, "_read", {})

    def make(*hosts: Any) -> None:
        ctx_state.set(
            SimpleNamespace(
                inventory=hosts,
                failed_hosts=set(),
                activated_hosts=set(hosts),
                ops={host: {} for host in hosts},
                is_host_in_limit=lambda _: True,
                should_check_for_changes=lambda: False,
            )
        )

    with ctx_config.use(SimpleNamespace()):
        yield make
    ctx_state.reset()


def test_what_is_asked_and_masked(run_of: Callable[..., None]) -> None:
    asked: list[dict[str, Any]] = []

    def answer(**arguments: Any) -> Any:
        asked.append(arguments)
        return (LogLines("7:1", ("a hunter2 b", "TOKEN=x")), *SEEN[1:])

    host = host_of("mini", answer)
    run_of(host)
    reader = Reader(host, Settings(homebrew_user="alice", colima_extra_args=("--env=A=hunter2",)))
    found = reader.read(50)
    assert found and found[0].lines == ("a *** b", "TOKEN=***")
    reader.read(1, WAIT_SECONDS, found)
    assert asked[0].items() >= {"user": "alice", "count": 50, "seconds": 0, "places": ()}.items()
    assert asked[1]["places"] == ("7:1", ABSENT, "unreadable", "8:0")
    # No question is without an end.
    assert all(each["_timeout"] > WAIT_SECONDS + 20 for each in asked)


def test_a_terminal_obeys_no_log() -> None:
    parts = (LogLines("1:1", ("a\tb \x1b[2J\r\x07é",)), *WELL[1:3], LogLines("1:1"))
    assert rows("mini", parts, 0) == ["colima    | a\tb ?[2J??é"]


def shown(*hosts: Any, follow: bool = False) -> int:
    for host in hosts:
        log_reader.read(Reader(host, Settings(homebrew_user="alice", follow=follow)))
    return log_reader.show()


def test_one_host_and_several_in_the_inventorys_order(
    run_of: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = host_of("a", WELL), host_of("long-name", WELL)
    run_of(a)
    assert shown(a) == 0
    assert capsys.readouterr().out == "colima    | one\npulse     | tick\n"
    run_of(a, b)
    assert shown(b, a) == 0
    assert capsys.readouterr().out.splitlines() == [
        "a         colima    | one",
        "a         pulse     | tick",
        "long-name colima    | one",
        "long-name pulse     | tick",
    ]
    assert a.logged == []


def test_what_cannot_be_read_is_said(run_of: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    half, none = host_of("half", SEEN), host_of("none", None)
    run_of(half, none)
    assert shown(half, none) == 1
    assert "half colima    | two" in capsys.readouterr().out
    assert half.logged == ["There is no log ha.stderr", "The log ha.stdout cannot be read: Permission denied"]


def test_a_host_without_logs_is_a_failure(run_of: Callable[..., None]) -> None:
    mini, other = host_of("mini", WELL), host_of("other", WELL)
    run_of(mini, other)
    assert shown(mini) == 1
    internals.note_refusal(other, ("LINES: many",))
    assert shown(mini) == 1
    assert other.logged == ["LINES: many"]


def test_json(
    run_of: Callable[..., None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["pyinfra", "--json"])
    half, none = host_of("half", SEEN), host_of("none", None)
    run_of(half, none)
    assert shown(half, none) == 1
    lines = dict(zip(NAMES, (["one", "two"], [], None, []), strict=True))
    assert json.loads(capsys.readouterr().out) == {"hosts": {"half": lines, "none": None}}


def test_followed_until_ctrl_c(run_of: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[Any] = []

    def answer(places: Any, **_: Any) -> Any:
        asked.append(places)
        if len(asked) == 3:
            os.kill(os.getpid(), signal.SIGINT)
            gevent.sleep(30)
        return WELL if len(asked) == 1 else NEWS

    host = host_of("mini", answer)
    run_of(host)
    before = signal.getsignal(signal.SIGINT)
    assert shown(host, follow=True) == 0
    assert capsys.readouterr().out.splitlines() == ["colima    | one", "pulse     | tick", "colima    | news"]
    # Each question goes on from where the answer before had come to.
    assert asked == [(), ("7:20", "8:1", "9:1", "10:4"), ("7:30", "8:1", "9:1", "10:4")]
    assert signal.getsignal(signal.SIGINT) is before


def test_one_that_is_lost_is_said_and_the_others_go_on(
    run_of: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = host_of("a", Series(WELL, NEWS, NEWS, None)), host_of("b", Series(WELL, None))
    run_of(a, b)
    assert shown(a, b, follow=True) == 1
    assert capsys.readouterr().out.count("a colima    | news") == 2
    assert b.logged == ["The logs cannot be followed any more"]


def test_whoever_read_has_seen_enough(run_of: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """As with `| head`."""
    reading, writing = os.pipe()
    os.close(reading)
    host = host_of("mini", WELL)
    run_of(host)
    with os.fdopen(writing, "w", buffering=1) as broken:
        monkeypatch.setattr(sys, "stdout", broken)
        with pytest.raises(SystemExit) as ended:
            shown(host)
    assert ended.value.code == 0

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
from paramiko import SSHException
from pyinfra.context import ctx_state

from operations.logs import ABSENT, NAMES, WAIT_SECONDS, Logs, Part, Reading, parse, prefixes, rows
from tests.fakes import Answer, FakeHost

LABEL = "homebrew.mrcee.colima-pulse"
OUTPUT = ["[7:20]", "|one", "|two", "[absent]", "[unreadable] Permission denied", "[8:0]", "end"]
SEEN = (Part("7:20", ("one", "two")), Part(ABSENT), Part("unreadable", why="Permission denied"), Part("8:0"))
WELL = ["[7:20]", "|one", "[8:1]", "[9:1]", "[10:4]", "|tick", "end"]
NEWS = ["[7:30]", "|news", "[8:1]", "[9:1]", "[10:4]", "end"]


class Host(FakeHost):
    """A host that can be a dictionary's key, as pyinfra's can."""

    __hash__ = object.__hash__


@pytest.fixture
def run_of() -> Iterator[Callable[..., Any]]:
    """A function that makes these hosts the run's: run_of(host, ...)."""

    def make(*hosts: Any) -> Any:
        state = SimpleNamespace(inventory=hosts, failed_hosts=set(), print_output=False, print_input=False)
        ctx_state.set(state)
        return state

    yield make
    ctx_state.reset()


def host_of(name: str, answer: Callable[[list[str]], Answer]) -> Any:
    arguments = dict.fromkeys(("_sudo", "_sudo_user", "_timeout"))
    return Host(answer=answer, name=name, current_op_global_arguments=arguments)


def of(host: Any, secrets: tuple[str, ...] = ()) -> Logs:
    return Logs(host, "alice", "default", LABEL, "/var/log/colima.log", secrets)


def answering(output: list[str]) -> Callable[[list[str]], Answer]:
    return lambda _: (True, output)


# What is read


def test_an_answer() -> None:
    assert parse(OUTPUT) == list(SEEN)
    assert [part.wrong for part in SEEN] == [False, False, True, False]


def test_an_answer_cut_off_is_none() -> None:
    for end in range(len(OUTPUT)):
        with pytest.raises(ValueError, match="incomplete"):
            parse(OUTPUT[:end])


def test_what_sudo_says_is_no_part_of_it() -> None:
    said = "sudo: unable to resolve host mini"
    assert parse([said, "|no part", *OUTPUT[:3], said, *OUTPUT[3:], said]) == list(SEEN)


def test_what_is_asked(run_of: Callable[..., Any]) -> None:
    host = host_of("mini", answering(WELL))
    run_of(host)
    of(host).read(50)
    of(host).read(1, WAIT_SECONDS, SEEN)
    words = ["read-logs", "alice", "default", LABEL, "/var/log/colima.log"]
    places = [part.place for part in SEEN]
    assert host.told == [[*words, "50", "0"], [*words, "1", str(WAIT_SECONDS), *places]]
    # Output that is not masked yet is shown nowhere, and no question is without an end.
    assert [each.live for each in host.ran] == [False, False]
    assert all(each.arguments["_timeout"] > WAIT_SECONDS + 20 for each in host.ran)


def test_secrets_are_masked(run_of: Callable[..., Any]) -> None:
    host = host_of("mini", answering(["[7:1]", "|a hunter2 b", "|TOKEN=x", *WELL[2:]]))
    run_of(host)
    assert of(host, ("hunter2",)).read(5)[0].lines == ("a *** b", "TOKEN=***")


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (TimeoutError(), "no answer: TimeoutError"),
        (SSHException("gone"), "no answer: gone"),
        (OSError("reset"), "no answer: reset"),
        (EOFError(), "sudo wants a password"),
    ],
)
def test_a_wire_that_breaks(run_of: Callable[..., Any], error: Exception, why: str) -> None:
    def breaks(_: list[str]) -> Answer:
        raise error

    host = host_of("mini", breaks)
    run_of(host)
    with pytest.raises(ValueError, match=why):
        of(host).read(5)


# What is shown


def test_a_terminal_obeys_no_log() -> None:
    assert rows(Part("1:1", ("a\tb \x1b[2J\r\x07é",)), "colima") == ["colima | a\tb ?[2J??é"]


def test_prefixes() -> None:
    one = prefixes(["mini"])
    assert one["mini", "colima"] == "colima   "
    assert {len(each) for each in one.values()} == {9}
    many = prefixes(["a", "long-name"])
    assert many["a", "pulse"] == "a         pulse    "
    assert {len(each) for each in many.values()} == {19}


def shown(*hosts: Any, follow: bool = False) -> int:
    reading = Reading()
    for host in hosts:
        reading.read(of(host), 50)
    return reading.show(follow=follow)


def test_one_host(run_of: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    host = host_of("mini", answering(WELL))
    run_of(host)
    assert shown(host) == 0
    assert capsys.readouterr().out == "colima    | one\npulse     | tick\n"
    assert host.logged == []


def test_many_hosts_in_the_inventorys_order(
    run_of: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = host_of("a", answering(WELL)), host_of("b", answering(WELL))
    run_of(a, b)
    assert shown(b, a) == 0
    assert capsys.readouterr().out.splitlines() == [
        "a colima    | one",
        "a pulse     | tick",
        "b colima    | one",
        "b pulse     | tick",
    ]


def test_what_cannot_be_read_is_said(run_of: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    half, none = (
        host_of("half", answering(OUTPUT)),
        host_of("none", lambda _: (False, ["there is no user alice"])),
    )
    run_of(half, none)
    assert shown(half, none) == 1
    assert "half colima    | two" in capsys.readouterr().out
    assert half.logged == [
        "There is no log ha.stderr",
        "The log ha.stdout cannot be read: Permission denied",
    ]
    assert none.logged == ["The logs cannot be read: there is no user alice"]


def test_a_host_that_was_not_reached_is_a_failure(run_of: Callable[..., Any]) -> None:
    host = host_of("mini", answering(WELL))
    state = run_of(host)
    state.failed_hosts.add("another")
    assert shown(host) == 1


def test_json(
    run_of: Callable[..., Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["pyinfra", "--json"])
    half, none = host_of("half", answering(OUTPUT)), host_of("none", lambda _: (False, []))
    run_of(half, none)
    assert shown(half, none) == 1
    lines = dict(zip(NAMES, (["one", "two"], [], None, []), strict=True))
    assert json.loads(capsys.readouterr().out) == {"hosts": {"half": lines, "none": None}}


# What comes


def test_followed_until_ctrl_c(run_of: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[list[str]] = []

    def answer(words: list[str]) -> Answer:
        asked.append(words)
        if len(asked) == 3:
            os.kill(os.getpid(), signal.SIGINT)
            gevent.sleep(30)
        return True, WELL if len(asked) == 1 else NEWS

    host = host_of("mini", answer)
    run_of(host)
    before = signal.getsignal(signal.SIGINT)
    assert shown(host, follow=True) == 0
    assert capsys.readouterr().out.splitlines() == ["colima    | one", "pulse     | tick", "colima    | news"]
    # Each question goes on from where the answer before had come to.
    assert [words[7:] for words in asked] == [
        [],
        ["7:20", "8:1", "9:1", "10:4"],
        ["7:30", "8:1", "9:1", "10:4"],
    ]
    assert signal.getsignal(signal.SIGINT) is before


def test_one_that_is_lost_is_said_and_the_others_go_on(
    run_of: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    answers = {"a": iter([WELL, NEWS, NEWS]), "b": iter([WELL])}

    def answer(name: str) -> Callable[[list[str]], Answer]:
        def say(_: list[str]) -> Answer:
            gevent.sleep(0)
            output = next(answers[name], None)
            return output is not None, output or ["the wire is cut"]

        return say

    a, b = host_of("a", answer("a")), host_of("b", answer("b"))
    run_of(a, b)
    assert shown(a, b, follow=True) == 1
    assert capsys.readouterr().out.count("a colima    | news") == 2
    assert b.logged == ["The logs cannot be followed any more: the wire is cut"]


def test_whoever_read_has_seen_enough(run_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """As with `| head`."""
    reading, writing = os.pipe()
    os.close(reading)
    host = host_of("mini", answering(WELL))
    run_of(host)
    with os.fdopen(writing, "w", buffering=1) as broken:
        monkeypatch.setattr(sys, "stdout", broken)
        with pytest.raises(SystemExit) as ended:
            shown(host)
    assert ended.value.code == 0

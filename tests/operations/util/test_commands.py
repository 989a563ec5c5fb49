"""What operations consist of: questions, reasons, and commands of the toolkit."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from pyinfra.api import FactBase, OperationError
from pyinfra.context import ctx_host, ctx_state

from operations.util import commands, internals
from operations.util.commands import ask, command, explain, explained, live, refuse
from tests.fakes import FakeHost, fake_state, words


class Word(FactBase[str]):
    pass


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHost]:
    monkeypatch.setattr(commands, "_explained", {})
    for name in ("_failures", "_refusals"):
        monkeypatch.setattr(internals, name, {})
    host: Any = FakeHost({Word: "word"})
    with ctx_host.use(host), ctx_state.use(fake_state()):
        yield host
    ctx_host.reset()
    ctx_state.reset()


def preparing(hosts: int) -> Any:
    return ctx_state.use(fake_state(executing=False, hosts=hosts))


def test_a_command_can_be_read_and_typed() -> None:
    made = live("set-aside", "a.b", "/Users/alice/a b", 5, stdin="text")
    assert made.get_raw_value() == "/Library/ColimaPulse/bin/set-aside a.b '/Users/alice/a b' 5"
    assert (made.live, made.connector_arguments) == (True, {"_stdin": "text"})
    assert (command("gate", "a.b").live, command("gate", "a.b").connector_arguments) == (False, {})


def test_a_fact_fails_no_host_by_itself(host: FakeHost) -> None:
    given: dict[str, Any] = {}

    class Host(FakeHost):
        def get_fact(self, fact: Any, **arguments: Any) -> Any:
            given.update(arguments)
            raise OSError("reset")

    failing: Any = Host()
    with ctx_host.use(failing):
        assert ask(Word, label="x", _sudo=False) is None
    assert given == {"label": "x", "_sudo": False, "_ignore_errors": True}
    assert failing.logged == ["reset"]
    with ctx_host.use(host):
        assert ask(Word) == "word"


def test_what_is_explained(host: FakeHost) -> None:
    with preparing(2):
        explain("Restart Colima: memory 2 -> 4 GiB")
    explain("Remove web")
    assert host.logged == ["Restart Colima: memory 2 -> 4 GiB", "Remove web"]
    assert explained("mini", executing=False) == ("Restart Colima: memory 2 -> 4 GiB",)
    assert explained("mini", executing=True) == ("Remove web",)
    assert explained("other", executing=True) == ()


def test_a_refusal(host: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), preparing(1), pytest.raises(OperationError, match="mini: no\nroom"):
        list(refuse("no\nroom"))
    assert internals.refusal(host) == ("no",)
    with preparing(2):
        assert len(list(refuse("no\nroom"))) == 1
    assert host.logged == ["no", "room"]
    with ctx_state.use(fake_state()):
        (only,) = refuse("no\nroom")
    assert words(only) == ["refuse", "no", "room"]

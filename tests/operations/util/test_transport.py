"""How commands travel: to the system's own programs, at once, and on channels that are open ahead."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from paramiko import SSHException

from operations.util.transport import Opener, ready_channels, without_nagle
from tests.checkout import PYINFRA, copy_repository
from tests.fakes import FakeHost


class Channels:
    """paramiko's open_session: numbers the channels, and refuses while there are `most` of them."""

    def __init__(self, most: int = 10) -> None:
        self.most = most
        self.opened: list[Any] = []
        self.asked: list[dict[str, Any]] = []

    def open_session(self, **options: Any) -> Any:
        self.asked.append(options)
        if sum(not channel.closed for channel in self.opened) >= self.most:
            raise SSHException("administratively prohibited")
        self.opened.append(SimpleNamespace(number=len(self.opened), closed=False))
        return self.opened[-1]


def numbers(opener: Opener, count: int) -> list[int]:
    channels: list[Any] = [opener.open() for _ in range(count)]
    return [channel.number for channel in channels]


def over_ssh(transport: Any) -> Any:
    return FakeHost(connector=SimpleNamespace(client=SimpleNamespace(get_transport=lambda: transport)))


def test_without_nagle() -> None:
    with socket.socket() as wire:
        without_nagle(over_ssh(SimpleNamespace(sock=wire)))
        assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_through_another_host_and_on_this_one_there_is_nothing_to_do() -> None:
    local: Any = FakeHost()
    without_nagle(over_ssh(SimpleNamespace(sock=object())))
    without_nagle(local)
    ready_channels(local)


def test_the_next_channel_is_open_before_it_is_asked_for() -> None:
    channels = Channels()
    opener = Opener(channels.open_session)
    opener.open(timeout=5)
    gevent.sleep(0)
    assert len(channels.opened) == 2
    assert numbers(opener, 3) == [1, 2, 3]
    assert channels.asked[0] == {"timeout": 5}


def test_no_more_than_one_is_open_ahead_however_many_are_asked_for_at_once() -> None:
    channels = Channels()

    def slowly(**options: Any) -> Any:
        gevent.sleep(0)
        return channels.open_session(**options)

    opener = Opener(slowly)
    for used in (6, 7, 8):
        asked = [gevent.spawn(opener.open) for _ in range(used)]
        taken = [each.get() for each in asked]
        gevent.wait()
        assert sum(not channel.closed for channel in channels.opened) == used + 1
        for channel in taken:
            channel.closed = True


def test_a_channel_that_has_closed_meanwhile_is_not_used() -> None:
    channels = Channels()
    opener = Opener(channels.open_session)
    opener.open()
    gevent.sleep(0)
    channels.opened[1].closed = True
    assert numbers(opener, 1) == [2]


def test_where_the_server_allows_one_channel_at_a_time_each_is_opened_when_asked_for(
    capfd: pytest.CaptureFixture[str],
) -> None:
    channels = Channels(most=1)
    opener = Opener(channels.open_session)
    for number in range(3):
        assert numbers(opener, 1) == [number]
        gevent.sleep(0)
        channels.opened[-1].closed = True
    assert len(channels.asked) == 4, "it is not tried ahead again"
    with pytest.raises(SSHException):
        Opener(Channels(most=0).open_session).open()
    gevent.sleep(0)
    assert capfd.readouterr().err == ""


def test_a_connection_has_one_opener() -> None:
    channels = Channels()
    transport = SimpleNamespace(open_session=channels.open_session)
    host = over_ssh(transport)
    ready_channels(host)
    made = transport.open_session
    assert isinstance(getattr(made, "__self__", None), Opener)
    ready_channels(host)
    assert transport.open_session == made


def test_whose_sudo_and_sh_are_run(tmp_path: Path) -> None:
    """Homebrew's directory may stand first in an administrator's PATH, and somebody else own it."""
    checkout, brewed = tmp_path / "colima-pulse", tmp_path / "bin"
    copy_repository(checkout)
    brewed.mkdir()
    for name in ("sudo", "sh"):
        (brewed / name).write_text(f"#!/bin/bash\necho '{name}' >>'{tmp_path}/ran'\n")
        (brewed / name).chmod(0o755)
    done = subprocess.run(
        [*PYINFRA, "@local", "fact", "server.Which", "command=sudo", "-vv"],
        cwd=checkout,
        env={**os.environ, "PATH": f"{brewed}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert not (tmp_path / "ran").exists(), done.stderr
    assert ">>> sudo -H -n /bin/sh -c" in done.stderr

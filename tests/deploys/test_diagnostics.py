"""What deploys/diagnose.py keeps: masked, for its owner alone, a file a host."""

from __future__ import annotations

import json
import re
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.context import ctx_host, ctx_state

from deploys import diagnostics
from deploys.diagnostics import (
    DIRECTORY,
    LOG_LINES,
    PART_LINES,
    SECONDS,
    collect,
    excerpt,
    file_name,
    mask,
    secrets_of,
    write,
)
from facts.diagnosis import Diagnostics, Part
from settings import Settings
from tests.fakes import FakeHost, fake_state


@pytest.mark.parametrize(
    ("line", "masked"),
    [
        ("colima start --env=TOKEN=hunter2 --foreground", "colima start --env=TOKEN=*** --foreground"),
        ("colima start --env API_KEY=hunter2", "colima start --env API_KEY=***"),
        # An argument of its own: its value may have blanks.
        ("\t\t--env=DB_PASSWORD=hunter2 and more", "\t\t--env=DB_PASSWORD=***"),
        ("\t\tAWS_SECRET_ACCESS_KEY => hunter2 and more", "\t\tAWS_SECRET_ACCESS_KEY => ***"),
        ("my.credentials=hunter2", "my.credentials=***"),
        ("a password='hunter2 x' b", "a password=*** b"),
        ('a Passwd="hunter\\" x" b', "a Passwd=*** b"),
        ('{"auth_token": "hunter2", "n": 1}', '{"auth_token": ***, "n": 1}'),
        ("msg=x token: hunter2", "msg=x token: ***"),
        ("curl --password hunter2 --token hunter3", "curl --password *** --token ***"),
        ("proxy http://alice:hunt@r/2@proxy:3128/", "proxy http://***@proxy:3128/"),
        ("git clone https://ghp_hunter2@github.com/x", "git clone https://***@github.com/x"),
        ("> Authorization: Basic aHVudGVyMg==", "> Authorization: ***"),
        ('"proxy-authorization": ["hunter2"]', '"proxy-authorization": ***'),
        ("X-Registry-Auth=hunter2 hunter2", "X-Registry-Auth=***"),
        ("sent bearer hunter2", "sent bearer ***"),
    ],
)
def test_what_looks_like_a_secret(line: str, masked: str) -> None:
    assert mask(line) == masked
    assert mask(f"before\n{line}\nafter") == f"before\n{masked}\nafter"
    assert "hunter" not in mask(f"{line} {line}")


@pytest.mark.parametrize(
    "line",
    [
        "unix:///Users/alice/.colima/default/docker.sock",
        "http://localhost/_ping and mail to alice@example.org",
        "/usr/bin/ssh-keygen -q",
        "--memory=2 --profile=default",
    ],
)
def test_what_does_not_is_left(line: str) -> None:
    assert mask(line) == line


@pytest.mark.parametrize(
    "secret",
    [
        "a.*b(c[d\\1",
        "  blanks around  ",
        "quo\"tes \\ and 'more",
        "$(touch x) `id`",
        "zwölf Prüfstände",
        "-----BEGIN-----\nMIIEowIB\n-----END-----\n",
    ],
)
def test_given_secrets(secret: str) -> None:
    written = [secret, json.dumps(secret), json.dumps(secret, ensure_ascii=False), shlex.quote(secret)]
    written += secret.splitlines()
    for text in written:
        masked = mask(f"x {text} y {text}", [secret])
        assert all(line.strip() not in masked for line in secret.splitlines()), masked
        assert masked.startswith("x ")
        # Nor anything of it between the escapes.
        assert not any(word in masked for word in re.findall(r"[A-Za-z]{3,}", secret)), masked


def test_secrets_within_others_and_short_ones() -> None:
    assert mask("hunter2hunter2hunter2 hunter2", ["hunter2", "hunter2hunter2hunter2"]) == "*** ***"
    text = "PIN=12 PORT=1200 at 12:12:12 PIN=12"
    assert mask(text, ["12", ""]) == "PIN=*** PORT=1200 at 12:12:12 PIN=***"


def test_a_word_of_any_length_takes_no_time() -> None:
    start = time.monotonic()
    mask(" ".join(word * 20000 for word in ("aaa", "key", "---", "://", "a=")), ["hunter2"])
    assert time.monotonic() - start < 5


def test_secrets_of() -> None:
    flags = ("--env=TOKEN=a=b", "--dns=1.1.1.1", "--env=K=c, d", "--env=EMPTY=", "--envy=X=no")
    settings = Settings(colima_extra_args=(*flags, "--env=A=f,B=g"))
    assert {"a=b", "c, d", "e", "f", "g"} <= set(secrets_of(settings, ["e", "", "a=b"]))
    assert not {"", "no", "1.1.1.1"} & set(secrets_of(settings))


def test_a_terminal_is_shown_a_logs_end_and_the_beginning_of_all_else() -> None:
    many = tuple(map(str, range(180)))
    log = [f"({180 - LOG_LINES} more lines)", *many[-LOG_LINES:]]
    assert (
        excerpt(Part("log: /var/log/colima.log", many)) == excerpt(Part("guest: log of Docker", many)) == log
    )
    assert excerpt(Part("docker ps -a", many)) == [*many[:PART_LINES], f"({180 - PART_LINES} more lines)"]
    assert excerpt(Part("login", many[:3])) == list(many[:3])


NOW = time.struct_time((2026, 11, 22, 9, 5, 7, 6, 326, 0))


def test_file_name() -> None:
    names = {
        "@ssh/macmini.lan": "ssh-macmini.lan",
        "../../etc/passwd": "etc-passwd",
        "a b\n$(id)": "a-b-id",
        "..": "host",
        "x" * 300: "x" * 100,
    }
    assert {host: file_name(host, NOW) for host in names} == {
        host: f"{name}-20261122-090507" for host, name in names.items()
    }


def test_write(tmp_path: Path) -> None:
    directory = tmp_path / "diagnostics"
    directory.mkdir(mode=0o755)
    one, two = (write(directory, "mini", text) for text in ("one", "two \udcff"))
    assert (one.read_text(), two.read_text()) == ("one", "two ?")
    assert re.fullmatch(r"mini-\w+\.txt", one.name)
    assert [path.stat().st_mode & 0o777 for path in (one, directory)] == [0o600, 0o700]


SETTINGS = Settings(homebrew_user="alice", label="a.b", log_path="/l")
PARTS = [Part("launchd: x", ("\tstate = running",)), Part("log: y", ("hunter2 TOKEN=x",))]


def collected(answer: Any, settings: Settings = SETTINGS) -> tuple[Path | None, Any, dict[str, Any]]:
    asked: dict[str, Any] = {}

    def answers(**arguments: Any) -> Any:
        asked.update(arguments)
        return answer

    host: Any = FakeHost({Diagnostics: answers}, name="@ssh/mini")
    with ctx_host.use(host), ctx_state.use(fake_state()):
        collect(host, settings, ["hunter2"])
    return diagnostics._kept[host.name], host, asked


@pytest.fixture(autouse=True)
def directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(diagnostics, "_kept", {})
    yield tmp_path
    ctx_host.reset()
    ctx_state.reset()


def test_collect() -> None:
    path, host, asked = collected(PARTS)
    assert path is not None
    assert path.parent == DIRECTORY.resolve()
    where = {"user": "alice", "profile": "default", "label": "a.b", "log": "/l"}
    assert asked == where | {"_timeout": SECONDS}
    text = "== launchd: x ==\n\tstate = running\n\n== log: y ==\n*** TOKEN=***\n"
    assert path.read_text().rstrip("\n") == text.rstrip("\n")
    assert "hunter2" not in host.said
    assert host.logged[-1] == f"All of it: {path}"


@pytest.mark.parametrize(("answer", "settings"), [(None, SETTINGS), ([], SETTINGS), (PARTS, Settings())])
def test_where_nothing_is_told_there_is_no_file(answer: Any, settings: Settings) -> None:
    assert collected(answer, settings)[0] is None
    assert not DIRECTORY.exists()


def test_a_directory_that_cannot_be_written_is_no_exception(directory: Path) -> None:
    (directory / DIRECTORY).write_text("a file in its place")
    path, host, _ = collected(PARTS)
    assert path is None
    assert "cannot be kept" in host.said
    assert "state = running" in host.said, "shown all the same"


@pytest.mark.parametrize(
    ("kept", "failed", "status"),
    [
        ({"a": Path("/x/a.txt")}, set(), 0),
        ({"a": Path("/x/a.txt"), "b": None}, set(), 1),
        ({"a": Path("/x/a.txt")}, {"not reached"}, 1),
    ],
)
def test_the_end_of_a_run(
    kept: Any,
    failed: set[str],
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(diagnostics, "_kept", kept)
    monkeypatch.setattr(diagnostics, "state", SimpleNamespace(failed_hosts=failed))
    assert diagnostics.finish() == status
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(sys, "argv", ["pyinfra", "--json"])
    assert diagnostics.finish() == status
    found = json.loads(capsys.readouterr().out)
    assert found == {"hosts": {name: path and str(path) for name, path in kept.items()}}

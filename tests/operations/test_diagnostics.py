"""What is kept of a failure: masked, for its owner alone, a file a host, and never a failure itself."""

from __future__ import annotations

import json
import re
import shlex
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from operations import diagnostics
from operations.diagnostics import (
    DIRECTORY,
    LOG_LINES,
    PART_LINES,
    Part,
    Secrets,
    collect,
    file_name,
    mask,
    parts,
    secrets_of,
    write,
)
from operations.util.remote import NO_PASSWORD
from tests.fakes import Answer, FakeHost, fake_state

LABEL = "homebrew.mrcee.colima-pulse"
LOG = "/var/log/colima.log"
TOLD = ["diagnose", "alice", "default", LABEL, LOG]
OUTPUT = ["== launchd: x ==", "|\tstate = running", "|== no title ==", "== log: y ==", "|one", "end"]


# Masking


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
        ("proxy http://alice:hunter2@proxy:3128/", "proxy http://***@proxy:3128/"),
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
        "state = running",
        "unix:///Users/alice/.colima/default/docker.sock",
        "http://localhost/_ping and mail to alice@example.org",
        "/usr/bin/ssh-keygen -q",
        "--memory=2 --profile=default",
        "keepalive => 1",
    ],
)
def test_what_does_not_is_left(line: str) -> None:
    assert mask(line) == line


@pytest.mark.parametrize(
    "secret",
    [
        "hunter2",
        "a.*b(c[d\\1",
        "  blanks around  ",
        "quo\"tes \\ and 'more",
        "it's 'within' quotes",
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


def test_a_secret_within_another_does_not_unmask_it() -> None:
    assert mask("hunter2hunter2hunter2 hunter2", ["hunter2", "hunter2hunter2hunter2"]) == "*** ***"


def test_a_short_secret_does_not_shred_the_text() -> None:
    text = "PIN=12 PORT=1200 at 12:12:12 PIN=12"
    assert mask(text, ["12", ""]) == "PIN=*** PORT=1200 at 12:12:12 PIN=***"


def test_a_word_of_any_length_takes_no_time() -> None:
    start = time.monotonic()
    mask(" ".join(word * 20000 for word in ("aaa", "key", "---", "://", "a=")), ["hunter2"])
    assert time.monotonic() - start < 5


def test_secrets_of() -> None:
    flags = ("--env=TOKEN=a=b", "--dns", "1.1.1.1", "--env", "K=c d", "--env=EMPTY=", "--envy=X=no")
    found = secrets_of(flags, {"A": "e", "B": "", "C": "a=b"})
    assert set(found) == {"a=b", "c d", "e"}
    assert "c d" not in repr(found) + str(found) + f"{[found]}"


# The answer


def test_parts() -> None:
    assert parts(OUTPUT) == [
        Part("launchd: x", ("\tstate = running", "== no title ==")),
        Part("log: y", ("one",)),
    ]


@pytest.mark.parametrize("output", [[], ["sh: no such thing"], OUTPUT[:-1], ["|stray", *OUTPUT]])
def test_an_answer_that_is_not_whole_says_so(output: list[str]) -> None:
    last = parts(output)[-1]
    assert last.title == "the questions themselves"
    if "end" not in output:
        assert last.lines[-1] == "(the answer is incomplete)"
    assert [line for line in output if "stray" in line or "no such" in line] == list(
        last.lines[: len(last.lines) - ("end" not in output)]
    )


def test_a_terminal_is_shown_a_logs_end_and_the_beginning_of_all_else() -> None:
    many = tuple(map(str, range(180)))
    for title in ("log: /var/log/colima.log", "log of Lima's host agent", "guest: log of Docker"):
        shown = Part(title, many).excerpt
        assert shown == [f"({180 - LOG_LINES} more lines)", *many[-LOG_LINES:]]
    assert Part("docker ps -a", many).excerpt == [*many[:PART_LINES], f"({180 - PART_LINES} more lines)"]
    assert Part("login", many[:3]).excerpt == list(many[:3])


# The file

NOW = time.struct_time((2026, 11, 22, 9, 5, 7, 6, 326, 0))


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("macmini.lan", "macmini.lan"),
        ("@ssh/macmini.lan", "ssh-macmini.lan"),
        ("../../etc/passwd", "etc-passwd"),
        ("a b\n$(id)", "a-b-id"),
        ("..", "host"),
        ("x" * 300, "x" * 100),
    ],
)
def test_file_name(host: str, name: str) -> None:
    assert file_name(host, NOW) == f"{name}-20261122-090507"


def test_write(tmp_path: Path) -> None:
    directory = tmp_path / "diagnostics"
    directory.mkdir(mode=0o755)
    paths = [write(directory, "mini", text) for text in ("one", "two \udcff", "three")]
    assert [path.name for path in paths] == ["mini.txt", "mini-2.txt", "mini-3.txt"]
    assert [path.read_text() for path in paths] == ["one", "two ?", "three"]
    assert {path.stat().st_mode & 0o777 for path in paths} == {0o600}
    assert directory.stat().st_mode & 0o777 == 0o700


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mini.txt").symlink_to(tmp_path / "elsewhere")
    assert write(tmp_path, "mini", "text").name == "mini-2.txt"
    assert not (tmp_path / "elsewhere").exists()


# All of it


def collected(answer: Answer | Exception, secrets: Any = ()) -> tuple[Path | None, Any]:
    def answers(told: list[str]) -> Answer:
        if isinstance(answer, Exception):
            raise answer
        return answer

    host: Any = FakeHost(answer=answers, name="@ssh/mini")
    return collect(fake_state(), host, "alice", "default", LABEL, LOG, secrets), host


def test_collect() -> None:
    output = [*OUTPUT[:-1], *[f"|line {number} hunter2 TOKEN=x" for number in range(100)], "end"]
    path, host = collected((True, output), Secrets(["hunter2"]))
    assert path is not None
    assert path.parent == DIRECTORY.resolve()
    assert host.told == [TOLD]
    assert host.ran[0].arguments["_timeout"] == 120
    text = path.read_text()
    assert text.startswith("== launchd: x ==\n\tstate = running\n")
    assert "line 0 *** TOKEN=***" in text
    assert "hunter2" not in text + host.said
    assert "line 99" in host.said
    assert "line 50" not in host.said
    assert host.logged[-1] == f"All of it: {path}"


def test_its_output_is_not_even_shown_with_vvv() -> None:
    host: Any = FakeHost(answer=lambda told: (True, OUTPUT))
    state = fake_state()
    state.print_output = True
    collect(state, host, "alice", "default", LABEL, LOG)
    assert not host.ran[0].live


@pytest.mark.parametrize("answer", [(False, ["sh: 1: hunter2"]), TimeoutError(), OSError("hunter2: gone")])
def test_a_mac_that_does_not_answer(answer: Answer | Exception) -> None:
    path, host = collected(answer, ["hunter2"])
    assert path is not None
    assert "the answer is incomplete" in path.read_text()
    assert "hunter2" not in path.read_text() + host.said
    if isinstance(answer, Exception):
        assert type(answer).__name__ in path.read_text()


def test_without_a_password_for_sudo_there_is_nothing_to_keep() -> None:
    path, host = collected(EOFError())
    assert path is None
    assert host.logged[1:] == [NO_PASSWORD]
    assert not DIRECTORY.exists()


def test_what_is_kept_is_safe_to_look_at() -> None:
    """Somebody prints it on a terminal."""
    path, host = collected((True, ["stray\x1b]0;x\x07", "== log: x ==", "|a\x1b]52;c;QQ==\x07b", "end"]))
    assert path is not None
    assert not {"\x1b", "\x07"} & set(path.read_text() + host.said)


def test_a_directory_that_cannot_be_written_is_no_failure(elsewhere: Path) -> None:
    (elsewhere / DIRECTORY).write_text("a file in its place")
    path, host = collected((True, OUTPUT))
    assert path is None
    assert "cannot be kept" in host.said
    assert "state = running" in host.said, "shown all the same"


def test_two_at_once_do_not_collide() -> None:
    first, _ = collected((True, OUTPUT))
    second, _ = collected((True, OUTPUT))
    assert first != second
    assert first is not None
    assert first.exists()


@pytest.mark.parametrize(
    ("kept", "failed", "status"),
    [
        ({"a": Path("/x/a.txt")}, set(), 0),
        ({"a": Path("/x/a.txt"), "b": None}, set(), 1),
        ({"a": Path("/x/a.txt")}, {"not reached"}, 1),
    ],
)
def test_the_end_of_a_run(
    kept: dict[str, Path | None],
    failed: set[str],
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(diagnostics, "KEPT", kept)
    monkeypatch.setattr(diagnostics, "state", SimpleNamespace(failed_hosts=failed))
    assert diagnostics.finish() == status
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(sys, "argv", ["pyinfra", "--json"])
    assert diagnostics.finish() == status
    found = json.loads(capsys.readouterr().out)
    assert found == {"hosts": {name: path and str(path) for name, path in kept.items()}}

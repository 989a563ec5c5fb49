"""logs: the ends of four logs, and what they gain, whatever is done to them meanwhile."""

from __future__ import annotations

import os
import time

import pytest

from facts.logs import ABSENT, UNREADABLE, LogLines
from facts.logs import Logs as Fact
from tests.files.conftest import Mac, is_gone, lines
from tests.files.test_lib import HOSTILE

Answer = tuple[LogLines, ...]
LABEL = "homebrew.mrcee.colima-pulse"


class Logs:
    """The four logs of one Mac."""

    def __init__(self, mac: Mac) -> None:
        self.mac = mac
        instance = mac.home / ".colima/_lima/colima"
        instance.mkdir(parents=True)
        (mac.root / "log").mkdir()
        self.colima = mac.root / "log/a log"
        self.error, self.out = instance / "ha.stderr.log", instance / "ha.stdout.log"
        self.pulse = mac.root / f"log/{LABEL}.log"
        self.paths = (self.colima, self.error, self.out, self.pulse)
        for path in self.paths:
            path.write_text(f"{path.name}\n")

    def read(self, count: int = 50, seconds: int = 0, after: Answer = ()) -> Answer:
        places = [part.place for part in after]
        words = ("alice", "default", LABEL, self.colima, count, seconds, *places)
        edits = {"/var/log/": f"{self.mac.root}/log/"}
        done = self.mac.run("facts/logs", *words, env=HOSTILE, edits=edits)
        assert (done.returncode, done.stderr) == (0, "")
        return Fact().process(lines(done))


@pytest.fixture
def logs(mac: Mac) -> Logs:
    return Logs(mac)


def test_the_end_of_each(logs: Logs) -> None:
    logs.colima.write_text("".join(f"line {number}\n" for number in range(5)))
    found = logs.read(count=2)
    assert [part.lines for part in found] == [
        ("line 3", "line 4"),
        ("ha.stderr.log",),
        ("ha.stdout.log",),
        (f"{LABEL}.log",),
    ]


def test_all_is_read_as_the_user(logs: Logs) -> None:
    """A link in the user's directory leads root nowhere."""
    logs.mac.become("root")
    logs.read()
    (asked,) = logs.mac.calls("sudo")
    assert asked[asked.index("-u") + 1] == "alice"
    assert any("sysopen" in word for word in asked)


def test_what_is_not_there_and_what_is_no_log(logs: Logs) -> None:
    logs.colima.unlink()
    logs.error.unlink()
    logs.error.mkdir()
    logs.out.unlink()
    os.mkfifo(logs.out)  # to open it would hang
    colima, error, out, pulse = logs.read()
    assert colima == LogLines(ABSENT)
    assert error == LogLines(UNREADABLE, why="it is no file")
    assert out.wrong
    assert pulse.lines == (f"{LABEL}.log",)


def test_what_holds_anything(logs: Logs) -> None:
    logs.colima.write_bytes(b"[absent]\nend\n|x\n\xff\xfe\nlast, without an end")
    assert logs.read()[0].lines == ("[absent]", "end", "|x", "??", "last, without an end")


def test_of_a_large_one_the_end(logs: Logs) -> None:
    logs.colima.write_text("".join(f"{number:07d} {'y' * 920}\n" for number in range(20_000)))
    found = logs.read(count=10_000)[0].lines
    assert found[-1].startswith("0019999 ")
    assert all(len(line) == 928 for line in found), "no line is cut off"


def test_what_comes(logs: Logs) -> None:
    found = logs.read()
    with logs.colima.open("a") as writer:
        writer.write("one\ntwo\nhal")
    with logs.pulse.open("a") as writer:
        writer.write("three\n")
    found = logs.read(after=found)
    assert [part.lines for part in found] == [("one", "two"), (), (), ("three",)]
    with logs.colima.open("a") as writer:
        writer.write("f\n")
    found = logs.read(after=found)
    assert found[0].lines == ("half",)
    assert logs.read(after=found)[0].lines == ()


def test_emptied_replaced_and_new(logs: Logs) -> None:
    """As the pulse keeps them small, and as Lima does at each start."""
    logs.colima.write_text("long before\n")
    logs.out.unlink()
    found = logs.read()
    assert found[2].place == ABSENT
    logs.colima.write_text("after\n")
    logs.error.rename(logs.error.with_suffix(".old"))
    logs.error.write_text("much longer than what was there before\n")
    logs.out.write_text("a\nb\n")
    found = logs.read(count=1, after=found)
    assert found[0].lines == ("after",)
    assert found[1].lines == ("much longer than what was there before",)
    assert found[2].lines == ("a", "b")


def test_much_at_once_comes_in_parts_and_whole(logs: Logs) -> None:
    found = logs.read()
    written = [f"{number:099d}" for number in range(6000)]
    with logs.colima.open("a") as writer:
        writer.write("\n".join(written) + "\n")
    seen: list[str] = []
    while len(seen) < len(written):
        found = logs.read(after=found)
        assert found[0].lines
        seen += found[0].lines
    assert seen == written


def test_a_line_that_never_ends(logs: Logs) -> None:
    found = logs.read()
    with logs.colima.open("a") as writer:
        writer.write("x" * 300_000)
    assert len(logs.read(after=found)[0].lines[0]) == 1 << 18


def test_it_waits_and_no_longer(logs: Logs) -> None:
    """So nothing is left running when whoever asked is gone."""
    found = logs.read()
    start = time.monotonic()
    assert [part.lines for part in logs.read(seconds=1, after=found)] == [()] * 4
    assert time.monotonic() - start >= 0.9


def test_it_says_at_once_what_comes(logs: Logs) -> None:
    mac = logs.mac
    found = logs.read()
    text = mac.text("facts/logs", {"/var/log/": f"{mac.root}/log/"})
    words = ("alice", "default", LABEL, logs.colima, 1, 30, *(part.place for part in found))
    asking = mac.popen("-c", text, "facts/logs", *map(str, words))
    with logs.out.open("a") as writer:
        writer.write("news\n")
    output, _ = asking.communicate(timeout=20)
    assert Fact().process(output.splitlines())[2].lines == ("news",)
    assert is_gone(asking.pid)
    assert not [each for each in mac.left().values() if "ha.stderr" in each]


def test_a_stranger(mac: Mac) -> None:
    done = mac.run("facts/logs", "mallory", "default", LABEL, "/x", 5, 0)
    assert done.returncode == 1
    assert done.stderr == "there is no user mallory\n"

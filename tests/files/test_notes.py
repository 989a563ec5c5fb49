"""begin, note and observe-milestones: what a deploy cut off half-way tells the next."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyinfra.api import FactProcessError

from facts.launchd import Milestones
from tests.files.conftest import Mac, lines


@pytest.fixture(autouse=True)
def tools(mac: Mac) -> None:
    mac.tool("/usr/sbin/chown", ":")
    # BSD's stat; -L, for /var/log may be a link.
    mac.tool("/usr/bin/stat", '[ "$1 $2 $3 $#" = "-L -f %z 4" ] && exec stat -L -c %s "$4"')


def observed(mac: Mac, directory: Path) -> dict[str, str]:
    done = mac.run("observe-milestones", directory)
    assert (done.returncode, done.stderr) == (0, "")
    return Milestones().process(lines(done))


def test_a_round(mac: Mac) -> None:
    directory, log = mac.root / "Library/ColimaPulse/a b.label", mac.root / "colima log"
    log.write_text("from before\n")
    assert observed(mac, directory) == {}
    done = mac.run("begin", directory, log, "alice", "first-start", "other")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert observed(mac, directory) == {"log-offset": "12", "first-start": "", "other": ""}
    assert mac.run("note", directory, "verified", "5").returncode == 0
    assert observed(mac, directory)["verified"] == "5"
    assert mac.run("begin", directory, log, "alice").returncode == 0
    assert observed(mac, directory) == {"log-offset": "12"}, "what was seen of the one before is forgotten"
    assert log.read_text() == "from before\n"
    assert [call[-2:] for call in mac.calls("chown")] == [["alice", str(log)]] * 2


@pytest.mark.parametrize(
    "text", ["a=b|c [end]", "end", " spaces ", "back\\slash\\n", "-n", "%s$(x)", "ü", ""]
)
def test_any_text_of_one_line_comes_back(mac: Mac, text: str) -> None:
    assert mac.run("note", mac.root / "label", "said", text).returncode == 0
    assert observed(mac, mac.root / "label") == {"said": text}


def test_of_a_longer_text_the_first_line_comes_back(mac: Mac) -> None:
    mac.run("note", mac.root / "label", "said", "one\nend\nforged=yes")
    assert observed(mac, mac.root / "label") == {"said": "one"}


def test_a_note_is_taken_anew(mac: Mac) -> None:
    for text in ("a longer text", "short"):
        mac.run("note", mac.root / "label", "said", text)
    assert observed(mac, mac.root / "label") == {"said": "short"}


def test_a_new_log_can_be_read_by_all_and_is_the_users(mac: Mac) -> None:
    log = mac.root / "colima.log"
    assert mac.run("begin", mac.root / "label", log, "alice:staff").returncode == 0
    assert (log.read_text(), log.stat().st_mode & 0o777) == ("", 0o644)
    assert [call[-2:] for call in mac.calls("chown")] == [["alice:staff", str(log)]]


def test_a_failure_is_one(mac: Mac) -> None:
    (mac.root / "file").write_text("")
    assert mac.run("note", mac.root / "file", "said", "x").returncode != 0
    assert mac.run("begin", mac.root / "file/label", mac.root / "log", "alice").returncode != 0
    mac.tool("/usr/sbin/chown", "exit 1")
    assert mac.run("begin", mac.root / "label", mac.root / "log", "nobody").returncode != 0


def test_an_answer_cut_off_is_not_believed() -> None:
    with pytest.raises(FactProcessError):
        Milestones().process(["log-offset=12"])

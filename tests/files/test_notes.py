"""begin, note and observe-milestones: what a deploy cut off half-way tells the next."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyinfra.api import FactProcessError

from facts.launchd import Milestones
from tests.files.conftest import Mac, lines

# roots_alone has tests of its own, and a test's directory is nobody's alone.
ALONE = {'roots_alone "${1%/*}"': ":"}


@pytest.fixture(autouse=True)
def tools(mac: Mac) -> None:
    mac.tool("/usr/sbin/chown", ":")
    # BSD's stat; whose a file is its name tells.
    mac.tool(
        "/usr/bin/stat",
        """case "$1 $2 $#" in
        '-f %z 3') exec stat -c %s "$3" ;;
        '-f %HT %l %Su 3')
            [ -e "$3" ] || exit 1
            [ -f "$3" ] && [ ! -L "$3" ] || exec echo Directory 2 root
            case $3 in *roots*) owner=root ;; *) owner=alice ;; esac
            echo "Regular File $(stat -c %h "$3") $owner" ;;
        esac""",
    )


def observed(mac: Mac, directory: Path) -> dict[str, str]:
    done = mac.run("observe-milestones", directory)
    assert (done.returncode, done.stderr) == (0, "")
    return Milestones().process(lines(done))


def test_a_round(mac: Mac) -> None:
    directory, log = mac.root / "Library/ColimaPulse/a b.label", mac.root / "colima log"
    log.write_text("from before\n")
    assert observed(mac, directory) == {}
    done = mac.run("begin", directory, log, "alice", "first-start", "other", edits=ALONE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert observed(mac, directory) == {"log-offset": "12", "first-start": "", "other": ""}
    assert mac.run("note", directory, "verified", "5").returncode == 0
    assert observed(mac, directory)["verified"] == "5"
    assert mac.run("begin", directory, log, "alice", edits=ALONE).returncode == 0
    assert observed(mac, directory) == {"log-offset": "12"}, "what was seen of the one before is forgotten"
    assert log.read_text() == "from before\n"
    assert mac.calls("chown") == [], "it was hers"


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
    assert mac.run("begin", mac.root / "label", log, "alice", edits=ALONE).returncode == 0
    assert (log.read_text(), log.stat().st_mode & 0o777) == ("", 0o644)
    (call,) = mac.calls("chown")
    assert call[:2] == ["-h", "alice"]
    assert not [path for path in mac.root.iterdir() if path.name.startswith(".colima-pulse")]


def test_a_log_that_is_not_the_users_alone_is_kept_and_not_given_away(mac: Mac) -> None:
    """It may have another name, under which it is a file of root's."""
    secret = mac.root / "secret"
    secret.write_text("root's\n")
    for log in (mac.root / "colima.log", mac.root / "roots.log"):
        log.hardlink_to(secret) if log.name == "colima.log" else log.write_text("the original's\n")
        text, inode = log.read_text(), log.stat().st_ino
        done = mac.run("begin", mac.root / "label", log, "alice", edits=ALONE)
        assert (done.returncode, done.stderr) == (0, "")
        assert log.read_text() == ""
        kept = log.with_name(f"{log.name}.old")
        assert (kept.read_text(), kept.stat().st_ino) == (text, inode)
    assert secret.read_text() == "root's\n"
    assert not [call for call in mac.calls("chown") if call[-1] == str(secret)]


def test_what_is_no_log_stays(mac: Mac) -> None:
    log, device = mac.root / "colima.log", Path("/dev/null")
    log.symlink_to(device)
    done = mac.run("begin", mac.root / "label", log, "alice", edits=ALONE)
    assert (done.returncode, log.readlink()) == (1, device)
    assert "is no regular file" in done.stderr
    assert mac.calls("chown") == []
    assert not (mac.root / "label").exists()


def test_where_others_can_write_root_makes_no_log(mac: Mac) -> None:
    log = mac.root / "colima.log"
    done = mac.run("begin", mac.root / "label", log, "alice", edits={'roots_alone "${1%/*}"': "false"})
    assert (done.returncode, log.exists()) == (1, False)
    assert f"others than root can write in {mac.root}" in done.stderr


def test_a_daemon_may_have_no_log(mac: Mac) -> None:
    assert mac.run("begin", mac.root / "label", "", "alice", "first-start").returncode == 0
    assert observed(mac, mac.root / "label") == {"first-start": ""}


def test_a_failure_is_one(mac: Mac) -> None:
    (mac.root / "file").write_text("")
    assert mac.run("note", mac.root / "file", "said", "x").returncode != 0
    assert mac.run("begin", mac.root / "file/label", mac.root / "log", "alice", edits=ALONE).returncode != 0
    mac.tool("/usr/sbin/chown", "exit 1")
    (mac.root / "log").unlink()
    assert mac.run("begin", mac.root / "label", mac.root / "log", "nobody", edits=ALONE).returncode != 0
    assert not (mac.root / "log").exists()


def test_an_answer_cut_off_is_not_believed() -> None:
    with pytest.raises(FactProcessError):
        Milestones().process(["log-offset=12"])

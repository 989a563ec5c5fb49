"""uninstall, and what it removes: all that is ours, nothing else, and root where root alone can write."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from facts.traces import Traces, TracesState
from tests.files.conftest import LABEL, Mac, hostagent, lines
from tests.files.resets import IMPATIENT, Launchd

PULSE = f"{LABEL}.pulse"


class Left:
    """What a Mac has of an installation."""

    def __init__(self, mac: Mac) -> None:
        self.mac = mac
        mac.become("root")
        mac.link("grep")
        mac.stat({mac.home: "Directory:501:alice:700"})
        self.log = mac.root / "log/colima.log"
        mac.configure(log=self.log)
        self.launchd = Launchd(mac)
        self.launchd.load(PULSE)
        self.support = mac.root / "Library/ColimaPulse"
        self.run_dir = mac.root / "var/run/colima-pulse"
        self.daemons = mac.root / "Library/LaunchDaemons"
        self.caches = mac.home / "Library/Caches/colima-pulse"
        self.own = mac.root / f"log/{LABEL}.log"
        self.plists = [self.daemons / f"{LABEL}.plist", self.daemons / f"{PULSE}.plist"]
        self.others = [Path(f"{self.log}.txt"), mac.root / "log/colima.logs", self.caches.parent / "colima/x"]
        for path in (
            *(self.support / "bin/launch", self.support / "state" / LABEL / "verified", *self.plists),
            *(
                self.support / "maintained" / LABEL,
                self.support / "diagnostics/a file",
                self.daemons / "com.apple.x.plist",
            ),
            *(self.run_dir / LABEL / "state", self.caches / "a file"),
            *(self.log, Path(f"{self.log}.1.gz"), Path(f"{self.log}.12.gz"), Path(f"{self.log}.new.gz")),
            *(self.own, Path(f"{self.own}.1.gz"), *self.others),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("/Library/ColimaPulse/")

    def run(self) -> subprocess.CompletedProcess[str]:
        edits = {"/var/log/": f"{self.mac.root}/log/"}
        edits |= {each: IMPATIENT[each] for each in ("gone 20 ours", "gone 10 ours")}
        return self.mac.run("bin/uninstall", LABEL, edits=edits)

    def see(self, log: Path | None = None) -> TracesState:
        edits = {"/var/log/": f"{self.mac.root}/log/"}
        done = self.mac.run("facts/traces", "alice", LABEL, log or self.log, edits=edits)
        found: TracesState = Traces().process(lines(done))
        return found

    def other(self, label: str, text: str = "/Library/ColimaPulse/bin/launch") -> None:
        (self.daemons / f"{label}.plist").write_text(self.mac.path(f"<string>{text}</string>"))


@pytest.fixture
def left(mac: Mac) -> Left:
    return Left(mac)


def test_all_of_it_and_then_nothing(left: Left) -> None:
    expected: list[Path | str] = [
        *(left.support / "diagnostics", left.support, left.run_dir, left.caches),
        *(left.own, f"{left.own}.1.gz"),
        *(left.log, f"{left.log}.1.gz", f"{left.log}.12.gz", f"{left.log}.new.gz"),
    ]
    assert left.see() == TracesState(tuple(map(str, expected)))
    left.launchd.disable()
    done = left.run()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"removed {path}" for path in expected]
    assert not [path for path in (*expected, *left.plists) if Path(path).exists()]
    assert left.launchd.has == [], "not loaded, and not remembered as disabled"
    assert all(path.exists() for path in left.others)
    assert left.see() == TracesState(())


def test_nothing_is_removed_while_something_is_unclear(left: Left) -> None:
    real = (left.mac.root / "tools/launchctl").read_text()
    left.mac.tool("/bin/launchctl", "exit 1")
    assert "Nothing was removed" in left.run().stderr
    (left.mac.root / "tools/launchctl").write_text(real)

    journal = left.support / "reset/bob/web"
    journal.parent.mkdir(parents=True)
    assert left.see().unfinished == ()
    journal.write_text("stage=moving\nend\n")
    assert left.see().unfinished == (("bob", "web"),)
    done = left.run()
    assert (done.returncode, done.stdout, "bob web" in done.stderr) == (1, "", True)
    assert len(left.launchd.has) == 2, "nothing is stopped"

    journal.unlink()
    left.mac.table((77, 501, hostagent(left.mac)))
    left.mac.remove("kill")
    left.mac.tool("/bin/kill", ":")
    done = left.run()
    assert (done.returncode, "77 " in done.stderr) == (1, True)
    assert left.plists[0].exists()
    assert left.log.exists()


def test_what_a_person_started_by_hand_goes_on_and_who_was_deleted_has_no_home(left: Left) -> None:
    (left.launchd.directory / f"loaded {LABEL}").unlink()
    left.mac.table((77, 501, hostagent(left.mac)))
    left.mac.tool("/usr/bin/dscl", "exit 56")
    assert left.run().returncode == 0
    assert not left.plists[0].exists()
    assert not left.support.exists()
    assert left.caches.exists()


def test_root_touches_nothing_where_the_user_writes(left: Left) -> None:
    log = left.mac.home / "colima.log"
    left.mac.configure(log=log)
    forged = left.mac.root / "forged.gz"
    forged.write_text("")
    for path in (log, Path(f"{log}.1.gz"), Path(f"{log}.1\nroot {forged.name}")):
        path.write_text("")
    assert left.run().returncode == 0
    removed = [words[words.index("-rf") + 1] for words in left.mac.calls("sudo") if "-rf" in words]
    assert removed == [str(left.caches), str(log), f"{log}.1.gz"]
    assert forged.exists(), "a name with a line break forged a line of root's"
    assert not log.exists()
    assert left.log.exists(), "another log than the one that was meant"


def test_another_installation_keeps_what_it_uses(left: Left) -> None:
    left.other("com.example.work")
    (left.support / f"diagnostics/{LABEL}-20261122-101530.txt").write_text("")
    found = left.see()
    assert found.others == ("com.example.work",)
    mine = [left.support / f"etc/{LABEL}.conf", left.support / "state" / LABEL]
    mine += [left.support / "maintained" / LABEL, left.run_dir / LABEL]
    mine.append(left.support / f"diagnostics/{LABEL}-20261122-101530.txt")
    assert found.paths[:5] == tuple(map(str, mine))
    assert str(left.log) in found.paths
    left.other("com.example.work", f"/Library/ColimaPulse/bin/launch</string><string>{left.log}")
    assert left.run().returncode == 0
    assert not [path for path in (*mine, *left.plists) if path.exists()]
    assert all(path.exists() for path in (left.support / "bin/launch", left.caches, left.log))


def test_links_go_and_not_where_they_lead_and_a_failure_is_said(left: Left) -> None:
    target = left.mac.root / "elsewhere"
    target.mkdir()
    (target / "kept").write_text("")
    (left.support / "bin/launch").unlink()
    (left.support / "bin/launch").symlink_to(target)
    left.log.unlink()
    left.log.symlink_to(target / "kept")
    left.mac.tool("/bin/rm", 'case $2 in */colima-pulse) exit 1 ;; esac; exec rm "$@"')
    done = left.run()
    assert done.returncode == 1
    assert f"cannot be removed: {left.run_dir}\n" in done.stderr
    assert not left.log.is_symlink(), "the rest goes"
    assert (target / "kept").exists()


def test_a_directory_in_a_logs_place_is_not_ours(left: Left) -> None:
    """LOG_PATH=/var/log never worked, and must not be the end of it."""
    assert str(left.log.parent) not in left.see(left.log.parent).paths
    left.mac.configure(log=left.log.parent)
    assert left.run().returncode == 0
    assert left.others[0].exists()

"""bin/load: the plist in place, the job loaded from it and spawned, and what is noted of its start."""

from __future__ import annotations

import stat
import subprocess
import sys

import pytest

from facts.launchd import Milestones
from tests.files.conftest import LABEL, Mac, hostagent, is_gone, lines, qemu, until
from tests.files.launchd import ENDING, IDLE, PLIST, RUNS, Launchd

OLD = PLIST.replace("<true/>", "<false/>")
PULSE = f"{LABEL}.pulse"


@pytest.fixture
def launchd(mac: Mac) -> Launchd:
    mac.become("root")
    mac.configure()
    return Launchd(mac)


def load(mac: Mac, *options: str, plist: str = PLIST) -> subprocess.CompletedProcess[str]:
    # pyinfra ends every text with a line break.
    return mac.run("bin/load", LABEL, *options, stdin=plist or "\n")


def test_a_fresh_one(mac: Mac, launchd: Launchd) -> None:
    launchd.log.write_text("from before\n")
    # What was noted of the start before is forgotten.
    launchd.state.mkdir(parents=True)
    (launchd.state / "verified").write_text("5\n")
    done = load(mac, "--note", "first-start", "--note", "prune")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert launchd.verbs == ["enable", "bootstrap"]
    assert launchd.plist.read_text() == PLIST
    assert stat.S_IMODE(launchd.plist.stat().st_mode) == 0o644
    assert [path.name for path in launchd.plist.parent.iterdir()] == [launchd.plist.name]
    ((option, checked),) = mac.calls("plutil")
    assert (option, checked.endswith(".plist")) == ("-lint", False)
    assert launchd.notes() == {"log-offset": "12", "first-start": "", "prune": ""}
    found = Milestones().process(lines(mac.run("facts/milestones", LABEL)))
    assert found == launchd.notes()


def test_a_reload_stops_in_order_and_writes_what_is_new_only_then(mac: Mac, launchd: Launchd) -> None:
    launchd.plist.write_text(OLD)
    launchd.job(RUNS)
    launchd.after("bootout", ENDING, ENDING, "absent")
    vm = [mac.start(hostagent(mac)), mac.start(qemu(mac))]
    (mac.home / "pids").write_text(" ".join(str(each.pid) for each in vm))
    mac.brewed("colima", f'cp \'{launchd.plist}\' "$HOME/seen"; kill $(cat "$HOME/pids")')
    done = load(mac, "--reload")
    assert (done.returncode, done.stderr) == (0, "")
    assert mac.calls("colima") == [["stop", "--profile=default"]]
    assert launchd.verbs == ["bootout", "enable", "bootstrap"]
    assert (mac.home / "seen").read_text() == OLD
    assert launchd.plist.read_text() == PLIST


def test_what_is_no_property_list_changes_nothing(mac: Mac, launchd: Launchd) -> None:
    """As what a lost connection leaves of one."""
    launchd.plist.write_text(OLD)
    launchd.job(RUNS)
    done = load(mac, "--reload", plist=PLIST[:-20])
    assert (done.returncode, bool(done.stderr), launchd.verbs) == (1, True, [])
    assert launchd.plist.read_text() == OLD
    assert [path.name for path in launchd.plist.parent.iterdir()] == [launchd.plist.name]
    # An empty one leaves the one there.
    launchd.job("absent")
    assert load(mac, plist="").returncode == 0
    assert launchd.plist.read_text() == OLD
    assert launchd.verbs == ["enable", "bootstrap"]


def test_a_job_that_runs_keeps_its_process_and_its_notes(mac: Mac, launchd: Launchd) -> None:
    launchd.job(RUNS)
    launchd.state.mkdir(parents=True)
    (launchd.state / "verified").write_text("5\n")
    assert load(mac).returncode == 0
    assert launchd.verbs == ["enable"]
    assert launchd.notes() == {"verified": "5"}
    assert launchd.plist.read_text() == PLIST


def test_the_pulse_has_no_notes_and_no_vm(mac: Mac, launchd: Launchd) -> None:
    launchd.state.mkdir(parents=True)
    launchd.job(IDLE, label=PULSE)
    done = load(mac, "--pulse", "--reload")
    assert (done.returncode, done.stderr) == (0, "")
    assert [call[-1] for call in mac.calls("launchctl") if call[0] == "bootout"] == [f"system/{PULSE}"]
    assert (launchd.plist.parent / f"{PULSE}.plist").read_text() == PLIST
    assert launchd.notes() == {}
    assert mac.calls("colima") == []


def test_what_is_in_the_plists_place(mac: Mac, launchd: Launchd) -> None:
    launchd.plist.mkdir()
    done = load(mac)
    assert (done.returncode, done.stderr) == (1, f"{launchd.plist} is a directory\n")
    assert "bootstrap" not in launchd.verbs
    launchd.plist.rmdir()
    target = mac.root / "target"
    target.write_text("before")
    launchd.plist.symlink_to(target)
    assert load(mac).returncode == 0
    assert (target.read_text(), launchd.plist.is_symlink()) == ("before", False)


def test_nothing_is_left_of_a_run_that_was_killed(mac: Mac, launchd: Launchd) -> None:
    for left in (False, True):
        edits = {"receive_plist_said=": "/bin/kill -KILL $$; receive_plist_said="} if not left else {}
        done = mac.run("bin/load", LABEL, stdin=PLIST, edits=edits)
        assert (done.returncode == 0) is left
        assert any(path.name.startswith(".") for path in launchd.plist.parent.iterdir()) is not left


def test_whatever_fails_nothing_is_loaded(mac: Mac, launchd: Launchd) -> None:
    launchd.log.write_text("")
    for tool in ("mv", "chown", "rm"):
        mac.tool(f"/usr/bin/{tool}", "exit 1")
        assert load(mac).returncode != 0
        assert not any(launchd.plist.parent.iterdir())
    assert "bootstrap" not in launchd.verbs


def holder(mac: Mac, launchd: Launchd) -> subprocess.Popen[bytes]:
    """Another run, which has the lock."""
    launchd.holder().parent.mkdir(parents=True)
    launchd.holder().write_text("load (pid 7)\n")
    code = (
        "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, 2); print('has', flush=True); input()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, launchd.holder()], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    mac.started.append(process)
    assert process.stdout is not None
    assert process.stdout.readline() == b"has\n"
    return process


@pytest.mark.parametrize(
    ("before", "there", "verbs", "says"),
    [
        ("running|311|1|", PLIST, [], f"Another run has loaded {LABEL} meanwhile\n"),
        ("running|311|1|", OLD, ["bootout", "enable", "bootstrap"], ""),
        # Whoever had the lock, as the pulse for a look, has started nothing.
        (RUNS, PLIST, ["bootout", "enable", "bootstrap"], ""),
    ],
)
def test_a_run_that_came_first(
    mac: Mac, launchd: Launchd, before: str, there: str, verbs: list[str], says: str
) -> None:
    launchd.job(before, RUNS)
    other = holder(mac, launchd)
    second = mac.popen("-c", mac.text("bin/load"), "bin/load", LABEL, "--reload")
    assert second.stdout is not None
    assert second.stdout.readline() == f"Waiting for load (pid 7) of {LABEL} to end\n"
    launchd.plist.write_text(there)
    other.kill()
    assert second.communicate(PLIST, timeout=20)[0] == says
    assert (second.returncode, launchd.verbs) == (0, verbs)


def test_a_run_that_does_not_end(mac: Mac, launchd: Launchd) -> None:
    holder(mac, launchd)
    done = mac.run("bin/load", LABEL, stdin=PLIST, edits={'lock "$label" 900': 'lock "$label" 3'})
    assert done.returncode == 75
    assert done.stderr == f"load (pid 7) of {LABEL} has not ended within 3 s. Run this again when it has\n"
    assert launchd.verbs == []


def test_what_it_is_not_called_with(mac: Mac, launchd: Launchd) -> None:
    assert load(mac, "--restart").stderr == "load does not know --restart; load -h says what it does\n"
    mac.configure(user="nobody")
    launchd.job(RUNS)
    assert load(mac, "--reload").stderr.endswith("there is no user nobody\n")
    assert launchd.verbs == []


def test_where_others_can_write_root_makes_no_log(mac: Mac, launchd: Launchd) -> None:
    real = (mac.root / "tools/stat").read_text()
    mac.stat({mac.root / "var/log": "Directory:501:alice:755"})
    assert load(mac).stderr.endswith(f"; choose another LOG_PATH than {launchd.log}\n")
    assert not launchd.log.exists()
    # What is no log stays.
    launchd.log.mkdir()
    (mac.root / "tools/stat").write_text(real.replace("Regular File 1 alice", "Directory 2 alice"))
    assert load(mac).stderr == f"{launchd.log} is no regular file; choose another LOG_PATH\n"
    assert launchd.log.is_dir()
    assert launchd.verbs == []


def test_a_log_that_is_not_the_users_alone_is_kept_and_not_given_away(mac: Mac, launchd: Launchd) -> None:
    """It may have another name, under which it is a file of root's."""
    secret = mac.root / "secret"
    secret.write_text("root's\n")
    launchd.log.hardlink_to(secret)
    stand_in = mac.root / "tools/stat"
    stand_in.write_text(
        stand_in.read_text().replace("Regular File 1 alice", 'Regular File $(fields nlink "$path") alice')
    )
    assert load(mac).returncode == 0
    assert (secret.read_text(), launchd.log.read_text()) == ("root's\n", "")
    assert launchd.log.with_name("colima.log.old").stat().st_ino == secret.stat().st_ino
    assert not [call for call in mac.calls("chown") if call[-1] == str(secret)]


def test_any_note_comes_back_by_its_first_line(mac: Mac, launchd: Launchd) -> None:
    launchd.state.mkdir(parents=True)
    notes = {"a": "b=c|d [end]", "end": "end", "smoke.web": "back\\n $(x)", "empty": ""}
    for name, text in notes.items():
        (launchd.state / name).write_text(f"{text}\nend\nforged=yes\n")
    assert Milestones().process(lines(mac.run("facts/milestones", LABEL))) == notes


def test_a_vm_that_is_stopped_is_gone_before_it_is_loaded_anew(mac: Mac, launchd: Launchd) -> None:
    launchd.job(RUNS)
    left = mac.start(qemu(mac))
    mac.brewed("colima", ":")
    assert load(mac, "--reload").returncode == 0
    until(lambda: is_gone(left.pid))
    assert mac.calls("colima") == []  # it cannot stop what has no host agent

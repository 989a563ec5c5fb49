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


def test_what_was_noted_of_the_start_before_is_forgotten(mac: Mac, launchd: Launchd) -> None:
    load(mac, "--note", "first-start")
    (launchd.state / "verified").write_text("5\n")
    launchd.job(IDLE)
    launchd.after("kickstart", RUNS)
    assert load(mac).returncode == 0
    assert launchd.notes() == {"log-offset": "0"}


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


@pytest.mark.parametrize("plist", ["<plist><dict>", PLIST[:-20]])
def test_what_is_no_property_list_changes_nothing(mac: Mac, launchd: Launchd, plist: str) -> None:
    """As what a lost connection leaves of one."""
    launchd.plist.write_text(OLD)
    launchd.job(RUNS)
    done = load(mac, "--reload", plist=plist)
    assert done.returncode == 1
    assert done.stderr
    assert launchd.verbs == []
    assert launchd.plist.read_text() == OLD
    assert [path.name for path in launchd.plist.parent.iterdir()] == [launchd.plist.name]


def test_an_empty_plist_leaves_the_one_there(mac: Mac, launchd: Launchd) -> None:
    launchd.plist.write_text(OLD)
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


@pytest.mark.parametrize("link", [True, False])
def test_what_is_in_the_plists_place(mac: Mac, launchd: Launchd, link: bool) -> None:
    target = mac.root / "target"
    target.write_text("before")
    launchd.plist.symlink_to(target) if link else launchd.plist.mkdir()
    done = load(mac)
    assert target.read_text() == "before"
    if link:
        assert (done.returncode, launchd.plist.is_symlink()) == (0, False)
    else:
        assert (done.returncode, done.stderr) == (1, f"{launchd.plist} is a directory\n")
        assert "bootstrap" not in launchd.verbs


@pytest.mark.parametrize("tool", ["mktemp", "chown", "mv"])
def test_whatever_fails_nothing_is_loaded(mac: Mac, launchd: Launchd, tool: str) -> None:
    launchd.log.write_text("")
    mac.tool(f"/usr/bin/{tool}", "exit 1")
    assert load(mac).returncode != 0
    assert "bootstrap" not in launchd.verbs
    assert not any(launchd.plist.parent.iterdir())


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
    ("there", "verbs", "says"),
    [
        (PLIST, [], f"Another run has loaded {LABEL} meanwhile\n"),
        (OLD, ["bootout", "enable", "bootstrap"], ""),
    ],
)
def test_a_run_that_came_first(mac: Mac, launchd: Launchd, there: str, verbs: list[str], says: str) -> None:
    launchd.job(RUNS)
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


def test_the_user_is_no_longer_there(mac: Mac, launchd: Launchd) -> None:
    mac.configure(user="nobody")
    launchd.job(RUNS)
    done = load(mac, "--reload")
    assert (done.returncode, launchd.verbs) == (1, [])
    assert done.stderr.endswith("there is no user nobody\n")


def test_an_option_that_is_none(mac: Mac, launchd: Launchd) -> None:
    assert load(mac, "--restart").stderr == "load does not know --restart; load -h says what it does\n"


def test_where_others_can_write_root_makes_no_log(mac: Mac, launchd: Launchd) -> None:
    mac.stat({mac.root / "var/log": "Directory:501:alice:755"})
    done = load(mac)
    assert done.returncode == 1
    assert done.stderr.endswith(f"; choose another LOG_PATH than {launchd.log}\n")
    assert (launchd.log.exists(), launchd.verbs) == (False, [])


def test_a_log_that_is_not_the_users_alone_is_kept_and_not_given_away(mac: Mac, launchd: Launchd) -> None:
    """It may have another name, under which it is a file of root's."""
    secret = mac.root / "secret"
    secret.write_text("root's\n")
    launchd.log.hardlink_to(secret)
    stand_in = mac.root / "tools/stat"
    stand_in.write_text(
        stand_in.read_text().replace("Regular File 1 alice", "Regular File $(stat -c %h $path) alice")
    )
    assert load(mac).returncode == 0
    assert (secret.read_text(), launchd.log.read_text()) == ("root's\n", "")
    assert launchd.log.with_name("colima.log.old").stat().st_ino == secret.stat().st_ino
    assert not [call for call in mac.calls("chown") if call[-1] == str(secret)]


def test_what_is_no_log_stays(mac: Mac, launchd: Launchd) -> None:
    launchd.log.mkdir()
    stand_in = mac.root / "tools/stat"
    stand_in.write_text(stand_in.read_text().replace("Regular File 1 alice", "Directory 2 alice"))
    done = load(mac)
    assert (done.returncode, done.stderr) == (
        1,
        f"{launchd.log} is no regular file; choose another LOG_PATH\n",
    )
    assert launchd.log.is_dir()
    assert launchd.verbs == []


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

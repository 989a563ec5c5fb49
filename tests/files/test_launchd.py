"""lib/launchd: how launchctl's texts and exit statuses are taken."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.files.conftest import LABEL, Mac
from tests.files.launchd import ENDING, IDLE, NEVER, RUNS, Launchd

RECORDINGS = Path(__file__).parents[1] / "recordings" / "launchctl"
RUNNING = (RECORDINGS / "running-macos26.txt").read_text()
OPENCLAW = "ai.openclaw.gateway"
# Waits are cut, not skipped.
EDITS = {"BOOTSTRAP_SECONDS=90": "BOOTSTRAP_SECONDS=16", "await 10 ": "await 4 "}


@pytest.fixture
def launchd(mac: Mac) -> Launchd:
    return Launchd(mac)


def read(mac: Mac, *answers: tuple[str, int]) -> list[list[str]]:
    """How read_job takes answers of launchctl, each a text and an exit status."""
    for number, (text, status) in enumerate(answers):
        (mac.root / f"{number}.text").write_text(text)
        (mac.root / f"{number}.status").write_text(f"{status}\n")
    mac.tool(
        "/bin/launchctl",
        f"""cd '{mac.root}'; n=$(($(cat n 2>/dev/null || echo -1) + 1)); echo $n >n
        cat $n.text; exit "$(cat $n.status)" """,
    )
    code = f"""for turn in {" ".join(map(str, range(len(answers))))}; do
        read_job {OPENCLAW}; printf "%s|" "$job" "$job_pid" "$runs" "$last_exit" "$job_path"; echo; done"""
    done = mac.call(code)
    assert (done.returncode, done.stderr) == (0, "")
    return [line.split("|")[:-1] for line in done.stdout.splitlines()]


def recorded(name: str) -> str:
    return (RECORDINGS / f"{name}-macos26.txt").read_text()


def test_a_job(mac: Mac) -> None:
    never = "(never exited)"
    expected = {
        # The coalition blocks hold a "state = active" of their own.
        RUNNING: ["running", "94358", "1", never],
        recorded("running-after-term"): ["running", "94358", "2", "Terminated: 15"],
        recorded("not-running"): ["idle", "0", "1", "1"],
        recorded("never-ran"): ["idle", "0", "0", never],
        RUNNING.replace("state = running", "state = SIGTERMed"): ["ending", "94358", "1", never],
        RUNNING.replace("state = running", "state = SIGKILLed"): ["ending", "94358", "1", never],
        RUNNING.replace("state = running", "state = xpcproxy"): ["running", "94358", "1", never],
        # What is about to have a process has not ended.
        RUNNING.replace("state = running", "state = spawning").replace("\tpid = 94358\n", ""): [
            *("unknown", "0", "1", never)
        ],
        # An argument is no value.
        RUNNING.replace("\t\t--config\n", "\t\t}\n\t\tpid = 1\n", 1): ["running", "94358", "1", never],
    }
    found = read(mac, *((text, 0) for text in expected))
    assert [each[:4] for each in found] == list(expected.values())
    assert all(each[4].endswith(f"/{OPENCLAW}.plist") for each in found)


def test_only_one_answer_means_absent(mac: Mac) -> None:
    answers = {
        ('Bad request.\nCould not find service "x" in domain for system', 113): "absent",
        (RUNNING, 1): "unknown",
        ("", 0): "unknown",
        (RUNNING[: RUNNING.index("\tdomain")], 0): "unknown",
        (RUNNING.replace("\tstate = running\n", ""), 0): "unknown",
        (RUNNING.replace(f"system/{OPENCLAW}", "system/another.job"), 0): "unknown",
        ("", 3): "unknown",
        ("", 112): "unknown",
    }
    assert read(mac, *answers) == [[job, "0", "0", "unknown", ""] for job in answers.values()]


@pytest.mark.parametrize("macos", [12, 13])
def test_disabled(mac: Mac, macos: int) -> None:
    text = RECORDINGS / f"print-disabled-macos{macos}.txt"
    mac.tool("/bin/launchctl", f"cat '{text}'")
    labels = ("com.apple.ftpd", "com.example.x", "com.apple.ftp", "com.example.login")
    done = mac.call('for label; do disabled "$label"; done', *labels)
    assert done.stdout.split() == ["yes", "no", "no", "no"]


@pytest.mark.parametrize("body", ["exit 1", "echo nothing of this kind"])
def test_a_list_that_is_none(mac: Mac, body: str) -> None:
    mac.tool("/bin/launchctl", body)
    done = mac.call("disabled a")
    assert (done.returncode, done.stdout) == (1, "")


def bootstrap(mac: Mac) -> subprocess.CompletedProcess[str]:
    return mac.call('bootstrap "$1"', LABEL, edits=EDITS)


def test_it_is_enabled_first_or_bootstrap_would_answer_119(mac: Mac, launchd: Launchd) -> None:
    done = bootstrap(mac)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert launchd.verbs == ["enable", "bootstrap"]
    assert mac.calls("launchctl")[-2] == ["bootstrap", "system", str(launchd.plist)]
    assert launchd.now == 0


@pytest.mark.parametrize("code", [5, 17, 36, 37])
def test_what_means_still_draining_is_waited_for(mac: Mac, launchd: Launchd, code: int) -> None:
    """5 for 25 s after a bootout was seen on Macs."""
    launchd.hurry(10)
    launchd.codes("bootstrap", *[code] * (4 if code == 5 else 1))
    done = bootstrap(mac)
    assert (done.returncode, done.stderr) == (0, "")
    assert ("Waiting for launchd to accept" in done.stdout) == (code == 5)


def test_the_wait_has_an_end(mac: Mac, launchd: Launchd) -> None:
    launchd.hurry(8)
    launchd.codes("bootstrap", *[5] * 100)
    done = bootstrap(mac)
    assert done.returncode == 1
    assert launchd.now == 16
    assert done.stderr == (
        "launchctl bootstrap: 5: bootstrap failed: 5: because, for 16 s. "
        f"Look: sudo launchctl print system/{LABEL}; plutil -lint {launchd.plist}\n"
    )
    assert "kickstart" not in launchd.verbs


@pytest.mark.parametrize(("path", "tries"), [("", 1), ("/tmp/other.plist", 2)])
def test_loaded_meanwhile(mac: Mac, launchd: Launchd, path: str, tries: int) -> None:
    """5 means "already loaded" as well, if it is ours that is."""
    launchd.job("absent", f"{RUNS}|{path}", RUNS)
    launchd.codes("bootstrap", 5)
    assert bootstrap(mac).returncode == 0
    assert launchd.verbs == ["enable", *["bootstrap"] * tries]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (119, f"sudo launchctl enable system/{LABEL}"),
        (155, "xattr -d com.apple.quarantine"),
        (161, "Login Items"),
        (111, "because\n"),
    ],
)
def test_what_does_not_pass_by_waiting(mac: Mac, launchd: Launchd, code: int, says: str) -> None:
    launchd.codes("bootstrap", *[code] * 9)
    done = bootstrap(mac)
    assert (done.returncode, launchd.now, len(done.stderr.splitlines())) == (1, 0, 1)
    assert done.stderr.startswith(f"launchctl bootstrap: {code}: bootstrap failed: {code}: because")
    assert says in done.stderr
    assert launchd.verbs == ["enable", "bootstrap"]


def test_enable_refused(mac: Mac, launchd: Launchd) -> None:
    launchd.codes("enable", 150)
    done = bootstrap(mac)
    assert (done.returncode, launchd.verbs) == (1, ["enable"])
    assert done.stderr == f"launchctl enable system/{LABEL}: 150: enable failed: 150: because\n"


@pytest.mark.parametrize("spawns", [True, False])
def test_what_is_loaded_and_not_spawned_is_kicked_once(mac: Mac, launchd: Launchd, spawns: bool) -> None:
    launchd.hurry(4)
    launchd.after("bootstrap", NEVER)
    launchd.after("kickstart", RUNS if spawns else NEVER)
    done = bootstrap(mac)
    assert launchd.verbs == ["enable", "bootstrap", "kickstart"]
    assert ["kickstart", f"system/{LABEL}"] in mac.calls("launchctl")  # without -k
    assert done.returncode == (0 if spawns else 1)
    assert done.stderr == (
        ""
        if spawns
        else f"launchd has loaded {LABEL} and does not spawn it. Look: sudo launchctl print system/{LABEL}\n"
    )


@pytest.mark.parametrize(
    ("job", "verbs"),
    [
        # One that ran and is between two attempts does not wait out its throttle.
        (IDLE, ["enable", "kickstart"]),
        (RUNS, ["enable"]),
    ],
)
def test_what_is_loaded_is_not_bootstrapped(mac: Mac, launchd: Launchd, job: str, verbs: list[str]) -> None:
    launchd.job(job)
    assert bootstrap(mac).returncode == 0
    assert (launchd.verbs, launchd.now) == (verbs, 0)


def test_how_a_start_ends_is_not_judged(mac: Mac, launchd: Launchd) -> None:
    launchd.after("bootstrap", IDLE)
    assert bootstrap(mac).returncode == 0
    assert launchd.verbs == ["enable", "bootstrap"]


def test_what_somebody_has_just_booted_out_ends_first(mac: Mac, launchd: Launchd) -> None:
    launchd.job(*[ENDING] * 3, "absent")
    assert bootstrap(mac).returncode == 0
    assert launchd.verbs == ["enable", "bootstrap"]
    assert launchd.now == 1


def boot_out(mac: Mac, seconds: int = 315) -> subprocess.CompletedProcess[str]:
    return mac.call('boot_out "$1" "$2"', LABEL, seconds)


@pytest.mark.parametrize("code", [3, 36, 113])
def test_boot_out(mac: Mac, launchd: Launchd, code: int) -> None:
    launchd.codes("bootout", code)
    done = boot_out(mac)
    assert (done.returncode, done.stderr, launchd.verbs) == (0, "", ["bootout"])


def test_its_end_is_awaited(mac: Mac, launchd: Launchd) -> None:
    """bootout returns at once; what cannot be read is not gone."""
    launchd.hurry(10)
    launchd.after("bootout", *[ENDING] * 2, "broken", ENDING, "absent")
    done = boot_out(mac)
    assert (done.returncode, done.stderr, launchd.verbs) == (0, "", ["bootout"])
    assert done.stdout == f"Waiting for {LABEL} to end: 15 of 315 s\n"
    launchd.after("bootout", ENDING)
    done = boot_out(mac, 10)
    assert done.returncode == 1
    assert done.stderr == (
        f"{LABEL} is still loaded 10 s after bootout. Look: sudo launchctl print system/{LABEL}. "
        "Then run this again.\n"
    )


@pytest.mark.parametrize("code", [1, 5])
def test_a_boot_out_that_is_refused(mac: Mac, launchd: Launchd, code: int) -> None:
    launchd.job(RUNS)
    launchd.codes("bootout", code)
    done = boot_out(mac)
    assert (done.returncode, launchd.now) == (1, 0)
    assert done.stderr == f"launchctl bootout system/{LABEL}: {code}: bootout failed: {code}: because\n"


def test_a_launchctl_that_hangs_is_ended(mac: Mac) -> None:
    mac.tool("/bin/launchctl", "trap '' TERM; echo so far; sleep 300")
    edits = {"bounded 60": "bounded 0.2", "alarm 5": "alarm 0.2"}
    done = mac.call("tell_launchd '' enable system/a", edits=edits)
    assert (done.returncode, done.stderr) == (1, "launchctl enable system/a: 124: so far\n")

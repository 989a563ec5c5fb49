"""What launchd does with a job, and what launchctl answers: all verbs, statuses and fields relied on.

Where the versions of macOS differ, what files/lib/launchd takes is what is accepted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from facts.launchd import JobState
from tests.contracts.daemon import LABEL, Daemon, Keep
from tests.host import Host

SLEEP = ("/bin/sleep", "600")
# It takes longer to end than launchd gives a job that says nothing of it: 5 s.
PATIENT = """
printf '%s, %s files\\n' "$GREETING from $(/usr/bin/id -un)" "$(ulimit -n)"
trap 'trap "" TERM; /bin/sleep 6; echo ended in order; exit 0' TERM
while :; do /bin/sleep 0.1; done
"""
# Deaf to TERM; its first run fails.
DEAF = """
trap '' TERM
if [ ! -s "$0" ]; then echo failed; exit 3; fi
while :; do /bin/sleep 0.1; done
"""

# Of bootstrap: it is loaded, or not yet gone. Of bootout: it is gone, or going.
LOADED = {5, 17, 36, 37}
GONE = {3, 36, 113}
NO_DOMAIN = {112, 125}


@pytest.fixture(scope="module", autouse=True)
def swept(request: pytest.FixtureRequest, host: Host) -> None:
    """Nothing of a run that was cut off is left."""
    if request.config.getoption("host") and not request.config.getoption("yes_really"):
        pytest.skip("loads a LaunchDaemon of no use there, and removes it: --yes-really")
    Daemon(host, Keep(None)).remove()


@pytest.fixture(scope="module")
def user(host: Host) -> str:
    """Who sudo was called by."""
    return host.run('printf %s "$SUDO_USER"').stdout


@pytest.fixture
def daemon(host: Host, keep: Keep) -> Iterator[Daemon]:
    found = Daemon(host, keep)
    yield found
    found.remove()


@pytest.fixture(scope="module")
def patient(host: Host, keep: Keep, swept: None) -> Iterator[Daemon]:
    """A job that takes its time to end: other tests go on meanwhile."""
    found = Daemon(host, keep, f"{LABEL}.patient")
    found.remove()
    yield found
    found.remove()


def test_as_its_plist_says(patient: Daemon, host: Host, user: str) -> None:
    plist = patient.plist(
        *("/bin/sh", "-c", PATIENT),
        UserName=user,
        KeepAlive=True,
        ExitTimeOut=30,
        EnvironmentVariables={"GREETING": "hello"},
        SoftResourceLimits={"NumberOfFiles": 10240},
    )
    assert patient.tell(patient.bootstrap, "await says", plist=plist).statuses[0] == 0
    # Emptied as the pulse empties it.
    said = host.run('/bin/cat "$1" && : >"$1"', patient.log).stdout
    assert said == f"hello from {user}, 10240 files\n"


def test_a_job_that_ends_is_still_there(patient: Daemon) -> None:
    told = patient.tell(
        f"bootout {patient.target}", f"bootout {patient.target}", patient.bootstrap, name="ending"
    )
    out, again, early = told.statuses
    assert out in {0, 36}
    assert again in {0, *GONE}
    assert early in LOADED
    told.shows("ending", state="SIGTERMed", running=False, runs=1)
    assert told.job.pid


def test_absent(daemon: Daemon) -> None:
    target = daemon.target
    told = daemon.tell(
        f"print {target}", f"bootout {target}", f"kickstart {target}", f"kill TERM {target}", name="absent"
    )
    shown, out, kicked, killed = told.statuses
    assert (shown, kicked) == (113, 113)
    assert f'Could not find service "{LABEL}" in domain for system' in told.said[0]
    assert out in GONE
    assert killed in {3, 113}
    told.shows("absent")
    assert told.job == JobState(loaded=False, disabled=False)


def test_running(daemon: Daemon, host: Host, keep: Keep, user: str) -> None:
    variables = {"COLOUR": "blue", "WORDS": "a => b"}
    plist = daemon.plist(
        *SLEEP,
        UserName=user,
        KeepAlive=True,
        RunAtLoad=True,
        ThrottleInterval=60,
        ExitTimeOut=300,
        EnvironmentVariables=variables,
    )
    told = daemon.tell(
        daemon.bootstrap,
        "await now running",
        daemon.bootstrap,
        f"kickstart {daemon.target}",
        plist=plist,
        name="running",
    )
    loaded, _, again, kicked = told.statuses
    assert (loaded, told.said[0]) == (0, "")
    assert again in LOADED
    assert kicked in {0, 37}
    job = told.job
    # Nothing of this has started it anew.
    told.shows(
        "running",
        running=True,
        state="running",
        path=daemon.path,
        arguments=SLEEP,
        username=user,
        runs=1,
        last_exit=None,
        exit_timeout=300,
        run_interval=None,
        stdout_path=daemon.log,
        disabled=False,
        plist=plist,
    )
    assert variables.items() <= job.environment.items()
    assert {"keepalive", "runatload"} <= set(job.properties)
    assert job.plist_file is not None
    assert job.plist_file.is_roots_alone
    process = host.run('/bin/ps -ww -p "$1" -o user= -o command=', str(job.pid)).stdout
    assert process.split()[0] == user
    assert process.rstrip().endswith("sleep 600")

    # Without its file it is still in the domain's list. Lima's name is in the label.
    keep("launchctl/system.txt", host.run('/bin/rm "$1" && /bin/launchctl print system', daemon.path).stdout)
    asked = ("facts.launchd.LaunchdJob", f"label={LABEL}", "facts.rivals.Definitions", f"user={user}")
    run = host.pyinfra("fact", *asked, "--json")
    found, definitions = (answers[host.name] for answers in run.json.values())
    assert (found["pid"], found["plist_file"]) == (job.pid, None)
    assert [each["kind"] for each in definitions if each["label"] == LABEL] == ["loaded"]


def test_never_ran(daemon: Daemon) -> None:
    """As launchd leaves now and then what it was to start."""
    told = daemon.tell(daemon.bootstrap, plist=daemon.plist(*SLEEP), name="never-ran")
    told.shows("idle", pid=None, runs=0, last_exit=None)
    told = daemon.tell(f"kickstart {daemon.target}", "await now running")
    assert told.statuses[0] == 0
    told.shows("running", running=True, runs=1)


def test_killed_and_kickstarted(daemon: Daemon) -> None:
    plist = daemon.plist(*SLEEP, KeepAlive=True, ThrottleInterval=60)
    kill = f"kill TERM {daemon.target}"
    verbs = (daemon.bootstrap, "await now running", kill, "await now idle")
    told = daemon.tell(*verbs, plist=plist, name="spawn-scheduled")
    assert told.statuses == (0, 0, 0, 0)
    told.shows("idle", running=False, pid=None, runs=1, last_exit="Terminated: 15")
    # The throttle does not hold back what is asked for.
    told = daemon.tell(f"kickstart {daemon.target}", "await ran running 2", name="running-after-term")
    assert told.statuses == (0, 0)
    told.shows("running", running=True, username=None, runs=2, last_exit="Terminated: 15")


def test_kept_alive_and_killed(daemon: Daemon) -> None:
    arguments = ("/bin/sh", "-c", DEAF, daemon.log)
    plist = daemon.plist(*arguments, KeepAlive=True, ThrottleInterval=1, ExitTimeOut=1)
    told = daemon.tell(daemon.bootstrap, "await ran running 2", plist=plist)
    told.shows("running", runs=2, last_exit="3")
    begun = time.monotonic()
    told = daemon.tell(f"bootout {daemon.target}", "await now absent")
    assert time.monotonic() - begun > 0.9
    told.shows("absent")


def test_at_intervals(daemon: Daemon) -> None:
    """As the pulse runs."""
    plist = daemon.plist("/bin/sh", "-c", "exit 7", RunAtLoad=True, StartInterval=600)
    kill = f"kill TERM {daemon.target}"
    told = daemon.tell(daemon.bootstrap, "await ran idle 1", kill, plist=plist, name="not-running")
    assert told.statuses == (0, 0, 3)
    told.shows("idle", pid=None, runs=1, last_exit="7", run_interval=600)


def test_disabled(daemon: Daemon, host: Host, keep: Keep) -> None:
    verbs = (daemon.bootstrap, "await now running", f"disable {daemon.target}")
    told = daemon.tell(*verbs, plist=daemon.plist(*SLEEP, KeepAlive=True))
    assert told.statuses == (0, 0, 0)
    told.shows("running", disabled=True)
    keep("launchctl/print-disabled.txt", host.run("/bin/launchctl print-disabled system").stdout)
    told = daemon.tell(f"bootout {daemon.target}", "await now absent", daemon.bootstrap)
    assert told.statuses[2] in {119, 5}
    told.shows("absent", disabled=True)
    told = daemon.tell(f"enable {daemon.target}", daemon.bootstrap, "await now running")
    assert told.statuses == (0, 0, 0)
    told.shows("running", disabled=False, runs=1)


def test_what_bootstrap_refuses(daemon: Daemon, host: Host) -> None:
    assert daemon.tell(daemon.bootstrap).statuses == (2,)
    host.run('umask 0; echo "<plist>" >"$1"', daemon.path)
    told = daemon.tell(daemon.bootstrap)
    assert told.statuses[0] in {122, 5}
    told.shows("absent", plist=None)
    host.run('/bin/chmod 0644 "$1"', daemon.path)
    assert daemon.tell(daemon.bootstrap).statuses[0] in {109, 5}


def test_what_cannot_be_started(daemon: Daemon) -> None:
    plist = daemon.plist("/nowhere/at/all", RunAtLoad=True)
    told = daemon.tell(daemon.bootstrap, "await ran idle 1", plist=plist, name="no-program")
    assert told.statuses[0] == 0
    told.shows("idle", pid=None, last_exit="78: EX_CONFIG")


def test_a_domain_that_is_not_there(daemon: Daemon) -> None:
    """An agent's, whose user is not logged in: files/bin/remove-job."""
    shown, out = daemon.tell(f"print gui/424242/{LABEL}", f"bootout gui/424242/{LABEL}").statuses
    assert shown in {113, *NO_DOMAIN}
    assert out in {*GONE, *NO_DOMAIN}


def test_a_job_ends_in_its_own_time(patient: Daemon, host: Host) -> None:
    """Booted out by a test before; what it wrote to its emptied log begins at the beginning."""
    patient.tell("await now absent").shows("absent")
    assert host.run('/bin/cat "$1"', patient.log).stdout == "ended in order\n"

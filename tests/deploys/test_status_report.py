"""How a host is judged from its facts, and what is asked of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from pyinfra.context import ctx_config, ctx_host

from deploys.status_report import (
    ABSENT,
    DEGRADED,
    DOWN,
    HEALTHY,
    STARTING,
    STOPPED,
    UNKNOWN,
    Boot,
    Colima,
    Containers,
    Engine,
    Finding,
    Report,
    Seen,
    Watch,
    judge,
    look,
)
from facts.colima import (
    ColimaProfile,
    Disk,
    Guest,
    GuestState,
    Log,
    LogState,
    ProfileState,
    Program,
    ProgramState,
)
from facts.diagnosis import Diagnosis, DiagnosisState
from facts.docker import Container, DockerEngine, EngineState
from facts.launchd import FileState, JobState, LaunchdJob
from facts.mac import Mac
from facts.pulse import BACKING_OFF, GAVE_UP, LEFT_ALONE, MISSING, WELL, BootReport, Pulse, PulseState
from operations.util import internals
from operations.util.installer import Installers, parse
from settings import Settings
from tests.facts.test_mac import mini
from tests.fakes import FakeHost

GIB = 1024**3
LABEL = "homebrew.mrcee.colima-pulse"
SETTINGS = Settings(homebrew_user="alice")
NOW = 1_795_350_000  # 2026-11-22T12:20:00Z
DAY = 86400


def installers(**texts: str) -> Installers:
    found = [parse(name, text.encode())[0] for name, text in texts.items()]
    return Installers(tuple(each for each in found if each is not None), (), ())


DETACHED = "docker run -d --name web nginx"
WEB = installers(web="docker run -d --name web --restart always nginx")
(INSTALLER,) = WEB.all
RUNS = Container("running", 0, "", "always", INSTALLER.digest)
ENGINE = EngineState("/s", True, None, "29.1.3", {"web": RUNS})
SILENT = EngineState("/s", True, "curl: (52) Empty reply from server")
PLIST = FileState("Regular File", 0, 0, "644", "<plist/>")
JOB = JobState(loaded=True, disabled=False, state="running", pid=312, runs=3, last_exit="1", plist_file=PLIST)
UNLOADED = JobState(loaded=False, disabled=False, plist_file=PLIST)
PROFILE = ProfileState(
    home="/Users/alice",
    instance="colima",
    state_dir=True,
    other_dir=None,
    data_disk=True,
    provisioned=True,
    status="Running",
    vm_type="qemu",
    cpus=4,
    memory=8 * GIB,
)
DISK = Disk(60 * GIB, 12 * GIB, 46 * GIB)
GUEST = GuestState(True, "active", "active", docker_seconds=2 * DAY, disk=DISK)
MAC = replace(
    mini(),
    filevault=False,
    sleep_minutes=0,
    auto_restart=True,
    boot_time=NOW - 3 * DAY,
    volume_free=200 * GIB,
)
BOOT = BootReport("2026-11-19T12:21:14Z", 74, None, 2, 3)
PULSE = PulseState(WELL, reports=(BOOT,))
PROGRAM = ProgramState("0.10.3", linked=NOW - 9 * DAY, now=NOW, age=2 * DAY)
GOOD = DiagnosisState("Docker answers", good=True)
BROKEN = DiagnosisState("Docker does not answer; the guest is silent", ("job", "hard"))
NEW = DiagnosisState("Docker does not answer; the profile has not come up yet", refused=True)
PASSING = DiagnosisState("Docker does not answer; Colima is still starting", passing=True)
SEEN = Seen(MAC, JOB, PROFILE, ENGINE, GOOD, GUEST, JOB, PULSE, LogState(1000), PROGRAM)
DEAD = {"engine": SILENT, "diagnosis": BROKEN}


def judged(seen: Seen, installers: Installers = WEB, **changed: Any) -> Report:
    return judge("mini", replace(SETTINGS, **changed), installers, seen)


def faults(report: Report) -> str:
    return "\n".join(each.text for each in report.faults)


def warned(report: Report) -> str:
    return "\n".join(each.text for each in report.warnings)


def of_engine(**containers: Container) -> EngineState:
    return replace(ENGINE, containers=containers)


# The judgement


def test_a_mac_on_which_all_is_well() -> None:
    report = judged(SEEN)
    assert (report.state, report.faults, report.warnings) == (HEALTHY, (), ())
    assert report.daemon is not None
    assert (report.daemon.pid, report.daemon.restarts, report.daemon.seconds) == (312, 2, 2 * DAY)
    assert report.vm is not None
    assert (report.vm.cpus, report.vm.memory, report.vm.disk) == (4, 8 * GIB, DISK)
    assert report.docker == Engine(None, "29.1.3", 2 * DAY)
    assert report.containers == Containers(("web",), ("web",), {}, (), ())
    assert report.last_boot == Boot(BOOT.at, 74, None, 2, 3, ago=3 * DAY - 74)
    assert report.pulse == Watch(True, WELL, None)
    assert report.colima == Colima("0.10.3", outdated=False)


@pytest.mark.parametrize(
    ("changed", "state", "fault", "next_"),
    [
        ({**DEAD, "job": UNLOADED}, STOPPED, f"the job {LABEL} is not loaded", "deploys/start.py"),
        ({**DEAD, "job": replace(JOB, disabled=True)}, STOPPED, "is disabled", "deploys/start.py"),
        ({"job": replace(JOB, disabled=True)}, DEGRADED, "it will not start at a boot", "deploys/start.py"),
        ({"job": UNLOADED}, DEGRADED, "is not loaded, and Docker runs without it", "deploys/start.py"),
        ({**DEAD, "job": replace(UNLOADED, plist_file=None)}, ABSENT, "nothing was deployed", "deploy.py"),
        (DEAD, DOWN, "the guest is silent", "deploys/recover.py"),
        ({**DEAD, "diagnosis": NEW}, DOWN, "not come up yet", "deploy.py"),
        ({**DEAD, "diagnosis": PASSING}, STARTING, "still starting", None),
        ({**DEAD, "diagnosis": PASSING, "job": replace(JOB, state="SIGTERMed")}, DOWN, "starting", None),
        ({"job": replace(JOB, pid=None, state="waiting")}, DEGRADED, "calls it waiting", "deploy.py"),
        ({"job": replace(JOB, state="SIGTERMed")}, DEGRADED, "calls it SIGTERMed", "deploy.py"),
        ({"profile": replace(PROFILE, status="Broken")}, DEGRADED, "Lima calls colima Broken", None),
        ({"profile": replace(PROFILE, vm_type="vz")}, DEGRADED, "runs on vz, not on qemu", "deploy.py"),
        ({"pulse_job": UNLOADED}, DEGRADED, "the pulse is not loaded", "deploy.py"),
        ({"pulse_job": replace(JOB, disabled=True)}, DEGRADED, "the pulse is disabled", "deploy.py"),
        (
            {"pulse": PulseState(GAVE_UP, reason="nothing has helped")},
            DEGRADED,
            "the pulse gave up: nothing has helped",
            "deploys/recover.py",
        ),
        ({"mac": None}, UNKNOWN, "cannot be read: the Mac", None),
        ({"job": None}, UNKNOWN, "cannot be read: launchd's job", None),
        ({"profile": None}, UNKNOWN, "cannot be read: Lima's instance", None),
        ({"engine": None}, UNKNOWN, "cannot be read: Docker", None),
        ({"diagnosis": None}, UNKNOWN, "cannot be read: what is wrong", None),
        ({"guest": None}, DEGRADED, "cannot be read: the guest", None),
        ({"pulse": None}, DEGRADED, "cannot be read: the pulse's notes", None),
        ({"log": None}, DEGRADED, "cannot be read: Colima's log", None),
    ],
)
def test_what_is_not_well(changed: dict[str, Any], state: str, fault: str, next_: str | None) -> None:
    report = judged(replace(SEEN, **changed))
    assert report.state == state
    assert not report.healthy
    (found,) = [each for each in report.faults if fault in each.text]
    assert next_ in (None, found.next)
    assert len(report.faults) == 1


def test_a_connection_that_breaks_leaves_nothing_to_be_read() -> None:
    report = judged(Seen())
    assert report.state == UNKNOWN
    (fault,) = report.faults
    assert "the Mac, launchd's job, Lima's instance, Docker, what is wrong, the guest" in fault.text


def test_why_a_start_fails_is_one_line() -> None:
    long = "error starting vm:  no \x1b[31mdisk, token=hunter2 and " + "so on " * 99
    seen = replace(SEEN, engine=SILENT, diagnosis=replace(BROKEN, fatal=long))
    _, why = judged(seen).faults
    assert why.text.startswith("Colima says: error starting vm: no ?[31mdisk, token=*** and so on so on")
    assert len(why.text) < 220


@pytest.mark.parametrize(
    ("pulse", "said"),
    [
        (PulseState(BACKING_OFF, 4, "in the guest docker is failed", "docker"), "has taken a step (docker)"),
        (PulseState(MISSING, 2), "has missed Docker 2 times in a row"),
        (PulseState(GAVE_UP, 9, "nothing has helped"), "gave up: nothing has helped"),
    ],
)
def test_what_the_pulse_does_about_it(pulse: PulseState, said: str) -> None:
    assert said in faults(judged(replace(SEEN, engine=SILENT, diagnosis=BROKEN, pulse=pulse)))
    if pulse.state != GAVE_UP:
        # Between two looks of the pulse Docker may have come back.
        assert judged(replace(SEEN, pulse=pulse)).state == HEALTHY


def test_a_pulse_that_is_not_wanted_is_not_missed() -> None:
    seen = replace(SEEN, pulse_job=UNLOADED, pulse=PulseState(LEFT_ALONE))
    assert judged(seen, pulse=False).state == HEALTHY
    assert judged(seen, pulse=False).pulse is None
    assert len(judged(replace(seen, job=UNLOADED, engine=SILENT, diagnosis=BROKEN)).faults) == 1


# Containers

REINSTALL = "deploy.py --data reinstall=web"


@pytest.mark.parametrize(
    ("text", "container", "why", "next_"),
    [
        (DETACHED, None, "is not there", "deploy.py"),
        (DETACHED, replace(RUNS, state="exited", exit_code=137), "is exited (exit code 137)", "deploy.py"),
        (DETACHED, replace(RUNS, state="exited"), "is exited (exit code 0)", "deploy.py"),
        (DETACHED, replace(RUNS, state="created"), "is created (exit code 0)", "deploy.py"),
        (DETACHED, replace(RUNS, state="dead"), "is dead", "deploy.py"),
        # What a deploy leaves alone is made anew on request.
        (DETACHED, replace(RUNS, state="restarting", exit_code=1), "is restarting", REINSTALL),
        (DETACHED, replace(RUNS, state="paused"), "is paused", REINSTALL),
        (DETACHED, replace(RUNS, state="restarting", spec="abc"), "is restarting", "deploy.py"),
        ("docker run --name web nginx", replace(RUNS, state="exited"), None, None),
        ("docker run --name web nginx", replace(RUNS, state="exited", exit_code=1), "code 1", "deploy.py"),
        ("docker run --rm --name web nginx", None, None, None),
    ],
)  # fmt: skip
def test_containers(text: str, container: Container | None, why: str | None, next_: str | None) -> None:
    declared = installers(web=text)
    if container is not None and container.spec == INSTALLER.digest:
        container = replace(container, spec=declared.all[0].digest)
    engine = of_engine(**({} if container is None else {"web": container}))
    report = judged(replace(SEEN, engine=engine), declared)
    assert report.state == (HEALTHY if why is None else DEGRADED)
    # What is wrong with one is said once.
    assert not [each for each in report.warnings if "not as containers/" in each.text]
    assert report.containers is not None
    if why is None:
        assert report.containers.failed == {}
        return
    assert why in report.containers.failed["web"]
    assert report.containers.well == ()
    (fault,) = report.faults
    assert fault == Finding(f"container web {report.containers.failed['web']}", next_)


def test_what_did_not_come_back_after_the_boot_is_said_while_it_is_so() -> None:
    boot = replace(BOOT, not_back=("web", "job", "gone", "2 more"))
    booted = replace(SEEN, pulse=replace(PULSE, reports=(boot,)))
    down = of_engine(web=RUNS, job=replace(RUNS, state="created"))

    def said(engine: EngineState | None) -> tuple[str, ...]:
        report = judged(replace(booted, engine=engine))
        assert report.last_boot is not None
        return report.last_boot.not_back

    assert said(down) == ("job",)
    assert said(ENGINE) == ()
    assert said(SILENT) == boot.not_back


def test_containers_that_no_file_describes() -> None:
    engine = of_engine(web=RUNS, old=replace(RUNS, spec="abc"), compose=replace(RUNS, spec=None))
    report = judged(replace(SEEN, engine=engine))
    assert report.state == HEALTHY
    assert report.containers == Containers(("web",), ("web",), {}, ("old",), ("compose",))
    assert report.warnings == (
        Finding(
            "container old was made by an installer that is no longer in containers/",
            "deploy.py --data remove_unowned=true",
        ),
    )
    # The file that cannot be read may be its own.
    report = judged(replace(SEEN, engine=engine), replace(WEB, faults=("containers/old:1: no name",)))
    assert report.warnings == ()


# What to mind


@pytest.mark.parametrize(
    ("changed", "warning"),
    [
        ({"mac": replace(MAC, sleep_minutes=10)}, "sleeps after 10 min"),
        ({"mac": replace(MAC, auto_restart=False)}, "stays off after a power failure"),
        ({"mac": replace(MAC, filevault=True)}, "FileVault is on"),
        ({"mac": replace(MAC, volume_free=9 * GIB)}, "this Mac has 9.0 GiB of disk left"),
        ({"guest": replace(GUEST, disk=Disk(60 * GIB, 50 * GIB, 4 * GIB))}, "4.0 of 60 GiB left"),
        ({"log": LogState(51_000_000)}, "/var/log/colima.log has 51 MB, above LOG_MAX_MB"),
        ({"program": replace(PROGRAM, linked=NOW - DAY)}, "an older Colima runs than the one"),
        ({"engine": of_engine(web=replace(RUNS, restart_policy="no"))}, "has no restart policy"),
        (
            {"engine": of_engine(web=replace(RUNS, spec="abc"))},
            "not as containers/web says: its text changed",
        ),
    ],
)
def test_what_to_mind_does_not_make_a_mac_unhealthy(changed: dict[str, Any], warning: str) -> None:
    report = judged(replace(SEEN, **changed))
    assert report.state == HEALTHY
    (found,) = report.warnings
    assert warning in found.text


@pytest.mark.parametrize("text", ["docker run -d --rm --name web nginx", "docker run --name web nginx"])
def test_what_is_not_to_return_after_a_reboot_needs_no_restart_policy(text: str) -> None:
    declared = installers(web=text)
    engine = of_engine(web=replace(RUNS, restart_policy="no", spec=declared.all[0].digest))
    assert judged(replace(SEEN, engine=engine), declared).warnings == ()


def test_a_smoke_test_leaves_nothing_to_mind() -> None:
    declared = installers(hello="docker run --rm --name hello hello-world")
    report = judged(replace(SEEN, engine=of_engine()), declared)
    assert (report.state, report.warnings) == (HEALTHY, ())


@pytest.mark.parametrize(
    ("changed", "outdated"),
    [
        ({}, False),
        ({"linked": NOW - DAY}, True),
        ({"linked": None}, None),
        ({"age": None}, None),
        # Started before the boot: the clock was set since.
        ({"age": 4 * DAY, "linked": NOW}, None),
    ],
)
def test_an_older_colima(changed: dict[str, Any], outdated: bool | None) -> None:
    report = judged(replace(SEEN, program=replace(PROGRAM, **changed)))
    assert report.colima == Colima("0.10.3", outdated)
    assert bool(report.warnings) is (outdated is True)


# Since when Docker has answered


def again(at: str) -> PulseState:
    line = f'time="{at}" level=info msg="Docker answers again after 30 s" context=pulse'
    return replace(PULSE, log=(line, 'time="x" level=warning msg="no answer" context=pulse'))


@pytest.mark.parametrize(
    ("changed", "seconds"),
    [
        ({}, 2 * DAY),
        ({"pulse": again("2026-11-22T12:10:00Z")}, 600),
        # The daemon was restarted since, and was not seen to be silent.
        ({"pulse": again("2026-11-19T12:10:00Z")}, 2 * DAY),
        ({"guest": replace(GUEST, docker_seconds=None), "pulse": again("2026-11-19T12:10:00Z")}, None),
        (DEAD, None),
    ],
)
def test_for_how_long_docker_has_answered(changed: dict[str, Any], seconds: int | None) -> None:
    report = judged(replace(SEEN, **changed))
    assert report.docker is not None
    assert report.docker.seconds == seconds


# The look


def looked(host: FakeHost, settings: Settings = SETTINGS) -> Report:
    with ctx_host.use(host), ctx_config.use(object()):
        return look(host, settings, (), WEB)  # type: ignore[arg-type]


def facts(**changed: Any) -> dict[Any, Any]:
    known: dict[str, Any] = {
        "mac": (Mac, MAC),
        "profile": (ColimaProfile, PROFILE),
        "engine": (DockerEngine, ENGINE),
        "diagnosis": (Diagnosis, GOOD),
        "guest": (Guest, GUEST),
        "log": (Log, LogState(1000)),
        "pulse": (Pulse, PULSE),
        "program": (Program, lambda **arguments: replace(PROGRAM, age=arguments["pid"])),
        "job": (LaunchdJob, JOB),
    }
    return {fact: changed.get(name, value) for name, (fact, value) in known.items()}


def test_look() -> None:
    asked: list[dict[str, Any]] = []

    def job(**arguments: Any) -> JobState:
        asked.append(arguments)
        return replace(JOB, pid=500) if arguments["label"] == LABEL else JOB

    report = looked(FakeHost(facts(job=job)))
    assert report.healthy
    assert report.daemon is not None
    assert (report.daemon.pid, report.daemon.seconds) == (500, 500)
    assert [each["label"] for each in asked] == [LABEL, f"{LABEL}.pulse"]


@pytest.mark.parametrize("error", [EOFError(), OSError("reset")])
def test_a_host_that_cannot_be_asked_has_a_row(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(internals, "_failures", {})

    def ask(**_: Any) -> None:
        raise error

    report = looked(FakeHost(facts(mac=ask)))
    assert report.state == UNKNOWN
    assert ("sudo wants a password" if isinstance(error, EOFError) else "reset") in faults(report)


def test_no_mac() -> None:
    report = looked(
        FakeHost(facts(mac=replace(MAC, kernel="Linux"), profile=lambda **_: pytest.fail("asked")))
    )
    assert (report.state, faults(report)) == (UNKNOWN, "this is Linux, not macOS")


def test_settings_that_cannot_be_used() -> None:
    settings, wrong = Settings.parse({"colima_disk": "much"})
    report = look(FakeHost(), settings, wrong, WEB)  # type: ignore[arg-type]
    assert report.state == UNKNOWN
    assert [fault.text.partition(":")[0] for fault in report.faults] == ["HOMEBREW_USER", "COLIMA_DISK"]


def test_json() -> None:
    found = json.loads(json.dumps(judged(SEEN).to_json()))
    assert found["healthy"] is True
    assert "host" not in found
    assert found["vm"]["disk"] == {"size": 60 * GIB, "used": 12 * GIB, "free": 46 * GIB}
    assert found["last_boot"] == {
        **{"at": BOOT.at, "seconds": 74, "console": None, "running": 2, "total": 3},
        "not_back": [],
        "ago": 3 * DAY - 74,
    }
    assert warned(judged(SEEN)) == ""

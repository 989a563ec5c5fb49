"""How a host is judged from its facts, and what is asked of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from pyinfra.context import ctx_config, ctx_host

from deploys.status_findings import Containers, Finding, Seen
from deploys.status_report import Report, judge, look
from facts import colima
from facts.diagnosis import Diagnosis, DiagnosisState
from facts.docker import Container, DockerConfig, DockerConfigState, DockerEngine, EngineState, Port
from facts.homebrew import Formula, Formulae, FormulaeState
from facts.launchd import FileState, JobState, LaunchdJob
from facts.mac import Mac
from facts.pulse import BootReport, Event, Maintenance, Pulse, PulseState
from operations.util import internals
from operations.util.installer import Installers, parse
from operations.util.words import GIB
from settings import Settings
from tests.facts.test_mac import mini
from tests.fakes import FakeHost

LABEL = "homebrew.mrcee.colima-pulse"
SETTINGS = Settings(homebrew_user="alice")
NOW = 1_795_350_000  # 2026-11-22T12:20:00Z
DAY = 86400


def installers(text: str) -> Installers:
    found, _ = parse("web", text.encode())
    assert found is not None
    return Installers((found,), (), ())


WEB = installers("docker run -d --name web --restart always nginx")
PORT = Port("0.0.0.0", 8080, "tcp")
RUNS = Container("running", 0, "always", WEB.all[0].digest, ports=(PORT,))
ENGINE = EngineState("/s", None, "29.1.3", {"web": RUNS})
SILENT = EngineState("/s", "curl: (52) Empty reply from server")
PLIST = FileState("Regular File", 0, 0, "644", "<plist/>")
JOB = JobState(loaded=True, disabled=False, state="running", pid=312, runs=3, last_exit="1", plist_file=PLIST)
UNLOADED = JobState(loaded=False, disabled=False, plist_file=PLIST)
DISABLED = replace(JOB, disabled=True)
PROFILE = colima.ProfileState(
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
GUEST = colima.GuestState(
    True,
    "active",
    "active",
    docker_seconds=2 * DAY,
    disk=colima.Disk(60 * GIB, 12 * GIB, 46 * GIB),
    clock_off=2,
)
MAC = replace(mini(), boot_time=NOW - 3 * DAY, volume_free=200 * GIB)
BOOT = BootReport("2026-11-19T12:21:14Z", 74, None, 2, 3)
AGAIN = Event("2026-11-20T04:01:10Z", "back", "Docker answers again", 71)
PULSE = PulseState("well", reports=(BOOT,), events=(AGAIN,), since="2026-11-19T12:20:00Z")
VERSIONS = {"colima": "0.10.3", "lima": "2.2.0", "qemu": "10.1.2"}
INSTALLED = {name: Formula(version, NOW - 9 * DAY, pinned=True) for name, version in VERSIONS.items()}
FORMULAE = FormulaeState(INSTALLED, True, now=NOW, age=2 * DAY, up=3 * DAY)
GOOD = DiagnosisState("Docker answers", good=True)
BROKEN = DiagnosisState("Docker does not answer; the guest is silent", ("job", "hard"))
NEW = DiagnosisState("Docker does not answer; the profile has not come up yet", refused=True)
PASSING = DiagnosisState("Docker does not answer; Colima is still starting", passing=True)
SEEN = Seen(
    MAC, JOB, PROFILE, ENGINE, GOOD, GUEST, JOB, PULSE, colima.LogState(1000), FORMULAE, DockerConfigState()
)
DEAD = {"engine": SILENT, "diagnosis": BROKEN}


def judged(seen: Seen, installers: Installers = WEB, **changed: Any) -> Report:
    return judge("mini", replace(SETTINGS, **changed), installers, seen)


def of_engine(**containers: Container) -> EngineState:
    return replace(ENGINE, containers=containers)


AS_JSON = """
{"healthy": true, "state": "healthy", "faults": [], "warnings": [],
 "daemon": {"loaded": true, "enabled": true, "running": true, "pid": 312, "restarts": 2, "seconds": 172800,
            "last_exit": "1"},
 "vm": {"instance": "colima", "status": "Running", "type": "qemu", "cpus": 4, "memory": 8589934592,
        "disk": {"size": 64424509440, "used": 12884901888, "free": 49392123904}},
 "docker": {"silence": null, "version": "29.1.3", "seconds": 172800},
 "containers": {"declared": ["web"], "well": ["web"], "failed": {}, "unowned": [], "others": []},
 "ports": [{"container": "web", "address": "0.0.0.0", "first": 8080, "last": 8080, "protocol": "tcp",
            "reach": "network"}],
 "last_boot": {"at": "2026-11-19T12:21:14Z", "seconds": 74, "console": null, "running": 2, "total": 3,
               "not_back": [], "ago": 259126},
 "pulse": {"loaded": true, "state": "well", "reason": null},
 "maintenance": null,
 "colima": {"installed": "0.10.3", "lima": "2.2.0", "qemu": "10.1.2", "outdated": false},
 "log_size": 1000,
 "mac": {"volume_free": 214748364800},
 "history": {"since": "2026-11-19T12:20:00Z",
             "boots": [{"at": "2026-11-19T12:21:14Z", "seconds": 74, "console": null, "running": 2,
                        "total": 3, "not_back": []}],
             "events": [{"at": "2026-11-20T04:01:10Z", "kind": "back", "text": "Docker answers again",
                         "seconds": 71}]}}
"""


def test_a_mac_on_which_all_is_well() -> None:
    assert json.loads(json.dumps(judged(SEEN).to_json())) == json.loads(AS_JSON)


@pytest.mark.parametrize(
    ("changed", "state", "fault", "next_"),
    [
        ({**DEAD, "job": UNLOADED}, "stopped", f"the job {LABEL} is not loaded", "deploys/start.py"),
        ({**DEAD, "job": DISABLED}, "stopped", "is disabled", "deploys/start.py"),
        ({"job": DISABLED}, "degraded", "it will not start at a boot", "deploys/start.py"),
        ({"job": UNLOADED}, "degraded", "is not loaded, and Docker runs without it", "deploys/start.py"),
        ({**DEAD, "job": replace(UNLOADED, plist_file=None)}, "absent", "nothing was deployed", "deploy.py"),
        (DEAD, "down", "the guest is silent", "deploys/recover.py"),
        ({**DEAD, "diagnosis": NEW}, "down", "not come up yet", "deploy.py"),
        ({**DEAD, "diagnosis": PASSING}, "starting", "still starting", None),
        ({**DEAD, "diagnosis": PASSING, "job": replace(JOB, state="SIGTERMed")}, "down", "starting", None),
        ({"job": replace(JOB, pid=None, state="waiting")}, "degraded", "calls it waiting", "deploy.py"),
        ({"profile": replace(PROFILE, status="Broken")}, "degraded", "colima Broken", "deploys/recover.py"),
        ({"profile": replace(PROFILE, vm_type="vz")}, "degraded", "runs on vz, not on qemu", "deploy.py"),
        ({"pulse_job": UNLOADED}, "degraded", "the pulse is not loaded", "deploy.py"),
        ({"pulse_job": DISABLED}, "degraded", "the pulse is disabled", "deploy.py"),
        ({"pulse": PulseState("gave up", reason="no")}, "degraded", "gave up: no", "deploys/recover.py"),
        ({"mac": None}, "unknown", "cannot be read: the Mac", None),
        ({"job": None}, "unknown", "cannot be read: launchd's job", None),
        ({"profile": None}, "unknown", "cannot be read: Lima's instance", None),
        ({"engine": None}, "unknown", "cannot be read: Docker", None),
        ({"diagnosis": None}, "unknown", "cannot be read: what is wrong", None),
        ({"guest": None}, "degraded", "cannot be read: the guest", None),
        ({"pulse": None}, "degraded", "cannot be read: the pulse's notes", None),
        ({"log": None}, "degraded", "cannot be read: Colima's log", None),
    ],
)  # fmt: skip
def test_what_is_not_well(changed: dict[str, Any], state: str, fault: str, next_: str | None) -> None:
    report = judged(replace(SEEN, **changed))
    assert (report.state, report.healthy) == (state, False)
    (found,) = report.faults
    assert fault in found.text
    assert found.next == next_


def test_why_a_start_fails_is_one_line() -> None:
    long = "error starting vm:  no \x1b[31mdisk, token=hunter2 and " + "so on " * 99
    seen = replace(SEEN, engine=SILENT, diagnosis=replace(BROKEN, fatal=long))
    _, why = judged(seen).faults
    assert why.text.startswith("Colima says: error starting vm: no ?[31mdisk, token=*** and so on so on")
    assert len(why.text) < 220


@pytest.mark.parametrize(
    ("pulse", "said"),
    [
        (
            PulseState("backing off", 4, "in the guest docker is failed", "docker"),
            "has taken a step (docker)",
        ),
        (PulseState("missing", 2), "has missed Docker 2 times in a row"),
    ],
)
def test_what_the_pulse_does_about_it(pulse: PulseState, said: str) -> None:
    assert said in judged(replace(SEEN, pulse=pulse, engine=SILENT, diagnosis=BROKEN)).faults[1].text
    # Between two looks of the pulse Docker may have come back.
    assert judged(replace(SEEN, pulse=pulse)).state == "healthy"


def test_a_pulse_that_is_not_wanted_is_not_missed() -> None:
    report = judged(replace(SEEN, pulse_job=UNLOADED), pulse=False)
    assert (report.state, report.pulse) == ("healthy", None)


LAST = Maintenance(NOW - 2 * DAY, 41, 3 * GIB)


@pytest.mark.parametrize(
    ("last", "minded"),
    [
        (LAST, None),
        (replace(LAST, at=NOW - 15 * DAY), None),
        (replace(LAST, at=NOW - 16 * DAY), "not been maintained for 16 days; MAINTAIN_EVERY_DAYS is 7"),
        (replace(LAST, at=NOW + DAY), None),
        (replace(LAST, trouble="denied"), "is tried once a day: denied"),
    ],
)
def test_maintenance(last: Maintenance, minded: str | None) -> None:
    report = judged(replace(SEEN, pulse=replace(PULSE, maintenance=last)), maintain_every_days=7)
    assert report.maintenance is not None
    assert report.maintenance["ago"] == max(NOW - last.at, 0)
    assert report.healthy
    assert [each.next for each in report.warnings] == ["deploys/diagnose.py"] * (minded is not None)
    assert (minded or "") in "".join(each.text for each in report.warnings)
    # What is not to be is not missed.
    report = judged(replace(SEEN, pulse=replace(PULSE, maintenance=last)))
    assert (report.maintenance, report.warnings) == (None, ())


DETACHED = "docker run -d --name web nginx"
REINSTALL = "deploy.py --data reinstall=web"


@pytest.mark.parametrize(
    ("text", "container", "why", "next_"),
    [
        (DETACHED, None, "is not there", "deploy.py"),
        (DETACHED, replace(RUNS, state="exited", exit_code=137), "is exited (exit code 137)", "deploy.py"),
        (DETACHED, replace(RUNS, state="created"), "is created (exit code 0)", "deploy.py"),
        # What a deploy leaves alone is made anew on request.
        (DETACHED, replace(RUNS, state="paused"), "is paused (exit code 0)", REINSTALL),
        (DETACHED, replace(RUNS, state="restarting", spec="abc"), "is restarting (exit code 0)", "deploy.py"),
        ("docker run --name web nginx", replace(RUNS, state="exited"), None, None),
        (
            "docker run --name web nginx",
            replace(RUNS, state="exited", exit_code=1),
            "is exited (exit code 1)",
            "deploy.py",
        ),
        ("docker run --rm --name web nginx", None, None, None),
    ],
)
def test_containers(text: str, container: Container | None, why: str | None, next_: str | None) -> None:
    declared = installers(text)
    if container is not None and container.spec == RUNS.spec:
        container = replace(container, spec=declared.all[0].digest)
    engine = of_engine(**({} if container is None else {"web": container}))
    report = judged(replace(SEEN, engine=engine), declared)
    assert report.faults == (() if why is None else (Finding(f"container web {why}", next_),))
    # What is wrong with one is said once.
    assert not [each for each in report.warnings if "not as containers/" in each.text]


def test_what_did_not_come_back_after_the_boot_is_said_while_it_is_so() -> None:
    boot = replace(BOOT, not_back=("web", "job", "gone", "2 more"))
    down = of_engine(web=RUNS, job=replace(RUNS, state="created"))
    for engine, said in ((down, ("job",)), (ENGINE, ()), (SILENT, boot.not_back)):
        report = judged(replace(SEEN, pulse=replace(PULSE, reports=(boot,)), engine=engine))
        assert report.last_boot is not None
        assert report.last_boot["not_back"] == said


def test_containers_that_no_file_describes() -> None:
    engine = of_engine(web=RUNS, old=replace(RUNS, spec="abc"), compose=replace(RUNS, spec=None))
    report = judged(replace(SEEN, engine=engine))
    assert report.containers == Containers(("web",), ("web",), {}, ("old",), ("compose",))
    assert (report.state, [each.next for each in report.warnings]) == (
        "healthy",
        ["deploy.py --data remove_unowned=true"],
    )
    # The file that cannot be read may be its own.
    report = judged(replace(SEEN, engine=engine), replace(WEB, faults=("containers/old:1: no name",)))
    assert report.warnings == ()


@pytest.mark.parametrize(
    ("changed", "warning"),
    [
        ({"mac": replace(MAC, sleep_minutes=10)}, "sleeps after 10 min"),
        ({"mac": replace(MAC, volume_free=9 * GIB)}, "this Mac has 9 GiB of disk left"),
        ({"guest": replace(GUEST, disk=colima.Disk(60 * GIB, 50 * GIB, 4 * GIB))}, "4 of 60 GiB left"),
        (
            {"guest": replace(GUEST, clock_off=-93)},
            "the guest's clock is 93 s behind the Mac's. Lima corrects",
        ),
        ({"guest": replace(GUEST, clock_off=3)}, "the guest's clock is 3 s ahead of the Mac's"),
        ({"log": colima.LogState(51_000_000)}, "/var/log/colima.log has 51 MB, above LOG_MAX_MB"),
        ({"log": colima.LogState(1, "/a is b's")}, "LOG_PATH: '/var/log/colima.log'; /a is b's"),
        (
            {"formulae": replace(FORMULAE, age=10 * DAY, up=11 * DAY)},
            "Colima was started before colima 0.10.3, lima",
        ),
        ({"engine": of_engine(web=replace(RUNS, restart_policy="no"))}, "has no restart policy"),
        ({"engine": of_engine(web=replace(RUNS, spec="abc"))}, "containers/web says: its text changed"),
    ],
)
def test_what_to_mind_does_not_make_a_mac_unhealthy(changed: dict[str, Any], warning: str) -> None:
    report = judged(replace(SEEN, **changed))
    assert report.state == "healthy"
    (found,) = report.warnings
    assert warning in found.text


@pytest.mark.parametrize("text", ["docker run -d --rm --name web nginx", "docker run --name web nginx"])
def test_what_is_not_to_return_after_a_reboot_needs_no_restart_policy(text: str) -> None:
    declared = installers(text)
    engine = of_engine(web=replace(RUNS, restart_policy="no", spec=declared.all[0].digest))
    assert judged(replace(SEEN, engine=engine), declared).warnings == ()


@pytest.mark.parametrize(
    ("changed", "outdated"),
    [({"age": 10 * DAY, "up": 11 * DAY}, True), ({"age": None}, None), ({"installed": {}}, None)],
)
def test_an_older_colima(changed: dict[str, Any], outdated: bool | None) -> None:
    report = judged(replace(SEEN, formulae=replace(FORMULAE, **changed)))
    versions = dict.fromkeys(VERSIONS) if "installed" in changed else VERSIONS
    installed, *others = versions.items()
    assert report.colima == {"installed": installed[1], **dict(others), "outdated": outdated}
    assert [each.next for each in report.warnings] == ["deploy.py --data restart=true"] * bool(outdated)


def looked(job: Any = JOB, **changed: Any) -> Report:
    values = {
        Mac: MAC,
        colima.ColimaProfile: PROFILE,
        DockerEngine: ENGINE,
        Diagnosis: GOOD,
        colima.Guest: GUEST,
        colima.Log: colima.LogState(1000),
        Pulse: PULSE,
        Formulae: FORMULAE,
        DockerConfig: DockerConfigState("desktop"),
        LaunchdJob: job,
    }
    host: Any = FakeHost(values | {Mac: changed.get("mac", MAC)})
    with ctx_host.use(host), ctx_config.use(object()):
        return look(host, SETTINGS, (), WEB)


def test_look() -> None:
    def job(label: str) -> JobState:
        return replace(JOB, pid=500) if label == LABEL else UNLOADED

    report = looked(job)
    assert report.daemon is not None
    assert (report.daemon["pid"], report.daemon["seconds"]) == (500, 2 * DAY)
    assert ["the pulse is not loaded" in each.text for each in report.faults] == [True]
    assert ["docker asks desktop for all" in each.text for each in report.warnings] == [True]


@pytest.mark.parametrize(
    ("error", "why"), [(EOFError(), "sudo wants a password"), (OSError("reset"), "reset")]
)
def test_a_host_that_cannot_be_asked_has_a_row(
    error: Exception, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(internals, "_failures", {})

    def ask(**_: Any) -> None:
        raise error

    report = looked(mac=ask)
    assert report.state == "unknown"
    assert why in report.faults[0].text


def test_no_mac() -> None:
    report = looked(mac=replace(MAC, kernel="Linux"))
    assert (report.state, report.faults) == ("unknown", (Finding("this is Linux, not macOS"),))


def test_settings_that_cannot_be_used() -> None:
    settings, wrong = Settings.parse({"colima_disk": "much"})
    report = look(FakeHost(), settings, wrong, WEB)  # type: ignore[arg-type]
    assert report.state == "unknown"
    assert [fault.text.partition(":")[0] for fault in report.faults] == ["HOMEBREW_USER", "COLIMA_DISK"]

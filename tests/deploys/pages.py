"""Made-up Macs, whose page is looked at in a browser, and drawn for the documents."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from deploys.status_findings import DEGRADED, DOWN, STOPPED, Containers, Finding
from deploys.status_report import Report
from deploys.status_table import in_order
from facts.pulse import ALONE, BACK, GIVEN_UP, SILENT, STEP, BootReport, Event
from operations.util.words import GIB
from tests.deploys.test_status_table import SLEEPS, WELL

AT = datetime(2026, 11, 28, 21, 41, 7, tzinfo=timezone(timedelta(hours=1), "CET"))
INACTIVE = "in the guest docker is inactive"
DEAF = f"Docker is not working: curl: (52) Empty reply from server; {INACTIVE}"


def ago(**parts: float) -> str:
    """A time so long before AT, as the pulse logs it."""
    return (AT - timedelta(**parts)).astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def history(since: float, *events: Event, boots: tuple[BootReport, ...] = ()) -> dict[str, Any]:
    """What a Report has of the pulse's log, which begins so many days before AT."""
    return {
        "since": ago(days=since),
        "boots": list(map(asdict, boots)),
        "events": list(map(asdict, events)),
    }


POWER_CUT = BootReport(ago(days=9), 41, None, 2, 2)
LATER = BootReport(ago(days=2.5), 74, "alice", 1, 2, ("web",))
BOOTED = {**asdict(LATER), "ago": int(timedelta(days=2.5).total_seconds())}
RESTARTED = (
    Event(ago(days=17, minutes=2), SILENT, DEAF),
    Event(ago(days=17, minutes=2), STEP, f"restart Docker in the guest ({INACTIVE})"),
    Event(ago(days=17), BACK, "Docker answers again", 171),
)
GONE = (
    Event(ago(hours=50), SILENT, DEAF),
    Event(ago(hours=50), STEP, f"restart Docker in the guest ({INACTIVE})"),
    Event(ago(hours=49), STEP, f"stop Colima gracefully and start it again ({INACTIVE})"),
    Event(ago(hours=46), GIVEN_UP, f"{INACTIVE}; nothing has helped"),
)
AWAY = (Event(ago(days=5), ALONE, "Docker is not working: there is no socket; the job is not loaded"),)

USUAL = replace(
    WELL,
    mac={"volume_free": 212 * GIB},
    docker={"silence": None, "version": "29.1.3", "seconds": 9 * 86400},
    history=history(60, boots=(POWER_CUT,)),
    last_boot={**asdict(POWER_CUT), "ago": 9 * 86400},
)
SILENCE = {"silence": "curl: (52) Empty reply from server", "version": None, "seconds": None}
OTHERS = (
    replace(USUAL, history=history(21, boots=(POWER_CUT,)), warnings=(SLEEPS,)),
    replace(
        USUAL,
        docker={"silence": None, "version": "20.10.24+dfsg1", "seconds": 9 * 86400},
        history=history(60, *RESTARTED, boots=(POWER_CUT, LATER)),
        last_boot=BOOTED,
    ),
    replace(
        USUAL,
        state=DOWN,
        faults=(
            Finding(DEAF, "deploys/recover.py"),
            Finding(f"the pulse gave up: {INACTIVE}", "deploys/recover.py"),
        ),
        docker=SILENCE,
        containers=None,
        history=history(60, *RESTARTED, *GONE, boots=(POWER_CUT,)),
    ),
    replace(
        USUAL,
        state=DEGRADED,
        faults=(Finding("container web is exited (exit code 137)", "deploy.py"),),
        containers=Containers(("api", "web"), ("api",), {"web": "is exited (exit code 137)"}, (), ()),
        vm={**(WELL.vm or {}), "disk": {"size": 59 * GIB, "used": 54 * GIB, "free": 2 * GIB}},
    ),
    replace(
        USUAL,
        state=STOPPED,
        faults=(Finding("the job homebrew.mrcee.colima-pulse is not loaded", "deploys/start.py"),),
        docker=SILENCE,
        containers=None,
        history=history(60, *AWAY, boots=(POWER_CUT,)),
    ),
)


def fleet(number: int) -> list[Report]:
    """The reports of so many Macs: a few are not as usual, and the last is not reached."""
    names = ["@ssh/macmini.lan" if index == 3 else f"mini{index:02}" for index in range(1, number + 1)]
    seen = {name: replace(USUAL, host=name) for name in names[:-1] or names}
    seen |= {name: replace(other, host=name) for name, other in zip(names[1:-1], OTHERS, strict=False)}
    return in_order(seen, names)

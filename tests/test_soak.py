"""The soak sees what it is there to see: its watch, its clock and its table, without a Mac."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests import soak as module
from tests.mac.machine import Process
from tests.soak import FAULTS, LOG, VM, Fault, Soak, SoakError, draw, first_start_seconds, table

LOGGED = """\
time="2026-11-22T10:20:46Z" level=info msg="starting colima"
time="2026-11-22T10:20:50Z" level=info msg="keeping Colima in the foreground, press ctrl+c to exit..."
time="2026-11-22T11:00:00Z" level=info msg="starting colima"
"""


class QuietMac:
    """As much of a Mac as the watch looks at."""

    def __init__(self, directory: Path) -> None:
        self.records = directory / "db"
        self.root = directory / "root"
        self.running: list[Process] = []
        self.path(LOG).parent.mkdir(parents=True)
        self.path(LOG).write_text(LOGGED)
        self.data = self.records / "vm/colima/1234/docker/volumes/counter/_data/n"
        self.data.parent.mkdir(parents=True)
        self.data.write_text("41\n")

    def path(self, inside: str) -> Path:
        return self.root / inside.lstrip("/")

    def processes(self) -> list[Process]:
        return self.running

    def heal(self, name: str) -> None:
        pass


def qemu(pid: int, instance: str = "colima") -> Process:
    return Process(
        pid, 1, 502, f"qemu-system-aarch64 -pidfile {VM.removesuffix('colima')}{instance}/qemu.pid"
    )


@pytest.fixture
def mac(tmp_path: Path) -> QuietMac:
    return QuietMac(tmp_path)


@pytest.fixture
def soak(mac: QuietMac, monkeypatch: pytest.MonkeyPatch) -> Soak:
    monkeypatch.setattr(module, "ping", lambda _: "200")
    made = Soak(mac, random.Random(0))  # type: ignore[arg-type]
    made.highest = 41
    return made


def judge(soak: Soak, *looks: list[Process], strangers: dict[int, str] | None = None) -> None:
    twins: set[int] = set()
    for running in looks:
        twins = soak._judge(running, strangers or {}, twins)
    soak.check()


def test_all_is_well(soak: Soak) -> None:
    judge(soak, [qemu(7), Process(9, 1, 0, "sleep")], [qemu(8)], [], strangers={})
    judge(soak, [Process(9, 1, 0, "sleep")], strangers={9: "sleep of root"})


def test_a_dead_stranger(soak: Soak) -> None:
    with pytest.raises(SoakError, match="a stranger is dead: sleep of root, pid 9"):
        judge(soak, [Process(90, 1, 0, "sleep")], strangers={9: "sleep of root"})


def test_two_vms_at_once(soak: Soak) -> None:
    judge(soak, [qemu(7), qemu(8, "colima-other")], [qemu(7), qemu(8, "colima-other")])
    judge(soak, [qemu(7), qemu(8)], [qemu(7), qemu(9)])  # forks
    with pytest.raises(SoakError, match=r"two VMs at once: pids \[7, 8\]"):
        judge(soak, [qemu(7), qemu(8)], [qemu(7), qemu(8)])


def test_a_counter_that_goes_back(soak: Soak, mac: QuietMac) -> None:
    mac.data.write_text("40\n")
    with pytest.raises(SoakError, match="the counter went back from 41 to 40"):
        judge(soak, [])


def test_a_counter_that_is_lost(soak: Soak, mac: QuietMac) -> None:
    mac.data.unlink()
    with pytest.raises(SoakError, match="the counter went back from 41 to 0"):
        judge(soak, [])


def test_a_counter_that_stands_still(soak: Soak, monkeypatch: pytest.MonkeyPatch) -> None:
    soak.limit = 0.5
    monkeypatch.setattr(module, "GROWTH_SECONDS", 0.1)
    with pytest.raises(SoakError, match="or the counter not grow"):
        soak.await_docker()


def test_a_vm_restarted_without_need(soak: Soak, mac: QuietMac, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Soak, "answers", lambda _: True)
    agent = Process(3, 1, 502, f"limactl hostagent --pidfile {VM}/ha.pid")
    mac.running = [qemu(7), agent]

    def restart(_: Soak) -> None:
        mac.running = [qemu(8), agent]

    assert soak.undergo(Fault("gentle", lambda _: None, keeps_vm=True)) < 1
    assert soak.undergo(Fault("rough", restart)) < 1
    mac.running = [qemu(7)]
    assert soak.undergo(Fault("the only way", restart, keeps_vm=True)) < 1, "it had no host agent"
    mac.running = [qemu(7), agent]
    with pytest.raises(SoakError, match="restarted without need"):
        soak.undergo(Fault("too rough", restart, keeps_vm=True))


def test_processes_that_pile_up(soak: Soak, mac: QuietMac, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REST_SECONDS", 0.2)
    soak.at_rest = 1
    mac.running = [qemu(7)]
    soak.check_processes()
    mac.running = [qemu(7), Process(9, 1, 502, "limactl usernet")]
    with pytest.raises(SoakError, match=r"more than 1 processes:\n.*\nlimactl usernet"):
        soak.check_processes()


def test_how_long_the_first_start_took(mac: QuietMac) -> None:
    assert first_start_seconds(mac) == 5  # type: ignore[arg-type]


def test_every_fault_is_drawn_before_one_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HAS_PULSE", True)
    faults = draw(random.Random(1))
    drawn = [next(faults) for _ in range(2 * len(FAULTS))]
    assert set(drawn[: len(FAULTS)]) == set(drawn[len(FAULTS) :]) == set(FAULTS)
    again = draw(random.Random(1))
    assert [next(again) for _ in drawn] == drawn, "the seed decides"


def test_without_a_pulse_only_what_launchd_recovers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HAS_PULSE", False)
    faults = draw(random.Random(1))
    assert not any(next(faults).needs_pulse for _ in FAULTS)


def test_the_table() -> None:
    assert table({"power cut": [3.0, 9.0, 4.0], "VM killed": []}).splitlines() == [
        "fault      times  median  worst",
        "power cut      3    4.0s   9.0s",
        "VM killed      0",
    ]

"""The main job: a first deploy brings the Mac to verified Docker, a second one changes nothing."""

from __future__ import annotations

import json
import plistlib
import re
from collections.abc import Callable

import pytest

from tests.e2e.looking import (
    LABEL,
    PLIST,
    Deployed,
    container,
    docker,
    is_loaded,
    job_pid,
    ours,
    ping,
    process,
    vm_events,
    wait_for,
)


@pytest.fixture(
    scope="module",
    params=[("ssh", "arm64"), ("local", "x86_64")],
    ids="-".join,
)
def deployed(request: pytest.FixtureRequest, make_deployed: Callable[..., Deployed]) -> Deployed:
    how, arch = request.param
    return make_deployed(how, arch=arch)


def test_first_deploy_ends_with_docker_verified(deployed: Deployed) -> None:
    assert deployed.first.status == 0, deployed.first.output
    assert ping(deployed.mac) == "200"
    assert container(deployed.mac, "web", "State.Status") == "running"
    assert "Hello from Docker!" in deployed.first.output


def test_launchds_pid_is_colima_itself_as_the_user(deployed: Deployed) -> None:
    mac = deployed.mac
    colima = process(mac, "--foreground")
    assert re.match(
        r"\S*/?colima start --profile=default .*--foreground$", colima.command.split(" ", 1)[-1]
    ) or ("/bin/colima start" in colima.command)
    assert (colima.pid, colima.uid, colima.ppid) == (job_pid(mac), mac.user("alice").uid, 1)


def test_first_deploy_starts_the_vm_once(deployed: Deployed) -> None:
    assert vm_events(deployed.mac).count("start") == 1


def test_what_it_leaves_is_roots_alone(deployed: Deployed) -> None:
    for path in (PLIST, "/Library/ColimaPulse", "/Library/ColimaPulse/bin/launch"):
        stat = deployed.mac.path(path).lstat()
        assert (stat.st_uid, stat.st_gid, stat.st_mode & 0o022) == (0, 0, 0), path
    plist = plistlib.loads(deployed.mac.path(PLIST).read_bytes())
    assert plist["UserName"] == "alice"
    assert plist["KeepAlive"] is True


def test_second_deploy_changes_nothing(deployed: Deployed) -> None:
    mac = deployed.mac
    before = [(each.pid, each.command) for each in ours(mac)]
    started = container(mac, "web", "State.StartedAt")
    sent, called = len(mac.ssh_commands()), len(mac.commands())

    second = deployed.run("-y", "--json")

    assert second.status == 0, second.output
    assert second.changed == []
    assert [(each.pid, each.command) for each in ours(mac)] == before
    assert container(mac, "web", "State.StartedAt") == started
    assert not any("/brew" in command for command in mac.commands()[called:])
    assert len(mac.ssh_commands()) - sent <= 12


def test_dry_run_of_a_converged_mac_has_no_change(deployed: Deployed) -> None:
    dry = deployed.run("--dry", "--json")
    assert dry.status == 0, dry.output
    assert dry.would_change == []


def test_diff_shows_one_line_and_says_that_the_vm_restarts(deployed: Deployed) -> None:
    events = vm_events(deployed.mac)
    dry = deployed.run("--dry", "--diff", "--data", "colima_memory=4")
    assert dry.status == 0, dry.output
    plain = re.sub(r"\x1b\[[0-9;]*m", "", dry.output)
    assert "Restart Colima: memory 2 -> 4 GiB" in plain
    assert re.findall(r"(?m)^ *([-+])\s+<string>(.*)</string>$", plain) == [
        ("-", "--memory=2"),
        ("+", "--memory=4"),
    ]
    assert vm_events(deployed.mac) == events


def test_a_server_stays_up(deployed: Deployed) -> None:
    """Set is what differs, and once."""
    mac = deployed.mac

    def settings() -> dict[str, str]:
        custom = mac.run(["/usr/bin/pmset", "-g", "custom"]).stdout
        return dict(re.findall(r"(?m)^ (.+?)\s+(\d+)$", custom))

    before, called = settings(), len(mac.commands())
    assert "or POWER=server" in deployed.first.output
    run = deployed.run("-y", "--json", "--data", "power=server")
    assert run.changed == ["Keep the Mac awake"]
    assert "POWER=server" not in run.output
    assert settings() == before | {"sleep": "0", "disksleep": "0", "autorestart": "1"}
    assert deployed.run("-y", "--json", "--data", "power=server").changed == []
    assert len([each for each in mac.commands()[called:] if "pmset -a" in each]) == 1


@pytest.mark.parametrize(
    ("fact", "expected"),
    [
        ("facts.mac.Mac", {"kernel": "Darwin"}),
        ("facts.mac.User user=alice", {"home": "/Users/alice"}),
        (f"facts.launchd.LaunchdJob label={LABEL}", {"loaded": True, "username": "alice"}),
        ("facts.colima.ColimaProfile user=alice", {"status": "Running", "vm_type": "qemu"}),
        ("facts.docker.DockerEngine user=alice", {"silence": None}),
    ],
)
def test_facts_are_usable_on_their_own(deployed: Deployed, fact: str, expected: dict[str, object]) -> None:
    run = deployed.run("fact", *fact.split(), "--json", deploy=None)
    assert run.status == 0, run.output
    ((answers,),) = ([*run.json.values()],)
    (answer,) = answers.values()
    assert expected.items() <= answer.items()


def test_a_reboot_brings_docker_back_without_a_deploy(deployed: Deployed) -> None:
    mac = deployed.mac
    assert container(mac, "web", "HostConfig.RestartPolicy.Name") == "always"
    for hard in (False, True):
        if hard:
            mac.power_cut()
            mac.boot()
        else:
            mac.reboot()
        wait_for(lambda: ping(mac) == "200")
        wait_for(lambda: container(mac, "web", "State.Status") == "running")
    events = [event for event in vm_events(mac) if "provisioned" not in event]
    assert events[0] == "start"
    assert events[1].startswith("graceful-stop"), "the soft reboot stopped the guest in order"
    assert deployed.run("-y", "--json").changed == []


def test_resize_is_one_graceful_restart(deployed: Deployed) -> None:
    mac, before = deployed.mac, vm_events(deployed.mac)
    run = deployed.run(
        "-y", "--data", "colima_memory=4", "--data", "colima_cpus=3", "--data", "colima_disk=30"
    )
    assert run.status == 0, run.output
    assert "Restart Colima: memory 2 -> 4 GiB, CPUs 2 -> 3, disk 20 -> 30 GiB" in run.output
    new = [event for event in vm_events(mac)[len(before) :] if "provisioned" not in event]
    assert [event.split()[0] for event in new] == ["graceful-stop", "start"]
    assert container(mac, "web", "State.Status") == "running"
    listed = json.loads(
        deployed.run("fact", "facts.colima.ColimaProfile", "user=alice", "--json", deploy=None).stdout
    )
    ((profile,),) = [tuple(answers.values()) for answers in listed.values()]
    assert (profile["cpus"], profile["memory"], profile["disk"]) == (3, 4 * 1024**3, 30)


def test_asked_for_restart_is_one_restart(deployed: Deployed) -> None:
    mac, before = deployed.mac, vm_events(deployed.mac)
    called = len(mac.commands())
    larger = ["--data", "colima_memory=4", "--data", "colima_cpus=3", "--data", "colima_disk=30"]
    run = deployed.run("-y", "--data", "restart=true", *larger)
    assert run.status == 0, run.output
    new = [event for event in vm_events(mac)[len(before) :] if "provisioned" not in event]
    assert [event.split()[0] for event in new] == ["graceful-stop", "start"]
    assert run.output.count("Hello from Docker!") == 1
    # launchd may clamp the time a job gets to end: the VM is stopped before launchd is told to end Colima.
    verbs = [command.split("/")[-1] for command in mac.commands()[called:]]
    stop = next(i for i, verb in enumerate(verbs) if verb.startswith("colima stop"))
    bootout = next(i for i, command in enumerate(mac.commands()[called:]) if "launchctl bootout" in command)
    assert stop < bootout


def test_bootout_leaves_nothing_and_colima_shuts_the_guest_down(deployed: Deployed) -> None:
    mac, before = deployed.mac, vm_events(deployed.mac)
    mac.run(["launchctl", "bootout", f"system/{LABEL}"])
    wait_for(lambda: not is_loaded(mac))
    wait_for(lambda: ours(mac) == [], 10)
    (event,) = vm_events(mac)[len(before) :]
    assert event.startswith("graceful-stop")
    log = mac.path("/var/log/colima.log").read_text()
    assert "stopping colima" in log[log.rindex("interrupted by: terminated") :]
    assert docker(mac, "ps", check=False) == ""

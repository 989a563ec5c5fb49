"""How a Mac's Docker is said to be: over SSH and locally, on one host and several, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.checkout import Checkout, Run
from tests.e2e.looking import LABEL, PLIST, Deployed, docker, job_pid, ping, vm_events, wait_for
from tests.mac.machine import Mac

STATUS = "deploys/status.py"
ENV = {"LIMA_HOME": "/Users/alice/.colima/_lima", "PATH": "/opt/homebrew/bin:/usr/bin:/bin"}


@pytest.fixture(scope="module")
def deployed(make_deployed: Callable[..., Deployed]) -> Deployed:
    """A Mac whose pulse looks, and leaves alone what the tests break."""
    made: Deployed = make_deployed("ssh", env={"PULSE_MISSES": "100"})
    assert made.first.status == 0, made.first.output
    return made


def rows(run: Run) -> dict[str, str]:
    """The table's rows by their hosts; without its colours, as it is where nobody sees them."""
    assert "\x1b" not in run.stdout
    lines = run.stdout.partition("\n\n")[0].splitlines()
    assert lines[0].startswith("HOST ")
    return {line.split()[0]: line for line in lines[1:]}


def in_guest(mac: Mac, *words: str) -> None:
    mac.run(["/opt/homebrew/bin/limactl", "shell", "colima", "sudo", *words], user="alice", env=ENV)


def test_a_mac_that_is_well(deployed: Deployed) -> None:
    mac = deployed.mac
    before, asked, called = vm_events(mac), len(mac.ssh_commands()), len(mac.commands())
    run = deployed.checkout.ssh(deploy=STATUS)
    assert run.status == 0, run.output
    assert len(mac.ssh_commands()) - asked <= 10
    assert vm_events(mac) == before
    assert not any("/brew" in command for command in mac.commands()[called:])
    row = rows(run)[mac.name]
    assert row.split()[1:4] == ["healthy", "pid", str(job_pid(mac))]
    for word in ("2 CPUs, 2 GiB", "20.10", "1 of 1"):
        assert word in row
    assert "0.10.3 installed, and runs" in run.stdout
    assert "pmset -a sleep 0" in run.stdout


def test_json_locally(deployed: Deployed) -> None:
    run = deployed.checkout.local("--json", deploy=STATUS)
    assert run.status == 0, run.output
    (found,) = run.json["hosts"].values()
    assert found["state"] == "healthy"
    assert found["daemon"]["pid"] == job_pid(deployed.mac)
    assert found["vm"]["memory"] == 2 * 1024**3
    assert found["vm"]["disk"]["size"] > found["vm"]["disk"]["used"] > 0
    assert 0 <= found["docker"]["seconds"] < 600
    assert found["containers"]["well"] == ["web"]
    assert found["pulse"] == {"loaded": True, "state": "well", "reason": None}
    assert found["last_boot"]["seconds"] > 0


def test_docker_stopped_in_the_guest(deployed: Deployed) -> None:
    mac = deployed.mac
    mac.fault("docker-stays-dead")
    try:
        in_guest(mac, "systemctl", "stop", "docker")
        run = deployed.checkout.ssh(deploy=STATUS)
    finally:
        mac.heal("docker-stays-dead")
        in_guest(mac, "systemctl", "start", "docker")
    assert run.status == 1
    assert rows(run)[mac.name].split()[1] == "down"
    assert "in the guest docker is inactive" in run.stdout
    assert "next: pyinfra .. deploys/recover.py\n" in run.stdout
    wait_for(lambda: ping(mac) == "200")


def test_three_macs_of_which_one_is_bare_and_one_is_off(
    deployed: Deployed, make_mac: Callable[..., Mac], make_checkout: Callable[..., Checkout]
) -> None:
    bare = make_mac()
    checkout = make_checkout(deployed.mac, bare, installers={"web": "docker run --name web -d nginx"})
    hosts = [(mac.name, checkout.host_data(mac)) for mac in checkout.macs]
    hosts.insert(1, ("off", {**hosts[0][1], "ssh_port": 1}))
    (checkout.directory / "inventory.py").write_text(f"macs = {hosts!r}\n")

    run = checkout.ssh("-y", deploy=STATUS)

    assert run.status == 1
    states = {host: row.split()[1] for host, row in rows(run).items()}
    assert states == {deployed.mac.name: "healthy", "off": "unreachable", bare.name: "absent"}
    assert f"next: pyinfra .. deploy.py --limit {bare.name}" in run.stdout
    assert "containers/web says: its text changed" in run.stdout
    assert "Traceback" not in run.output
    # What cannot be reached is not asked for.
    assert checkout.ssh(f"--limit={deployed.mac.name}", deploy=STATUS).status == 0


def test_an_upgrade_under_a_colima_that_runs(deployed: Deployed) -> None:
    upgrade = "cd Cellar/colima && mv 0.10.3 0.10.4 && ln -sf ../Cellar/colima/0.10.4/bin/colima ../../bin"
    deployed.mac.run(["/bin/sh", "-c", f"cd /opt/homebrew && {upgrade}"], user="alice")
    run = deployed.checkout.ssh(deploy=STATUS)
    assert run.status == 0
    assert "an older Colima runs than the one that is installed (0.10.4)" in run.stdout


def test_a_container_that_ended_and_a_job_that_was_unloaded(deployed: Deployed) -> None:
    docker(deployed.mac, "stop", "web")
    run = deployed.checkout.ssh(deploy=STATUS)
    assert run.status == 1
    assert rows(run)[deployed.mac.name].split()[1] == "degraded"
    assert "container web is exited" in run.stdout

    deployed.mac.run(["launchctl", "bootout", f"system/{LABEL}"], check=False)
    wait_for(lambda: job_pid(deployed.mac) is None)
    run = deployed.checkout.ssh(deploy=STATUS)
    assert run.status == 1
    assert rows(run)[deployed.mac.name].split()[1:4] == ["stopped", "not", "loaded"]
    assert "next: pyinfra .. deploys/start.py\n" in run.stdout


def test_why_each_start_fails_is_one_line(deployed: Deployed) -> None:
    mac = deployed.mac
    mac.fault("start-fails", "always")
    # It may still be on its way out.
    wait_for(lambda: mac.run(["launchctl", "bootstrap", "system", PLIST], check=False).returncode == 0)
    wait_for(lambda: "level=fatal" in mac.path("/var/log/colima.log").read_text())
    run = deployed.checkout.ssh(deploy=STATUS)
    assert run.status == 1
    (line,) = [line for line in run.stdout.splitlines() if "Colima says" in line]
    assert "error starting vm" in line

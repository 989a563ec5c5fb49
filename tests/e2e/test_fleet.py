"""Several Macs in one inventory: one that fails stops no other, and each says what became of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.checkout import PYINFRA, ROOT, Checkout, Run
from tests.e2e.looking import is_loaded, job_pid, ping
from tests.mac.machine import Mac, User

RESIZE = "Restart Colima: memory 2 -> 3 GiB"


class Fleet(NamedTuple):
    """Two Macs that are deployed to, one of bob's that nothing is, and a checkout with all three."""

    good: Mac
    bad: Mac
    bobs: Mac
    checkout: Checkout


@pytest.fixture(scope="module")
def fleet(make_mac: Callable[..., Mac], make_checkout: Callable[..., Checkout]) -> Fleet:
    good, bad, bobs = make_mac(), make_mac(), make_mac(users=[User("bob", 503)])
    bobs.run(["/usr/sbin/chown", "-R", "bob", "/opt/homebrew"])
    return Fleet(good, bad, bobs, make_checkout(good, bad, bobs, env={"PULSE": "false"}))


@pytest.fixture(scope="module")
def two(fleet: Fleet) -> Fleet:
    """The two that are deployed to, after that; the tests leave them so, the last two apart."""
    fleet.checkout.write_inventory()
    run = fleet.checkout.ssh("-y", *only(fleet.good, fleet.bad))
    assert run.status == 0, run.output
    return fleet


def only(*macs: Mac) -> list[str]:
    return [word for mac in macs for word in ("--limit", mac.name)]


def summary(run: Run) -> dict[str, str]:
    """What the run's last lines say of each host."""
    _, found, lines = run.stderr.partition("--> Summary:\n")
    assert found, run.output
    return {
        name: said.strip() for name, _, said in (line.strip().partition(" ") for line in lines.splitlines())
    }


def drift(fleet: Fleet, *arguments: str) -> Run:
    run = fleet.checkout.ssh(*arguments, deploy="deploys/drift.py")
    assert "Traceback" not in run.output
    assert "Beginning operation run" not in run.output
    return run


def test_one_of_many_fails_and_one_is_refused(fleet: Fleet) -> None:
    good, bad, bobs, checkout = fleet
    checkout.write_inventory(**{bobs.name: {"colima_cpus": 64}})
    bad.fault("start-fails", "always")

    run = checkout.ssh("-y")

    assert run.status == 1
    assert ping(good) == "200"
    assert not is_loaded(bad)
    assert not bobs.path("/Library/ColimaPulse").exists()
    assert f"[{bobs.name}] nothing was touched." in run.stderr
    assert f"[{bobs.name}]   - COLIMA_CPUS: 64; this Mac has 8 CPUs" in run.stderr
    assert f"[{good.name}] Docker 20.10" in run.stderr
    said = summary(run)
    assert list(said) == [good.name, bad.name, bobs.name]
    assert said[good.name].startswith("changed: Install Colima Pulse")
    assert said[bad.name].startswith("failed: Colima did not start: ")
    assert said[bobs.name].startswith("refused: ")
    assert "belongs to bob" in said[bobs.name]

    run = checkout.ssh("--dry")
    assert run.status == 1
    assert summary(run)[good.name] == "unchanged"
    assert summary(run)[bad.name].startswith("would change: ")
    assert "Start Colima at boot and now" in summary(run)[bad.name]
    assert "COLIMA_CPUS" in summary(run)[bobs.name]

    bad.heal("start-fails")
    run = checkout.ssh("-y", "--json", *only(good, bad))
    assert run.status == 0, run.output
    assert run.json["results"]["totals"]["hosts"] > 0
    assert summary(run)[good.name] == "unchanged"
    assert ping(bad) == "200"


def test_drift(two: Fleet) -> None:
    """One is as it should be, one is not, and one cannot be reached, or is refused."""
    good, bad, bobs, checkout = two
    pid = job_pid(bad)
    checkout.write_inventory(**{bad.name: {"colima_memory": 3}, bobs.name: {"ssh_port": 9}})
    run = drift(two, "--dry", "-y")
    assert run.status == 1
    assert run.stdout == f"{bad.name}   would change: {RESIZE}\n{bobs.name}   unreachable\n"
    run = drift(two, *only(good, bad))
    assert run.status == 2
    assert run.stdout == f"{bad.name}   would change: {RESIZE}\n"

    # Told to go ahead, with one that is left out meanwhile: nothing is executed either.
    checkout.write_inventory(**{bad.name: {"colima_memory": 3}})
    run = drift(two, "-y", "--json")
    assert run.status == 1
    assert run.json[good.name] == {"outcome": "unchanged", "why": []}
    assert run.json[bad.name] == {"outcome": "would change", "why": [RESIZE]}
    assert run.json[bobs.name]["outcome"] == "refused"
    assert job_pid(bad) == pid
    assert not bobs.path("/Library/ColimaPulse").exists()


@pytest.mark.parametrize("drifted", [False, True])
def test_make_drift(two: Fleet, drifted: bool) -> None:
    """It says nothing when nothing would change: cron sends no mail then."""
    checkout = two.checkout
    checkout.write_inventory(**({two.good.name: {"colima_memory": 3}} if drifted else {}))
    inventory = checkout.directory / "inventory.py"
    inventory.write_text(f"{inventory.read_text()}macs = macs[:2]\n")
    shutil.copy2(ROOT / "Makefile", checkout.directory)
    # The virtual environment is there: the one that runs this.
    binaries = f"BIN={Path(sys.executable).parent}"
    done = subprocess.run(
        ["make", "-o", ".venv/ready", binaries, "HOST=inventory.py", "drift"],
        cwd=checkout.directory,
        # Not what the make that runs the tests hands down.
        env={key: value for key, value in os.environ.items() if not key.startswith("MAKE")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == (2 if drifted else 0), done.stderr
    assert done.stdout == (f"{two.good.name}   would change: {RESIZE}\n" if drifted else "")
    assert done.stderr.startswith("make: ") if drifted else done.stderr == ""


def test_the_example_inventory_as_it_is_written(two: Fleet, tmp_path: Path) -> None:
    """Its names are given these Macs' addresses by ~/.ssh/config alone."""
    good, bad, bobs, checkout = two
    config, known = [], ""
    for name, mac in (("build1.example.com", good), ("build2.example.com", bobs), ("shop.example.com", bad)):
        config += [f"Host {name}", f"  HostName {mac.ssh.hostname}", f"  Port {mac.ssh.port}"]
        config += [f"  IdentityFile {mac.ssh.key}"]
        known += mac.ssh.known_hosts.read_text()
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text("\n".join(config) + "\n")
    (tmp_path / ".ssh/known_hosts").write_text(known)
    # What is in .env is for those of whom neither a group nor the inventory says otherwise.
    (checkout.directory / ".env").write_text("HOMEBREW_USER=nobody-here\nCOLIMA_CPUS=1\n")

    def run(*arguments: str) -> dict[str, dict[str, object]]:
        done = subprocess.run(
            [*PYINFRA, "group_data/example/inventory.py", "deploys/drift.py", "--json", *arguments],
            cwd=checkout.directory,
            env=os.environ | {"HOME": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 2, done.stderr
        found: dict[str, dict[str, object]] = json.loads(done.stdout)
        return found

    found = run()
    assert list(found) == ["build1.example.com", "build2.example.com", "shop"]
    assert "Restart Colima: memory 2 -> 4 GiB, CPUs 2 -> 4" in str(found["build1.example.com"]["why"])
    assert "Start Colima at boot and now" in str(found["build2.example.com"]["why"])
    assert "CPUs 2 -> 1" in str(found["shop"]["why"])
    assert "Start the pulse" in str(found["shop"]["why"])
    # --data counts for all, whatever an inventory says.
    found = run("--limit", "builders", "--data", "colima_cpus=2")
    assert list(found) == ["build1.example.com", "build2.example.com"]
    assert "'Restart Colima: memory 2 -> 4 GiB'" in str(found["build1.example.com"]["why"])


def test_the_connection_drops_in_the_middle(two: Fleet) -> None:
    good, bad, _, checkout = two
    checkout.write_env()
    checkout.write_inventory(**{bad.name: {"colima_memory": 3}})
    command = [*PYINFRA, "inventory.py", "deploy.py", "-y", *only(good, bad)]
    start = time.monotonic()
    with subprocess.Popen(
        command,
        cwd=checkout.directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stderr
        said = ""
        for line in run.stderr:
            said += line
            if RESIZE in line:
                for each in bad.processes():
                    if each.command.startswith("sshd: admin"):
                        bad.run(["/bin/kill", "-KILL", str(each.pid)])
    assert run.returncode == 1
    # At once, in one line above pyinfra's own.
    assert time.monotonic() - start < 30
    assert said.count(f"[{bad.name}] the SSH connection was lost") == 1
    assert "Traceback" not in said
    ended = summary(Run(1, "", said))
    assert ended == {good.name: "unchanged", bad.name: "failed: the SSH connection was lost; run this again"}

    again = checkout.ssh("-y", *only(good, bad))
    assert again.status == 0, again.output
    assert ping(bad) == "200"
    assert checkout.ssh("-y", "--json", *only(good, bad)).changed == []


def test_a_rolling_change_ends_with_the_first_that_fails(two: Fleet) -> None:
    good, bad, _, checkout = two
    before = {mac.name: job_pid(mac) for mac in (good, bad)}
    checkout.write_inventory(**{mac.name: {"colima_memory": 4} for mac in (good, bad)})
    for mac in (good, bad):
        mac.fault("start-fails", "always")

    run = checkout.ssh("-y", "--serial", "--fail-percent", "0", "--limit", good.name, "--limit", bad.name)

    assert run.status == 1
    said = summary(run)
    (first,) = [name for name, words in said.items() if words.startswith("failed: Colima did not start")]
    (spared,) = [mac for mac in (good, bad) if mac.name != first]
    assert said[spared.name] == "nothing was touched"
    assert job_pid(spared) == before[spared.name]
    assert ping(spared) == "200"

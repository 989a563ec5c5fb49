"""Several Macs in an inventory: one that fails stops no other; what a table and a file tell of each."""

from __future__ import annotations

import re
import subprocess
import time
import uuid
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.checkout import PYINFRA, Checkout, Run
from tests.e2e.conftest import WEB, MakeCheckout, MakeMac
from tests.e2e.looking import PLIST, boot_out, docker, in_guest, is_loaded, job_pid, ping, vm_events, wait_for
from tests.mac.machine import Mac, User

RESIZE = "Restart Colima: memory 2 -> 3 GiB"
STATUS, DIAGNOSE = "deploys/status.py", "deploys/diagnose.py"
# Of this run alone: it stands in no file, not even here.
SECRET = f"s3cret-{uuid.uuid4().hex}"


class Fleet(NamedTuple):
    """Two Macs that are deployed to, one of bob's that nothing is, and a checkout with all three."""

    good: Mac
    bad: Mac
    bobs: Mac
    checkout: Checkout


@pytest.fixture(scope="module")
def fleet(make_mac: MakeMac, make_checkout: MakeCheckout) -> Fleet:
    """The tests leave it as a deploy does, the last ones apart."""
    good, bad, bobs = make_mac(), make_mac(), make_mac(users=[User("bob", 503)])
    bobs.run(["/usr/sbin/chown", "-R", "bob", "/opt/homebrew"])
    # A pulse that looks, and leaves alone what the tests break.
    env = {"PULSE_MISSES": "100", "COLIMA_EXTRA_ARGS": f"--env=TOKEN={SECRET} --env=PLAIN={SECRET}"}
    return Fleet(good, bad, bobs, make_checkout(good, bad, bobs, env=env, installers={"web": WEB}))


@pytest.fixture
def two(fleet: Fleet) -> Fleet:
    """The fleet, of which two are as a deploy leaves them."""
    for mac in (fleet.good, fleet.bad):
        mac.heal("start-fails")
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


def rows(run: Run) -> dict[str, str]:
    """The table's rows by their hosts; without its colours, as it is where nobody sees them."""
    assert "\x1b" not in run.stdout
    lines = run.stdout.partition("\n\n")[0].splitlines()
    assert lines[0].startswith("HOST ")
    return {line.split()[0]: line for line in lines[1:]}


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
    assert re.search(rf"\[{good.name}\] Docker \d\S+ is ready", run.stderr)
    said = summary(run)
    assert list(said) == [good.name, bad.name, bobs.name]
    assert said[good.name].startswith("changed: Install Colima Pulse")
    assert said[bad.name].startswith("failed: Colima did not start: ")
    assert said[bobs.name].startswith("refused: ")
    assert "belongs to bob" in said[bobs.name]

    bad.heal("start-fails")
    run = checkout.ssh("-y", *only(good, bad))
    assert run.status == 0, run.output
    assert summary(run)[good.name] == "unchanged"
    assert ping(bad) == "200"


def test_drift(fleet: Fleet) -> None:
    """One is as it should be, one is not, and one cannot be reached, or is refused."""
    good, bad, bobs, checkout = fleet
    pid = job_pid(bad)

    def drift(*arguments: str) -> Run:
        run = checkout.ssh(*arguments, deploy="deploys/drift.py")
        assert "Traceback" not in run.output
        assert "Beginning operation run" not in run.output
        return run

    checkout.write_inventory(**{bad.name: {"colima_memory": 3}, bobs.name: {"ssh_port": 9}})
    run = drift("--dry", "-y")
    assert run.status == 1
    assert run.stdout == f"{bad.name}   would change: {RESIZE}\n{bobs.name}   unreachable\n"
    run = drift(*only(good, bad))
    assert run.status == 2
    assert run.stdout == f"{bad.name}   would change: {RESIZE}\n"
    run = drift(*only(good))
    assert (run.status, run.stdout) == (0, "")
    # Told to go ahead, with one that is left out meanwhile: nothing is executed either.
    checkout.write_inventory(**{bad.name: {"colima_memory": 3}})
    run = drift("-y", "--json")
    assert run.status == 1
    assert run.json[good.name] == {"outcome": "unchanged", "why": []}
    assert run.json[bad.name] == {"outcome": "would change", "why": [RESIZE]}
    assert run.json[bobs.name]["outcome"] == "refused"
    assert job_pid(bad) == pid


def test_the_connection_drops_in_the_middle(fleet: Fleet) -> None:
    good, bad, _, checkout = fleet
    checkout.write_env()
    checkout.write_inventory(**{bad.name: {"colima_memory": 3}})
    start = time.monotonic()
    with subprocess.Popen(
        [*PYINFRA, "inventory.py", "deploy.py", "-y", *only(good, bad)],
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


def kept(checkout: Checkout) -> list[Path]:
    return sorted((checkout.directory / "diagnostics").glob("*"))


def part(text: str, title: str) -> str:
    """The lines of one part of a diagnosis."""
    match = re.search(rf"(?ms)^== {re.escape(title)}[^\n]* ==\n(.*?)(?=^== |\Z)", text)
    assert match is not None, f"no part {title!r} in:\n{text}"
    return match[1]


def test_a_diagnosis_is_its_owners_alone_and_tells_no_secret(fleet: Fleet) -> None:
    good, _, bobs, checkout = fleet
    before = vm_events(good)
    checkout.write_inventory()
    run = checkout.ssh("-y", "-vvv", *only(good, bobs), deploy=DIAGNOSE)
    assert run.status == 0, run.output
    files = kept(checkout)
    assert len(files) == 2
    for path in files:
        assert str(path) in run.output
        assert path.stat().st_mode & 0o777 == 0o600
    assert files[0].parent.stat().st_mode & 0o777 == 0o700
    (text,) = [path.read_text() for path in files if good.name in path.name]
    for title, words in (
        ("launchd", "state = running"),
        ("Lima's instances", "Running"),
        ("log of Lima's host agent", "Guest agent is running"),
        ("processes of profile default", "qemu-system-aarch64"),
        ("sockets", "docker.sock"),
        ("GET /_ping", "200 OK"),
        ("docker version", "Server:"),
        ("docker ps -a", "web"),
        ("guest: Docker", "docker is active"),
        ("guest: log of Docker", "level=info"),
        ("log: ", "keeping Colima in the foreground"),
    ):
        assert words in part(text, title)
    assert "no answer in time" not in text
    assert SECRET not in text + run.output
    assert "TOKEN=***" in text
    assert vm_events(good) == before
    for path in files:
        path.unlink()


def test_states(fleet: Fleet) -> None:
    """One is well, one is down, degraded, stopped, and fails to start; one is another's, and one is off."""
    good, bad, _, checkout = fleet
    hosts = [(mac.name, checkout.host_data(mac)) for mac in checkout.macs]
    hosts[2][1]["homebrew_user"] = "bob"
    hosts.insert(1, ("off", {**hosts[0][1], "ssh_port": 1}))
    (checkout.directory / "inventory.py").write_text(f"macs = {hosts!r}\n")
    asked = len(good.ssh_commands())
    bad.fault("docker-stays-dead")
    in_guest(bad, "systemctl", "stop", "docker")
    refused = checkout.ssh("-y", "--data", "html=none/status.html", deploy=STATUS)
    assert refused.status == 1
    assert refused.output.count("HTML: 'none/status.html'; there is no directory none") == 1
    assert len(good.ssh_commands()) == asked, "before anything is asked"
    run = checkout.ssh("-y", "--data", "html=status.html", deploy=STATUS)
    assert run.status == 1
    assert "Traceback" not in run.output
    states = {host: row.split()[1] for host, row in rows(run).items()}
    assert f"The page is {checkout.directory}/status.html" in run.stderr
    page = (checkout.directory / "status.html").read_text()
    assert page.endswith("</html>\n")
    row = r'<bdi>(\S+)</bdi></th>\n<td class="state">.*</svg> (\S+)</td>'
    assert dict(re.findall(row, page)) == states
    assert re.search(r'1 boot <span class="muted">since \d', page)
    assert "</svg> <b>boot</b> Docker answered after " in page
    assert list(states.values()) == ["healthy", "unreachable", "down", "absent"]
    assert len(good.ssh_commands()) - asked <= 10
    for word in (f"pid {job_pid(good)}", "2 CPUs, 2 GiB", "1 of 1"):
        assert word in rows(run)[good.name]
    assert re.search(r" \d+\.\d+\.\d\S*, \d+ (s|min) ", rows(run)[good.name])
    assert "in the guest docker is inactive" in run.stdout
    assert f"next: pyinfra .. deploys/recover.py --limit {bad.name}\n" in run.stdout
    bad.heal("docker-stays-dead")
    in_guest(bad, "systemctl", "start", "docker")
    wait_for(lambda: ping(bad) == "200")

    # What cannot be reached is not asked for.
    assert checkout.ssh(*only(good), deploy=STATUS).status == 0

    def status(state: str) -> str:
        run = checkout.ssh(*only(bad), deploy=STATUS)
        assert run.status == 1
        assert rows(run)[bad.name].split()[1] == state
        return run.stdout

    docker(bad, "stop", "web")
    assert "container web is exited" in status("degraded")
    boot_out(bad)
    assert "next: pyinfra .. deploys/start.py\n" in status("stopped")
    bad.fault("start-fails", "always")
    bad.run(["launchctl", "bootstrap", "system", PLIST])
    wait_for(lambda: "level=fatal" in bad.path("/var/log/colima.log").read_text())
    run = checkout.ssh("--json", *only(bad), deploy=STATUS)
    assert run.json["hosts"][bad.name]["state"] == "down"
    assert "error starting vm" in run.stdout


@pytest.mark.weekly
def test_a_rolling_change_ends_with_the_first_that_fails(two: Fleet) -> None:
    good, bad, _, checkout = two
    before = {mac.name: job_pid(mac) for mac in (good, bad)}
    checkout.write_inventory(**{mac.name: {"colima_memory": 4} for mac in (good, bad)})
    for mac in (good, bad):
        mac.fault("start-fails", "always")
    run = checkout.ssh("-y", "--serial", "--fail-percent", "0", *only(good, bad))
    assert run.status == 1
    said = summary(run)
    (first,) = [name for name, words in said.items() if words.startswith("failed: Colima did not start")]
    (spared,) = [mac for mac in (good, bad) if mac.name != first]
    assert said[spared.name] == "nothing was touched"
    assert job_pid(spared) == before[spared.name]
    assert ping(spared) == "200"

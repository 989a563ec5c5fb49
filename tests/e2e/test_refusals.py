"""What is refused before anything is touched, with what to type next; and Macs of another kind."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.checkout import PYINFRA, QUICK, Checkout, copy_repository
from tests.e2e.conftest import MakeCheckout, MakeMac
from tests.e2e.looking import at_terminal, colima, is_loaded, ours, ping
from tests.mac.machine import LOGIN_PATH, Mac, User
from tests.terminal import ENTER, Terminal


@pytest.fixture(scope="module")
def mac(make_mac: MakeMac) -> Mac:
    """A Mac on whose administrator's PATH Homebrew's directory, another user's, stands first."""
    made: Mac = make_mac()
    for name in ("sudo", "sh", "env", "mktemp"):
        path = made.path(f"/opt/homebrew/bin/{name}")
        path.write_text(f"#!/bin/bash\necho {name} >>/private/tmp/ran\n")
        path.chmod(0o755)
    made.path("/Users/admin/.zshenv").write_text("PATH=/opt/homebrew/bin:$PATH\n")
    return made


def refused(checkout: Checkout, *arguments: str) -> str:
    """Deploy, see it refused with nothing touched, and return what it said."""
    (mac,) = checkout.macs
    seen = len(mac.commands())
    run = checkout.ssh("-y", *arguments)
    assert run.status == 1, run.output
    assert "Traceback" not in run.output
    touching = ("bootstrap", "bootout", "enable", "kickstart", "bin/brew", "colima start", "colima stop")
    assert not [each for each in mac.commands()[seen:] if any(word in each for word in touching)]
    assert not mac.path("/Library/ColimaPulse").exists()
    return run.output


def test_all_faults_come_in_one_message(mac: Mac, make_checkout: MakeCheckout) -> None:
    env = {
        "HOMEBREW_USER": "nobody-here",
        "COLIMA_CPUS": "0",
        "COLIMA_MEMORY": "9999",
        "COLIMA_RUNTIME": "containerd",
        "LABEL": "$(touch /tmp/pwned)",
        "LOG_PATH": "/Users/alice/Library/colima.log",
        "WAIT_SOCKET_MAX": "soon",
    }
    installers = {
        "a-good": "docker run -d --name good -p 8080:80 nginx\n",
        "b-noname": "# a comment\ndocker run -d nginx\n",
        "c-twin": "docker run -d --name good -p 127.0.0.1:8080:80 nginx\n",
    }
    checkout = make_checkout(mac, env=env, installers=installers)
    said = refused(checkout, "--data", "only=wno")
    for key, value in env.items():
        if key != "LOG_PATH":  # its place is judged once the rest is readable
            assert f"{key}: " in said, key
            assert value in said, key
    assert "belongs to alice" in said
    for fault in (
        "containers/b-noname:2: ",
        "containers/c-twin: its --name",
        "--publish 127.0.0.1:8080:80 takes a port that containers/a-good:1 takes with --publish 8080:80",
        "ONLY: 'wno'; no installer's name; ",
    ):
        assert fault in said
    assert not mac.path("/tmp/pwned").exists()
    checkout.env = QUICK | {"LOG_PATH": env["LOG_PATH"]}
    said = refused(checkout)
    assert "LOG_PATH: '/Users/alice/Library/colima.log'; /Users/alice is alice's, who" in said


def test_danger_in_env_is_ignored_with_a_warning(mac: Mac, make_checkout: MakeCheckout) -> None:
    checkout = make_checkout(mac, env={"FULL_RESET": "true", "RESET_ALL": "1", "COLIMA_CPU": "4"})
    run = checkout.ssh("--dry", "--json")
    assert run.status == 0, run.output
    assert run.output.count("FULL_RESET (line") == 1
    assert "RESET_ALL (line" in run.output
    assert "did you mean COLIMA_CPUS?" in run.output
    assert "Confirm the full reset" not in run.would_change
    # pyinfra's own; docs/troubleshooting.md has it. --dry alone tells the truth.
    assert run.would_change
    assert checkout.ssh("--dry", "-y", "--json").would_change == []


@pytest.mark.weekly
def test_a_profile_of_vz_and_the_way_out(mac: Mac, make_checkout: MakeCheckout) -> None:
    """Docker's data is kept; and nothing of what stands first in the PATH runs in the whole of a deploy."""
    colima(mac, "start", "--vm-type=vz", "--disk=20")
    before = sorted(each.pid for each in ours(mac))
    checkout = make_checkout(mac)
    said = refused(checkout)
    assert "runs on vz" in said
    assert "colima delete --force --profile default" in said
    assert sorted(each.pid for each in ours(mac)) == before
    for verb in (["stop"], ["delete", "--force"]):
        colima(mac, *verb, "--profile", "default")
    run = checkout.ssh("-y", "-vv")
    assert run.status == 0, run.output
    assert ping(mac) == "200"
    assert not mac.path("/tmp/ran").exists()
    assert ">>> sudo -H -n /bin/sh -c" in run.output
    assert not [line for line in run.output.splitlines() if ">>>" in line and " sh -c" in line]
    said = checkout.ssh("-y", "--data", "colima_disk=10").output
    assert "COLIMA_DISK: 10; the disk of profile default has 20 GiB and can only grow" in said


def test_no_python_that_will_do(mac: Mac, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path / "home", mac)
    terminal.clone()
    seen = terminal.run_on_mac("rm -r .venv && make deploy", path=LOGIN_PATH)
    assert seen.status == 2
    assert "There is no Python 3.10 to 3.14: brew install uv" in seen.text


def test_not_a_mac_and_no_name(tmp_path: Path) -> None:
    """pyinfra passes over a bare name that does not resolve (docs/troubleshooting.md); @ssh/ is an error."""
    checkout = tmp_path / "colima-pulse"
    copy_repository(checkout)
    (checkout / ".env").write_text("".join(f"{key}={value}\n" for key, value in QUICK.items()))
    for host, status, said in (
        ("@local", 1, "this is Linux, not macOS"),
        ("macmini.invalid", 0, ""),
        ("@ssh/macmini.invalid", 1, ""),
    ):
        done = subprocess.run(
            [*PYINFRA, host, "deploy.py", "-y"],
            cwd=checkout,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (host, done.returncode, said in done.stderr) == (host, status, True)
        assert "Starting operation" not in done.stderr


@pytest.fixture(scope="module")
def bobs(make_mac: MakeMac) -> Mac:
    """An Intel Mac whose sudo wants a password, and whose Homebrew user has a home with a space."""
    bob = User("bob", 503, home="/Users/Bob Smith")
    mac: Mac = make_mac(arch="x86_64", users=[bob], sudo_password="s3cret-word")
    mac.run(["/usr/sbin/chown", "-R", "bob", "/usr/local"])
    return mac


@pytest.fixture(scope="module")
def bobs_checkout(bobs: Mac, make_checkout: MakeCheckout) -> Checkout:
    env = {"HOMEBREW_USER": "bob", "COLIMA_PROFILE": "work", "LOG_PATH": "/var/log/my colima.log"}
    hello = {"hello": "docker run --rm --name hello hello-world"}
    made: Checkout = make_checkout(bobs, env=env, installers=hello)
    return made


DEPLOYS = [
    pytest.param(f"deploys/{name}.py", marks=pytest.mark.weekly)
    for name in "diagnose drift logs recover restore start status stop uninstall".split()
]


@pytest.mark.parametrize("deploy", ["deploy.py", *DEPLOYS])
def test_sudo_that_wants_a_password_without_a_terminal(bobs_checkout: Checkout, deploy: str) -> None:
    run = bobs_checkout.ssh("-y", deploy=deploy)
    assert run.status == 1
    assert "Traceback" not in run.output
    assert "EOFError" not in run.output
    assert "sudo wants a password, and there is no terminal" in run.output


def test_sudos_password_is_asked_once_and_bobs_mac_is_deployed_to(bobs: Mac, bobs_checkout: Checkout) -> None:
    """On a terminal, by pyinfra, as `sudo` would; and it is said that others can read it."""
    for says in ("Hello from Docker!", "No changes"):
        seen = at_terminal(bobs_checkout, answers={**ENTER, "sudo password:": "s3cret-word\n"})
        assert seen.status == 0, seen.text
        assert says in seen.text
        assert seen.text.count("sudo password:") == 1
        assert "s3cret-word" not in seen.text
        assert seen.text.count("any user of the Mac can read it in `ps`") == 1
    assert is_loaded(bobs)
    assert bobs.path("/Users/Bob Smith/.colima/work/docker.sock").is_socket()
    assert bobs.path("/var/log/my colima.log").read_text()

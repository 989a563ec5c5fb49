"""What is refused before anything is touched: with what is wrong, where, and what to type next."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

from tests.checkout import PYINFRA, QUICK, ROOT, Checkout, copy_repository
from tests.e2e.looking import LABEL, PLIST, Deployed, is_loaded, job_pid, ours, ping, vm_events
from tests.mac.machine import Mac, User

MakeMac = Callable[..., Mac]
MakeCheckout = Callable[..., Checkout]


@pytest.fixture(scope="module")
def bare(make_mac: MakeMac) -> Mac:
    """A Mac that no test of this module may change."""
    return make_mac()


def refused(checkout: Checkout, *arguments: str) -> str:
    """Deploy, see it refused with nothing touched, and return what it said."""
    (mac,) = checkout.macs
    seen = len(mac.commands())
    run = checkout.ssh("-y", *arguments)
    assert run.status == 1, run.output
    assert "Traceback" not in run.output
    touching = ("bootstrap", "bootout", "enable", "kickstart", "bin/brew", "colima start", "colima stop")
    assert not [each for each in mac.commands()[seen:] if any(word in each for word in touching)]
    return run.output


def test_all_faults_come_in_one_message(bare: Mac, make_checkout: MakeCheckout) -> None:
    env = {
        "HOMEBREW_USER": "nobody-here",
        "COLIMA_CPUS": "0",
        "COLIMA_MEMORY": "9999",
        "COLIMA_DISK": "-5",
        "COLIMA_VM_TYPE": "vz",
        "COLIMA_RUNTIME": "containerd",
        "WAIT_SOCKET_MAX": "soon",
    }
    said = refused(make_checkout(bare, env=env))
    for key, value in env.items():
        assert f"{key}: " in said, key
        assert value in said, key
    assert "belongs to alice" in said
    assert not bare.path("/Library/ColimaPulse").exists()


def test_what_would_reach_a_shell(bare: Mac, make_checkout: MakeCheckout) -> None:
    env = {
        "HOMEBREW_USER": "alice; touch /tmp/pwned",
        "LABEL": "$(touch /tmp/pwned)",
        "COLIMA_PROFILE": "a b`touch /tmp/pwned`",
        "LOG_PATH": "relative",
        "COLIMA_EXTRA_ARGS": "--dns=1.1.1.1 --profile=other",
    }
    said = refused(make_checkout(bare, env=env))
    assert all(f"{key}: " in said for key in env)
    assert not bare.path("/tmp/pwned").exists()


def test_danger_in_env_is_ignored_with_a_warning(bare: Mac, make_checkout: MakeCheckout) -> None:
    checkout = make_checkout(bare, env={"FULL_RESET": "true", "RESET_ALL": "1", "COLIMA_CPU": "4"})
    run = checkout.ssh("--dry")
    assert run.status == 0, run.output
    assert run.output.count("FULL_RESET (line") == 1
    assert "RESET_ALL (line" in run.output
    assert "did you mean COLIMA_CPUS?" in run.output


def test_an_old_macos(make_mac: MakeMac, make_checkout: MakeCheckout) -> None:
    assert "macOS 12.7 is too old" in refused(make_checkout(make_mac(macos="12.7")))


def test_no_homebrew(make_mac: MakeMac, make_checkout: MakeCheckout) -> None:
    mac = make_mac(homebrew=False)
    assert "Homebrew is missing" in refused(make_checkout(mac))
    brew = mac.path("/usr/local/bin/brew")
    brew.parent.mkdir(parents=True, exist_ok=True)
    brew.write_text("#!/bin/sh\n")
    brew.chmod(0o755)
    assert "is an Intel one" in refused(make_checkout(mac))


def test_not_a_mac(tmp_path: Path) -> None:
    checkout = tmp_path / "colima-pulse"
    copy_repository(checkout)
    (checkout / ".env").write_text("".join(f"{key}={value}\n" for key, value in QUICK.items()))
    done = subprocess.run(
        [*PYINFRA, "@local", "deploy.py", "-y"],
        cwd=checkout,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "this is Linux, not macOS" in done.stderr


def test_a_log_in_a_place_of_somebody_elses(bare: Mac, make_checkout: MakeCheckout) -> None:
    """Root makes it, cuts it and removes it; the default one is fine."""
    said = refused(make_checkout(bare, env={"LOG_PATH": "/Users/alice/Library/colima.log"}))
    assert "LOG_PATH: '/Users/alice/Library/colima.log'; /Users/alice is alice's, who" in said
    said = refused(make_checkout(bare, env={"LOG_PATH": "/var/log/our own/colima.log"}))
    assert "/var/log/our own does not exist: sudo mkdir -p '/var/log/our own'" in said
    # Nor does anything else read it as root.
    run = make_checkout(bare, env={"LOG_PATH": "/Users/alice/colima.log"}).ssh(
        "-y", deploy="deploys/status.py"
    )
    assert "LOG_PATH: '/Users/alice/colima.log'; /Users/alice is alice's" in run.output


def test_a_lima_that_prints_more_than_it_should(make_mac: MakeMac, make_checkout: MakeCheckout) -> None:
    mac = make_mac()
    limactl = mac.path("/opt/homebrew/bin/limactl")
    instance = mac.path("/Users/alice/.colima/_lima/colima")
    mac.run(["/bin/mkdir", "-p", "/Users/alice/.colima/_lima/colima"], user="alice")
    assert instance.is_dir()
    limactl.unlink()
    limactl.write_text("#!/bin/sh\necho 'Welcome!'\n")
    limactl.chmod(0o755)
    checkout = make_checkout(mac)
    assert "LIMA_HOME=~/.colima/_lima /opt/homebrew/bin/limactl list" in refused(checkout)
    for deploy, says in (
        ("deploys/status.py", "cannot be read: Lima's instance"),
        ("deploys/drift.py", "refused"),
    ):
        run = checkout.ssh("-y", deploy=deploy)
        assert run.status == 1
        assert says in run.output
        assert "Traceback" not in run.output


def test_whose_sudo_a_login_shell_finds(make_mac: MakeMac, make_checkout: MakeCheckout) -> None:
    """Homebrew's directory stands first in its PATH, and is another user's."""
    mac = make_mac()
    for name in ("sudo", "sh", "env", "mktemp"):
        path = mac.path(f"/opt/homebrew/bin/{name}")
        path.write_text(f"#!/bin/bash\necho {name} >>/private/tmp/ran\n")
        path.chmod(0o755)
    mac.path("/Users/admin/.zshenv").write_text("PATH=/opt/homebrew/bin:$PATH\n")
    checkout = make_checkout(mac)
    run = checkout.ssh("-y", "-vv")
    assert run.status == 0, run.output
    assert not mac.path("/tmp/ran").exists()
    assert ">>> sudo -H -n /bin/sh -c" in run.output
    assert not [line for line in run.output.splitlines() if ">>>" in line and " sh -c" in line]
    assert checkout.ssh("fact", "facts.mac.Mac", deploy=None).status == 0
    assert not mac.path("/tmp/ran").exists()


def test_a_vz_profile_and_another_runtime(make_mac: MakeMac, make_checkout: MakeCheckout) -> None:
    mac = make_mac()
    env = {"PATH": "/opt/homebrew/bin:/usr/bin:/bin:/usr/sbin:/sbin"}
    mac.run(["/opt/homebrew/bin/colima", "start", "--vm-type=vz", "--disk=20"], user="alice", env=env)
    before = sorted(each.pid for each in ours(mac))
    checkout = make_checkout(mac)
    said = refused(checkout)
    assert "runs on vz" in said
    assert "colima delete --force --profile default" in said
    assert checkout.ssh("--dry").status == 1
    assert sorted(each.pid for each in ours(mac)) == before

    # The way out that the message names works, and keeps what Docker had.
    for verb in (["stop"], ["delete", "--force"]):
        mac.run(["/opt/homebrew/bin/colima", *verb, "--profile", "default"], user="alice", env=env)
    run = checkout.ssh("-y")
    assert run.status == 0, run.output
    assert ping(mac) == "200"


def test_a_smaller_disk(make_deployed: Callable[..., Deployed]) -> None:
    deployed = make_deployed("ssh", env={"COLIMA_DISK": "40"})
    mac, before = deployed.mac, job_pid(deployed.mac)
    assert deployed.first.status == 0, deployed.first.output
    said = refused(deployed.checkout, "--data", "colima_disk=30")
    assert (
        "COLIMA_DISK: 30; the disk of profile default has 40 GiB and can only grow: set COLIMA_DISK=40"
        in said
    )
    assert job_pid(mac) == before
    assert vm_events(mac).count("start") == 1


@pytest.fixture(scope="module")
def guarded(make_mac: MakeMac) -> Mac:
    """A Mac whose sudo wants a password."""
    return make_mac(sudo_password="s3cret-word")


# Those say in their first lines how they are run; what lies with them is theirs.
DEPLOYS = sorted(
    f"deploys/{path.name}"
    for path in (ROOT / "deploys").glob("*.py")
    if f"deploys/{path.name}" in path.read_text()
)


@pytest.mark.parametrize("deploy", ["deploy.py", *DEPLOYS])
def test_sudo_that_wants_a_password_without_a_terminal(
    guarded: Mac, make_checkout: MakeCheckout, deploy: str
) -> None:
    run = make_checkout(guarded).ssh("-y", deploy=deploy)
    assert run.status == 1
    assert "Traceback" not in run.output
    assert "EOFError" not in run.output
    assert run.output.count("sudo wants a password, and there is no terminal") > 0


def test_sudo_password_is_asked_once(guarded: Mac, make_checkout: MakeCheckout) -> None:
    """On a terminal, by pyinfra, as `sudo` would; and it is said that others can read it."""
    mac = guarded
    checkout = make_checkout(mac)
    checkout.write_env()
    command = [*PYINFRA, "inventory.py", "deploy.py", "-y"]
    child = pexpect.spawn(command[0], command[1:], cwd=checkout.directory, encoding="utf-8", timeout=90)
    child.expect("sudo password:")
    child.sendline("s3cret-word")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, child.before
    rest = str(child.before)
    assert "sudo password:" not in rest
    assert "s3cret-word" not in rest
    assert rest.count("any user of the Mac can read it in `ps`") == 1
    assert is_loaded(mac, LABEL)
    assert mac.path(PLIST).exists()


def test_a_name_that_does_not_resolve(tmp_path: Path) -> None:
    """pyinfra passes a bare name over and is content; @ssh/ is an error. The README says so."""
    checkout = tmp_path / "colima-pulse"
    copy_repository(checkout)
    outcomes = {}
    for host in ("macmini.invalid", "@ssh/macmini.invalid"):
        done = subprocess.run(
            [*PYINFRA, host, "deploy.py", "-y"],
            cwd=checkout,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        outcomes[host] = done.returncode
        assert "Starting operation" not in done.stderr
    assert outcomes == {"macmini.invalid": 0, "@ssh/macmini.invalid": 1}


def test_dry_with_y_says_no_changes_whatever_is_true(bare: Mac, make_checkout: MakeCheckout) -> None:
    """pyinfra's own; the README warns of it. --dry alone tells the truth."""
    checkout = make_checkout(bare)
    assert checkout.ssh("--dry", "-y", "--json").would_change == []
    assert checkout.ssh("--dry", "--json").would_change != []


def test_a_home_with_a_space_and_another_profile(make_mac: MakeMac, make_checkout: MakeCheckout) -> None:
    mac = make_mac(users=[User("bob", 503, home="/Users/Bob Smith")])
    mac.run(["/usr/sbin/chown", "-R", "bob", "/opt/homebrew"])
    env = {"HOMEBREW_USER": "bob", "COLIMA_PROFILE": "work", "LOG_PATH": "/var/log/my colima.log"}
    checkout = make_checkout(mac, env=env, installers={"hello": "docker run --rm --name hello hello-world"})
    run = checkout.ssh("-y")
    assert run.status == 0, run.output
    assert mac.path("/Users/Bob Smith/.colima/work/docker.sock").is_socket()
    assert mac.path("/var/log/my colima.log").read_text()
    assert checkout.ssh("-y", "--json").changed == []

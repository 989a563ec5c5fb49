"""The life of one Mac, from its first deploy to its uninstall; each step needs the ones before it."""

from __future__ import annotations

import plistlib
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.acceptance.life import INSTANCE, LABEL, PROFILE, PULSE, RIVAL, Life
from tests.host import wait_for

FORCED = ("-y", "--data", "force_yes=true")
POWER = "/usr/bin/pmset -g custom"


def comes_back(life: Life) -> None:
    """Await the container, with what its volume held."""
    wait_for(lambda: life.note() == "precious", life.seconds, 1)


def changes_nothing(life: Life) -> None:
    assert life.pyinfra("deploy.py", "-y", "--json").changed == []


def nothing_runs(life: Life) -> None:
    wait_for(lambda: life.ours() == [], 10, 1)


@contextmanager
def one_start(life: Life) -> Iterator[None]:
    """See that Colima comes up once, and with it the container."""
    before, starts = life.started(), life.starts()
    yield
    wait_for(lambda: life.starts() > starts, life.seconds, 1)
    wait_for(lambda: life.started() not in ("", before), life.seconds, 1)
    assert life.starts() == starts + 1


def test_leftovers(life: Life) -> None:
    """Remove what an earlier run has left, if it was cut off."""
    life.remove()
    assert life.traces() == []


def test_first_deploy(life: Life) -> None:
    """Deploy: Homebrew installs what is missing, Colima makes the profile, hello-world runs."""
    before = life.host.run(POWER).stdout
    run = life.pyinfra("deploy.py", "-y")
    assert "Hello from Docker!" in run.output
    assert life.docker("inspect", "--format", "{{.State.Status}}", "web") == "running"
    assert life.as_user(f"{life.prefix}/bin/docker", "context", "show") != INSTANCE
    assert life.host.run(POWER).stdout == before


def test_launchd_owns_colima(life: Life) -> None:
    """See that launchd's process is Colima's, and the user's."""
    (colima,) = [each for each in life.ours() if each.command.endswith(" --foreground")]
    assert colima.command.startswith(f"{life.prefix}/bin/colima start --profile={PROFILE} ")
    assert (colima.pid, colima.uid, colima.ppid) == (life.number("pid"), life.uid, 1)


def test_lima_runs_it_on_qemu(life: Life) -> None:
    """See that Lima runs the instance, and on QEMU."""
    instance = life.instance()
    assert instance is not None
    assert (instance["status"], instance["vmType"]) == ("Running", "qemu")
    assert life.qemu().uid == life.uid


def test_a_published_port_answers(life: Life) -> None:
    """See that a container's port answers on localhost and on the Mac's own address."""
    life.write_note("precious")
    wait_for(lambda: life.note() == "precious", life.seconds, 1)
    assert life.note(life.address()) == "precious"


def test_second_deploy_changes_nothing(life: Life) -> None:
    """Deploy again: nothing changes, nothing restarts; drift and status are well."""
    before = life.started(), sorted(each.pid for each in life.ours())
    changes_nothing(life)
    life.pyinfra("deploys/drift.py", "--dry", "-y")
    assert "healthy" in life.pyinfra("deploys/status.py", "-y").stdout
    assert (life.started(), sorted(each.pid for each in life.ours())) == before


def test_resize(life: Life) -> None:
    """Stop Colima and start it once, with more memory."""
    life.env["COLIMA_MEMORY"] = "3"
    life.write_env()
    with one_start(life):
        run = life.pyinfra("deploy.py", "-y")
    assert "Restart Colima: memory 2 -> 3 GiB" in run.output
    assert " -m 3072 " in life.qemu().command
    comes_back(life)


def test_bootout_drains(life: Life) -> None:
    """Boot out the job: Colima stops in order, within its ExitTimeOut, and leaves nothing that runs."""
    allowed = life.number("exit timeout")
    assert allowed is not None
    start = time.monotonic()
    life.host.run('/bin/launchctl bootout "system/$1"', LABEL)
    wait_for(lambda: life.printed() is None, allowed, 0.5)
    print(f"within {time.monotonic() - start:.0f} s of {allowed} s")
    nothing_runs(life)
    assert life.sockets() == []
    instance = life.instance()
    assert instance is not None
    assert instance["status"] == "Stopped"


def test_a_deploy_heals_what_a_crash_leaves(life: Life) -> None:
    """Lay down what a crash leaves (a pid that is another's by now, a locked disk), and deploy."""
    line = "/bin/sleep 10000 </dev/null >/dev/null 2>&1 & echo $!"
    stranger = int(life.as_user("/bin/sh", "-c", line))
    lay = 'echo "$1" >"$2/ha.pid" && ln -sfn "$2" "$3"'
    life.as_user("/bin/sh", "-c", lay, "sh", str(stranger), life.lima, life.lock)
    run = life.pyinfra("deploy.py", "-y")
    assert f"removed {life.lima}/ha.pid: pid {stranger} is another process" in run.output
    assert f"removed {life.lock}: instance {INSTANCE} does not run" in run.output
    (spared,) = [each for each in life.processes() if each.pid == stranger]
    assert spared.command.endswith("sleep 10000")
    life.as_user("/bin/kill", str(stranger))
    comes_back(life)


def test_a_rival_is_removed(life: Life) -> None:
    """Load another job that starts the profile, and deploy."""
    path = f"/Library/LaunchDaemons/{RIVAL}.plist"
    words = [f"{life.prefix}/opt/colima/bin/colima", "start", "--profile", PROFILE, "--foreground"]
    text = plistlib.dumps({"Label": RIVAL, "UserName": life.user, "ProgramArguments": words}).decode()
    script = 'umask 022 && printf %s "$1" >"$2" && /bin/launchctl bootstrap system "$2"'
    life.host.run(script, text, path)
    pid = life.number("pid")
    life.pyinfra("deploy.py", "-y")
    assert life.printed(RIVAL) is None
    kept = life.as_user("/usr/bin/find", life.backups, "-name", f"{RIVAL}.plist")
    assert kept.endswith(path)
    assert life.host.run('[ ! -e "$1" ]', path, check=False).returncode == 0
    assert life.number("pid") == pid
    comes_back(life)


def test_the_pulse_brings_back_a_vm_that_was_killed(life: Life) -> None:
    """Kill QEMU: the pulse brings Docker back, without anyone."""
    life.docker("exec", "web", "sync")
    with one_start(life):
        life.host.run('/bin/kill -9 "$1"', str(life.qemu().pid))
    comes_back(life)
    assert len(life.networks()) == 1
    changes_nothing(life)


def test_full_reset(life: Life) -> None:
    """Reset the profile: it is made anew, and what it held is a backup."""
    run = life.pyinfra("deploy.py", *FORCED, "--data", "full_reset=true")
    assert "Hello from Docker!" in run.output
    wait_for(lambda: life.started() != "", life.seconds, 1)
    assert "note" not in life.docker("exec", "web", "ls", "/www")
    (backup,) = life.units()
    assert f"restore={backup}" in run.output


def test_restore(life: Life) -> None:
    """Put the backup back: the container and its volume are as they were."""
    (backup,) = life.units()
    life.pyinfra("deploys/restore.py", "-y", "--data", f"restore={backup}")
    comes_back(life)
    assert len(life.units()) == 2, "it stays, and what it replaced is another"
    changes_nothing(life)


def test_uninstall_leaves_the_vm(life: Life, request: pytest.FixtureRequest) -> None:
    """Uninstall: jobs, settings and logs go; VM, backups and formulae stay, and it starts by hand."""
    if kept := request.config.getoption("--keep"):
        life.keep(kept)
    life.pyinfra("deploys/uninstall.py", "-y")
    assert (life.printed(), life.printed(PULSE)) == (None, None)
    nothing_runs(life)
    left = life.traces()
    own = (f"{life.home}/.colima/", life.backups)
    assert [path for path in left if not path.startswith(own)] == []
    assert life.as_user("/bin/ls", life.backups) != ""
    colima = f"{life.prefix}/bin/colima"
    life.as_user(colima, "start", f"--profile={PROFILE}", seconds=life.seconds)
    wait_for(lambda: life.note() == "precious", life.seconds, 1)
    life.as_user(colima, "stop", f"--profile={PROFILE}", seconds=life.seconds)


def test_nothing_is_left(life: Life) -> None:
    """Remove the VM and the backups as well: nothing of acceptance is left."""
    life.remove()
    assert life.traces() == []
    nothing_runs(life)

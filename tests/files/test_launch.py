"""files/launch: what launchd starts. It makes the ground ready and becomes Colima."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from tests.files.conftest import Mac, is_gone, until
from tests.files.test_lib import HOSTILE

LINE = ("start", "--profile=default", "--cpu", "2", "--env", "GREETING=two words", "--foreground")
NO_TIME = {"gone 20": "gone 0", "gone 10": "gone 0"}


def environment(mac: Mac, **more: str) -> dict[str, str]:
    """The plist's EnvironmentVariables, and what should not be among them."""
    return {
        **HOSTILE,
        "HOME": str(mac.home),
        "COLIMA_HOME": f"{mac.home}/.colima",
        "TMPDIR": f"{mac.home}/Library/Caches/colima-pulse",
        **more,
    }


def launch(mac: Mac, *line: str, edits: dict[str, str] | None = None, **more: str) -> subprocess.Popen[str]:
    colima = f"{mac.prefix}/bin/colima"
    return mac.installed(colima, *(line or LINE), env=environment(mac, **more), edits=edits)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=10)
    return process.returncode, out, err


def stop_and_hostagent(mac: Mac, stop: str) -> subprocess.Popen[bytes]:
    """A colima whose `stop` does as told, and a host agent that runs."""
    mac.brewed("colima", f'case $1 in stop) {stop} ;; start) echo "became $$" ;; esac')
    return mac.start(f"limactl hostagent --pidfile {mac.home}/.colima/_lima/colima/ha.pid --socket x")


def test_it_becomes_colima_with_the_same_words(mac: Mac) -> None:
    mac.brewed("colima", 'echo "$$"; pwd; exit 6')
    process = launch(mac)
    status, out, err = finish(process)
    assert (status, err) == (6, "")
    assert out == f"{process.pid}\n{mac.home}\n", "launchd's pid is not Colima's"
    assert mac.calls("colima") == [list(LINE)]


def test_the_environment_is_the_plists_without_what_would_lead_colima_astray(mac: Mac) -> None:
    mac.brewed("colima", ":")
    finish(launch(mac, KEPT="1"))
    env = mac.env("colima")
    for name in ("XDG_CONFIG_HOME", "LIMA_HOME", "DOCKER_HOST", "DOCKER_CONTEXT", "COLIMA_PROFILE"):
        assert name not in env
    kept = {key: value for key, value in environment(mac, KEPT="1").items() if key not in HOSTILE}
    assert kept.items() <= env.items()
    assert env["COLIMA_HOME"] == f"{mac.home}/.colima"


def test_colima_home_and_tmpdir_are_there_before_colima(mac: Mac) -> None:
    mac.brewed("colima", '[ -d "$COLIMA_HOME" ] && [ -d "$TMPDIR" ] && [ -w "$TMPDIR" ]')
    assert finish(launch(mac))[0] == 0


def test_without_them_colima_does_not_start(mac: Mac) -> None:
    mac.brewed("colima", ":")
    (mac.home / ".colima").write_text("in the way")
    assert finish(launch(mac))[0] == 73
    assert mac.calls("colima") == []


def test_root_is_refused(mac: Mac) -> None:
    mac.become("root")
    mac.brewed("colima", ":")
    status, _, err = finish(launch(mac))
    assert status == 78
    assert "level=fatal" in err
    assert "does not run as root" in err
    assert mac.calls("colima") == []


def test_it_waits_for_a_home_that_appears_later(mac: Mac) -> None:
    mac.brewed("colima", "pwd")
    mac.home.rename(mac.root / "locked")
    process = launch(mac)
    time.sleep(0.2)
    assert process.poll() is None
    assert mac.calls("colima") == []
    (mac.root / "locked").rename(mac.home)
    assert finish(process) == (0, f"{mac.home}\n", "")


def test_a_home_that_never_appears_is_said_and_left_to_launchd(mac: Mac) -> None:
    mac.brewed("colima", ":")
    mac.home.rmdir()
    status, _, err = finish(launch(mac, edits={"+ 300": "+ 0"}))
    assert (status, mac.calls("colima")) == (75, [])
    assert f"{mac.home} is not there" in err
    assert not mac.home.exists(), "a home made by us would hide the volume that belongs there"


def test_an_unsupervised_instance_is_stopped_first(mac: Mac) -> None:
    agent = stop_and_hostagent(mac, "cat; kill $(cat pid); echo stopped")
    (mac.home / "pid").write_text(str(agent.pid))
    status, out, err = finish(launch(mac))
    assert mac.calls("colima") == [["stop", "--profile=default"], list(LINE)]
    assert (status, out.split()[0]) == (0, "became")
    assert "level=warning" in err
    assert "profile default" in err
    assert "stopped\n" in err
    assert mac.calls("sudo") == []


def test_what_colima_stop_leaves_is_ended(mac: Mac) -> None:
    agent = stop_and_hostagent(mac, "exit 1")
    status, out, err = finish(launch(mac))
    assert (status, out.split()[0]) == (0, "became")
    assert "colima stop failed" in err
    assert agent.poll() is not None


def test_a_colima_stop_that_hangs_has_a_deadline(mac: Mac) -> None:
    agent = stop_and_hostagent(mac, f"exec sleep '300 {mac.root}' || exec sleep 300")
    start = time.monotonic()
    status, _, _ = finish(launch(mac, edits={" 240 ": " 0.3 "}))
    assert status == 0
    assert time.monotonic() - start < 8
    assert agent.poll() is not None
    assert [call[0] for call in mac.calls("colima")] == ["stop", "start"]


def test_colima_does_not_start_beside_what_cannot_be_ended(mac: Mac) -> None:
    agent = stop_and_hostagent(mac, "exit 1")
    mac.tool("/bin/kill", "exit 1")
    status, _, err = finish(launch(mac, edits=NO_TIME))
    assert status == 75
    assert str(agent.pid) in err
    assert [call[0] for call in mac.calls("colima")] == ["stop"]


def test_another_profiles_instance_is_left_alone(mac: Mac) -> None:
    agent = stop_and_hostagent(mac, "exit 1")
    status, _, err = finish(launch(mac, "start", "--profile=web", "--foreground"))
    assert (status, err) == (0, "")
    assert mac.calls("colima") == [["start", "--profile=web", "--foreground"]]
    assert not is_gone(agent.pid)


def test_a_term_reaches_colima_itself(mac: Mac) -> None:
    mac.brewed(
        "colima", f"trap 'echo stopping; exit 0' TERM; : >'{mac.root}/up'; while :; do sleep 0.1; done"
    )
    process = launch(mac)
    until((mac.root / "up").exists)
    process.terminate()
    assert finish(process) == (0, "stopping\n", "")


def test_its_own_lines_look_like_colimas(mac: Mac) -> None:
    mac.become("root")
    line = finish(launch(mac))[2]
    assert line.startswith('time="20')
    assert line.endswith('" context=launch\n')


def test_a_colima_that_is_not_there_is_a_failure(mac: Mac) -> None:
    Path(mac.prefix / "bin/colima").unlink(missing_ok=True)
    assert finish(launch(mac))[0] == 127

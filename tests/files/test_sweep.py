"""signal_each, gone and sweep, with real processes: TERM, then KILL, pid by verified pid; strangers live."""

from __future__ import annotations

import signal
import subprocess

from tests.files.conftest import Mac, hostagent, is_gone, usernet

QUICK = {"gone 20 ours": "gone 1 ours", "gone 10 shared": "gone 1 shared"}
NO_TIME = {"gone 20": "gone 0", "gone 10": "gone 0"}


def sweep(
    mac: Mac, profile: str = "default", edits: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return mac.call('sweep 501 "$1" "$2"', mac.home, profile, edits=edits or QUICK)


def end_of(process: subprocess.Popen[bytes]) -> int | None:
    """The signal that ended a process; None when it lives."""
    try:
        return -process.wait(0.2)
    except subprocess.TimeoutExpired:
        return None


def test_term_is_enough_for_what_heeds_it_and_strangers_live(mac: Mac) -> None:
    start = mac.start(f"colima start --env x={mac.root} --cpu")
    strangers = [
        mac.start(hostagent(mac, "colima-foo")),
        mac.start(f"vim {hostagent(mac, 'colima')}"),
        mac.start(usernet(mac)),  # colima-foo needs it
    ]
    done = sweep(mac)
    assert (done.returncode, done.stderr) == (0, "")
    assert end_of(start) == signal.SIGTERM
    assert not any(is_gone(each.pid) for each in strangers)


def test_what_refuses_to_go_is_named_and_is_a_failure(mac: Mac) -> None:
    mac.tool("/bin/kill", 'echo "kill: Operation not permitted" >&2; exit 1')
    agent, net = mac.start(hostagent(mac, "colima-web")), mac.start(usernet(mac))
    done = sweep(mac, "web", NO_TIME)
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert "profile web do not end" in first
    assert second == f"{agent.pid} {mac.path(hostagent(mac, 'colima-web'))} 300"
    assert mac.calls("kill") == [["-TERM", str(agent.pid)], ["-KILL", str(agent.pid)]]
    assert not is_gone(net.pid), "the network of an instance that still runs"


def test_a_pid_that_became_a_strangers_meanwhile_is_not_killed(mac: Mac) -> None:
    # ps shows it once as ours, and then, at the deadline, as what it has become.
    mine, stranger = hostagent(mac), "/usr/bin/vim notes"
    process = mac.start("/usr/bin/vim notes")
    mac.tool(
        "/bin/ps",
        f"""if [ -e '{mac.root}/seen' ]; then now='{stranger}'; else now='{mac.path(mine)}'; fi
        echo " {process.pid} 1 501 $now"; : >'{mac.root}/seen'""",
    )
    mac.tool("/bin/kill", "")
    assert sweep(mac).returncode == 0
    assert mac.calls("kill") == [["-TERM", str(process.pid)]]


def test_what_ignores_term_is_killed_and_then_the_shared_network_goes(mac: Mac) -> None:
    """Root signals as the user whose processes they are: a pid may be another user's by then."""
    mac.become("root")
    mac.tool("/bin/kill", 'exec /bin/kill "$@"')
    found = [mac.start(command, ignores_term=True) for command in (hostagent(mac), usernet(mac))]
    done = sweep(mac)
    assert (done.returncode, done.stderr) == (0, "")
    assert [end_of(each) for each in found] == [signal.SIGKILL] * 2
    signals = [call for call in mac.calls("sudo") if mac.path("/bin/kill") in call]
    assert [call[-2:] for call in signals] == [
        [how, str(each.pid)] for each in found for how in ("-TERM", "-KILL")
    ]
    assert all("alice" in call[: call.index(mac.path("/usr/bin/env"))] for call in signals)
    assert len(mac.calls("kill")) == len(signals)

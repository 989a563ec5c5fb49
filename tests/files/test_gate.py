"""bin/gate: the socket, the API, then good answers in a row, not longer than the job lives."""

from __future__ import annotations

import subprocess

import pytest

from tests.files.conftest import LABEL, Mac
from tests.files.launchd import IDLE, RUNS, Launchd

VERSION = '{"Platform":{"Name":"Docker Engine"},"Version":"28.4.0","ApiVersion":"1.51","Os":"linux"}'
GOOD = f"OK\n200\n{VERSION}\n200\n[]\n200"
HALF = f"OK\n200\n{VERSION}\n200\n" + '{"message":"no"}\n500'
CUT = f"OK\n200\n{VERSION}\n200\n" + '[{"Id":"5f2b\n200'
BUSY = "busy\n503"
EOF = "\n000\ncurl: (52) Empty reply from server"

# They are tested elsewhere, and take long.
NO_DIAGNOSTICS = {"\nkeep_diagnostics\n": "\necho diagnostics\n"}


class Gate:
    """A Docker that answers one thing after another; the last one stays."""

    def __init__(self, mac: Mac) -> None:
        self.mac = mac
        mac.become("root")
        mac.configure(good_answers=3, socket_seconds=3, api_seconds=4)
        self.launchd = Launchd(mac)
        self.launchd.job(RUNS)
        self.directory = mac.root / "answers"
        self.directory.mkdir()
        mac.tool(
            "/usr/bin/curl",
            f"""cd '{self.directory}'; for each in *; do break; done
            cat "$each"; [ "$(ls | wc -l)" -eq 1 ] || rm "$each" """,
        )
        self.socket = mac.home / ".colima/default/docker.sock"
        self.socket.parent.mkdir(parents=True)

    def answers(self, *answers: str, there: bool = True) -> None:
        """Make the socket, where it is `there`, and have Docker answer."""
        if there:
            self.mac.bind(self.socket).close()
        for at, each in enumerate(answers):
            (self.directory / f"{at:03}").write_text(f"{each}\n")

    def run(self) -> subprocess.CompletedProcess[str]:
        return self.mac.run("bin/gate", LABEL, edits=NO_DIAGNOSTICS)


@pytest.fixture
def gate(mac: Mac) -> Gate:
    return Gate(mac)


def test_good_answers_in_a_row(gate: Gate) -> None:
    gate.answers(EOF, GOOD, GOOD, HALF, GOOD)
    done = gate.run()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "Docker answered well 2 times, then not: it answers a ping, and cannot list its containers\n"
        f"Docker 28.4.0 is ready: 3 good answers in a row on {gate.socket}\n"
    )
    assert gate.launchd.notes() == {"verified": "3"}
    assert len(gate.mac.calls("curl")) == 7
    # As the user, who may have put anything in the socket's place.
    assert all("alice" in call for call in gate.mac.calls("sudo"))


@pytest.mark.parametrize(
    ("answers", "there", "why"),
    [
        ([GOOD], False, "no socket within 3 s"),
        ([EOF], True, "no good answer within 4 s (curl: (52) Empty reply from server)"),
        ([CUT], True, "no good answer within 4 s (it answers a ping, and cannot list its containers)"),
        ([BUSY], True, "no good answer within 4 s (the API answers 503)"),
        (
            [GOOD, EOF] * 20,
            True,
            "never 3 good answers in a row within 6 s (curl: (52) Empty reply from server)",
        ),
    ],
)
def test_each_part_has_its_bound(gate: Gate, answers: list[str], there: bool, why: str) -> None:
    gate.launchd.hurry(2)
    gate.answers(*answers, there=there)
    done = gate.run()
    assert (done.returncode, done.stdout.endswith("diagnostics\n")) == (1, True)
    assert done.stderr == (
        f"Docker is not ready: {why}. Look: sudo launchctl print system/{LABEL}; "
        f"sudo bin/recover {LABEL} brings it back\n"
    )
    assert 3 <= gate.launchd.now <= 10
    assert gate.launchd.notes() == {}


@pytest.mark.parametrize(("end", "there"), [(IDLE, True), ("absent", False), ("running|313|2|1", True)])
def test_not_longer_than_the_job_lives(gate: Gate, end: str, there: bool) -> None:
    gate.launchd.job(RUNS, RUNS, end)
    gate.answers(GOOD, GOOD, EOF, there=there)
    assert "Docker is not ready: Colima's process ended" in gate.run().stderr
    assert gate.launchd.now < 6


def test_a_launchd_that_cannot_be_read_has_not_ended(gate: Gate) -> None:
    gate.launchd.job("broken")
    gate.answers(EOF, GOOD)
    assert gate.run().returncode == 0


def test_a_file_in_the_sockets_place_is_none(gate: Gate) -> None:
    gate.launchd.hurry(4)
    gate.socket.write_text("")
    assert "no socket within 3 s" in gate.run().stderr

"""bin/set-power: pmset takes what it is given, and what a configuration profile keeps otherwise is named."""

from __future__ import annotations

import pytest

from tests.files.conftest import LABEL, Mac


@pytest.mark.parametrize(
    ("sleep", "says"),
    [
        (0, ""),
        (1, "pmset took it, and still sleep is 1: does a configuration profile set it?\n"),
    ],
)
def test_set_and_looked_at_again(mac: Mac, sleep: int, says: str) -> None:
    mac.become("root")
    mac.configure()
    mac.tool(
        "/usr/bin/pmset",
        f"""[ "$1" = -a ] && exit; [ "$*" = '-g custom' ] && printf '%s\\n' 'Battery Power:' \
        ' sleep   {sleep} (sleep prevented by caffeinate)' ' womp 1' \
        'AC Power:' ' sleep  {sleep}' ' autorestart 1'""",
    )
    done = mac.run("bin/set-power", LABEL, "sleep=0", "autorestart=1")
    assert (done.returncode, done.stdout, done.stderr) == (0, says, "")
    assert mac.calls("pmset")[0] == ["-a", "sleep", "0", "autorestart", "1"]


def test_pmset_refuses(mac: Mac) -> None:
    mac.become("root")
    mac.configure()
    mac.tool("/usr/bin/pmset", "echo 'Usage:  pmset <options>' >&2; exit 64")
    done = mac.run("bin/set-power", LABEL, "sleep=0")
    assert (done.returncode, done.stdout) == (1, "Usage:  pmset <options>\n")
    assert done.stderr == "pmset has not taken sleep=0\n"

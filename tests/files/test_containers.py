"""The commands that install, start and remove containers, against a client as moody as the real one."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.files.conftest import LABEL, Mac, until
from tests.files.test_lib import HOSTILE

SECRET = "hunter2-0d1f"
SPEC = "5" * 64
ID = "a1" * 32
TEXT = "docker run -d --name web 'an image'\n"

# A client whose one container is what a file says: its spec, state and exit code. `run` and `start` do as the
# test says.
DOCKER = """
[ "$1" != --host ] || shift 2
case "$1 $2" in
'rm --force')
    [ -e "$HOME/container" ] || {{ echo 'Error: No such container: web' >&2; exit 1; }}
    rm "$HOME/container" ;;
'run '*) {run} ;;
'container start') {start} ;;
'container inspect')
    [ -e "$HOME/container" ] || {{ echo 'Error: No such container: web' >&2; exit 1; }}
    read -r spec state code <"$HOME/container"
    case $4 in
    *Labels*Status*) echo "$spec $state $code" ;;
    *'exit code'*) echo "$state (exit code $code)" ;;
    *Status*) echo "$state" ;;
    *Labels*) echo "{id} $spec" ;;
    esac ;;
'container rm') rm "$HOME/container" ;;
'logs --tail') echo 'last words'; echo 'last error' >&2 ;;
esac
"""
MADE = f'echo made; echo "{SPEC} running 0" >"$HOME/container"'
# It runs until the test lets it go on.
HELD = ': >"$HOME/runs"; until [ -e "$HOME/go" ]; do sleep 0.02; done; '
EOF = "echo 'docker: Error response from daemon: Get x: EOF.' >&2; exit 125"

# What recovery and diagnostics do is tested elsewhere; a moment is long enough to stay up.
EDITS = {
    "recover || return 1": "echo recovered || return 1",
    'keep_diagnostics "$1"\n    die': "echo diagnostics\n    die",
    "-gt 3 ]": "-gt -1 ]",
    "-gt 25 ]": "-gt -1 ]",
}


@pytest.fixture(autouse=True)
def deployed(mac: Mac) -> None:
    mac.configure()
    mac.become("root")
    docker(mac)


def docker(mac: Mac, run: str = MADE, start: str = 'echo web; echo "x running 0" >"$HOME/container"') -> None:
    mac.brewed("docker", DOCKER.format(run=run, start=start, id=ID))


def holds(mac: Mac, what: str) -> None:
    """Let there be a container: "SPEC STATE EXITCODE"."""
    (mac.home / "container").write_text(f"{what}\n")


def install(
    mac: Mac, text: str = TEXT, *options: str, kind: str = "attached", edits: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    arguments = (LABEL, "web", 3, SPEC, kind, *options)
    return mac.run(
        "bin/install-container",
        *arguments,
        stdin=f"\n{text}# end\n",
        env=HOSTILE,
        edits={**EDITS, **(edits or {})},
    )


def begin(mac: Mac, kind: str, text: str = TEXT, logins: str = "") -> subprocess.Popen[str]:
    """Have it begin, with its text."""
    words = ("install-container", LABEL, "web", "1", SPEC, kind)
    process = mac.popen("-c", mac.text("bin/install-container", EDITS), *words, env=HOSTILE)
    assert process.stdin is not None
    process.stdin.write(f"{logins}\n{text}# end\n")
    process.stdin.close()
    process.stdin = None
    return process


def told(mac: Mac, word: str) -> int:
    """How often docker was called with this as one of its first words."""
    return sum(word in call[:3] for call in mac.calls("docker"))


def socket(mac: Mac) -> str:
    return f"unix://{mac.home}/.colima/default/docker.sock"


def test_the_old_container_goes_and_the_text_runs(mac: Mac) -> None:
    holds(mac, "old running 0")
    docker(mac, f'pwd; echo "$DOCKER_HOST,${{DOCKER_CONTEXT-}},$HOME,$USER" >&2; {MADE}')
    done = install(mac, kind="detached")
    said = f"{mac.home}\n{socket(mac)},,{mac.home},alice\nmade\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")
    calls = mac.calls("docker")
    assert ["--host", socket(mac), "rm", "--force", "web"] in calls
    assert ["run", "-d", "--name", "web", "an image"] in calls


@pytest.mark.parametrize("text", ["", "{}\n", f"{{}}\n{TEXT}"])
def test_a_text_that_was_cut_short_changes_nothing(mac: Mac, text: str) -> None:
    """As a lost connection leaves it."""
    holds(mac, "old running 0")
    done = mac.run("bin/install-container", LABEL, "web", 3, SPEC, "detached", stdin=text, edits=EDITS)
    assert (done.returncode, done.stderr) == (1, "web's installer has not arrived whole; run this again\n")
    assert mac.calls("docker") == []


def test_nothing_is_done_where_another_run_has_done_it(mac: Mac) -> None:
    for kind, there, runs in (
        ("detached", f"{SPEC} paused 0", 0),
        ("detached", f"{SPEC} dead 0", 1),
        ("detached", f"{SPEC}5 running 0", 1),
        ("attached", f"{SPEC} exited 0", 0),
        ("attached", f"{SPEC} exited 1", 1),
    ):
        holds(mac, there)
        before = told(mac, "run")
        assert install(mac, kind=kind).returncode == 0
        assert told(mac, "run") - before == runs, there
    assert install(mac, TEXT, "anew").stdout == "made\n"


def test_two_at_once(mac: Mac) -> None:
    """The second waits for the first, and finds its work done."""
    docker(mac, HELD + MADE)
    first = begin(mac, "attached")
    until((mac.home / "runs").exists)
    second = begin(mac, "attached")
    assert second.stdout is not None
    assert second.stdout.readline().startswith("Waiting for install-container (pid ")
    (mac.home / "go").touch()
    assert second.communicate(timeout=60)[0] == "web is as its installer says\n"
    first.communicate(timeout=60)
    assert (first.returncode, second.returncode, told(mac, "run")) == (0, 0, 1)


def test_what_is_begun_ends_well_when_nobody_listens_any_more(mac: Mac) -> None:
    docker(mac, f"{HELD}echo one; echo two; {MADE}")
    process = begin(mac, "smoke")
    until((mac.home / "runs").exists)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    process.stderr.close()
    (mac.home / "go").touch()
    assert process.wait(60) == 0
    assert (mac.root / f"Library/ColimaPulse/state/{LABEL}/smoke.web").exists()


def test_a_container_that_cannot_be_removed_stops_it(mac: Mac) -> None:
    mac.brewed("docker", "[ \"$3\" != rm ] || { echo 'Error: removal is in progress' >&2; exit 1; }")
    done = install(mac)
    assert (done.returncode, told(mac, "run")) == (1, 0)
    assert "removal is in progress" in done.stdout


def test_the_first_failing_line_ends_it_in_the_shell_of_the_first_line(mac: Mac) -> None:
    mac.tool("/bin/zsh", f'PATH={mac.prefix}/bin:$PATH; shift; exec bash "$@"')
    mac.tool("/bin/bash", f'PATH={mac.prefix}/bin:$PATH; exec bash "$@"')
    for first, line in (
        ("#!/bin/zsh", "false"),
        ("#!/usr/bin/env zsh", "(exit 127)"),
        ("#!/bin/bash", "(exit 9)"),
        ("#!/bin/zsh-beta", "absent-command"),
        ("# zsh", "if then"),
        ("# zsh", "(exit 125)"),
    ):
        done = install(mac, f"{mac.path(first)}\n{line}\necho went on\n")
        assert (done.returncode, "went on" in done.stdout) == (1, False), line
        assert done.stdout.endswith("diagnostics\n")
        assert done.stderr.startswith("web could not be installed, tried once; what Docker said is above.")
        told_how = mac.path("if it is written for zsh, make '#!/bin/zsh' its first line\n") in done.stdout
        assert told_how is (line in ("absent-command", "if then"))
    assert [call[:3] for call in mac.calls("zsh")] == [["-f", "-e", "-c"]] * 2
    assert [call[:2] for call in mac.calls("bash")] == [["-e", "-c"]]


def test_the_text_is_run_as_it_is(mac: Mac) -> None:
    texts = ["back\\\\slash \\n %s $HOME", "'", "-n", "a  b\ttab", "ünïcode", "*", "x" * 300_000]
    quoted = " ".join("'" + text.replace("'", "'\\''") + "'" for text in texts)
    done = install(mac, f"for each in {quoted}; do printf '%s\\n' \"$each\"; done\ncat\n")
    assert done.stdout.splitlines() == texts, "and it gets no input"


def test_what_is_shown_is_text(mac: Mac) -> None:
    """A terminal would obey the rest; and a pipeline of the text's ends as it does elsewhere."""
    docker(mac, r"printf 'a\tb\033]52;c;x\007\302\233\303\244\344\r\n'")
    done = install(mac, f"yes | head -n 1\n{TEXT}", kind="smoke")
    assert (done.returncode, done.stdout) == (0, "y\na\tb?]52;c;x??ä?\n")


def test_the_text_has_a_deadline_and_leaves_the_lock(mac: Mac) -> None:
    done = install(mac, "echo first\n/bin/sleep 300\n", edits={" 3600 ": " 0.3 "})
    said = ["first", "the installer did not end within 0.3 s", "diagnostics"]
    assert (done.returncode, done.stdout.splitlines()) == (1, said)
    assert mac.left() == {}
    # What a text leaves behind does not hold the lock.
    assert install(mac, "sleep 20 >/dev/null 2>&1 &\n").returncode == 0
    start = time.monotonic()
    assert install(mac).returncode == 0
    assert time.monotonic() - start < 10


PASSING = [
    'Error response from daemon: Get "https://registry-1.docker.io/v2/": EOF',
    "net/http: TLS handshake timeout",
    "read tcp 10.0.2.15:53: read: connection reset by peer",
    "dial tcp 127.0.0.1:443: connect: connection refused",
    "write: broken pipe",
    "dial tcp: lookup registry: i/o timeout",
    "context canceled",
    "error during connect: http2: server sent GOAWAY",
    "use of closed network connection",
    "the connection is closing",
    "dial unix /Users/a/.colima/default/docker.sock: connect: no such file or directory",
    "Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?",
]
FINAL = [
    "pull access denied for nope, repository does not exist",
    "manifest for nginx:nope not found: manifest unknown",
    "Bind for 0.0.0.0:80 failed: port is already allocated",
    "GEOFENCE",
    'exec: "nope": stat nope: no such file or directory',
]


def test_which_error_passes(mac: Mac) -> None:
    code = "while IFS= read -r line; do printf '%s\\n' \"$line\" | transient >/dev/null; echo $?; done"
    done = mac.call(code, stdin="".join(f"{line}\n" for line in (*PASSING, *FINAL)))
    assert done.stdout.split() == ["0"] * len(PASSING) + ["1"] * len(FINAL)


def test_where_a_login_is_explained(mac: Mac) -> None:
    wanted = ["Get x: no basic auth credentials", "unauthorized", "Head x: unauthorized: ..", FINAL[0]]
    hint = " (for private images, see containers/README.md)"
    said = mac.call("transient || :", stdin="".join(f"{line}\n" for line in wanted)).stdout.splitlines()
    assert said == [f"{wanted[0]}{hint}", "unauthorized", f"{wanted[2]}{hint}", f"{wanted[3]}{hint}"]


def test_a_passing_error_is_tried_again_once_docker_has_recovered(mac: Mac) -> None:
    docker(mac, f'[ ! -e "$HOME/once" ] || {{ {MADE}; exit; }}; : >"$HOME/once"; {EOF}')
    done = install(mac)
    assert done.returncode == 0
    assert done.stdout.splitlines()[1:] == ["web: a passing error; try 2 of 3 follows", "recovered", "made"]
    assert told(mac, "rm") == 2, "what the first try has left goes"


@pytest.mark.parametrize(
    ("run", "recovers", "times"),
    [(EOF, "echo", "3 times"), (EOF, "false", "once"), ("echo port is taken; exit 125", "echo", "once")],
)
def test_tries_are_bounded(mac: Mac, run: str, recovers: str, times: str) -> None:
    docker(mac, run)
    done = install(mac, edits={"recover || return 1": f"{recovers} || return 1"})
    assert (done.returncode, told(mac, "run")) == (1, 3 if times == "3 times" else 1)
    assert f"tried {times};" in done.stderr


def test_a_detached_container_that_does_not_stay(mac: Mac) -> None:
    for after, says in (
        (
            f'echo "{SPEC} exited 137" >"$HOME/container"',
            "web is exited (exit code 137) right after its start.",
        ),
        (f'echo "{SPEC} restarting 1" >"$HOME/container"', "web is restarting (exit code 1)"),
        (f'printf "{SPEC} a\\033word 1\\n" >"$HOME/container"', "web is a?word (exit code 1)"),
        ("", "web is gone"),
    ):
        docker(mac, after)
        done = install(mac, TEXT, "anew", kind="detached")
        assert (done.returncode, says in done.stderr) == (1, True)
        assert done.stdout.endswith("web's last lines:\nlast words\nlast error\ndiagnostics\n")
    mac.brewed("docker", 'case "$3 $4" in "container inspect") echo Cannot connect >&2; exit 1 ;; esac')
    done = install(mac, kind="detached")
    assert "web cannot be looked at: Docker does not answer any more" in done.stderr


def test_it_has_to_stay_for_three_seconds(mac: Mac) -> None:
    sleeps = f"cd '{mac.home}'; echo >>n; [ $(wc -l <n) -lt 4 ] || echo '{SPEC} exited 2' >container"
    mac.tool("/bin/sleep", sleeps)
    done = install(mac, kind="detached", edits={"-gt -1 ]": "-gt 3 ]"})
    assert (done.returncode, "is exited (exit code 2)" in done.stderr) == (1, True)


def test_a_smoke_test_that_passed_is_noted(mac: Mac) -> None:
    note = mac.root / f"Library/ColimaPulse/state/{LABEL}/smoke.web"
    docker(mac, "echo hello")
    assert install(mac, kind="smoke").stdout == "hello\n"
    assert note.read_text() == f"{SPEC}\n"
    assert install(mac, kind="smoke").stdout == "web is as its installer says\n"
    docker(mac, "exit 1")
    assert install(mac, TEXT, "anew", kind="smoke").returncode == 1
    assert not note.exists(), "what has passed before is void"


def test_a_secret_is_on_no_command_line_and_in_no_file(mac: Mac) -> None:
    docker(mac, f'{HELD}printf %s "$TOKEN"; cat "$DOCKER_CONFIG/config.json"')
    login = "bG9naW46c2VjcmV0"
    auths = f'{{"auths":{{"ghcr.io":{{"auth":"{login}"}}}}}}'
    text = f"export TOKEN='{SECRET}'\ndocker run --name web --env TOKEN image\n"
    process = begin(mac, "attached", text, auths)
    until((mac.home / "runs").exists)
    assert [each for each in mac.left().values() if SECRET in each or login in each] == []

    def holding(what: str) -> list[Path]:
        paths = (path for path in mac.root.rglob("*") if path.is_file())
        return [path for path in paths if what.encode() in path.read_bytes()]

    # Docker's environment has it, and what notes that is the stand-in.
    assert holding(SECRET) == [Path(mac.root / "calls/docker.env")]
    # While docker may need it.
    (config,) = holding(login)
    assert config.parent.parent == mac.home / "Library/Caches/colima-pulse"
    (mac.home / "go").touch()
    assert (process.communicate(timeout=60)[0], process.returncode) == (f"{SECRET}{auths}\n", 0)
    assert holding(login) == []
    words = [word for name in ("sudo", "docker") for call in mac.calls(name) for word in call]
    assert not any(SECRET in word or login in word for word in words)


def start(mac: Mac, edits: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return mac.run("bin/start-container", LABEL, "web", 3, env=HOSTILE, edits={**EDITS, **(edits or {})})


def test_start(mac: Mac) -> None:
    holds(mac, f"{SPEC} exited 137")
    done = start(mac)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert ["--host", socket(mac), "container", "start", "web"] in mac.calls("docker")
    assert start(mac).stdout == "web runs\n", "another run has started it"
    assert sum(call[3:] == ["start", "web"] for call in mac.calls("docker")) == 1


def test_a_start_that_fails(mac: Mac) -> None:
    holds(mac, f"{SPEC} exited 137")
    docker(mac, start="echo 'Error: port is already allocated' >&2; exit 1")
    done = start(mac)
    said = "Error: port is already allocated\nweb's last lines:\nlast words\nlast error\ndiagnostics\n"
    assert (done.returncode, done.stdout) == (1, said)
    assert done.stderr.startswith("web could not be started, tried once;")
    assert "--data reinstall=web makes it anew" in done.stderr
    docker(mac, start="exec sleep 300")
    done = start(mac, {"engine 120 ": "engine 0.3 "})
    assert done.stdout.startswith("docker container start did not end within 0.3 s\n")


def remove(mac: Mac) -> subprocess.CompletedProcess[str]:
    return mac.run("bin/remove-container", LABEL, "web", env=HOSTILE)


def test_what_an_installer_has_made_goes_by_its_id(mac: Mac) -> None:
    holds(mac, f"{SPEC} exited 0")
    done = remove(mac)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    # Its anonymous volumes stay as well: no --volumes.
    assert mac.calls("docker")[-1][2:] == ["container", "rm", "--force", ID]
    assert remove(mac).returncode == 0, "what is gone is no failure"


def test_what_no_installer_has_made_stays(mac: Mac) -> None:
    for said, says in (
        (f"echo '{ID} '", "no installer has made it: it stays"),
        (f"echo 'x {ID} {SPEC}'", "no installer has made it: it stays"),
        ("echo 'Cannot connect' >&2; exit 1", "Cannot connect"),
    ):
        mac.brewed("docker", f'[ "$4" = rm ] || {{ {said}; }}')
        done = remove(mac)
        assert (done.returncode, done.stdout) == (1, f"{says}\n")
        assert done.stderr == "container web could not be removed\n"
    assert told(mac, "rm") == 0

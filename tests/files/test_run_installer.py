"""files/run-installer: a container's text is run as the user, and nobody else sees what is secret in it."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.files.conftest import Mac, until
from tests.files.test_lib import HOSTILE

SECRET = "hunter2-0d1f"
ABSENT = "Error response from daemon: No such container: web"


@pytest.fixture(autouse=True)
def docker(mac: Mac) -> None:
    mac.brewed("docker", f"[ \"$3\" != rm ] || {{ echo '{ABSENT}' >&2; exit 1; }}")


def install(
    mac: Mac, text: str, seconds: float = 10, edits: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return mac.run("run-installer", "alice", "default", "web", seconds, stdin=text, env=HOSTILE, edits=edits)


def socket(mac: Mac) -> str:
    return f"unix://{mac.home}/.colima/default/docker.sock"


def test_the_old_container_goes_and_the_text_runs(mac: Mac) -> None:
    mac.brewed("docker", "echo out; echo err >&2")
    done = install(mac, "docker run -d --name web \\\n  'an image'\n\n")
    assert mac.calls("docker") == [
        ["--host", socket(mac), "rm", "--force", "web"],
        ["run", "-d", "--name", "web", "an image"],
    ]
    assert (done.returncode, done.stdout, done.stderr) == (0, "out\nerr\n", ""), (
        "the text's, in its order; not rm's"
    )


@pytest.mark.parametrize("caller", ["root", "alice"])
def test_docker_is_the_profiles_whatever_the_caller_has_set(mac: Mac, caller: str) -> None:
    mac.become(caller)
    install(mac, "docker run --name web image")
    env = mac.env("docker")
    assert env["DOCKER_HOST"] == socket(mac)
    assert "DOCKER_CONTEXT" not in env
    assert (env["HOME"], env["USER"]) == (str(mac.home), "alice")


def test_the_text_runs_in_the_users_home(mac: Mac) -> None:
    assert install(mac, "pwd").stdout == f"{mac.home}\n"


def test_an_absent_container_is_no_error(mac: Mac) -> None:
    assert install(mac, "echo ran").stdout == "ran\n"


@pytest.mark.parametrize(
    "body, said",
    [
        ("echo 'Error: removal of container web is already in progress' >&2; exit 1", "already in progress"),
        ("echo 'Cannot connect to the Docker daemon'; exit 1", "Cannot connect"),
        ("exec sleep 300", ""),
    ],
)
def test_a_container_that_cannot_be_removed_stops_it(mac: Mac, body: str, said: str) -> None:
    mac.brewed("docker", body)
    done = install(mac, "echo ran", edits={" 120 ": " 0.3 "})
    assert done.returncode == 1
    assert done.stdout == ""
    assert said in done.stderr


@pytest.mark.parametrize(
    "text, status",
    [
        ("true\nfalse\necho went on", 1),
        ("(exit 9)\necho went on", 9),
        ("docker run --name web image\necho went on", 125),
        ("export A=$(exit 3) || exit 4\nexit 5", 5),
        ("if then", 2),
        ("cd /nowhere\necho went on", None),
        ("absent-command\necho went on", 127),
    ],
)
def test_the_first_failing_line_ends_it_and_its_status_is_the_answer(
    mac: Mac, text: str, status: int | None
) -> None:
    mac.brewed("docker", '[ "$1" = run ] && exit 125; exit 0')
    done = install(mac, text)
    assert done.returncode != 0
    assert status is None or done.returncode == status
    assert "went on" not in done.stdout
    assert done.stderr == "", "all that the text says is in one stream, in order"


def test_the_commands_get_no_input(mac: Mac) -> None:
    done = install(mac, "PATH=$PATH:/usr/bin:/bin\ncat\nread -r line || echo eof\necho last\n")
    assert (done.returncode, done.stdout) == (0, "eof\nlast\n")


def test_the_text_has_a_deadline(mac: Mac) -> None:
    done = install(mac, "echo first\n/bin/sleep 300\necho last\n", seconds=0.3)
    assert (done.returncode, done.stdout) == (124, "first\n")
    assert mac.left() == {}


@pytest.mark.parametrize("text", ["back\\\\slash \\n %s $HOME", "'", "-n", "a  b\ttab", "ünïcode", "*"])
def test_the_text_is_run_as_it_is(mac: Mac, text: str) -> None:
    quoted = text.replace("'", "'\\''")
    mac.brewed("docker", "")
    install(mac, f"docker run --name web '{quoted}'\n")
    assert mac.calls("docker")[1] == ["run", "--name", "web", text]


def test_a_long_text_is_no_argument(mac: Mac) -> None:
    done = install(mac, "# " + "x" * 3_000_000 + "\necho ran\n")
    assert (done.returncode, done.stdout) == (0, "ran\n")


@pytest.mark.parametrize("caller", ["root", "alice"])
def test_a_secret_is_on_no_command_line_and_in_no_file(mac: Mac, caller: str) -> None:
    mac.become(caller)
    mac.tool("/bin/cat", 'cat "$@"; sleep 0.1')  # time to look while the text is on its way
    mac.brewed("docker", f'[ "$1" = run ] && {{ : >\'{mac.root}/runs\'; printf %s "$TOKEN"; sleep 0.2; }}; :')
    process = mac.popen(
        "-c", mac.text("run-installer"), "run-installer", "alice", "default", "web", "10",
        env={**HOSTILE, "TMPDIR": str(mac.root)},
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(f"export TOKEN='{SECRET}'\ndocker run --name web --env TOKEN image\n")
    process.stdin.close()
    process.stdin = None

    seen: list[str] = []

    def look() -> bool:
        seen.extend(command for command in mac.left().values() if SECRET in command)
        # Docker's environment has it, and what notes that is the stand-in.
        grep = subprocess.run(
            [shutil.which("grep") or "grep", "-rlF", "--exclude=docker.env", SECRET, str(mac.root)],
            capture_output=True,
            text=True,
            env={**os.environ, "LC_ALL": "C"},
        )
        seen.extend(grep.stdout.splitlines())
        return process.poll() is not None

    until(look)
    out, _ = process.communicate()
    assert (mac.root / "runs").exists()
    assert (process.returncode, out) == (0, SECRET), "the text was not run"
    assert seen == []
    assert all(
        SECRET not in word for name in ("sudo", "docker", "dscl") for call in mac.calls(name) for word in call
    )

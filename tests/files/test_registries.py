"""Docker's configuration for what a deploy pulls: no helper is asked, and nothing of it is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from facts.docker import DockerConfig, DockerConfigState
from tests.files.conftest import Mac, is_gone, libraries, lines, until
from tests.files.test_launch import finish, launch
from tests.files.test_lib import HOSTILE

CALL = 'with_docker_config alice "$1" 20 /bin/sh -c "$2" sh a\\ b'
SEEN = 'cat "$DOCKER_CONFIG/config.json"; echo; cat'
NOBODY: dict[str, Any] = {"https://index.docker.io/v1/": {}}


def used(mac: Mac, given: str, code: str = SEEN, rest: str = "") -> tuple[int, str, str]:
    """Run shell code with the configuration."""
    done = mac.call(CALL, mac.home, code, stdin=f"{given}\n{rest}", env=HOSTILE)
    return done.returncode, done.stdout, done.stderr


def temporary(mac: Mac) -> Path:
    return mac.home / "Library/Caches/colima-pulse"


def own(mac: Mac, content: object) -> Path:
    """What the user has in ~/.docker/config.json; and where that is."""
    path = mac.home / ".docker/config.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("of_user", "given", "auths", "others"),
    [
        # docker takes a helper from PATH where there is no login at all.
        ({}, "", NOBODY, {}),
        ({"credsStore": "osxkeychain", "credHelpers": {"a": "x"}, "auths": {}}, "", NOBODY, {}),
        (
            {"auths": {"a": {"auth": "1"}}, "proxies": {"default": {}}},
            "",
            {"a": {"auth": "1"}},
            {"proxies": {"default": {}}},
        ),
        (
            {"auths": {"a": {"auth": "1"}, "b": {"auth": "2"}}, "x": 1, "y": 1},
            '{"auths": {"b": {"auth": "3"}}, "y": "\\u00e9", "credsStore": "desktop"}',
            {"a": {"auth": "1"}, "b": {"auth": "3"}},
            {"x": 1, "y": "\u00e9"},
        ),
        ("no JSON", "", NOBODY, {}),
        ({"auths": []}, '{"auths": {"a": {"auth": "1"}}}', {"a": {"auth": "1"}}, {}),
    ],
)
def test_what_the_user_has_counts_but_for_helpers(
    mac: Mac, of_user: Any, given: str, auths: Any, others: Any
) -> None:
    own(mac, of_user)
    status, out, err = used(mac, given, rest="the rest\nof it\n")
    config, _, rest = out.partition("\n")
    assert (status, err, rest) == (0, "", "the rest\nof it\n")
    assert json.loads(config) == {"auths": auths, **others}
    assert list(temporary(mac).iterdir()) == []


def test_it_is_the_users_alone_and_has_the_rest_of_theirs(mac: Mac) -> None:
    mac.become("root")
    plugin = mac.home / ".docker/cli-plugins/docker-x"
    plugin.parent.mkdir(parents=True)
    plugin.touch()
    modes = """perl -e 'printf "%o ", 07777 & (stat)[2] for ".", "config.json"'"""
    see = f'PATH=/usr/bin:/bin; cd "$DOCKER_CONFIG"; {modes}; echo "$1" * cli-plugins/*; exit 7'
    status, out, err = used(mac, "", see)
    assert (status, err) == (7, "")
    assert out == "700 600 a b cli-plugins config.json cli-plugins/docker-x\n"
    assert plugin.exists(), "it was removed through the link"
    assert mac.calls("sudo")[0][:4] == ["-n", "-H", "-u", "alice"]


def test_a_signal_leaves_nothing(mac: Mac) -> None:
    code = f": >'{mac.home}/runs'; exec {mac.path('/bin/sleep')} 300"
    text = mac.path(f"set -u\n{libraries()}\n{CALL}")
    process = mac.popen("-c", text, "sh", str(mac.home), code, env=HOSTILE)
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    until((mac.home / "runs").exists)
    assert [each.name for each in temporary(mac).iterdir()] != []
    os.killpg(process.pid, signal.SIGHUP)
    process.communicate(timeout=10)
    until(lambda: not list(temporary(mac).iterdir()))
    assert mac.left() == {}


def test_what_a_kill_left_goes_with_the_next_one_or_the_next_start(mac: Mac) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    runs = mac.start("docker run")
    left = temporary(mac) / f"docker.{gone.pid}"
    keeps = [temporary(mac) / f"docker.{runs.pid}", temporary(mac) / "docker.x", temporary(mac) / "docker.1x"]

    def leave() -> None:
        left.mkdir(parents=True)
        (left / "config.json").write_text("secret")
        (left / "cli-plugins").symlink_to(mac.home)

    leave()
    for each in keeps:
        each.mkdir()
    assert used(mac, "", ":") == (0, "", "")
    assert sorted(temporary(mac).iterdir()) == sorted(keeps)
    leave()
    mac.brewed("colima", ":")
    assert finish(launch(mac)) == (0, "", "")
    assert sorted(temporary(mac).iterdir()) == sorted(keeps)
    assert mac.home.exists()
    assert not is_gone(runs.pid)


def test_what_cannot_be_written_runs_nothing(mac: Mac) -> None:
    temporary(mac).parent.mkdir(parents=True)
    temporary(mac).write_text("")
    status, out, err = used(mac, "", "echo ran")
    assert (status != 0, out, str(temporary(mac)) in err) == (True, "", True)


ELSEWHERE = '{"credsStore": "desktop", "auths": {"a": {"auth": "s3cret"}}}'


DEEP: Any = []
for _ in range(450):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({}, DockerConfigState()),
        ({"credsStore": "osxkeychain", "auths": {"a": {"auth": "s3cret"}}}, DockerConfigState("osxkeychain")),
        (
            {"credsStore": "", "credHelpers": {"a.b": "desktop", "c": 7}},
            DockerConfigState(None, {"a.b": "desktop"}),
        ),
        ({"credsStore": ["x"], "credHelpers": "x"}, DockerConfigState()),
        # What is too deep for whoever reads it.
        ({"credsStore": "x", "credHelpers": {"a": DEEP, "b": "c"}}, DockerConfigState("x", {"b": "c"})),
        ({"credsStore": DEEP}, DockerConfigState()),
        ("[]", None),
        ("", None),
        ({"x": "y" * 65536}, None),
        # What is no file, or none of its own, holds nothing up.
        (lambda path: None, DockerConfigState()),
        (lambda path: path.symlink_to("nowhere"), DockerConfigState()),
        (lambda path: path.symlink_to("elsewhere.json"), DockerConfigState("desktop")),
        (lambda path: path.symlink_to("/dev/zero"), None),
        (os.mkfifo, None),
        (Path.mkdir, None),
    ],
)
def test_which_helpers_are_asked(mac: Mac, content: Any, found: DockerConfigState | None) -> None:
    path = own(mac, "")
    path.with_name("elsewhere.json").write_text(ELSEWHERE)
    path.unlink()
    if callable(content):
        content(path)
    else:
        own(mac, content)
    done = mac.run("facts/docker-config", env={"HOME": str(mac.home)})
    assert (done.stderr, "s3cret" in done.stdout) == ("", False)
    assert (DockerConfig().process(lines(done)) if done.returncode == 0 else None) == found


def test_the_keychain_that_docker_takes_by_itself(mac: Mac) -> None:
    mac.brewed("docker-credential-osxkeychain", ":")
    for content, store in (
        ("{}", "osxkeychain"),
        ({"auths": {}, "currentContext": "colima"}, "osxkeychain"),
        ({"auths": {"a": {}}}, None),
        ({"credHelpers": {"a": "pass"}}, None),
        ({"credsStore": "pass"}, "pass"),
    ):
        own(mac, content)
        found = DockerConfig().process(lines(mac.run("facts/docker-config", env={"HOME": str(mac.home)})))
        assert found.creds_store == store, content

"""Containers: all read and checked first, run in order, left alone when nothing changed, secrets kept."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.looking import Deployed, container, docker, ping, process, wait_for
from tests.mac.machine import Mac

# Of this run alone: it stands in no file, not even here.
SECRET = f"secret-{uuid.uuid4().hex}"
BRIEF = "docker run --name {0} busybox true\n"
LONG = "docker run -d --restart always --name {0} busybox sleep 1000\n"


@pytest.fixture(autouse=True)
def clean(deployed: Deployed) -> None:
    for path in (deployed.checkout.directory / "containers").iterdir():
        path.unlink()


def names(mac: Mac) -> list[str]:
    return docker(mac, "ps", "-a", "--format", "{{.Names}}").split()


def test_every_fault_is_named_before_anything_runs(deployed: Deployed) -> None:
    checkout, mac = deployed.checkout, deployed.mac
    checkout.installer("a-good", LONG.format("good"))
    checkout.installer("b-noname", "# a comment\ndocker run -d nginx\n")
    checkout.installer("c-twin", LONG.format("good"))
    checkout.installer("g-binary", b"docker run --name g \0nginx\n")
    run = checkout.ssh("-y", "--data", "only=wno", "--data", "colima_cpus=0")
    assert run.status == 1
    there = "ONLY: 'wno'; no installer's name; there is good (containers/a-good)"
    for fault in (
        "containers/b-noname:2: ",
        "containers/g-binary:1: ",
        "containers/c-twin",
        there,
        "COLIMA_CPUS: 0",
    ):
        assert fault in run.output, fault
    assert "good" not in names(mac)


def test_only_what_changed_or_is_asked_for_is_made_anew(deployed: Deployed) -> None:
    mac, checkout = deployed.mac, deployed.checkout
    for name in ("one", "two", "old"):
        checkout.installer(
            f"10-{name}", "#!/bin/bash\r\n\u2502 $ " + LONG.format(name).replace("-d", "-d \\\r\n\u2502 > ")
        )
    checkout.installer("hello", "docker run --name hello --rm hello-world\n")
    run = deployed.run("-y")
    assert run.status == 0, run.output
    assert deployed.run("-y", "--json").changed == []

    def changed(*options: str) -> tuple[list[str], str]:
        before = {name: container(mac, name, "Id") for name in ("one", "two")}
        run = deployed.run("-y", *options)
        assert run.status == 0, run.output
        return [name for name, was in before.items() if container(mac, name, "Id") != was], run.output

    made, output = changed("--data", "reinstall=one,hello")
    assert (made, "Install one: asked for with reinstall=one" in output) == (["one"], True)
    assert "Hello from Docker!" in output
    for name in ("one", "two"):
        checkout.installer(f"10-{name}", LONG.format(name).replace("1000", "2000"))
    assert "Install two: its text changed" in deployed.run("--dry").output
    # What else is due waits for a run that is about it.
    assert changed("--data", "only=10-one")[0] == ["one"]

    (checkout.directory / "containers" / "10-old").unlink()
    docker(mac, "run", "-d", "--name", "by-hand", "-v", "old:/a", "busybox", "sleep", "1000")
    made, output = changed()
    assert (made, "old was made by an installer that is no longer in containers/" in output) == (
        ["two"],
        True,
    )
    assert "Remove old, which is running" in changed("--data", "remove_unowned=true")[1]
    assert {"by-hand", "one", "two"} <= set(names(mac))
    assert "old" not in names(mac)
    docker(mac, "rm", "-f", "by-hand")


def test_two_deploys_at_once(deployed: Deployed) -> None:
    """The second waits for the first, and finds its work done; neither fails by a name that is taken."""
    checkout = deployed.checkout
    for name in ("twin-a", "twin-b"):
        checkout.installer(name, "sleep 1\n" + LONG.format(name))
    checkout.write_env()
    with ThreadPoolExecutor() as pool:
        runs = list(pool.map(lambda _: checkout.ssh("-y"), range(2)))
    assert [run.status for run in runs] == [0, 0], "\n\n".join(run.output for run in runs)
    assert any("as its installer says" in run.output for run in runs)
    assert {"twin-a", "twin-b"} <= set(docker(deployed.mac, "ps", "--format", "{{.Names}}").split())


def test_a_passing_error_is_tried_again(deployed: Deployed) -> None:
    deployed.checkout.installer("shaky", LONG.format("shaky"))
    deployed.mac.fault("transient-run", "1")
    run = deployed.run("-y")
    assert run.status == 0, run.output
    assert "shaky: a passing error; try 2 of 3 follows" in run.output
    assert container(deployed.mac, "shaky", "State.Status") == "running"


def test_a_failure_stops_the_run_and_the_next_one_starts_what_is_there(deployed: Deployed) -> None:
    mac, checkout = deployed.mac, deployed.checkout
    docker(mac, "run", "-d", "--name", "taken", "-p", "9999:80", "nginx")
    checkout.installer("final", "docker run -d --restart always --name final -p 9999:80 nginx\n")
    checkout.installer("later", LONG.format("later"))
    run = deployed.run("-y")
    assert run.status == 1
    assert "port is already allocated" in run.output
    assert "final could not be installed, tried once" in run.output
    assert "later" not in names(mac)

    run = deployed.run("-y")
    assert run.status == 1
    assert "Start final: it is created, and never ran" in run.output
    assert "final could not be started, tried once" in run.output
    made = container(mac, "final", "Id")
    docker(mac, "rm", "-f", "taken")
    run = deployed.run("-y")
    assert run.status == 0, run.output
    assert container(mac, "final", "State.Status") == "running"
    assert container(mac, "final", "Id") == made, "it was started, and not made anew"
    docker(mac, "rm", "-f", "final")

    checkout.installer("later", "docker run -d --name later busybox sh -c 'echo last words; exit 3'\n")
    run = deployed.run("-y", "--data", "only=later")
    assert run.status == 1
    for said in ("later is exited (exit code 3)", "last words", "will not return after a reboot"):
        assert said in run.output


def test_a_newer_image_is_installed(deployed: Deployed) -> None:
    mac, checkout = deployed.mac, deployed.checkout
    docker(mac, "tag", "busybox", "127.0.0.1:5000/mine")
    for name, image in (("shell", "busybox"), ("web", "nginx"), ("mine", "127.0.0.1:5000/mine")):
        checkout.installer(name, BRIEF.format(name).replace("busybox", image))
    assert deployed.run("-y").status == 0

    def ids() -> dict[str, object]:
        return {name: container(mac, name, "Id") for name in ("shell", "web", "mine")}

    before = ids()
    mac.fault("image-busybox", "2")
    dry = deployed.run("--dry", "--data", "pull=true")
    assert "Pull 3 images and install what has a newer one, which is known only then" in dry.output
    run = deployed.run("-y", "--data", "pull=true")
    assert run.status == 0, run.output
    assert "Install shell: a newer image" in run.output
    assert "127.0.0.1:5000/mine is in no registry" in run.output
    after = ids()
    assert [name for name in after if after[name] != before[name]] == ["shell"]
    assert container(mac, "shell", "Image") == docker(
        mac, "image", "inspect", "--format", "{{.Id}}", "busybox"
    )
    assert deployed.run("-y", "--json", "--data", "pull=true").changed == []

    mac.fault("registry-down")
    try:
        run = deployed.run("-y", "--data", "pull=true", "--data", "only=web")
    finally:
        mac.heal("registry-down")
    assert run.status == 1
    assert "Not pulled, and what runs from it was left alone:" in run.output
    assert ids() == after


def test_a_container_that_did_not_come_back_with_the_vm_is_started(deployed: Deployed) -> None:
    """Killed right after an install, the VM may bring it back as never started, whatever its policy."""
    mac, checkout = deployed.mac, deployed.checkout
    checkout.installer("lost", LONG.format("lost").replace("--restart always ", ""))
    checkout.installer("back", LONG.format("back"))
    assert deployed.run("-y").status == 0
    made = container(mac, "lost", "Id")
    mac.run(["/bin/kill", "-9", str(process(mac, "qemu-system-").pid)])
    wait_for(lambda: ping(mac) != "200")
    assert checkout.ssh("-y", deploy="deploys/recover.py").status == 0
    assert container(mac, "lost", "State.Status") in ("created", "exited")

    run = deployed.run("-y")
    assert run.status == 0, run.output
    assert "Start lost: it is " in run.output
    assert (container(mac, "lost", "Id"), container(mac, "lost", "State.Status")) == (made, "running")
    assert container(mac, "back", "State.Status") == "running"
    assert deployed.run("-y", "--json").changed == []


def test_a_secret_is_nowhere_to_be_seen(deployed: Deployed) -> None:
    mac, checkout = deployed.mac, deployed.checkout
    secrets = checkout.installer(".env", f"TOKEN={SECRET}\n")
    secrets.chmod(0o644)
    checkout.installer(
        "bot", "sleep 2\ndocker run -d --restart always --name bot -e TOKEN busybox sleep 1000\n"
    )
    assert "chmod 600" in checkout.ssh("--dry").output
    secrets.chmod(0o600)

    seen: list[str] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.extend(each.command for each in mac.processes() if SECRET in each.command)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run = checkout.ssh("-y", "-vvv", "--debug", "--diff")
    finally:
        done.set()
        watcher.join()

    assert run.status == 0, run.output
    assert f"TOKEN={SECRET}" in docker(mac, "inspect", "--format", "{{.Config.Env}}", "bot")
    assert SECRET not in run.output
    assert seen == []
    assert SECRET not in checkout.ssh("-y", "--json").output
    assert not any(SECRET in command for command in mac.ssh_commands() + mac.commands())
    places = ("/Users", "/Library", "/private/var/log", "/private/tmp", "/private/var/root")
    found = mac.run(["/usr/bin/grep", "-rlsF", SECRET, *places], check=False)
    assert found.stdout == ""
    fact = checkout.ssh("fact", "facts.docker.DockerEngine", "user=alice", "-vvv", "--json", deploy=None)
    assert "bot" in fact.output
    assert SECRET not in fact.output


def test_the_users_docker_host_and_context_do_not_count(deployed: Deployed) -> None:
    mac = deployed.mac
    for name, user in (("/Users/alice", 502), ("/Users/admin", 501)):
        for file in (".zshenv", ".profile", ".bashrc", ".bash_profile"):
            path = mac.path(f"{name}/{file}")
            path.write_text(
                "export DOCKER_HOST=unix:///nowhere DOCKER_CONTEXT=elsewhere XDG_CONFIG_HOME=/nowhere\n"
            )
            mac.run(["/usr/sbin/chown", str(user), f"{name}/{file}"])
    deployed.checkout.installer("hello", "#!/bin/zsh\ndocker run --rm --name hello hello-world\n")
    run = deployed.run("-y")
    assert run.status == 0, run.output
    assert "Hello from Docker!" in run.output

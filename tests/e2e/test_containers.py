"""Containers: all read and checked first, run in order, left alone when nothing changed, secrets kept."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable

import pytest

from tests.checkout import Checkout
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


def test_every_fault_is_named_before_anything_runs(deployed: Deployed) -> None:
    checkout, mac = deployed.checkout, deployed.mac
    checkout.installer("a-good", LONG.format("good"))
    checkout.installer("b-noname", "# a comment\ndocker run -d nginx\n")
    checkout.installer("c-twin", LONG.format("good"))
    checkout.installer("d-quote", "echo hello\ndocker run --name 'd nginx\n")
    checkout.installer("e-none", "echo nothing here\n")
    checkout.installer("f-two", LONG.format("f1") + LONG.format("f2"))
    checkout.installer("g-binary", b"docker run --name g \0nginx\n")
    checkout.installer("h-empty", "")
    run = checkout.ssh("-y")
    assert run.status == 1
    for place in ("b-noname:2", "d-quote:2", "e-none:1", "f-two:2", "g-binary:1", "h-empty:1"):
        assert f"containers/{place}: " in run.output, place
    assert "containers/c-twin" in run.output
    assert "good" not in docker(mac, "ps", "-a", "--format", "{{.Names}}").split()


def test_pasted_text_is_cleaned(deployed: Deployed) -> None:
    pasted = (
        "\ufeff│ $ docker run \\  \r\n│ >   -d --restart=always \\\r\n│ >   --name='pasted' \\\r\n"
        "│ >   busybox sleep 1000\r\n"
    )
    deployed.checkout.installer("pasted", pasted)
    run = deployed.run("-y")
    assert run.status == 0, run.output
    assert container(deployed.mac, "pasted", "State.Status") == "running"
    assert container(deployed.mac, "pasted", "Config.Cmd") == ["sleep", "1000"]
    assert deployed.run("-y", "--json").changed == []


def test_a_changed_text_makes_its_container_anew_and_no_other(deployed: Deployed) -> None:
    mac, checkout = deployed.mac, deployed.checkout
    checkout.installer("one", LONG.format("one"))
    checkout.installer("two", LONG.format("two"))
    assert deployed.run("-y").status == 0
    before = {name: container(mac, name, "Id") for name in ("one", "two")}
    checkout.installer("two", LONG.format("two").replace("1000", "2000"))
    assert "Install two (its text changed)" in deployed.run("--dry").output
    assert deployed.run("-y").status == 0
    assert container(mac, "one", "Id") == before["one"]
    assert container(mac, "two", "Id") != before["two"]
    (checkout.directory / "containers" / "two").unlink()
    run = deployed.run("-y")
    assert "two was made by an installer that is no longer in containers/" in run.output
    assert container(mac, "two", "State.Status") == "running"


def test_what_one_run_is_asked_for(deployed: Deployed) -> None:
    mac, checkout = deployed.mac, deployed.checkout
    for name in ("one", "two"):
        checkout.installer(f"10-{name}", BRIEF.format(name))
    checkout.installer("hello", "docker run --name hello --rm hello-world\n")
    assert deployed.run("-y").status == 0

    def ids() -> dict[str, object]:
        return {name: container(mac, name, "Id") for name in ("one", "two")}

    before = ids()
    run = deployed.run(
        "-y", "--data", "only=wno,10-two", "--data", "reinstall=one", "--data", "colima_cpus=0"
    )
    assert run.status == 1
    there = "there is one (containers/10-one), two (containers/10-two), hello"
    for fault in (f"ONLY: 'wno'; no installer's name; {there}", "COLIMA_CPUS: 0; a whole number"):
        assert fault in run.output
    assert ids() == before

    run = deployed.run("-y", "--data", "reinstall=two,hello")
    assert run.status == 0, run.output
    assert "Install two: asked for with reinstall=two" in run.output
    assert "Hello from Docker!" in run.output
    after = ids()
    assert [name for name in after if after[name] != before[name]] == ["two"]

    # What else is due waits for a run that is about it.
    for name in ("one", "two"):
        checkout.installer(f"10-{name}", BRIEF.format(name) + "echo once more\n")
    run = deployed.run("-y", "--data", "only=10-one")
    assert run.status == 0, run.output
    assert [name for name, now in ids().items() if now != after[name]] == ["one"]
    assert "no longer in containers/" not in run.output


def test_what_no_installer_describes_is_removed_on_request(deployed: Deployed) -> None:
    mac, checkout = deployed.mac, deployed.checkout
    old = checkout.installer("old", BRIEF.format("old").replace("busybox", "-v old:/a busybox"))
    assert deployed.run("-y").status == 0
    old.unlink()
    docker(mac, "rm", "-f", "by-hand", check=False)
    docker(mac, "run", "-d", "--name", "by-hand", "busybox", "sleep", "1000")
    dry = deployed.run("--dry", "--data", "remove_unowned=true")
    assert "old (no installer describes it)" in dry.output
    assert "by-hand" not in dry.output
    run = deployed.run("-y", "--data", "remove_unowned=true")
    assert run.status == 0, run.output
    assert "Remove old, which is exited" in run.output
    assert docker(mac, "ps", "-a", "--format", "{{.Names}}").split() == ["by-hand"]
    assert "old" in docker(mac, "volume", "ls", "--quiet").split()
    assert deployed.run("-y", "--json", "--data", "remove_unowned=true").changed == []
    docker(mac, "rm", "-f", "by-hand")


def test_a_newer_image_is_installed(deployed: Deployed) -> None:
    mac, checkout = deployed.mac, deployed.checkout
    docker(mac, "tag", "busybox", "127.0.0.1:5000/mine")
    checkout.installer("shell", BRIEF.format("shell"))
    checkout.installer("web", BRIEF.format("web").replace("busybox", "nginx"))
    checkout.installer("mine", BRIEF.format("mine").replace("busybox", "127.0.0.1:5000/mine"))
    checkout.installer("hello", "docker run --name hello --rm hello-world\n")
    assert deployed.run("-y").status == 0

    def ids() -> dict[str, object]:
        return {name: container(mac, name, "Id") for name in ("shell", "web", "mine")}

    before = ids()
    for image in ("busybox", "hello-world"):
        mac.fault(f"image-{image}", "2")
    dry = deployed.run("--dry", "--data", "pull=true")
    assert "Pull 4 images and install what has a newer one, which is known only then" in dry.output

    run = deployed.run("-y", "--data", "pull=true")
    assert run.status == 0, run.output
    assert "Install shell: a newer image" in run.output
    assert "Hello from Docker!" in run.output
    assert "127.0.0.1:5000/mine is in no registry" in run.output
    after = ids()
    assert [name for name in after if after[name] != before[name]] == ["shell"]
    newest = docker(mac, "image", "inspect", "--format", "{{.Id}}", "busybox")
    assert container(mac, "shell", "Image") == newest != container(mac, "mine", "Image")
    assert deployed.run("-y", "--json", "--data", "pull=true").changed == []

    mac.fault("image-nginx", "2")
    mac.fault("registry-down")
    try:
        run = deployed.run("-y", "--data", "pull=true", "--data", "only=web")
    finally:
        mac.heal("registry-down")
    assert run.status == 1
    assert "Not pulled, and what runs from it was left alone:" in run.output
    assert ids() == after


def test_a_transient_error_is_tried_again(deployed: Deployed) -> None:
    deployed.checkout.installer("shaky", LONG.format("shaky"))
    deployed.mac.fault("transient-run", "1")
    run = deployed.run("-y")
    assert run.status == 0, run.output
    assert "try 2 of 3" in run.output
    assert container(deployed.mac, "shaky", "State.Status") == "running"


def test_a_transient_error_that_stays_ends_after_the_tries(deployed: Deployed) -> None:
    deployed.checkout.installer("shakier", LONG.format("shakier"))
    deployed.mac.fault("transient-run", "99")
    try:
        run = deployed.run("-y", timeout=240)
    finally:
        deployed.mac.heal("transient-run")
    assert run.status == 1
    assert "tried 3 times" in run.output


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("docker run -d --restart always --name final no-such-image-anywhere:1\n", "no-such-image-anywhere"),
        ("docker run -d --restart always --name final -p 9999:80 nginx\n", "port is already allocated"),
    ],
    ids=["no such image", "port taken"],
)
def test_a_final_error_stops_the_run(deployed: Deployed, text: str, reason: str) -> None:
    docker(deployed.mac, "rm", "-f", "taken", check=False)
    docker(deployed.mac, "run", "-d", "--name", "taken", "-p", "9999:80", "nginx")
    deployed.checkout.installer("final", text)
    deployed.checkout.installer("later", LONG.format("later"))
    run = deployed.run("-y")
    assert run.status == 1
    assert reason in run.output
    assert "containers/final failed" in run.output
    assert "later" not in docker(deployed.mac, "ps", "-a", "--format", "{{.Names}}").split()


def test_a_container_whose_start_failed_is_started_once_it_can(deployed: Deployed) -> None:
    mac, checkout = deployed.mac, deployed.checkout
    docker(mac, "rm", "-f", "taken", "final", check=False)
    docker(mac, "run", "-d", "--name", "taken", "-p", "9999:80", "nginx")
    checkout.installer("final", "docker run -d --restart always --name final -p 9999:80 nginx\n")
    assert deployed.run("-y").status == 1
    made = container(mac, "final", "Id")
    assert container(mac, "final", "State.Status") == "created"

    run = deployed.run("-y")
    assert run.status == 1
    assert "Start final: it is created, and never ran" in run.output
    assert "port is already allocated" in run.output
    assert "final could not be started, tried once" in run.output
    drift = checkout.ssh("--dry", "-y", deploy="deploys/drift.py")
    assert drift.status == 2
    assert "Start final (it is created, and never ran)" in drift.output
    assert "next: pyinfra .. deploy.py\n" in checkout.ssh(deploy="deploys/status.py").stdout

    docker(mac, "rm", "-f", "taken")
    run = deployed.run("-y")
    assert run.status == 0, run.output
    assert container(mac, "final", "State.Status") == "running"
    assert container(mac, "final", "Id") == made, "it was started, and not made anew"
    assert deployed.run("-y", "--json").changed == []
    docker(mac, "rm", "-f", "final")


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


def test_a_detached_container_that_exits_at_once_is_a_failure(deployed: Deployed) -> None:
    text = "docker run -d --name brief busybox sh -c 'echo last words; exit 3'\n"
    deployed.checkout.installer("brief", text)
    run = deployed.run("-y")
    assert run.status == 1
    assert "brief is exited (exit code 3)" in run.output
    assert "last words" in run.output
    assert "will not return after a reboot" in run.output


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
    environment = json.loads(json.dumps(container(mac, "bot", "Config.Env")))
    assert f"TOKEN={SECRET}" in environment
    assert SECRET not in run.output
    assert seen == []
    assert SECRET not in checkout.ssh("-y", "--json").output
    assert not any(SECRET in command for command in mac.ssh_commands() + mac.commands())
    found = mac.run(
        [
            "/usr/bin/grep",
            "-rlsF",
            SECRET,
            "/Users",
            "/Library",
            "/private/var/log",
            "/private/tmp",
            "/private/var/root",
        ],
        check=False,
    )
    assert found.stdout == ""
    fact = checkout.ssh("fact", "facts.docker.DockerEngine", "user=alice", "-vvv", "--json", deploy=None)
    assert "bot" in fact.output
    assert SECRET not in fact.output


def test_the_users_docker_host_and_context_do_not_count(
    make_mac: Callable[..., Mac], make_checkout: Callable[..., Checkout]
) -> None:
    mac = make_mac()
    for name, user in (("/Users/alice", 502), ("/Users/admin", 501)):
        for file in (".zshenv", ".profile", ".bashrc", ".bash_profile"):
            path = mac.path(f"{name}/{file}")
            path.write_text(
                "export DOCKER_HOST=unix:///nowhere DOCKER_CONTEXT=elsewhere XDG_CONFIG_HOME=/nowhere\n"
            )
            mac.run(["/usr/sbin/chown", str(user), f"{name}/{file}"])
    checkout = make_checkout(mac, installers={"hello": "docker run --rm --name hello hello-world\n"})
    run = checkout.ssh("-y")
    assert run.status == 0, run.output
    assert "Hello from Docker!" in run.output

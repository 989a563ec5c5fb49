"""
Manage the containers that the installers in containers/ describe.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from pyinfra import host, state
from pyinfra.api import FunctionCommand, Host, State, operation

from facts.docker import SPEC_LABEL, Container, DockerEngine, EngineState
from facts.launchd import Milestones, milestones_path
from files import script
from operations import recovery
from operations.recovery import Service
from operations.util.installer import Installer, Installers, is_transient
from operations.util.remote import Commands, fail, refuse, run, together

# An image may have to be pulled over a slow line.
INSTALL_SECONDS = 3600
SETTLED_SECONDS = 3
RECOVERY_SECONDS = 25


def smoke_note(container: str) -> str:
    """The milestone that says a smoke test has passed since the daemon was started."""
    return f"smoke.{container}"


def pending(
    installers: Installers, engine: EngineState | None, notes: Mapping[str, str] | None
) -> list[tuple[Installer, str]]:
    """The installers that have to run, each with the reason. A pure function."""
    present: Mapping[str, Container] = (engine.containers if engine is not None else None) or {}
    found = []
    for each in installers.all:
        container = present.get(each.container)
        if each.smoke_test:
            noted = (notes or {}).get(smoke_note(each.container))
            if noted is None:
                found.append((each, "Docker was started"))
            elif noted != each.digest:
                found.append((each, "its text changed"))
        elif container is None:
            found.append((each, "it is not there"))
        elif container.spec is None:
            found.append((each, "it was not made from this file"))
        elif container.spec != each.digest:
            found.append((each, "its text changed"))
    return found


def unowned(installers: Installers, engine: EngineState | None) -> list[str]:
    """The containers that an installer once made and that no file describes any more."""
    names = {each.container for each in installers.all}
    present = (engine.containers if engine is not None else None) or {}
    return sorted(name for name, container in present.items() if container.spec and name not in names)


def describe(
    installers: Installers, engine: EngineState | None, notes: Mapping[str, str] | None
) -> str | None:
    """What the operation would change and why, for a person who reads `--dry`; None: nothing."""
    work = pending(installers, engine, notes)
    if not work:
        return None
    return "Install " + ", ".join(f"{each.container} ({why})" for each, why in work)


def summary(engine: EngineState) -> str:
    """What runs, in a line."""
    return f"Docker {engine.version} runs " + (", ".join(engine.running) or "no containers")


def _report(state: State, host: Host, service: Service) -> bool:
    engine = host.get_fact(DockerEngine, **service.where)
    if engine is not None and engine.containers is not None:
        host.log(summary(engine))
    return True


def _settled(host: Host, user: str, profile: str, name: str) -> str | None:
    """See a detached container stay up for a moment; what is wrong with it, or None.

    A look that fails tells nothing; one that succeeds must come in time.
    """
    start = time.monotonic()
    while True:
        engine = host.get_fact(DockerEngine, user=user, profile=profile)
        looked = engine is not None and engine.containers is not None
        if engine is not None and engine.containers is not None:
            container = engine.containers.get(name)
            if container is None:
                return "is gone"
            if container.state != "running":
                return f"is {container.state} (exit code {container.exit_code})"
        waited = time.monotonic() - start
        if looked and waited >= SETTLED_SECONDS:
            return None
        if waited >= RECOVERY_SECONDS:
            return "cannot be looked at: Docker does not answer any more"
        time.sleep(0.5)


def install(
    state: State,
    host: Host,
    installer: Installer,
    installers: Installers,
    service: Service,
    tries: int,
    debug: bool,
) -> bool:
    """Run one installer, its output shown live; after a transient error see Docker recover and run it again,
    `tries` times in all."""
    user, profile = service.user, service.profile
    if debug:
        host.log(f"{installer.file}, cleaned:")
        for line in installer.text.splitlines():
            host.log(f"  {line}")
    text = installer.script(SPEC_LABEL, installers.secrets)
    command = script("run-installer", user, profile, installer.container, INSTALL_SECONDS)
    for attempt in range(1, tries + 1):
        ok, output = run(state, host, command, live=True, _stdin=text)
        if ok:
            break
        times = "once" if attempt == 1 else f"{attempt} times"
        failed = (
            f"containers/{installer.file} failed ({installer.container}), tried {times}; "
            "what Docker said is above. The installers after it were not run."
        )
        if attempt == tries or not is_transient(output):
            return service.give_up(state, host, failed)
        host.log(f"{installer.container}: a passing error; try {attempt + 1} of {tries} follows")
        if not recovery.recover(state, host, service):
            return fail(host, failed)
    if installer.detached:
        wrong = _settled(host, user, profile, installer.container)
        if wrong is not None:
            host.log(f"{installer.container}'s last lines:")
            run(
                state,
                host,
                script("container-log", user, profile, installer.container, 20),
                live=True,
            )
            return service.give_up(
                state,
                host,
                f"{installer.container} {wrong} right after its start. Its last lines are above.",
            )
    if installer.smoke_test:
        note = script(
            "note", milestones_path(service.label), smoke_note(installer.container), installer.digest
        )
        return run(state, host, note)[0]
    return True


@operation()
def installed(
    installers: Installers,
    service: Service,
    tries: int = 3,
    debug: bool = False,
) -> Commands:
    """
    Keep the containers that the installers describe, each made from the text as it is now.

    + installers: what containers/ holds, read and checked
    + service: the profile's Docker, and what to expect of it; passed smoke tests are noted under its label
    + tries: how often an installer is tried when Docker's errors are transient, with recovery between
    + debug: show each cleaned text before it is run

    A container whose label names the text's hash is left alone, whatever its state. Stops at the first
    failure.

    **Example:**

    .. code:: python

        containers.installed(
            name="Install containers", installers=read(Path("containers")),
            service=Service(
                "alice", "default", "homebrew.mrcee.colima-pulse", "/var/log/colima.log"
            ),
        )
    """
    engine, notes = together((DockerEngine, service.where), (Milestones, {"label": service.label}))
    if state.is_executing and (engine is None or engine.containers is None or notes is None):
        why = engine.silence if engine is not None else None
        yield from refuse(f"Docker's containers cannot be listed: {why or 'no answer'}")
        return
    for name in unowned(installers, engine):
        host.log(f"container {name} was made by an installer that is no longer in containers/")
    work = pending(installers, engine, notes)
    if not work:
        if engine is not None and engine.containers is not None:
            host.log(summary(engine))
        host.noop(f"{len(installers.all)} containers are as their installers say")
        return
    for each, why in work:
        if state.is_executing:
            host.log(f"Install {each.container}: {why}")
        yield FunctionCommand(install, (each, installers, service, tries, debug), {})
    yield FunctionCommand(_report, (service,), {})

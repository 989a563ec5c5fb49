"""What the Docker Engine behind a profile's socket says."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from typing import Any

from pyinfra.api import FactBase, FactProcessError, StringCommand

from facts.util import Record, read_lines
from files import script, script_as

# The label that names the installer text a container was made from.
SPEC_LABEL = "colima-pulse.spec"

# What Docker says of an image that no registry has: one that was built here, or named by its id.
NOWHERE = re.compile(
    r"pull access denied|manifest unknown|name unknown|repository name not known|\bnot found$"
    r"|invalid reference format|cannot specify 64-byte hexadecimal"
)

# As Docker writes that for IPv4.
ANY_ADDRESS = "0.0.0.0"


@dataclass(frozen=True)
class Port(Record):
    """A port that Docker has published: an address and a number in the guest, which Lima forwards.

    `address` is 0.0.0.0 for any, also one of IPv6.
    """

    address: str
    number: int
    protocol: str


@dataclass(frozen=True)
class Container(Record):
    """A container: `state` is Docker's word, `spec` the value of its colima-pulse.spec label.

    `image` is what it was asked to be made from, a name most often, and `image_id` what that was then.
    `ports` are those that are published now; none while it does not run.
    """

    state: str
    exit_code: int
    restart_policy: str
    spec: str | None
    image: str | None = None
    image_id: str | None = None
    ports: tuple[Port, ...] = ()


def _ports(published: dict[str, list[dict[str, str]] | None]) -> tuple[Port, ...]:
    """Docker's NetworkSettings.Ports, in order; one that is published for IPv4 and IPv6 once."""
    found = {
        Port(
            ANY_ADDRESS if each["HostIp"] in ("", "::") else each["HostIp"],
            int(each["HostPort"]),
            inner.split("/")[1],
        )
        for inner, bindings in published.items()
        for each in bindings or ()
    }
    return tuple(sorted(found, key=lambda port: (port.protocol, port.address, port.number)))


@dataclass(frozen=True)
class EngineState(Record):
    """The engine behind one socket. `silence` says why it does not answer; None when it does."""

    socket: str
    silence: str | None
    version: str | None = None
    containers: dict[str, Container] | None = None

    @property
    def answers(self) -> bool:
        return self.silence is None

    @property
    def running(self) -> list[str]:
        """The names of the containers that run, in order; none also where they could not be read."""
        return sorted(name for name, each in (self.containers or {}).items() if each.state == "running")


class DockerEngine(FactBase["EngineState | None"]):
    """
    Returns whether Docker answers behind the profile's socket, its version, and its containers by name
    (None: they could not be read); None when unreadable.

    + user: who runs Colima
    + profile: the profile's short name

    .. code:: python

        EngineState(socket="/Users/alice/.colima/default/docker.sock", silence=None, version="28.4.0",
                    containers={"web": Container(state="running", restart_policy="always",
                                                 ports=(Port("0.0.0.0", 8080, "tcp"),), ...)})
    """

    def command(self, user: str, profile: str = "default") -> StringCommand:
        return script_as(user, 60, "facts/docker", user, profile)

    def process(self, output: list[str]) -> EngineState | None:
        lines = read_lines(output)
        values = lines.values
        ping = values.get("ping", "").strip()
        if ping != "200":
            status, _, trouble = ping.partition(" ")
            if values.get("exists") != "yes":
                silence = "there is no socket"
            elif trouble or status in ("", "000"):
                silence = trouble or "no answer"
            else:
                silence = f"the API answers {status}"
            return EngineState(lines.required("socket"), silence)
        containers = None
        if values.get("listed") == "yes":
            try:
                containers = {
                    each["name"]: Container(
                        state=each["state"],
                        exit_code=each["exit_code"],
                        restart_policy=each["restart"] or "no",
                        spec=each["spec"] or None,
                        image=each["image"] or None,
                        image_id=each["image_id"] or None,
                        ports=_ports(each["ports"]),
                    )
                    for each in lines.objects()
                }
                # One that did not answer for itself is not absent: then none is known.
                if len(containers) != lines.number("containers"):
                    containers = None
            except KeyError as error:
                raise FactProcessError(f"a container has no {error}") from error
            except (AttributeError, IndexError, TypeError, ValueError) as error:
                raise FactProcessError(f"a container's ports cannot be read: {error}") from error
        return EngineState(lines.required("socket"), None, values.get("version") or None, containers)


@dataclass(frozen=True)
class Pulled(Record):
    """What came of a pull: an image's id before and after (None: it is not here), and what Docker said when
    it could not be pulled."""

    before: str | None
    after: str | None
    trouble: str | None = None

    @property
    def nowhere(self) -> bool:
        """Whether the trouble is that no registry has it."""
        return self.trouble is not None and NOWHERE.search(self.trouble) is not None

    @property
    def failed(self) -> bool:
        """Whether it is unknown if there is a newer one."""
        return self.trouble is not None and not self.nowhere


class PulledImage(FactBase["Pulled | None"]):
    """
    Returns what an image is here once it was pulled, and what it was before; None when unreadable.

    The one fact that fetches something. Nothing that runs changes by it, and so a pull that finds nothing
    newer is no change.

    + user: who runs Colima
    + profile: the profile's short name
    + image: the image's name
    + platform: the platform it is wanted for; empty: the engine's own
    + tries: how often it is tried in all when Docker's errors are transient

    Standard input has the logins to registries: ask it with `**logins(text)`.

    .. code:: python

        Pulled(before="sha256:1f3c..", after="sha256:9b02..", trouble=None)
    """

    def command(
        self, user: str, image: str, profile: str = "default", platform: str = "", tries: int = 1
    ) -> StringCommand:
        return script("facts/pull", user, profile, tries, image, platform)

    def process(self, output: list[str]) -> Pulled:
        lines = read_lines(output)
        return Pulled(
            lines.required("before") or None, lines.required("after") or None, lines.values.get("trouble")
        )


def logins(config: str) -> dict[str, Any]:
    """PulledImage's standard input: a line of JSON, the logins to registries, or an empty one.

    As a stream: pyinfra logs a fact's arguments, and of this one no more than that it is one.
    """
    return {"_stdin": io.StringIO(f"{config}\n")}


@dataclass(frozen=True)
class DockerConfigState(Record):
    """The credential helpers that a user's docker asks: for all registries, and for some by their names."""

    creds_store: str | None = None
    cred_helpers: dict[str, str] = field(default_factory=dict)


class DockerConfig(FactBase["DockerConfigState | None"]):
    """
    Returns which credential helpers the user's docker asks, as ~/.docker/config.json or by itself; None when
    unreadable.

    + user: who runs Colima

    .. code:: python

        DockerConfigState(creds_store="osxkeychain", cred_helpers={"ghcr.io": "desktop"})
    """

    def command(self, user: str) -> StringCommand:
        return script_as(user, 30, "facts/docker-config")

    def process(self, output: list[str]) -> DockerConfigState:
        found = read_lines(output).objects()
        if len(found) != 1:
            raise FactProcessError("the answer is not one object")
        store, helpers = found[0].get("credsStore"), found[0].get("credHelpers")
        named = helpers.items() if isinstance(helpers, dict) else ()
        return DockerConfigState(
            creds_store=store if isinstance(store, str) and store else None,
            cred_helpers={registry: each for registry, each in named if isinstance(each, str) and each},
        )


@dataclass(frozen=True)
class Garbage(Record):
    """What a prune would take, a line each in words; `trouble` is why Docker does not say."""

    goes: list[str]
    trouble: str | None = None


class Prunable(FactBase["Garbage | None"]):
    """
    Returns what a prune of Docker would take; None when unreadable.

    + user: who runs Colima
    + mode: safe, images or aggressive
    + profile: the profile's short name
    + networks: networks that stay although nothing uses them now

    .. code:: python

        Garbage(goes=["container old (exited)", "image <none>:<none> (5 MB)"], trouble=None)
    """

    def command(
        self, user: str, mode: str, profile: str = "default", networks: tuple[str, ...] = ()
    ) -> StringCommand:
        return script_as(user, 400, "facts/prunable", user, profile, mode, *networks)

    def process(self, output: list[str]) -> Garbage:
        lines = read_lines(output)
        return Garbage(lines.raw, lines.values.get("trouble"))

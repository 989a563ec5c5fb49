"""What containers publish, and who can reach it: what Lima forwards to the Mac, by Colima's rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from facts.docker import ANY_ADDRESS, Container, Port
from settings import Settings

UNFORWARDED = "not forwarded"


@dataclass(frozen=True)
class Published:
    """A container's ports, from `first` to `last`, on an address in the guest; `reach`: by whom."""

    container: str
    address: str
    first: int
    last: int
    protocol: str
    reach: str

    def __str__(self) -> str:
        numbers = f"{self.first}-{self.last}" if self.last > self.first else f"{self.first}"
        protocol = "" if self.protocol == "tcp" else f"/{self.protocol}"
        return f"{self.container} {numbers}{protocol} ({self.reach})"


def published(settings: Settings, containers: Mapping[str, Container]) -> tuple[Published, ...]:
    """What the containers publish, by their names; neighbours that are reached alike are one."""
    found: list[Published] = []
    for name, container in sorted(containers.items()):
        for port in container.ports:
            reach = _reach(settings, port)
            one = Published(name, port.address, port.number, port.number, port.protocol, reach)
            before = found[-1] if found else None
            if before and before == replace(one, first=before.first, last=one.first - 1):
                one = replace(found.pop(), last=one.last)
            found.append(one)
    return tuple(found)


def _reach(settings: Settings, port: Port) -> str:
    """Who reaches a port. A pure function of what Colima tells Lima (environment/vm/lima/yaml.go)."""
    forwarder = ["ssh", *settings.flag_values("--port-forwarder")][-1]
    if forwarder == "none" or port.protocol not in ("tcp", "udp"):
        return UNFORWARDED
    if port.protocol == "udp" and forwarder != "grpc":
        return f"{UNFORWARDED}: needs --port-forwarder=grpc"
    if port.address == ANY_ADDRESS:
        return "network"
    if port.address in ("127.0.0.1", "::1"):
        return "this Mac alone"
    replicated = settings.flag_values("--network-host-addresses")[-1:] == ["true"]
    # On one address, macOS lets only root take the lower ones.
    if replicated and port.protocol == "tcp" and port.number >= 1024 and not port.address.startswith("127."):
        return f"{port.address} alone"
    return UNFORWARDED

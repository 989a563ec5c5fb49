"""Who reaches a published port, as Colima tells Lima to forward it."""

from __future__ import annotations

import pytest

from deploys.status_ports import Published, published
from facts.docker import Container, Port
from settings import Settings

GRPC, NONE, ADDRESSES = "--port-forwarder=grpc", "--port-forwarder=none", "--network-host-addresses"


def containers(*ports: Port) -> dict[str, Container]:
    return {"web": Container("running", 0, "always", None, ports=ports)}


@pytest.mark.parametrize(
    ("address", "number", "protocol", "flags", "reach"),
    [
        ("0.0.0.0", 80, "tcp", (), "network"),
        ("127.0.0.1", 80, "tcp", (), "this Mac alone"),
        ("::1", 80, "tcp", (), "this Mac alone"),
        ("127.0.0.5", 8080, "tcp", (ADDRESSES,), "not forwarded"),
        ("192.168.1.20", 8080, "tcp", (), "not forwarded"),
        ("192.168.1.20", 8080, "tcp", (f"{ADDRESSES}=false",), "not forwarded"),
        ("192.168.1.20", 8080, "tcp", (f"{ADDRESSES}=true",), "192.168.1.20 alone"),
        ("192.168.1.20", 1024, "tcp", (ADDRESSES,), "192.168.1.20 alone"),
        ("192.168.1.20", 1023, "tcp", (ADDRESSES,), "not forwarded"),
        ("192.168.1.20", 8080, "udp", (ADDRESSES, GRPC), "not forwarded"),
        ("0.0.0.0", 53, "udp", (), "not forwarded: needs --port-forwarder=grpc"),
        ("0.0.0.0", 53, "udp", (GRPC,), "network"),
        ("127.0.0.1", 53, "udp", (GRPC,), "this Mac alone"),
        ("0.0.0.0", 53, "sctp", (GRPC,), "not forwarded"),
        ("0.0.0.0", 53, "udp", (NONE,), "not forwarded"),
        ("0.0.0.0", 80, "tcp", (NONE,), "not forwarded"),
    ],
)
def test_reach(address: str, number: int, protocol: str, flags: tuple[str, ...], reach: str) -> None:
    (found,) = published(
        Settings(colima_extra_args=("--dns=1.1.1.1", *flags)), containers(Port(address, number, protocol))
    )
    assert found == Published("web", address, number, number, protocol, reach)


def test_neighbours_are_one() -> None:
    ports = [Port("0.0.0.0", number, "tcp") for number in (80, 81, 82, 84)]
    ports += [Port("192.168.1.20", number, "tcp") for number in (1022, 1023, 1024)]
    found = published(Settings(colima_extra_args=(ADDRESSES,)), containers(*ports, Port("0.0.0.0", 1, "udp")))
    assert list(map(str, found)) == [
        "web 80-82 (network)",
        "web 84 (network)",
        "web 1022-1023 (not forwarded)",
        "web 1024 (192.168.1.20 alone)",
        "web 1/udp (not forwarded: needs --port-forwarder=grpc)",
    ]


def test_one_without_ports_is_not_there() -> None:
    none = Container("exited", 0, "always", None)
    other = Container("running", 0, "always", None, ports=(Port("0.0.0.0", 81, "tcp"),))
    found = published(Settings(), {"z": other, "none": none, **containers(Port("0.0.0.0", 80, "tcp"))})
    assert [(each.container, each.first) for each in found] == [("web", 80), ("z", 81)]

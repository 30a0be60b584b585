"""What the scenarios rest on: a fault of the network does what it says, to connections that exist too."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.chaos.network import Inside, Network

pytestmark = pytest.mark.integration


@pytest.fixture
def network(ip: str, tmp_path: Path) -> Iterator[Network]:
    with Network(ip, 2, tmp_path, seed=1) as network:
        yield network


@pytest.fixture
def ends(network: Network) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A TCP connection between hosts 1 and 2; what is not received within 0.4 s does not come."""
    with ExitStack() as stack:
        insides = {host: Inside(network.namespace(host)) for host in (1, 2)}
        for inside in insides.values():
            stack.callback(inside.close)
        server = stack.enter_context(insides[2].run(socket.create_server, (network.address(2), 7000)))
        near = stack.enter_context(insides[1].run(socket.create_connection, (network.address(2), 7000), 5.0))
        far = stack.enter_context(server.accept()[0])
        for end in (near, far):
            end.settimeout(0.4)
        yield near, far


def hears(source: socket.socket, target: socket.socket) -> bool:
    source.sendall(b"x")
    try:
        return target.recv(100) != b""
    except TimeoutError:
        return False


def test_hosts_reach_each_other(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    assert hears(near, far)
    assert hears(far, near)


def test_a_way_that_is_cut_carries_nothing_and_the_way_back_does(
    network: Network, ends: tuple[socket.socket, socket.socket]
) -> None:
    near, far = ends
    network.lose([(1, 2)])
    assert hears(far, near)
    assert not hears(near, far)
    network.mend()
    far.settimeout(10)
    assert hears(near, far), "what was lost is sent again"


def test_about_as_many_frames_are_lost_as_were_to_be(network: Network) -> None:
    with ExitStack() as stack:
        ends = []
        for host in (1, 2):
            inside = Inside(network.namespace(host))
            stack.callback(inside.close)
            end = stack.enter_context(inside.run(socket.socket, socket.AF_INET, socket.SOCK_DGRAM))
            end.bind((network.address(host), 7000))
            end.settimeout(5)
            ends.append(end)
        near, far = ends
        near.sendto(b"x", far.getsockname())
        assert far.recv(1) == b"x"
        network.lose(network.ways(), 0.3)
        far.settimeout(0.05)
        received = 0
        for _ in range(20):
            for _ in range(50):
                near.sendto(b"x", far.getsockname())
            with suppress(TimeoutError):
                while far.recv(1):
                    received += 1
        assert received / 1000 == pytest.approx(0.7, abs=0.07)

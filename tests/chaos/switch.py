"""An Ethernet switch in user space, which loses what it is told to lose on each way from host to host.

Run as a script in a network namespace of its own: ``switch.py CONTROL SEED PORT...``. Port n leads to the
host with the hardware address 02:00:00:00:00:0n. CONTROL is the path of the socket on which it takes orders.
The kernel's netem could do the same, but is not in every kernel, and can't lose one way alone.
"""

from __future__ import annotations

import json
import random
import selectors
import socket
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias

Loss: TypeAlias = dict[tuple[int, int], float]
"""By (from, to): the probability that a frame on this way is lost; 1 is a cut."""

HOSTS_MAC: Final = b"\x02\x00\x00\x00\x00"
"""What the hardware addresses of all hosts begin with; the number of the port ends them."""

_ETH_P_ALL: Final = 3
_SOL_PACKET: Final = 263
_PACKET_VNET_HDR: Final = 15
_PACKET_IGNORE_OUTGOING: Final = 23
_HEADER: Final = 10  # struct virtio_net_hdr: carries checksums and segments that are not made yet
_BURST: Final = 64


class Switch:
    """``ports`` are the names of the interfaces to hosts 1, 2, ..."""

    def __init__(self, ports: Sequence[str], seed: int) -> None:
        self.loss: Loss = {}
        self._carried = self._lost = 0
        self._random = random.Random(seed)
        self._ports = {number: _raw_socket(name) for number, name in enumerate(ports, 1)}
        self._frame = bytearray(1 << 17)

    def run(self, control: Path) -> None:
        """Carry frames, and obey, for ever."""
        with selectors.DefaultSelector() as selector, socket.socket(socket.AF_UNIX) as orders:
            unready = control.with_suffix(".unready")
            orders.bind(str(unready))
            orders.listen()
            unready.rename(control)  # whoever sees it may connect: a bound socket refuses until it listens
            selector.register(orders, selectors.EVENT_READ, None)
            for number, port in self._ports.items():
                selector.register(port, selectors.EVENT_READ, number)
            while True:
                for key, _ in selector.select():
                    if key.data is None:
                        self._obey(orders)
                    else:
                        self._carry(key.data)

    def _obey(self, orders: socket.socket) -> None:
        """Take one order, ``[[from, to, loss], ...]``: all that is lost from now on."""
        order, _ = orders.accept()
        with order, order.makefile("rwb") as lines, suppress(OSError):
            self.loss = {(source, to): loss for source, to, loss in json.loads(lines.readline())}
            lines.write(json.dumps([self._carried, self._lost]).encode() + b"\n")
            self._carried = self._lost = 0

    def _carry(self, source: int) -> None:
        port, frame = self._ports[source], memoryview(self._frame)
        with suppress(OSError):  # nothing more to read
            for _ in range(_BURST):
                length = port.recv_into(frame)
                target = bytes(frame[_HEADER : _HEADER + 6])
                known = target[:5] == HOSTS_MAC
                for to in (target[5],) if known else self._ports:
                    if to != source and to in self._ports:
                        self._carry_to(to, frame[:length], self.loss.get((source, to), 0.0))

    def _carry_to(self, to: int, frame: memoryview, loss: float) -> None:
        if loss and self._random.random() < loss:
            self._lost += 1
            return
        self._carried += 1
        with suppress(OSError):  # a full queue loses frames too
            self._ports[to].send(frame)


def send_order(control: Path, loss: Loss, patience: float = 10.0) -> tuple[int, int]:
    """Tell the switch what to lose from now on; OSError when it does not obey.

    Give how many frames were carried and how many were lost on purpose since the last order.
    """
    with socket.socket(socket.AF_UNIX) as order:
        order.settimeout(patience)
        order.connect(str(control))
        with order.makefile("rwb") as lines:
            lines.write(json.dumps([[*way, each] for way, each in loss.items()]).encode() + b"\n")
            lines.flush()
            answer = lines.readline()
    if not answer:
        raise OSError("the switch did not obey")
    carried, lost = json.loads(answer)
    return carried, lost


def _raw_socket(interface: str) -> socket.socket:
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    port.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    port.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, struct.pack("i", 1))
    port.bind((interface, _ETH_P_ALL))
    port.setblocking(False)
    return port


if __name__ == "__main__":
    Switch(sys.argv[3:], int(sys.argv[2])).run(Path(sys.argv[1]))

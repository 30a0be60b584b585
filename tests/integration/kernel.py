"""What the kernel knows of a process: its TCP connections and its memory."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

from msgspec import Struct


class Connection(Struct, frozen=True):
    """One established TCP connection over IPv4, as one end sees it; ``unread`` bytes wait for this end."""

    local: str
    remote: str
    unread: int
    inode: int


def connections() -> list[Connection]:
    """Every established connection of this machine (proc(5), /proc/net/tcp)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [
        Connection(
            local=_address(row[1]),
            remote=_address(row[2]),
            unread=int(row[4].partition(":")[2], 16),
            inode=int(row[9]),
        )
        for row in rows
        if row[3] == "01"
    ]


def connections_of(pid: int) -> list[Connection]:
    """The connections of one process."""
    inodes = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(fd)
        except FileNotFoundError:
            continue  # closed since it was listed
        if target.startswith("socket:["):
            inodes.add(int(target[8:-1]))
    return [connection for connection in connections() if connection.inode in inodes]


def memory(pid: int, key: str = "VmRSS") -> float:
    """Resident memory of a process in MiB: VmRSS now, VmHWM at its highest."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    kilobytes = next(line.split()[1] for line in lines if line.startswith(f"{key}:"))
    return int(kilobytes) / 1024


def _address(text: str) -> str:
    host, _, port = text.partition(":")
    packed = struct.pack("=I", int(host, 16))
    return f"{socket.inet_ntoa(packed)}:{int(port, 16)}"

"""What an interface has carried, as whole IP packets, and switching a host's segmentation offloads."""
from __future__ import annotations

import array
import dataclasses
import fcntl
import socket
import struct

SIOCETHTOOL, LINK_HEADER = 0x8946, 14
OFFLOADS = {"gso": 0x24, "tso": 0x1F, "gro": 0x2C}  # ETHTOOL_SGSO, ..STSO, ..SGRO


@dataclasses.dataclass
class Carried:
    """L3 bytes (FACTS: interface bytes less 14 a packet; ARP is some hundred bytes and stays in)."""
    up: int = 0
    down: int = 0

    def __sub__(self, other: "Carried") -> "Carried":
        return Carried(self.up - other.up, self.down - other.down)

    @property
    def both(self) -> int:
        return self.up + self.down


def carried(host, interface: str = "eth0") -> Carried:
    """By a client's interface: up is what it has sent."""
    namespace = getattr(host, "namespace", host)
    with namespace.enter(), open("/proc/thread-self/net/dev") as lines:
        for line in lines:
            name, _, rest = line.partition(":")
            if name.strip() == interface:
                numbers = list(map(int, rest.split()))
                return Carried(up=numbers[8] - LINK_HEADER * numbers[9], down=numbers[0] - LINK_HEADER * numbers[1])
    raise AssertionError(f"no interface {interface}")


def set_offloads(namespace, interface: str, on: bool):
    namespace = getattr(namespace, "namespace", namespace)
    with namespace.enter(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for command in OFFLOADS.values():
            value = array.array("I", [command, int(on)])
            request = struct.pack("16sP", interface.encode(), value.buffer_info()[0])
            fcntl.ioctl(sock, SIOCETHTOOL, request + bytes(16))

"""A DHCP client (RFC 2131) that asks for a lease and gives it back. It sets no address: that is the test's to do."""
from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass

COOKIE = b"\x63\x82\x53\x63"
DISCOVER, OFFER, REQUEST, ACK, NAK, RELEASE = 1, 2, 3, 5, 6, 7
TYPE, REQUESTED, SERVER, HOSTNAME = 53, 50, 54, 12


@dataclass
class Lease:
    address: str
    server: str


class DhcpClient:
    def __init__(self, namespace, mac: str, hostname: str, interface: str = "eth0"):
        self.mac, self.hostname = bytes.fromhex(mac.replace(":", "")), hostname.encode()
        self.socket = namespace.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        self.socket.bind(("0.0.0.0", 68))
        self.socket.settimeout(5)

    def lease(self) -> Lease:
        offer, options = self._ask(DISCOVER, OFFER)
        server = options[SERVER]
        address, _ = self._ask(REQUEST, ACK, {REQUESTED: socket.inet_aton(offer), SERVER: server})
        return Lease(address, socket.inet_ntoa(server))

    def release(self, lease: Lease):
        server = socket.inet_aton(lease.server)
        self.socket.sendto(self._packet(RELEASE, os.urandom(4), {SERVER: server}, lease.address), (lease.server, 67))

    def close(self):
        self.socket.close()

    def _ask(self, kind: int, wanted: int, options: dict[int, bytes] | None = None) -> tuple[str, dict[int, bytes]]:
        transaction = os.urandom(4)
        packet = self._packet(kind, transaction, (options or {}) | {HOSTNAME: self.hostname})
        self.socket.settimeout(2)
        tries = iter(range(5))  # a server that has just been started may not listen yet
        self.socket.sendto(packet, ("255.255.255.255", 67))
        while True:
            try:
                answer = self.socket.recv(2048)
            except TimeoutError:
                if next(tries, None) is None:
                    raise
                self.socket.sendto(packet, ("255.255.255.255", 67))
                continue
            if answer[4:8] != transaction or answer[236:240] != COOKIE:
                continue
            told = _options(answer[240:])
            assert told[TYPE][0] == wanted, f"DHCP: wanted message {wanted}, got {told[TYPE][0]}"
            return socket.inet_ntoa(answer[16:20]), told

    def _packet(self, kind: int, transaction: bytes, options: dict[int, bytes], own: str = "0.0.0.0") -> bytes:
        broadcast = 0x8000  # we have no address to be answered at
        head = struct.pack("!BBBB4sHH4s12s16s192s", 1, 1, 6, 0, transaction, 0, broadcast, socket.inet_aton(own), b"",
                           self.mac, b"")
        tail = b"".join(bytes([code, len(value)]) + value for code, value in ({TYPE: bytes([kind])} | options).items())
        return head + COOKIE + tail + b"\xff"


def _options(text: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at < len(text) and text[at] != 255:
        if text[at] == 0:
            at += 1
            continue
        length = text[at + 1]
        found[text[at]] = text[at + 2:at + 2 + length]
        at += 2 + length
    return found

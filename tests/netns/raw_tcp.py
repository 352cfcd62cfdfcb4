"""A TCP client made by hand: every header field of every segment is the test's to choose.

A Wire sends and receives whole packets (IPv4 or IPv6) on a host's leg into the lab, below that host's own kernel, which
an nft rule keeps deaf for our source ports: it never answers with a RST. A RawTcp is one connection over a Wire. Its
put() sends any segment to any position of the stream, true or fake; what the stream truly *is* the connection knows by
claim() or send(), and recv() acknowledges, puts in order and retransmits just enough of it to run a TLS handshake.
It takes a RST as a careful kernel does (RFC 5961): only with exactly the sequence number it expects.
"""
from __future__ import annotations

import array
import ctypes
import functools
import itertools
import os
import random
import select
import socket
import struct
import subprocess
import time
from collections.abc import Sequence

from namespace import family_of

PORTS = range(20000, 30000)   # below the kernel's own ephemeral ports
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
MSS = 1400                    # fits with every option and header that we add
SHORT_LIVED = 2               # TTL: the gateway passes it on, the router behind it does not
LONG_AGO = -600_000           # a timestamp that PAWS (RFC 7323, 5) takes for a left-over
MD5 = bytes((19, 18)) + os.urandom(16) + b"\1\1"  # RFC 2385, where no key was agreed
RETRANSMIT_AFTER = 0.6
REPEAT_SYN_AFTER = 1.0        # without its data, as Linux does
TCP, FRAGMENT, DESTINATION_OPTIONS, HOP_BY_HOP = 6, 44, 60, 0
_ports = itertools.cycle(PORTS)
_identifications = itertools.count(1)


def checksum(data: bytes) -> int:
    total = sum(array.array("H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return socket.htons(~total & 0xFFFF)


class Wire:
    """`host` sends by way of its gateway, even to its neighbours. Any number of connections in any number of threads."""

    def __init__(self, host, gateway, interface: str, neighbour: Wire | None = None):
        self.host, self.gateway, self.neighbour = host, gateway, neighbour
        shown = subprocess.run(["ip", "-n", gateway.name, "-br", "link", "show", interface], check=True, text=True,
                               capture_output=True).stdout
        self._router = bytes.fromhex(shown.split()[2].replace(":", ""))
        host.namespace.nft(f"""
table inet raw_tcp {{ chain deaf {{ type filter hook input priority 0;
  tcp dport {PORTS[0]}-{PORTS[-1]} drop; }}; }}""")

    def open(self, family: str, port: int) -> socket.socket:
        """A packet socket that gets what is for this port of ours."""
        with self.host.namespace.enter():
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
            _filter(sock, family, port)
            sock.bind(("eth0", _ether_type(family)))
        return sock

    def put(self, sock: socket.socket, packet: bytes):
        family = "v4" if packet[0] >> 4 == 4 else "v6"
        sock.sendto(packet, ("eth0", _ether_type(family), 0, 0, self._router))

    def forge(self, packet: bytes):
        """Sends one packet whose source may be anybody."""
        with self.host.namespace.enter(), socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0) as sock:
            self.put(sock, packet)


def _ether_type(family: str) -> int:
    return 0x0800 if family == "v4" else 0x86DD


def _filter(sock: socket.socket, family: str, port: int):
    """Classic BPF: TCP to `port`, without fragments and extension headers."""
    code = ([(0x30, 0, 0, 9), (0x15, 0, 4, TCP), (0xB1, 0, 0, 0), (0x48, 0, 0, 2)] if family == "v4" else
            [(0x30, 0, 0, 6), (0x15, 0, 3, TCP), (0x28, 0, 0, 42)])
    code += [(0x15, 0, 1, port), (0x06, 0, 0, 0xFFFFFFFF), (0x06, 0, 0, 0)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in code))
    sock.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HL", len(code), ctypes.addressof(program)))  # SO_ATTACH_FILTER


# --- packets -----------------------------------------------------------------------------------------------------------


def segment(source: tuple[str, int], to: tuple[str, int], seq: int, ack: int, flags: int, payload=b"", *, options=b"",
            window=65535, urgent=0, good_checksum=True) -> bytes:
    options += b"\1" * (-len(options) % 4)
    head = struct.pack("!HHIIBBHHH", source[1], to[1], seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, (20 + len(options)) << 2,
                       flags, window, 0, urgent) + options
    pseudo = b"".join(socket.inet_pton(family_of(a), a) for a, _ in (source, to)) \
        + struct.pack("!II", TCP, len(head) + len(payload))
    value = checksum(pseudo + head + payload)
    return head[:16] + struct.pack("!H", value if good_checksum else value ^ 0x5555) + head[18:] + payload


def packets(source: str, to: str, content: bytes, *, ttl=64, cuts=(), headers: Sequence[int] = ()) -> list[bytes]:
    """`content`, a TCP segment, as one packet, or as fragments cut at these places (multiples of 8), behind these IPv6
    extension headers. A cut at 0 makes an "atomic" fragment: a fragment header, and the whole behind it."""
    if family_of(source) == socket.AF_INET:
        return _ipv4(source, to, content, ttl, cuts)
    first = TCP
    for header in reversed(headers):
        content = bytes((first, 0, 1, 4, 0, 0, 0, 0)) + content  # PadN fills it
        first = header
    return _ipv6(source, to, content, first, ttl, cuts)


def _ipv4(source: str, to: str, content: bytes, ttl: int, cuts) -> list[bytes]:
    result, identification = [], next(_identifications) & 0xFFFF
    for begin, end in _pieces(content, cuts):
        more = 0x2000 if end < len(content) else 0
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + end - begin, identification, more | begin // 8, ttl, TCP, 0,
                           socket.inet_aton(source), socket.inet_aton(to))
        result.append(head[:10] + struct.pack("!H", checksum(head)) + head[12:] + content[begin:end])
    return result


def _ipv6(source: str, to: str, content: bytes, first: int, ttl: int, cuts) -> list[bytes]:
    result, identification = [], next(_identifications)
    for begin, end in _pieces(content, cuts):
        body, next_header = content[begin:end], first
        if cuts:
            body = struct.pack("!BBHI", first, 0, begin | (end < len(content)), identification) + body
            next_header = FRAGMENT
        result.append(struct.pack("!IHBB", 6 << 28, len(body), next_header, ttl)
                      + socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, to) + body)
    return result


def _pieces(content: bytes, cuts) -> list[tuple[int, int]]:
    ends = [cut for cut in cuts if cut] + [len(content)]
    return list(zip([0, *ends], ends))


# --- a connection ------------------------------------------------------------------------------------------------------


class RawTcp:
    """Positions are those of the client's stream: 0 is its first byte, whatever the sequence number behind it."""

    def __init__(self, wire: Wire, to: str, port: int = 443, *, source_port: int | None = None, isn: int | None = None,
                 window: int = 65535, timeout: float = 2):
        self.wire, self.to, self.window, self.timeout = wire, (to, port), window, timeout
        self.family = "v6" if ":" in to else "v4"
        self.source = (wire.host[self.family], source_port or next(_ports))
        self.base = (random.getrandbits(32) if isn is None else isn) + 1  # the sequence number of position 0
        self.stream = b""          # what we truly say
        self.acknowledged = 0      # how much of it the other side has
        self.received = b""        # all that came, in order
        self.ended = False         # by the other side, in order
        self.retransmitted = False  # something of the stream, by recv()
        self._read = 0             # of `received`, by recv()
        self._early: dict[int, bytes] = {}
        self._their_base = 0
        self._clock = random.getrandbits(28)
        self._their_clock = 0
        self._reset = False
        self._forged = b""

    @functools.cached_property
    def _sock(self) -> socket.socket:
        """Not before it is used: what an earlier connection of the same tuple still gets is not ours."""
        return self.wire.open(self.family, self.source[1])

    # --- sending: anything

    def put(self, payload: bytes = b"", at: int = 0, *, ttl=64, cuts=(), headers: Sequence[int] = (), backwards=False,
            **odd):
        """One segment at position `at`, as true or as fake as you like: see packets() and _segment()."""
        sent = packets(self.source[0], self.to[0], self._segment(payload, at, **odd), ttl=ttl, cuts=cuts,
                       headers=headers)
        for packet in reversed(sent) if backwards else sent:
            self.wire.put(self._sock, packet)

    def _segment(self, payload: bytes, at: int, *, flags=PSH | ACK, options=b"", age=0, **odd) -> bytes:
        """`age` is added to its timestamp; there is always one."""
        stamp = (self._clock + int(time.monotonic() * 1000) + age) & 0xFFFFFFFF
        options = b"\1\1\x08\x0a" + struct.pack("!II", stamp, self._their_clock) + options
        ack = self._their_base + len(self.received) + self.ended if flags & ACK else 0
        return segment(self.source, self.to, self.base + at, ack, flags, payload, options=options,
                       window=self.window, **odd)

    def syn(self, data: bytes = b"", *, at: int = 0, **odd):
        """A SYN, and position `at` is the first behind it."""
        self.put(data, at - 1, flags=SYN, options=struct.pack("!BBH", 2, 4, MSS), **odd)

    def reset(self, **odd):
        self.put(at=len(self.stream), flags=RST | ACK, **odd)

    def forge_reply(self, by: Wire, payload: bytes, acknowledged: int = 0):
        """What the origin would send next, sent by somebody on the LAN through the gateway. Not meant for us."""
        self._forged = payload
        content = segment(self.to, self.source, self._their_base + len(self.received), self.base + acknowledged,
                          PSH | ACK, payload)
        by.forge(packets(self.to[0], self.source[0], content)[0])

    # --- the honest side

    def connect(self, data: bytes = b"") -> RawTcp:
        """The handshake; `data` travels in the SYN, and if that is not answered a SYN without it follows. What of it the
        other side took is in `acknowledged`."""
        self.syn(data)
        return self.established(repeated=bool(data))

    def established(self, repeated: bool = False) -> RawTcp:
        """The rest of the handshake, the SYN having been sent; with `repeated` it is sent again, once and plain."""
        deadline = time.monotonic() + self.timeout
        again = time.monotonic() + REPEAT_SYN_AFTER
        while not self._their_base:
            packet = self._next(min(deadline, again) if repeated else deadline)
            if packet is None:
                if repeated:
                    repeated = False
                    self.syn()
                    continue
                raise TimeoutError("no answer to a SYN")
            seq, ack, flags, _ = packet
            if flags & RST:
                raise ConnectionRefusedError("a SYN was answered by a reset")
            if flags & SYN:
                self._their_base = seq + 1
                self.acknowledged = (ack - self.base) & 0xFFFFFFFF
        self.put(at=self.acknowledged, flags=ACK)
        return self

    def claim(self, data: bytes) -> int:
        """This is what the stream goes on with; somebody has sent it or will. Returns its position."""
        at = len(self.stream)
        self.stream += data
        return at

    def send(self, data: bytes, size: int = MSS, pause: float = 0, **odd):
        at = self.claim(data)
        for i in range(0, len(data), size):
            self.put(data[i:i + size], at + i, **odd)
            if pause:
                time.sleep(pause)

    sendall = send

    def recv(self, count: int) -> bytes:
        deadline = time.monotonic() + self.timeout
        again = time.monotonic() + RETRANSMIT_AFTER
        while self._read == len(self.received) and not self.ended:
            if self._reset:
                raise ConnectionResetError("reset by the peer")
            packet = self._next(min(deadline, again))
            if packet is not None:
                self._take(*packet)
            elif time.monotonic() >= deadline:
                raise TimeoutError("nothing came")
            elif time.monotonic() >= again:
                again += RETRANSMIT_AFTER
                if self.acknowledged < len(self.stream):
                    self.retransmitted = True
                    self.put(self.stream[self.acknowledged:self.acknowledged + MSS], self.acknowledged)
        data = self.received[self._read:self._read + count]
        self._read += len(data)
        return data

    def _next(self, deadline: float):
        """(seq, ack, flags, payload) of the next segment for us, or None at the deadline."""
        while select.select([self._sock], [], [], max(0.0, deadline - time.monotonic()))[0]:
            packet, (_, _, kind, *_) = self._sock.recvfrom(1 << 17)
            if kind == socket.PACKET_OUTGOING:
                continue
            if packet[0] >> 4 == 4:
                content = packet[(packet[0] & 15) * 4:struct.unpack_from("!H", packet, 2)[0]]
            else:
                content = packet[40:40 + struct.unpack_from("!H", packet, 4)[0]]
            _, _, seq, ack, offset, flags = struct.unpack_from("!HHIIBB", content)
            options = content[20:(offset >> 4) * 4]
            at = options.find(b"\x08\x0a")
            if at >= 0 and not flags & RST:
                self._their_clock = struct.unpack_from("!I", options, at + 2)[0]
            return seq, ack, flags, content[(offset >> 4) * 4:]
        return None

    def _take(self, seq: int, ack: int, flags: int, payload: bytes):
        at = (seq - self._their_base + (1 << 31)) % (1 << 32) - (1 << 31)
        if flags & RST:
            self._reset = at == len(self.received)
            if not self._reset:
                self.put(at=len(self.stream), flags=ACK)  # RFC 5961: a challenge
            return
        acknowledged = (ack - self.base) & 0xFFFFFFFF
        if flags & ACK and self.acknowledged < acknowledged <= len(self.stream):
            self.acknowledged = acknowledged
        if payload == self._forged and not flags & (FIN | SYN):
            return
        self._early[at] = payload
        for begin in sorted(self._early):
            if begin <= len(self.received):
                self.received += self._early.pop(begin)[len(self.received) - begin:]
        if flags & FIN and at + len(payload) == len(self.received):
            self.ended = True
        self.put(at=len(self.stream), flags=ACK)

    def close(self):
        """Leaves nothing behind at the other side."""
        if self._their_base:
            self.reset()
        self._sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

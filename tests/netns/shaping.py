"""For the tests of `shape`: policies, and transfers whose rate is measured.

Rates are measured by what arrives in the steady part of a transfer of some seconds: datagrams by their receiver, TCP by the
receiver's interface. (What a reader of TCP gets stands still after a loss and comes all at once.) The limit counts whole
frames: of 20 Mbit/s, a datagram's payload is 96 %, which the 10 % allow for.
"""
from __future__ import annotations

import contextlib
import socket
import threading
import time

from client import trusting
from lab import FAMILIES, address
from namespace import family_of, wait_until
from origin import Peer

MBIT = 1_000_000
SKIP, STEADY = 1.5, 2.5  # seconds: of the start (burst, slow start), and measured
PLAIN = 7000             # no port of ours: not judged at all

SHAPED = """
zone = "UTC"
[device]
alice = {{ ip = ["10.20.0.2", "fd00:20::2"] }}
bob = {{ ip = ["10.20.0.3", "fd00:20::3"] }}
[group.shaped]
members = ["device:alice", "device:bob"]
shape = {{ {} }}
"""
EACH = SHAPED.format('down = "20Mbit", up = "8Mbit", per = "user"')
TOGETHER = SHAPED.format('down = "20Mbit", up = "8Mbit", per = "group"')
UNSHAPED = SHAPED.replace("shape = {{ {} }}\n", "").replace("{{", "{").replace("}}", "}")


class Meter:
    """Counts bytes as they come, from several threads."""

    def __init__(self):
        self.bytes = 0
        self._lock = threading.Lock()

    def add(self, count: int):
        with self._lock:
            self.bytes += count

    def rate(self, skip: float = SKIP, over: float = STEADY) -> float:
        """Mbit/s from now on, after `skip` seconds."""
        return measure(self, skip=skip, over=over)[0]


@contextlib.contextmanager
def threads(*works):
    running = [threading.Thread(target=_quietly, args=(work,), daemon=True) for work in works]
    for thread in running:
        thread.start()
    yield
    for thread in running:
        thread.join(5)


def _quietly(work):
    with contextlib.suppress(OSError, ValueError):
        work()


def drain(sock, meter: Meter):
    while data := sock.recv(65536):
        meter.add(len(data))


def pour(sock):
    with contextlib.suppress(OSError):
        # BBR, where it is the default, takes seconds to find a rate on a path whose delay is next to nothing.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
    block = bytes(65536)
    while True:
        sock.sendall(block)


@contextlib.contextmanager
def origins(lab):
    """Every origin address pours on PLAIN, and reads on PLAIN + 1, into what this gives."""
    sunk = Meter()
    with contextlib.ExitStack() as open_peers:
        for family in FAMILIES:
            for port, handler in ((PLAIN, pour), (PLAIN + 1, lambda sock: drain(sock, sunk))):
                open_peers.enter_context(Peer(lab.origin.namespace, lab.origin[family], port, handler))
        yield sunk


def measure(*meters, skip: float = SKIP, over: float = STEADY) -> list[float]:
    """The rate of each, in the same time."""
    time.sleep(skip)
    before = [_look(meter) for meter in meters]
    time.sleep(over)
    after = [_look(meter) for meter in meters]
    return [(count - was) * 8 / (now - then) / MBIT for (then, was), (now, count) in zip(before, after)]


def _look(meter) -> tuple[float, int]:
    """A moment, and what had come by then: taken again if something came between the two."""
    for _ in range(50):
        begin, count, end = time.monotonic(), meter.bytes, time.monotonic()
        if end - begin < 0.005:
            break
    return (begin + end) / 2, count


def holds(meter, wanted: float, skip: float = SKIP, over: float = STEADY) -> bool:
    """Whether it is never more than `wanted`, and in one of four windows as much: a busy machine may leave the line idle."""
    for _ in range(4):
        rate, skip = measure(meter, skip=skip, over=over)[0], 0.0
        if close_to(rate, wanted) or rate > wanted:
            break
    assert close_to(rate, wanted), f"{rate:.1f} Mbit/s, wanted {wanted}"
    return True


class Wire:
    """A meter of the frames that a host's interface receives from now on."""

    def __init__(self, host):
        self._namespace, self._before = host.namespace, 0
        self._before = self.bytes

    @property
    def bytes(self) -> int:
        with self._namespace.enter():
            lines = open("/proc/thread-self/net/dev").read().splitlines()
        return next(int(line.split()[1]) for line in lines if line.split()[0] == "eth0:") - self._before

    def rate(self, skip: float = SKIP, over: float = STEADY) -> float:
        return measure(self, skip=skip, over=over)[0]


@contextlib.contextmanager
def download(host, target: str, how: str, connections: int = 1):
    """Bytes from the origin in the proxy lane (http), the kernel lane (https), or past both (tcp)."""
    meter, socks = Wire(host), []
    for _ in range(connections):
        sock = host.connect(target, {"http": 80, "https": 443, "tcp": PLAIN}[how], timeout=20)
        if how == "https":
            sock = trusting(names_checked=False).wrap_socket(sock, server_hostname="www.allowed.test")
        if how != "tcp":
            sock.sendall(b"GET /big HTTP/1.1\r\nHost: www.allowed.test\r\n\r\n")
        socks.append(sock)
    with threads(*(lambda sock=sock: drain(sock, Meter()) for sock in socks)):
        yield meter
        for sock in socks:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class UdpFlood:
    """`rate` Mbit/s of datagrams from one host to another, by a small program of its own: Python's threads share one lock.
    The meter counts what arrives."""

    SENDER = ("import socket,sys,time\n"
              "s=socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET,socket.SOCK_DGRAM)\n"
              "s.connect((sys.argv[1],int(sys.argv[2])));p=b'u'*1200;n=0;t=time.monotonic()\n"
              "while True:\n"
              "  try: s.send(p)\n"
              "  except OSError: pass\n"
              "  n+=1\n"
              "  d=n*9600/float(sys.argv[3])/1e6-(time.monotonic()-t)\n"
              "  if d>0.002: time.sleep(d)\n")

    def __init__(self, source, target, family: str, rate: int, port: int = 9000):
        self.source, self.rate, self.port = source, rate, port
        self.to, self.target = target[family], target
        self.meter = Meter()

    def __enter__(self) -> Meter:
        self.sock = self.target.namespace.socket(family_of(self.to), socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.sock.settimeout(0.3)
        self.sock.bind((self.to, self.port))
        self.over = False
        self.thread = threading.Thread(target=self._count, daemon=True)
        self.thread.start()
        self.sender = self.source.namespace.popen("python3", "-c", self.SENDER, self.to, str(self.port), str(self.rate))
        wait_until(lambda: self.meter.bytes > 0, 10, "the flood begins")
        return self.meter

    def _count(self):
        while not self.over:
            with contextlib.suppress(TimeoutError):
                self.meter.add(len(self.sock.recv(2048)))

    def __exit__(self, *_):
        self.sender.kill()
        self.sender.wait()
        self.over = True
        self.thread.join(2)
        self.sock.close()


def tc(lab, *words: str) -> str:
    return lab.gateway.run("tc", *words, check=False).stdout


def meet(lab, *hosts):
    """The first packets of each client, and the time it may take until its limit holds."""
    for host in hosts or (lab.alice, lab.bob):
        for family in FAMILIES:
            host.run("ping", "-c1", "-W5", address(host.network, 1, family))
    time.sleep(1.3)


def close_to(rate: float, wanted: float) -> bool:
    return wanted * 0.9 <= rate <= wanted * 1.02

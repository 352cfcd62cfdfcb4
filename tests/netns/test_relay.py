"""Bytes on their way: intact, half-closed, held back, many at once, and within limits."""
import hashlib
import os
import resource
import threading
import time

import pytest

from backends import on_both_backends, on_both_lanes, on_every_kind
from client import answer_to_hello, end_of, fetch, hello_for, request
from namespace import descriptors_of, wait_until
from origin import BIG, Peer, after_the_end, echo, hold


@on_both_lanes
def test_ten_megabytes_both_ways_are_intact(gateway, lab, family):
    data = os.urandom(10_000_000)
    got = hashlib.sha256()

    def read(sock):
        left = len(data)
        while left:
            piece = sock.recv(65536)
            assert piece
            got.update(piece)
            left -= len(piece)

    with Peer(lab.origin.namespace, lab.peer[family], 443, echo):
        with lab.alice.connect(lab.peer[family], 443, timeout=60) as sock:
            reader = threading.Thread(target=read, args=(sock,))
            reader.start()
            sock.sendall(b"\x00" + data[1:])  # surely not a TLS record
            reader.join(60)
            assert not reader.is_alive()
    assert got.digest() == hashlib.sha256(b"\x00" + data[1:]).digest()


@on_both_backends
def test_a_gigabyte(gateway, lab, family):
    size = int(lab.alice.run("curl", "-sS", "-4" if family == "v4" else "-6", "-o", "/dev/null", "-w",
                             "%{size_download}", "http://www.allowed.test/big", timeout=180).stdout)
    assert size == BIG
    wait_until(lambda: any(record["bytes_down"] >= BIG for record in gateway.access(
        client=lab.alice[family], name="www.allowed.test", status=200, proto="http")), 5, "the record of the transfer")


@on_every_kind
def test_half_close_travels(gateway, lab, family):
    # Before the origin has answered, the kernel lane takes 64 KiB from a client and no more.
    size = 60_000 if gateway.lane == "kernel" else 100_000
    with Peer(lab.origin.namespace, lab.peer[family], 443, after_the_end):
        with lab.alice.connect(lab.peer[family], 443) as sock:
            sock.sendall(bytes(size))
            sock.shutdown(1)
            assert sock.recv(100) == b"got %d" % size
            assert end_of(sock) == "closed"


@on_both_lanes
def test_an_origins_reset_reaches_the_client(gateway, lab, family):
    def abort(sock):
        sock.recv(100)
        sock.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER, zero: close is a reset
        sock.close()

    with Peer(lab.origin.namespace, lab.peer[family], 443, abort):
        with lab.alice.connect(lab.peer[family], 443) as sock:
            sock.sendall(b"\x00hello")
            assert end_of(sock) == "reset"


@on_both_lanes
def test_a_reader_that_stops_holds_its_origin_back(gateway, lab, family):
    sent = [0]

    def flood(sock):
        sock.recv(10)
        sock.settimeout(None)
        while True:
            sent[0] += sock.send(b"f" * 65536)

    with Peer(lab.origin.namespace, lab.peer[family], 443, flood):
        with lab.alice.connect(lab.peer[family], 443) as sock:
            sock.sendall(b"\x00")
            wait_until(lambda: sent[0] and _steady(sent), 10, "the origin is held back")
            assert sent[0] < 64 << 20
            left = 16 << 20  # and it goes on when the reader does
            while left > 0:
                left -= len(sock.recv(1 << 20))


def _steady(counter) -> bool:
    before = counter[0]
    time.sleep(0.5)
    return counter[0] == before


@on_every_kind
def test_2000_idle_connections_are_held(gateway, lab, family):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384), hard))
    with Peer(lab.origin.namespace, lab.peer[family], 443, hold):
        idle = []
        try:
            for _ in range(1950):  # with `connections_per_client` at 2,000
                sock = lab.alice.connect(lab.peer[family], 443)
                sock.sendall(b"\x00idle")
                idle.append(sock)
            time.sleep(1)
            for sock in idle:
                sock.setblocking(False)
                with pytest.raises(BlockingIOError):
                    sock.recv(1)
            assert fetch(lab.bob, lab.origin[family], "https://www.allowed.test/").allowed
            assert fetch(lab.bob, lab.origin[family], "https://www.blocked.test/").blocked
        finally:
            for sock in idle:
                sock.close()
    gone = gateway.role("gateway")
    wait_until(lambda: descriptors_of(gone) < 500 and gateway.counted() < 100, 15, "the gateway has let go of them")


@on_both_lanes
def test_silence_and_slow_heads_do_not_stay_for_ever_in_the_way(gateway, lab, family):
    """A client that says nothing is not an obstacle for others, nor for itself."""
    silent = [lab.alice.connect(lab.origin[family], port) for port in (80, 443) for _ in range(50)]
    try:
        for sock in silent[:50]:
            sock.sendall(b"GET / HT")
        for sock in silent[50:]:
            sock.sendall(hello_for("www.allowed.test")[:50])
        assert fetch(lab.alice, lab.origin[family], "http://www.allowed.test/").allowed
        assert answer_to_hello(lab.alice, lab.origin[family], hello_for("www.blocked.test")) == gateway.refusal
    finally:
        for sock in silent:
            sock.close()


@on_both_lanes
def test_resets_in_every_state_cost_only_their_flow(gateway, lab, family):
    hello = hello_for("www.allowed.test")
    for data in (b"", hello[:1], hello[:40], hello, b"GET", b"GET / HTTP/1.1\r\nHost: www.allowed.test\r\n\r\n"):
        for port in (80, 443):
            for _ in range(5):
                sock = lab.alice.connect(lab.origin[family], port)
                sock.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")
                sock.sendall(data)
                sock.close()
    with lab.alice.connect(lab.origin[family], 80) as sock:
        assert request(sock, "www.allowed.test").allowed
    assert fetch(lab.alice, lab.origin[family], "https://www.blocked.test/").blocked

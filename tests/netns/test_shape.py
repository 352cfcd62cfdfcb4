"""`shape`: a rate holds each way, whatever carries the bytes."""
from __future__ import annotations

import socket

import pytest

from origin import Peer
from shaping import EACH, Meter, PLAIN, UdpFlood, Wire, download, drain, holds, meet, origins, pour, threads
from sluice import Sluice

TCP_SETTLES = 2.5  # seconds: the overshoot of slow start is repaired


@pytest.fixture(scope="module")
def sunk(lab):
    with origins(lab) as sunk:
        yield sunk


@pytest.fixture(scope="module")
def each(lab, built, sunk):
    with Sluice(lab, EACH) as sluice:
        meet(lab)
        yield sluice


@pytest.mark.parametrize("how", ["http", "https", "tcp"])
def test_download_by_tcp(lab, each, family, how):
    with download(lab.alice, lab.origin[family], how) as meter:
        assert holds(meter, 20)


def test_download_by_udp(lab, each, family):
    with UdpFlood(lab.origin, lab.alice, family, 60):
        assert holds(Wire(lab.alice), 20)


def test_upload_by_tcp(lab, each, sunk, family):
    with lab.alice.connect(lab.origin[family], PLAIN + 1, timeout=20) as sock, threads(lambda: pour(sock)):
        assert holds(Wire(lab.origin), 8, TCP_SETTLES)
        sock.shutdown(socket.SHUT_RDWR)


def test_upload_through_the_proxy(lab, each, family):
    """What the origin's side takes is what left the client, after the queues have filled."""
    received = Meter()
    with Peer(lab.peer.namespace, lab.peer[family], 80, lambda sock: drain(sock, received)), \
            lab.alice.connect(lab.peer[family], 80, timeout=20) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: www.allowed.test\r\nContent-Length: 1000000000\r\n\r\n")
        with threads(lambda: pour(sock)):
            assert holds(received, 8, TCP_SETTLES, over=6)  # the gateway reads TCP too
            sock.shutdown(socket.SHUT_RDWR)


def test_upload_by_udp(lab, each, family):
    with UdpFlood(lab.alice, lab.origin, family, 30):
        assert holds(Wire(lab.origin), 8)


def test_both_families_of_a_device_have_one_rate(lab, each):
    with download(lab.alice, lab.origin["v4"], "tcp") as meter, download(lab.alice, lab.origin["v6"], "tcp"):
        assert holds(meter, 20)


def test_two_people_have_their_own(lab, each):
    with download(lab.alice, lab.origin["v4"], "https") as alice, download(lab.bob, lab.origin["v4"], "https") as bob:
        assert holds(alice, 20) and holds(bob, 20, 0)


def test_who_has_no_shape_is_not_slowed(lab, each, family):
    with download(lab.guest, lab.origin[family], "tcp") as meter:
        rate = meter.rate()
    assert rate > 60, rate

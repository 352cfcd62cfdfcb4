"""What is scarce: connections per client, and descriptors."""
import contextlib
import os
import time

import pytest

from backends import KINDS
from client import fetch, request, trusting
from namespace import wait_until
from origin import Peer, hold
from sluice import POLICY


@pytest.mark.parametrize("kind", ["nftables", "proxy"])
def test_limit_per_client_is_that_clients_alone(lab, fresh, family, kind):
    """In the kernel lane what is undecided counts: the origin has not answered."""
    sluice = fresh(POLICY, network=KINDS[kind], limits={"connections_per_client": 20})
    with Peer(lab.origin.namespace, lab.peer[family], 443, hold):
        held = [lab.alice.connect(lab.peer[family], 443) for _ in range(20)]
        try:
            for sock in held:
                sock.sendall(b"\x00")
            wait_until(lambda: sluice.counted() >= 20, 5, "all are counted")
            assert not fetch(lab.alice, lab.origin[family], "http://www.allowed.test/", timeout=2).allowed
            assert fetch(lab.bob, lab.origin[family], "http://www.allowed.test/").allowed
        finally:
            for sock in held:
                sock.close()
    wait_until(lambda: fetch(lab.alice, lab.origin[family], "http://www.allowed.test/", timeout=2).allowed, 10,
               "room again for this client")


def test_what_is_allowed_in_the_kernel_lane_does_not_count(lab, fresh, family):
    fresh(POLICY, limits={"connections_per_client": 5})
    held = [trusting().wrap_socket(lab.alice.connect(lab.origin[family], 443), server_hostname="www.allowed.test")
            for _ in range(20)]
    for sock in held:
        assert request(sock, "www.allowed.test").allowed
        sock.close()


@pytest.mark.unsanitized  # UBSan looks at memory through a pipe, and takes what it cannot see for no object
def test_running_out_of_descriptors_is_survived(lab, fresh, family):
    sluice = fresh(POLICY, start=False)
    sluice.start(descriptors=100)
    pid = sluice.role("gateway")
    with Peer(lab.origin.namespace, lab.peer[family], 80, hold):
        held = []
        try:
            for _ in range(100):
                with contextlib.suppress(OSError):  # refused: even before connect() has returned, or before the byte
                    sock = lab.alice.connect(lab.peer[family], 80)
                    held.append(sock)
                    sock.sendall(b"\x00")
            assert held, "not one connection was let in"
            before = cpu_seconds(pid)
            time.sleep(1)
            assert cpu_seconds(pid) - before < 0.5, "spins while there are no descriptors"
        finally:
            for sock in held:
                sock.close()
    assert sluice.role("gateway") == pid
    wait_until(lambda: fetch(lab.bob, lab.origin[family], "http://www.allowed.test/", timeout=2).allowed, 10,
               "judging again")
    assert fetch(lab.bob, lab.origin[family], "https://www.blocked.test/").blocked


def cpu_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

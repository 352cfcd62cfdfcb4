"""Netlink sockets that overrun, and calls that fail with ENOBUFS: what is lost is noticed and read again."""
import contextlib
import os
import signal
import time

import pytest

from client import fetch, request
from faults import JUDGED, Failing, Slips, states, wait_states
from lab import FAMILIES
from namespace import wait_until
from sluice import POLICY


@pytest.fixture
def sluice(fresh):
    return fresh(POLICY, accounting={"interval": "1s", "flush": "1s"})


def test_the_supervisors_route_events_overrun(lab, sluice):
    """While it does not read, more routes change than its socket holds, and the rule that diverts goes; then it reads on."""
    sluice.signal("supervisor", signal.SIGSTOP)
    for _ in range(3):
        lab.gateway.ip(*(f"route {verb} 198.18.{i // 256}.{i % 256}/32 dev lan0" for verb in ("add", "del")
                         for i in range(2000)))
    for version in ("-4", "-6"):
        lab.gateway.run("ip", version, "rule", "del", "pref", "100")
    with Slips(lab):
        sluice.signal("supervisor", signal.SIGCONT)
        for family in FAMILIES:
            wait_states(lab, JUDGED, family=family)


def test_the_gateways_neighbour_and_conntrack_events_overrun(lab, sluice):
    """While it hangs for less than it takes to be killed, thousands of connections end and neighbours change."""
    for _ in range(3):
        gateway, begun = sluice.signal("gateway", signal.SIGSTOP), time.monotonic()
        flood(lab, gateway)
        in_time = time.monotonic() - begun < 7
        wait_states(lab, JUDGED)
        if in_time:
            break
    assert in_time and sluice.role("gateway") == gateway
    accounting = wait_until(lambda: (seen := sluice.ctl_json("status")["accounting"])["event_overruns"] > 0 and seen, 20,
                            "the overrun is counted")
    assert "trouble" not in accounting
    before = accounting["bytes_down"]
    assert fetch(lab.alice, lab.origin["v4"], "http://www.allowed.test/").allowed
    wait_until(lambda: sluice.ctl_json("status")["accounting"]["bytes_down"] > before, 20, "and counting goes on")


def flood(lab, gateway: int):
    """So much that a gateway which is stopped until its end cannot have heard it all."""
    try:
        lab.gateway.ip(*(f"neigh {verb} 10.20.{i // 250}.{i % 250 + 1} lladdr 02:00:00:00:00:01 dev lan0"
                         for verb in ("replace", "del") for i in range(2500, 5000)))
        lab.alice.run("python3", "-c", FLOOD, lab.origin["v4"])
        lab.gateway.run("conntrack", "-D", "-p", "udp", check=False)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(gateway, signal.SIGCONT)


FLOOD = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for port in range(1000, 20000):
    try:
        sock.sendto(b"x" * 10, (sys.argv[1], port))
    except OSError:
        pass
"""

INJECTIONS = {
    # Verdicts, heartbeats and raw resets are sendto; messages between roles are sendmsg; netlink is read by both.
    "sendto ENOBUFS": ("gateway", ("sendto:error=ENOBUFS:when=1..60+2",)),
    "sendmsg ENOBUFS": ("gateway", ("sendmsg:error=ENOBUFS:when=1..60+2",)),
    "recvfrom ENOBUFS": ("gateway", ("recvfrom:error=ENOBUFS:when=1..60+2",)),
    "supervisor recvfrom ENOBUFS": ("supervisor", ("recvfrom:error=ENOBUFS:when=1..60+2",)),
    "supervisor sendto ENOBUFS": ("supervisor", ("sendto:error=ENOBUFS:when=1..60+2",)),
    "keeper write EIO": ("keeper", ("write:error=EIO:when=1..60+2",)),
}


@pytest.mark.parametrize("name", INJECTIONS)
def test_calls_that_fail(lab, sluice, name):
    """Every second call of many fails. A page may fail, nothing slips through, and afterwards all is well."""
    role, injections = INJECTIONS[name]
    pid = sluice.supervisor if role == "supervisor" else sluice.role(role)
    with Slips(lab):
        with Failing(pid, *injections) as failing:
            if role == "supervisor":
                lab.gateway.ip("route add 198.18.0.1/32 dev lan0", "route del 198.18.0.1/32 dev lan0")
            for _ in range(4):
                states(lab, timeout=2)
            wait_until(lambda: failing.injected > 0, 30, "a call has failed")
        wait_states(lab, JUDGED)
        wait_states(lab, JUDGED, family="v6")
    with lab.alice.connect(lab.origin["v4"], 80) as sock:
        assert request(sock, "www.allowed.test").allowed
    assert sluice.ctl("status").returncode == 0

"""`shape`: shares within a group, changes while bytes flow, what is left behind, and others' things."""
from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time

import pytest

from lab import address
from namespace import wait_until
from shaping import EACH, SHAPED, TOGETHER, UNSHAPED, UdpFlood, close_to, download, holds, measure, meet, origins, tc


@pytest.fixture(scope="module")
def sunk(lab):
    with origins(lab) as sunk:
        yield sunk


# --- a shared rate

@pytest.mark.parametrize("flood", [False, True], ids=["8 connections against 1", "a flood of datagrams against TCP"])
def test_people_of_a_group_share_fairly(lab, fresh, sunk, flood):
    fresh(TOGETHER)
    meet(lab)
    greedy = UdpFlood(lab.origin, lab.bob, "v4", 60) if flood else download(lab.bob, lab.origin["v4"], "https", 8)
    with greedy as bob, download(lab.alice, lab.origin["v4"], "https") as alice:
        for attempt in range(3):  # a busy machine may keep one of them from asking for its share
            a, b = measure(alice, bob, skip=0 if attempt else 1.5)
            assert a + b <= 20 * 1.02, (a, b)
            if close_to(a + b, 20) and 0.4 <= a / (a + b) <= 0.6:
                return
    raise AssertionError((a, b))


def test_who_is_alone_has_the_whole_rate(lab, fresh, sunk):
    fresh(TOGETHER)
    meet(lab)
    with download(lab.alice, lab.origin["v4"], "tcp") as meter:
        assert holds(meter, 20)


# --- what keeps a host reachable

def test_a_full_line_leaves_room_for_neighbour_discovery_and_dhcp(lab, fresh):
    """A full queue of the slowest line is two seconds long: what waits in it is late for every client's patience."""
    fresh(SHAPED.format('down = "64kbit"'))
    meet(lab)
    router = address("lan", 1, "v6")
    client = lab.alice.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server = lab.gateway.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with client, server, UdpFlood(lab.origin, lab.alice, "v4", 2):
        client.settimeout(5)
        client.bind((lab.alice["v4"], 68))
        server.bind(("", 67))
        time.sleep(1)
        took = []
        for number in range(5):
            begun = time.monotonic()
            server.sendto(b"%d" % number, (lab.alice["v4"], 68))
            assert client.recv(10) == b"%d" % number
            lab.alice.run("ip", "-6", "neigh", "flush", "dev", "eth0")
            ping = lab.alice.namespace.popen("ping", "-c1", "-W1", router, stdout=subprocess.DEVNULL)
            wait_until(lambda: "lladdr" in lab.alice.run("ip", "-6", "neigh", "show", router).stdout, 5,
                       "the gateway's hardware address", pause=0.01)
            took.append(time.monotonic() - begun)
            ping.wait(5)
        assert min(took) < 1.5, took  # behind the queue each of the two would be two seconds late, each time


# --- change

def test_a_reload_changes_the_rate_of_running_flows(lab, fresh, sunk):
    sluice = fresh(UNSHAPED)
    meet(lab)
    with download(lab.alice, lab.origin["v4"], "https") as meter:
        wait_until(lambda: meter.rate(0.2, 0.5) > 60, 5, "unlimited")
        sluice.reload(EACH)
        assert holds(meter, 20, 1.5)
        sluice.reload(EACH.replace("20Mbit", "5Mbit"))
        assert holds(meter, 5, 1.5)
        assert sluice.ctl_json("status")["shape_troubles"] == []
        sluice.reload(UNSHAPED)
        wait_until(lambda: meter.rate(0.2, 0.5) > 60, 5, "unlimited again")
    assert "sluice-" not in tc(lab, "qdisc", "show") and "clsact" not in tc(lab, "qdisc", "show")


def test_a_burst_passes_at_once(lab, fresh, sunk):
    fresh(SHAPED.format('down = "8Mbit", burst = "4MB"'))
    meet(lab)
    with download(lab.alice, lab.origin["v4"], "tcp") as meter:
        begun = time.monotonic()
        wait_until(lambda: meter.bytes > 3_500_000, 3, "the burst", pause=0.01)
        assert time.monotonic() - begun < 3  # 3.5 s at the rate
        assert holds(meter, 8, 1)


# --- what is left, and others' things

def test_nothing_of_ours_without_a_shape(lab, fresh):
    fresh(UNSHAPED)
    meet(lab)
    assert "sluice-" not in tc(lab, "qdisc", "show") and "clsact" not in tc(lab, "qdisc", "show")


@pytest.mark.parametrize("how", ["stop", "down", "down without a daemon"])
def test_the_end_leaves_nothing(lab, fresh, how):
    sluice = fresh(EACH)
    meet(lab)
    wait_until(lambda: "sluice-down" in tc(lab, "qdisc", "show"), 3, "there is something")
    if how == "stop":
        sluice.stop()
    elif how == "down":
        assert sluice.ctl("down").returncode == 0
        sluice.process.wait(20)
    else:
        for pid in (sluice.supervisor, sluice.role("keeper"), sluice.role("gateway")):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        sluice.process.wait(5)
        assert "sluice-down" in tc(lab, "qdisc", "show"), "a killed daemon takes nothing with it"
        assert sluice.ctl("down").returncode == 0
    left = tc(lab, "qdisc", "show")
    assert "sluice-" not in left and "clsact" not in left, left


def test_a_killed_gateway_is_followed_by_one_that_takes_over(lab, fresh, sunk):
    sluice = fresh(EACH)
    meet(lab)
    with download(lab.alice, lab.origin["v4"], "https") as meter:
        meter.rate(0.5, 0.1)
        old = sluice.signal("gateway", signal.SIGKILL)
        wait_until(lambda: sluice.role("gateway") not in (None, old), 10, "another gateway")
        wait_until(lambda: sluice.ctl("status").returncode == 0, 10, "it limits again")
        assert holds(meter, 20, 2)


def test_what_somebody_removes_is_put_back(lab, fresh, sunk):
    fresh(EACH)
    meet(lab)
    with download(lab.alice, lab.origin["v4"], "tcp") as meter:
        lab.gateway.ip("link del sluice-down")
        wait_until(lambda: "sluice-down" in tc(lab, "qdisc", "show"), 5, "the link is back")
        assert holds(meter, 20)
        lab.gateway.run("tc", "qdisc", "del", "dev", "lan0", "clsact")
        wait_until(lambda: "clsact" in tc(lab, "qdisc", "show", "dev", "lan0"), 8, "the hooks are back")
        assert holds(meter, 20)


def test_what_is_somebody_elses_stays(lab, fresh, sunk):
    lab.gateway.run("tc", "qdisc", "add", "dev", "lan0", "ingress")
    lab.gateway.run("tc", "qdisc", "add", "dev", "guest0", "root", "handle", "7:", "tbf", "rate", "500mbit", "burst",
                    "100k", "latency", "50ms")
    try:
        sluice = fresh(EACH + "[group.default]\nshape = { down = '20Mbit' }\n")
        meet(lab, lab.alice, lab.guest)
        troubles = sluice.ctl_json("status")["shape_troubles"]
        assert troubles == ["lan0 is not shaped: it has an ingress qdisc of somebody else"]
        with download(lab.guest, lab.origin["v4"], "tcp") as meter:
            assert holds(meter, 20)
        there = json.loads(tc(lab, "-j", "qdisc", "show"))
        assert {"ingress", "tbf"} <= {each["kind"] for each in there if each.get("dev") in ("lan0", "guest0")}
        lab.gateway.run("tc", "qdisc", "del", "dev", "lan0", "ingress")
        wait_until(lambda: sluice.ctl_json("status")["shape_troubles"] == [], 8, "lan0 is shaped")
        sluice.stop()
        assert "tbf 7:" in tc(lab, "qdisc", "show", "dev", "guest0")
    finally:
        lab.gateway.run("tc", "qdisc", "del", "dev", "guest0", "root", check=False)

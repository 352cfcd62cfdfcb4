"""Interfaces that go down, come up, get another name or are made anew; addresses and default routes that move."""
import time

import pytest

from backends import KINDS
from client import request
from faults import JUDGED, Slips, state_of, wait_states
from lab import FAMILIES, Lab, address
from namespace import wait_until
from sluice import POLICY, Sluice


@pytest.fixture
def own(built, request):
    """A lab of its own: what these tests do to it shall meet nobody else."""
    with Lab(guest=False, inner=False, hop=True) as lab:  # what is on a connected network is not the internet
        yield lab, Sluice(lab, POLICY, network={"lan": ["lan0"], **KINDS[getattr(request, "param", "nftables")]})


both_backends = pytest.mark.parametrize("own", ["nftables", "iptables"], indirect=True)


def judged_in_both_families(lab):
    for family in FAMILIES:
        wait_states(lab, JUDGED, family=family)


def steady(sluice) -> tuple:
    return tuple(sluice.role(each) for each in ("gateway", "keeper"))


@both_backends
def test_the_lan_goes_down_and_comes_up(own):
    lab, sluice = own
    roles = steady(sluice)
    with Slips(lab):
        for _ in range(3):
            lab.gateway.ip("link set lan0 down")
            lab.gateway.ip("link set lan0 up", "addr replace fd00:20::1/64 dev lan0 nodad")
        judged_in_both_families(lab)
    assert steady(sluice) == roles


@both_backends
def test_the_wan_goes_down_and_comes_up(own):
    """Its routes go with it; the rules for it stay, so that what comes back by it is judged from its first packet."""
    lab, sluice = own
    roles = steady(sluice)
    with Slips(lab):
        lab.gateway.ip("link set wan0 down")
        time.sleep(1)  # it has followed, were it to
        lab.gateway.ip("link set wan0 up", "addr replace fd00:98::1/64 dev wan0 nodad",
                       *(f"route replace default via {address('between', 2, family)}" for family in FAMILIES))
        judged_in_both_families(lab)
    assert steady(sluice) == roles


@both_backends
def test_the_wan_is_another_interface(own):
    """Renamed, as when a PPPoE session comes back as ppp1. Until the rules follow, nobody knows that it is a way out."""
    lab, _ = own
    lab.gateway.ip("link set wan0 down", "link set wan0 name ppp7", "link set ppp7 up",
                   "addr replace fd00:98::1/64 dev ppp7 nodad",
                   *(f"route replace default via {address('between', 2, family)}" for family in FAMILIES))
    judged_in_both_families(lab)
    with Slips(lab):
        judged_in_both_families(lab)


@both_backends
def test_the_lan_gets_another_name(own):
    """Interfaces are known by their names. Nothing is judged that comes in by another: it is said, loudly, and mended by the
    name coming back, or by a restart with the new one."""
    lab, sluice = own
    lab.gateway.ip("link set lan0 down", "link set lan0 name other0", "link set other0 up",
                   "addr replace fd00:20::1/64 dev other0 nodad")
    wait_until(lambda: "LAN interface lan0 is not there" in sluice.log_text, 10, "it is said")
    for family in FAMILIES:
        wait_states(lab, ("passes", "passes"), family=family)
    assert sluice.log_text.count("lan0 is not there") == 1
    lab.gateway.ip("link set other0 down", "link set other0 name lan0", "link set lan0 up",
                   "addr replace fd00:20::1/64 dev lan0 nodad")
    judged_in_both_families(lab)
    wait_until(lambda: "LAN interface lan0 is there" in sluice.log_text, 10, "that it is back is said")


@both_backends
def test_the_lan_is_made_anew(own):
    """Another index, the same name."""
    lab, sluice = own
    roles = steady(sluice)
    with Slips(lab):
        lab.gateway.ip("link del lan0")
        wait_until(lambda: "LAN interface lan0 is not there" in sluice.log_text, 10, "it is said")
        lab.gateway.ip("link add lan0 type bridge forward_delay 0", "link set lan0 up",
                       "addr add 10.20.0.1/16 dev lan0", "addr add fd00:20::1/64 dev lan0 nodad",
                       "link set port2 master lan0", "link set port3 master lan0")
        judged_in_both_families(lab)
    assert steady(sluice) == roles


def test_a_start_before_the_lan_is_there(built):
    with Lab(guest=False, inner=False) as lab:
        lab.gateway.ip("link set lan0 down", "link set lan0 name other0")
        sluice = Sluice(lab, POLICY, network={"lan": ["lan0"]})
        assert "LAN interface lan0 is not there" in sluice.log_text
        with Slips(lab):
            lab.gateway.ip("link set other0 name lan0", "link set lan0 up", "addr replace fd00:20::1/64 dev lan0 nodad")
            judged_in_both_families(lab)


@both_backends
def test_the_routers_addresses_change(own):
    """A new LAN address, and a new WAN one as after a reconnect: what is opened from then on is judged."""
    lab, sluice = own
    with Slips(lab):
        lab.gateway.ip("addr del 10.20.0.1/16 dev lan0", "addr add 10.20.77.1/16 dev lan0",
                       "addr del 10.98.0.1/16 dev wan0", "addr add 10.98.0.77/16 dev wan0",
                       *(f"route replace default via {address('between', 2, family)}" for family in FAMILIES))
        for host in (lab.alice, lab.bob):
            host.namespace.ip("route replace default via 10.20.77.1")
        lab.hop.ip("route replace default via 10.98.0.77")
        judged_in_both_families(lab)


@both_backends
def test_another_prefix_of_the_lan(own):
    """The provider hands out another IPv6 prefix: clients of it are known as what the policy says of unknown ones."""
    lab, sluice = own
    lab.gateway.ip("addr add fd00:77::1/64 dev lan0 nodad", "addr del fd00:20::1/64 dev lan0")
    lab.alice.namespace.ip("addr add fd00:77::2/64 dev eth0 nodad", "addr del fd00:20::2/64 dev eth0",
                           "route replace default via fd00:77::1")
    wait_until(lambda: state_of(lab.alice, lab.origin["v6"]) == "judged", 20, "judged at its new address")


@both_backends
def test_the_default_routes_go_and_come(own):
    """Without one nothing can leave. A connection that was open lives."""
    lab, sluice = own
    with lab.alice.connect(lab.origin["v4"], 80) as sock, Slips(lab):
        assert request(sock, "www.allowed.test").allowed
        for version in ("-4", "-6"):
            lab.gateway.run("ip", version, "route", "del", "default")
        time.sleep(1)  # it has followed, were it to
        lab.gateway.ip(*(f"route add default via {address('between', 2, family)}" for family in FAMILIES))
        judged_in_both_families(lab)
        assert request(sock, "www.allowed.test").allowed

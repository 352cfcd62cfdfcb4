"""Where sluice stands in the admin's network, and what it leaves alone."""
import json
import signal

import pytest

from backends import KINDS
from client import fetch
from lab import gateway_address
from namespace import running, wait_until
from origin import Peer
from sluice import POLICY, SLUICED

BACKENDS = ["nftables", "iptables"]


def judged(client, lab, family) -> bool:
    return (fetch(client, lab.origin[family], "https://www.blocked.test/").blocked
            and fetch(client, lab.origin[family], "http://www.blocked.test/").blocked
            and fetch(client, lab.origin[family], "https://www.allowed.test/").allowed)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_inner_network_stays_protected(lab, fresh, family, backend):
    """The admin lets bob into the inner network and nobody else; diverting must not be a way round that."""
    fresh(POLICY, network={"firewall": backend})
    lab.gateway.nft(f"""
table inet admin {{ chain forward {{ type filter hook forward priority filter;
  ip daddr 10.40.0.0/16 ip saddr != {lab.bob['v4']} reject with tcp reset
  ip6 daddr fd00:40::/64 ip6 saddr != {lab.bob['v6']} reject with tcp reset; }}; }}""")
    try:
        for scheme in ("http", "https"):
            assert fetch(lab.bob, lab.inner[family], f"{scheme}://inner.test/").allowed
            assert fetch(lab.bob, lab.inner[family], f"{scheme}://www.blocked.test/").allowed, "not the internet"
            for client in (lab.alice, lab.guest):
                assert fetch(client, lab.inner[family], f"{scheme}://inner.test/").kind == "refused"
        assert judged(lab.alice, lab, family)
    finally:
        lab.gateway.nft("delete table inet admin")


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_router_itself_and_excluded_addresses(lab, fresh, family, backend):
    fresh(POLICY, network={"firewall": backend, "exclude": [f"{lab.peer[family]}"]})
    page = (b"HTTP/1.1 200 OK\r\nX-Origin: peer\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

    def serve(sock):
        sock.recv(4096)
        sock.sendall(page)

    for namespace, where in ((lab.gateway, gateway_address("lan", family)), (lab.origin.namespace, lab.peer[family])):
        with Peer(namespace, where, 80, serve) as peer:
            assert fetch(lab.alice, where, "http://www.blocked.test/").allowed
            assert peer.seen[0][0] == lab.alice[family]
    assert judged(lab.alice, lab, family)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gateways_address_if_asked(lab, fresh, family, kind):
    """For proxied connections: what the kernel forwards keeps its own."""
    sluice = fresh(POLICY, network={"upstream_source": "gateway", **KINDS[kind]})
    for scheme in ("http", "https"):
        seen = fetch(lab.alice, lab.origin[family], f"{scheme}://www.allowed.test/").seen
        forwarded = sluice.lane == "kernel" and scheme == "https"
        assert seen["client"] == (lab.alice[family] if forwarded else gateway_address("wan", family))


def test_behind_masquerading(lab, fresh, family):
    """Most routers masquerade: the client's own address on the upstream leg must not get in its way."""
    fresh(POLICY)
    lab.gateway.nft("""
table inet admin { chain post { type nat hook postrouting priority srcnat; oifname "wan0" masquerade; }; }""")
    try:
        assert judged(lab.alice, lab, family)
        for scheme in ("http", "https"):
            seen = fetch(lab.alice, lab.origin[family], f"{scheme}://www.allowed.test/").seen
            assert seen["client"] == gateway_address("wan", family)
    finally:
        lab.gateway.nft("delete table inet admin")


def test_strict_reverse_path_filter(lab, fresh, family):
    """Distributions set rp_filter; IPv6 has none."""
    fresh(POLICY)
    lab.gateway.sysctl(net__ipv4__conf__all__rp_filter=1, net__ipv4__conf__lan0__rp_filter=1,
                       net__ipv4__conf__wan0__rp_filter=1)
    try:
        assert judged(lab.alice, lab, family)
        assert judged(lab.guest, lab, family)
    finally:
        lab.gateway.sysctl(net__ipv4__conf__all__rp_filter=0, net__ipv4__conf__lan0__rp_filter=0,
                           net__ipv4__conf__wan0__rp_filter=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_somebody_removes_is_put_back(lab, fresh, backend):
    fresh(POLICY, network={"firewall": backend})
    for version in ("-4", "-6"):
        rules = json.loads(lab.gateway.run("ip", "-j", version, "rule", "show").stdout)
        for ours in [rule for rule in rules if "fwmark" in rule]:
            lab.gateway.run("ip", version, "rule", "del", "pref", str(ours["priority"]))
            if ours["table"] != "main":
                lab.gateway.run("ip", version, "route", "flush", "table", str(ours["table"]))
    for family in ("v4", "v6"):
        wait_until(lambda: judged(lab.alice, lab, family), 5, f"{family}: ip rule and route are back")
    if backend == "nftables":
        lab.gateway.run("nft", "flush", "ruleset")
    else:
        for tool in ("iptables", "ip6tables"):
            lab.gateway.run(tool, "-t", "mangle", "-F", "PREROUTING")
    for family in ("v4", "v6"):
        wait_until(lambda: judged(lab.alice, lab, family), 10, f"{family}: the rules are back")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_start_after_a_crash_doubles_nothing(lab, fresh, family, backend):
    sluice = fresh(POLICY, network={"firewall": backend})

    def footprint():
        return [sorted(lab.gateway.run("ip", version, "rule").stdout.splitlines()) for version in ("-4", "-6")] + \
               [lab.gateway.run("nft", "list", "tables").stdout,
                lab.gateway.run("iptables-save", "-t", "mangle").stdout.count("\n-A PREROUTING"),
                lab.gateway.run("ip6tables-save", "-t", "mangle").stdout.count("\n-A PREROUTING")]

    first = footprint()
    family_of_processes = [sluice.role("gateway"), sluice.role("keeper")]
    sluice.signal("supervisor", signal.SIGKILL)
    sluice.process.wait()
    wait_until(lambda: not any(map(running, family_of_processes)), 5, "gateway and keeper go with their supervisor")
    sluice.start()
    assert judged(lab.alice, lab, family)
    assert footprint() == first


def test_a_second_start_beside_a_running_one_is_refused(lab, fresh):
    sluice = fresh(POLICY)
    second = lab.gateway.run(*sluice.command(), check=False, timeout=10)
    assert second.returncode != 0 and "running" in second.stderr
    assert judged(lab.alice, lab, "v4")


def test_other_peoples_rules_stay(lab, fresh):
    lab.gateway.nft("table inet admin { chain c { type filter hook forward priority 0; counter accept; }; }")
    try:
        sluice = fresh(POLICY)
        sluice.ctl("down")
        assert "counter" in lab.gateway.run("nft", "list", "table", "inet", "admin").stdout
        assert "sluice" not in lab.gateway.run("nft", "list", "tables").stdout
    finally:
        lab.gateway.nft("delete table inet admin")


def test_version_needs_nothing(built, lab):
    done = lab.alice.run("setpriv", "--reuid=nobody", "--clear-groups", SLUICED, "--version")
    assert done.stdout.startswith("sluiced ")


def test_roles_keep_only_what_they_need(lab, fresh):
    sluice = fresh(POLICY)

    def of(role, field):
        with open(f"/proc/{sluice.role(role)}/status") as status:
            return next(line.split(":", 1)[1].strip() for line in status if line.startswith(field + ":"))

    cap_net_admin = 1 << 12
    assert of("gateway", "Uid").split()[0] != "0" and of("keeper", "Uid").split()[0] != "0"
    assert int(of("gateway", "CapEff"), 16) & cap_net_admin
    assert int(of("gateway", "CapEff"), 16) & ~(cap_net_admin | 1 << 13) == 0  # NET_RAW at most besides
    assert int(of("keeper", "CapEff"), 16) == 0 and int(of("keeper", "CapBnd"), 16) == 0
    for role in ("gateway", "keeper"):
        assert of(role, "NoNewPrivs") == "1"


def test_down_lets_everything_pass(lab, fresh, family):
    sluice = fresh(POLICY)
    assert sluice.ctl("down").returncode == 0
    for client in (lab.alice, lab.bob):
        for scheme in ("http", "https"):
            assert fetch(client, lab.origin[family], f"{scheme}://www.blocked.test/").allowed
    assert sluice.ctl("down").returncode == 0  # again: nothing there is fine

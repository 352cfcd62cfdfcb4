"""The kernel lane under load and among other people's rules. (Who is judged how: test_judging. Adversaries: test_evasion.
Dead or hung: test_dead_or_hung.)"""
import contextlib
import signal
import socket
import threading
import time

import pytest

from backends import KINDS
from client import (answer_to_hello, end_of, fetch, hello_for, is_reset, is_reset_when_it_sends, request, send_in_pieces,
                    trusting)
from lab import FAMILIES
from namespace import wait_until
from origin import Peer, hold, keep_in, read_head, server_context
from raw_tcp import MSS, PORTS, SYN, Wire, packets, segment
from sluice import Sluice

POLICY = """
zone = "UTC"
[group.home]
members = ["10.20.0.0/16", "fd00:20::/64"]
[group.shut]
members = ["10.20.0.3", "fd00:20::3"]
if_down = "closed"
[[rule]]
name = "not there"
from = ["shut"]
to = ["ip:10.99.0.3", "ip:fd00:99::3"]
action = "block"
[[rule]]
name = "no games"
from = ["home", "shut"]
to = ["host:blocked.test"]
action = "block"
"""
ALLOWED, BLOCKED = hello_for("www.allowed.test"), hello_for("www.blocked.test")
RESET_ON_CLOSE = (socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

on_both_backends = pytest.mark.parametrize("sluice", ["nftables", "iptables"], indirect=True, scope="module")


@pytest.fixture(scope="module", params=["nftables"])
def sluice(request, lab, built):
    with Sluice(lab, POLICY, network=KINDS[request.param]) as sluice:
        yield sluice


def judges(client, lab, family) -> bool:
    return (fetch(client, lab.origin[family], "https://www.blocked.test/", timeout=5).blocked
            and fetch(client, lab.origin[family], "https://www.allowed.test/", timeout=5).allowed)


def dropped(lab) -> list[int]:
    """Packets that each queue lost: it was full, or its reader was (man 5 proc, nfnetlink_queue: fields 6 and 7)."""
    lines = lab.gateway.run("cat", "/proc/net/netfilter/nfnetlink_queue").stdout.splitlines()
    assert lines, "no queue is bound"
    return [int(line.split()[5]) + int(line.split()[6]) for line in lines]


# --- what is decided, and when ---------------------------------------------------------------------------------------------


@on_both_backends
def test_what_no_name_could_change_is_refused_at_its_syn(sluice, lab, family):
    reply = fetch(lab.bob, lab.peer[family], "https://www.allowed.test/")
    assert reply.kind == "refused", reply
    record = sluice.wait_access(client=lab.bob[family], dst=lab.peer[family], action="block")
    assert record["rule"] == "not there" and record["tls"] == "kernel" and record["dport"] == 443
    with Peer(lab.origin.namespace, lab.peer[family], 443, hold) as peer:
        with lab.alice.connect(lab.peer[family], 443) as sock:
            sock.sendall(ALLOWED)
            assert end_of(sock, 0.5) == "open"
            wait_until(lambda: peer.seen, 3, "it has reached the origin")


@on_both_backends
def test_http_on_443_passes_where_no_rule_could_refuse_a_request(sluice, lab, family):
    reply = fetch(lab.guest, lab.origin[family], "http://www.blocked.test:443/")
    assert reply.status == 400 and "x-origin" in reply.headers, reply  # nginx wants TLS there
    assert fetch(lab.alice, lab.origin[family], "http://www.allowed.test:443/").kind == "reset"
    record = sluice.wait_access(client=lab.alice[family], dport=443, proto="http")
    assert record["action"] == "block" and record["tls"] == "kernel"


@on_both_backends
def test_a_refused_flow_is_logged_at_once_and_an_allowed_one_after_its_end(sluice, lab):
    flows = {family: trusting().wrap_socket(lab.guest.connect(lab.origin[family], 443), server_hostname="files.test")
             for family in FAMILIES}
    got, ports = dict.fromkeys(FAMILIES, 0), {}
    for sock in flows.values():
        sock.sendall(b"GET /slow HTTP/1.1\r\nHost: files.test\r\n\r\n")
    for family, sock in flows.items():
        while got[family] < 120_000:
            got[family] += len(sock.recv(65536))
        ports[family] = sock.getsockname()[1]
        fetch(lab.alice, lab.origin[family], "https://www.blocked.test/")
        sluice.wait_access(2, client=lab.alice[family], name="www.blocked.test", action="block")
        assert not sluice.access(client=lab.guest[family], sport=ports[family])
    for sock in flows.values():
        sock.close()
    for family in FAMILIES:
        record = sluice.wait_access(10, client=lab.guest[family], sport=ports[family])
        assert record["action"] == "allow" and record["tls"] == "kernel" and record["name"] == "files.test"
        down, up = record["bytes_down"], record["bytes_up"]
        assert got[family] < down < got[family] + 1_500_000 and 500 < up < 100_000, (got, record)
        assert 800 < record["duration_ms"] < 60_000, record


@on_both_backends
def test_each_side_of_a_flow_that_becomes_blocked_is_reset_at_its_next_packet(sluice, lab, family):
    speak, endings = threading.Event(), []

    def late(sock):
        with server_context().wrap_socket(sock, server_side=True) as tls:
            read_head(tls)
            tls.sendall(b"HTTP/1.1 200 OK\r\nX-Origin: peer\r\nContent-Length: 2\r\n\r\nok")
            speak.wait(10)
            tls.sendall(b"news")
            endings.append(wait_until(lambda: is_reset(tls), 5, "the origin is reset"))

    with Peer(lab.origin.namespace, lab.peer[family], 443, late), \
            trusting().wrap_socket(lab.alice.connect(lab.peer[family], 443), server_hostname="www.allowed.test") as tls:
        assert request(tls, "www.allowed.test").allowed
        sluice.reload(POLICY + '[[rule]]\nname = "now"\nto = ["host:www.allowed.test"]\naction = "block"\n')
        speak.set()
        wait_until(lambda: endings, 8, "the origin has spoken")
        assert end_of(tls, 0.3) == "open", "nothing of it reaches the client"
        assert is_reset_when_it_sends(tls, "www.allowed.test")
    sluice.reload(POLICY)


# --- other people's rules --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def admins(lab, rules: str):
    lab.gateway.nft("table inet admin {\n" + rules.replace("; }", ";\n}\n") + "\n}")
    try:
        yield
    finally:
        lab.gateway.nft("delete table inet admin")


@on_both_backends
def test_behind_masquerading_a_block_resets_both_sides(sluice, lab, family):
    endings = []
    with admins(lab, 'chain post { type nat hook postrouting priority srcnat; oifname "wan0" masquerade; }'):
        assert judges(lab.alice, lab, family)
        assert fetch(lab.alice, lab.origin[family], "https://www.allowed.test/").seen["client"] != lab.alice[family]
        for size in (len(BLOCKED), 100):
            with Peer(lab.origin.namespace, lab.peer[family], 443, lambda sock: endings.append(end_of(sock, 8))):
                with lab.alice.connect(lab.peer[family], 443) as sock:
                    with contextlib.suppress(OSError):
                        send_in_pieces(sock, BLOCKED, size, 0.005)
                    assert end_of(sock) == "reset"
                wait_until(lambda: endings, 4, "the origin's side has ended")
            assert endings.pop() == "reset"


@on_both_backends
@pytest.mark.parametrize("priority", ["mangle - 10", "mangle + 10"])
def test_marks_restored_by_an_admin_let_nothing_pass(sluice, lab, family, priority):
    """Multi-WAN scripts copy the whole connection mark to the packets, ours included."""
    received = []
    with admins(lab, f"chain pre {{ type filter hook prerouting priority {priority}; meta mark set ct mark; }}"), \
            Peer(lab.origin.namespace, lab.peer[family], 443, keep_in(received)):
        for size in (len(BLOCKED), 60):  # in pieces: the first ones have made the connection "collecting"
            with lab.alice.connect(lab.peer[family], 443) as sock:
                with contextlib.suppress(OSError):
                    send_in_pieces(sock, BLOCKED, size, 0.003)
                assert end_of(sock) == "reset"
        assert BLOCKED not in b"".join(received)
        for source in range(3):  # and the same tuple again, after an allowed connection
            with socket_from(lab.alice, family, 12000 + source, lab.origin[family]) as sock:
                sock.sendall(ALLOWED)
                assert sock.recv(6)[:1] == b"\x16"
                sock.setsockopt(*RESET_ON_CLOSE)
            with socket_from(lab.alice, family, 12000 + source, lab.origin[family]) as sock:
                sock.sendall(BLOCKED)
                assert end_of(sock) == "reset"


def socket_from(host, family: str, port: int, to: str) -> socket.socket:
    sock = host.namespace.socket(socket.AF_INET if family == "v4" else socket.AF_INET6)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.settimeout(3)
    sock.bind((host[family], port))
    sock.connect((to, 443))
    return sock


@on_both_backends
def test_an_admins_rules_behind_ours_hold_for_queued_packets(sluice, lab, family):
    ip, there = ("ip", lab.peer[family]) if family == "v4" else ("ip6", lab.peer[family])
    received = []
    with Peer(lab.origin.namespace, there, 443, keep_in(received)) as peer:
        with admins(lab, f"chain c {{ type filter hook forward priority filter; {ip} daddr {there} tcp dport 443 drop; }}"):
            assert fetch(lab.alice, there, "https://www.allowed.test/", timeout=0.7).kind == "silent"
            assert not peer.seen
            assert judges(lab.alice, lab, family)
        # What has payload, and thus came by the queue.
        with admins(lab, f"chain c {{ type filter hook forward priority filter; "
                         f"{ip} daddr {there} tcp dport 443 ct state established meta length > 100 drop; }}"):
            send_and_reset(lab.alice, there)
        tool = "iptables" if family == "v4" else "ip6tables"
        rule = ["FORWARD", "-d", there, "-p", "tcp", "--dport", "443", "-m", "length", "--length", "100:", "-j", "DROP"]
        lab.gateway.run(tool, "-A", *rule)
        send_and_reset(lab.alice, there)
        lab.gateway.run(tool, "-D", *rule)
        assert not received
        send_and_reset(lab.alice, there)
        wait_until(lambda: received, 3, "without those rules it arrives")


def send_and_reset(host, where: str):
    with host.connect(where, 443) as sock:
        sock.sendall(ALLOWED)
        assert end_of(sock, 0.5) == "open"
        sock.setsockopt(*RESET_ON_CLOSE)


@on_both_backends
def test_a_flushed_queue_is_repaired(sluice, lab):
    """Where nft cannot queue, xt does it for the nftables backend; what xt does not take any more may not pass."""
    passed = []

    def ask(family):
        begun = time.monotonic()
        while not judges(lab.alice, lab, family):
            assert time.monotonic() < begun + 36, "not repaired"
            if answer_to_hello(lab.alice, lab.origin[family], BLOCKED, timeout=0.3) == "server hello":
                passed.append(family)

    for tool in ("iptables", "ip6tables"):
        lab.gateway.run(tool, "-F", "FORWARD")
    asking = [threading.Thread(target=ask, args=(family,)) for family in FAMILIES]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    for family in FAMILIES:
        assert judges(lab.alice, lab, family)
    if sluice.sections["network"]["firewall"] == "nftables":
        assert not passed


# --- load ------------------------------------------------------------------------------------------------------------------


@on_both_backends
def test_2000_allowed_connections_all_get_their_answer(sluice, lab):
    before = sum(dropped(lab))
    answers = {}

    def ask(number):
        client, family = (lab.alice, lab.bob)[number % 2], FAMILIES[number // 2 % 2]
        for _ in range(500):
            answer = answer_to_hello(client, lab.origin[family], ALLOWED)
            answers[number, answer] = answers.get((number, answer), 0) + 1

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {(number, "server hello"): 500 for number in range(4)}
    assert sum(dropped(lab)) == before == 0


class Load:
    """Clients that open connections for as long as the block lasts, and running ones that must not end."""

    def __init__(self, lab):
        self.lab, self._over = lab, threading.Event()
        self.answers: list[tuple[float, str, str, str]] = []  # when, client, name, answer
        self.ended: list = []
        self.served = 0

    def __enter__(self):
        self._running = [(trusting().wrap_socket(client.connect(self.lab.origin[family], 443),
                                                 server_hostname="www.allowed.test"))
                         for client in (self.lab.alice, self.lab.bob) for family in FAMILIES for _ in range(5)]
        self._threads = [threading.Thread(target=self._open, args=(name, family)) for name in ("alice", "bob")
                         for family in FAMILIES] + [threading.Thread(target=self._use)]
        for thread in self._threads:
            thread.start()
        return self

    def _open(self, client: str, family: str):
        while not self._over.is_set():
            for name, hello in (("allowed", ALLOWED), ("allowed", ALLOWED), ("blocked", BLOCKED)):
                begun = time.monotonic()
                answer = answer_to_hello(getattr(self.lab, client), self.lab.origin[family], hello, timeout=10)
                self.answers.append((begun, client, name, answer))

    def _use(self):
        while not self._over.is_set():
            for sock in self._running:
                try:
                    if not request(sock, "www.allowed.test").allowed:
                        self.ended.append("closed")
                    self.served += 1
                except OSError as error:
                    self.ended.append(repr(error))
            time.sleep(0.05)

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()
        for sock in self._running:
            sock.close()

    def since(self, begun: float) -> set:
        return {(name, answer) for when, _, name, answer in self.answers if when >= begun}


AS_JUDGED = {("allowed", "server hello"), ("blocked", "reset")}


def test_reloads_under_load_disturb_nobody(sluice, lab):
    with Load(lab) as load:
        for number in range(4):
            time.sleep(0.4)
            sluice.reload(POLICY + f'[[rule]]\nname = "{number}"\nto = ["host:n{number}.test"]\naction = "block"\n')
        time.sleep(0.4)
    assert load.since(0) == AS_JUDGED and not load.ended and load.served > 20, load.ended
    sluice.reload(POLICY)


@on_both_backends
def test_a_killed_gateway_under_load_ends_nothing_that_runs(sluice, lab):
    with Load(lab) as load:
        time.sleep(0.5)
        old = sluice.signal("gateway", signal.SIGKILL)
        wait_until(lambda: sluice.role("gateway") not in (None, old), 3, "another gateway")

        def judges_again():
            begun = time.monotonic()
            time.sleep(1)
            return load.since(begun) == AS_JUDGED

        wait_until(judges_again, 3, "all is judged again")
    assert not load.ended and load.served > 20, load.ended
    assert not [each for each in load.answers if each[1:] == ("bob", "blocked", "server hello")]


def test_a_flood_of_syns_costs_its_sender_only(sluice, lab):
    """5,000 half-open connections: an origin that never answers."""
    pid = sluice.role("gateway")
    wire = Wire(lab.alice, lab.gateway, "lan0")
    there = lab.peer["v4"]
    lab.origin.namespace.nft(f"table inet deaf {{ chain in {{ type filter hook input priority 0; ip daddr {there} drop; }}; }}")
    try:
        sock = wire.open("v4", 1)
        for number in range(5000):
            source = (lab.alice["v4"], PORTS[number])
            syn = segment(source, (there, 443), number * 77_777, 0, SYN, options=bytes((2, 4, MSS >> 8, MSS & 255)))
            wire.put(sock, packets(source[0], there, syn)[0])
        sock.close()
        for family in FAMILIES:
            assert judges(lab.bob, lab, family)
            assert fetch(lab.guest, lab.origin[family], "https://www.allowed.test/", timeout=5).allowed
        assert sluice.role("gateway") == pid
        assert 1000 < sluice.ctl_json("status")["kernel_lane"]["refused_by_limit"] <= 5000
        assert sluice.counted() <= 2000 + 10
    finally:
        lab.origin.namespace.nft("delete table inet deaf")
        lab.alice.namespace.nft("delete table inet raw_tcp")

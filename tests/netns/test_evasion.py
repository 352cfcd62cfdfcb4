"""What works on packet filters must not work here, and honest traffic of odd shape must (KERNEL-LANE, FACTS 7).

Every technique is a few lines that send a hello for a blocked name, and usually the same hello with an allowed name as
its fake, by hand-made packets (raw_tcp.py). An honest TLS origin stands two routers away, so that what is sent with TTL
2 passes the gateway and dies before the origin. Each is played first while nobody filters: that control run must reach
the origin, or the row proves nothing. Then through sluice, on each lane, where it must not.

Every attempt asks for a name of its own. "Reached" is either of
    page     the origin's page, read over TLS
    named    the origin's TLS has taken a hello with the blocked name
and everything else is how it ended: reset, closed, silent, refused, alert, garbled (TLS of another hello's making).
"""
import concurrent.futures
import contextlib
import dataclasses
import functools
import itertools
import socket
import ssl
import struct
import time

import pytest

from client import TlsClient, classify, end_of, in_records, rubbish, trusting
from lab import FAMILIES, Lab, address
from namespace import wait_until
from origin import Peer, authority, echo, read_head, server_first
from raw_tcp import (ACK, DESTINATION_OPTIONS, FIN, HOP_BY_HOP, LONG_AGO, MD5, PSH, RST, SHORT_LIVED, URG, RawTcp,
                     Wire)
from sluice import Sluice

LANES = {"nftables": {"firewall": "nftables"}, "iptables": {"firewall": "iptables"},
         "proxy lane": {"firewall": "nftables", "kernel_lane": "off"}}
AT_ONCE = 16
_serial = itertools.count()


# --- the site: alice and bob, sluice's place, a hop, and one origin of each kind --------------------------------------------


class TlsOrigin(Peer):
    """Answers every hello with a page, and knows the names that it was asked for."""

    def __init__(self, lab, where: str, *, before=lambda sock: None, after=lambda sock: None, groups: str | None = None):
        self.where = where
        self.names: set[str] = set()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(authority() / "origin.crt", authority() / "origin.key")
        self._context.sni_callback = lambda _sock, name, _context: self.names.add(name)
        if groups:
            self._context.set_ecdh_curve(groups)
        self._before, self._after = before, after
        super().__init__(lab.origin.namespace, where, 443, self._answer)

    def _answer(self, sock: socket.socket):
        self._before(sock)
        with self._context.wrap_socket(sock, server_side=True) as secured:
            read_head(secured)
            secured.sendall(b"HTTP/1.1 200 OK\r\nX-Origin: lab\r\nConnection: close\r\n\r\nthe page\n")
            self._after(secured)


def wait_first(sock):
    sock.recv(1, socket.MSG_PEEK)
    time.sleep(0.5)


def reset_at_the_end(sock):
    time.sleep(0.1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


# What is special about each, and its host number (the lab has 2 and 3).
ORIGINS = {
    "plain": (10, dict()),
    "slow": (11, dict(before=wait_first)),
    "resetting": (12, dict(after=reset_at_the_end)),
    "retrying": (13, dict(groups="secp384r1")),   # no client's first key share: always a HelloRetryRequest
    "fast open": (14, dict()),
}


class Site:
    """site.alice sends packets by hand, to site.origin[kind, family]."""

    def __init__(self, lab: Lab):
        self.lab = lab
        lab.origin.namespace.sysctl(net__ipv4__tcp_fastopen=0x203)  # accepted without a cookie, where a listener asks
        self.alice = Wire(lab.alice, lab.gateway, "lan0", neighbour=Wire(lab.bob, lab.gateway, "lan0"))
        self.origin = {}
        for kind, (number, special) in ORIGINS.items():
            lab.origin.namespace.ip(f"addr add {address('wan', number, 'v4')}/16 dev eth0",
                                    f"addr add {address('wan', number, 'v6')}/64 dev eth0 nodad")
            for family in FAMILIES:
                origin = TlsOrigin(lab, address("wan", number, family), **special)
                if kind == "fast open":
                    origin._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
                self.origin[kind, family] = origin

    def play(self, technique, family: str) -> str:
        """One attempt; how it ended."""
        number = next(_serial)
        blocked, allowed = (f"n{number:05}.{kind}.test" for kind in ("blocked", "allowed"))
        origin = self.origin[technique.origin, family]
        name = allowed if technique.honest else blocked
        client = None
        try:
            with technique.client(self, origin.where) as client:
                end = technique.attempt(client, name, allowed)
        except Exception as error:  # noqa: BLE001  every way to fail is an answer here
            end = "garbled" if type(error) is ssl.SSLError and "ALERT" not in str(error) else classify(error).kind
        if end != "page" and name in origin.names:
            end = "named"
        return f"{end} by a retransmission" if getattr(client, "retransmitted", False) else end

    def play_all(self, techniques: dict) -> dict[tuple[str, str], str]:
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            plays = {(how, family): pool.submit(self.play, technique, family)
                     for how, technique in techniques.items() for family in technique.families}
        return {key: play.result() for key, play in plays.items()}

    def close(self):
        for origin in self.origin.values():
            origin.close()


@dataclasses.dataclass(frozen=True)
class Technique:
    """run(raw, blocked, allowed) sends one hello with a blocked name, and whatever helps it; `allowed` is the same
    hello with an allowed name. `honest` ones only ever have the latter: run(raw, allowed)."""
    run: object
    honest: bool = False
    origin: str = "plain"
    families: tuple = FAMILIES
    kernel: bool = False          # by the kernel's own socket, not by hand
    protocols: int = 0            # so many names in ALPN: a large hello
    how: dict = dataclasses.field(default_factory=dict)  # for RawTcp

    def client(self, site: Site, where: str):
        if self.kernel:
            return site.lab.alice.connect(where, 443, timeout=3)
        return RawTcp(site.alice, where, **self.how)

    def attempt(self, client, name: str, allowed: str) -> str:
        tls = TlsClient(name, _context(self.protocols))
        if self.honest:
            self.run(client, tls.hello)
        else:
            self.run(client, tls.hello, tls.hello.replace(name.encode(), allowed.encode()))
        tls.finish(client)
        page = tls.request(client, name)
        return "page" if b"the page" in page or b"X-Origin: lab" in page else "garbled"


class AfterRetry(Technique):
    """run(raw, second, first): the second hello, after a HelloRetryRequest, names what is blocked. No client would, so
    both are made beforehand (they depend on nothing that the origin says); the origin cannot finish such a handshake."""

    def attempt(self, client, name: str, allowed: str) -> str:
        first, second = two_hellos(allowed)
        self.run(client, second.replace(allowed.encode(), name.encode()), first)
        client.timeout = 1
        while client.recv(65536):
            pass
        return "closed"


@functools.cache
def _context(protocols: int) -> ssl.SSLContext:
    if not protocols:
        return trusting(names_checked=False)
    context = ssl.create_default_context(cafile=str(authority() / "ca.crt"))
    context.check_hostname = False
    context.set_alpn_protocols([f"protocol-number-{number}" for number in range(protocols)])
    return context


def two_hellos(name: str) -> tuple[bytes, bytes]:
    """What a client says first, and after a HelloRetryRequest for P-384."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(authority() / "origin.crt", authority() / "origin.key")
    server.set_ecdh_curve("secp384r1")
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    both = (trusting(names_checked=False).wrap_bio(down, up, server_hostname=name),
            server.wrap_bio(up, down, server_side=True))
    hellos = []
    for side in (*both, both[0]):
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
        if side is both[0]:
            hellos.append(up.read())
            up.write(hellos[-1])
    return tuple(hellos)


# --- techniques ------------------------------------------------------------------------------------------------------------


def name_at(hello: bytes) -> tuple[int, int]:
    """Where the name begins and ends."""
    end = hello.index(b".test") + len(".test")
    return end - len("n00000.blocked.test"), end


def fake(content=None, at: int = 0, pause: float = 0, **odd):
    """A fake hello at the same place as the true one, which nothing but `odd` keeps the origin from taking."""
    def run(raw, blocked, allowed):
        raw.connect()
        raw.put(content or allowed, at, **odd)
        time.sleep(pause)
        raw.send(blocked)
    return run


def pieces(*order: int, fake_first: bool = False, fakes: bool = False, **odd):
    """The hello in four, cut within the name; with `fakes`, each before and after its fake (zapret: fakedsplit)."""
    def run(raw, blocked, allowed):
        begin, end = name_at(blocked)
        cuts = [0, 1, begin + 8, end - 2, len(blocked)]
        raw.connect()
        raw.claim(blocked)
        if fake_first:
            raw.put(allowed, **odd)
        for number in order:
            where = slice(cuts[number], cuts[number + 1])
            if fakes:
                raw.put(allowed[where], where.start, **odd)
            raw.put(blocked[where], where.start)
            if fakes:
                raw.put(allowed[where], where.start, **odd)
    return run


def host_fake_split(**odd):
    """Only the name is faked, around the true one (zapret: hostfakesplit)."""
    def run(raw, blocked, allowed):
        begin, end = name_at(blocked)
        raw.connect()
        raw.claim(blocked)
        raw.put(blocked[:begin], 0)
        raw.put(allowed[begin:end], begin, **odd)
        raw.put(blocked[begin:end], begin)
        raw.put(allowed[begin:end], begin, **odd)
        raw.put(blocked[end:], end)
    return run


def true_half_then_false_overlap(raw, blocked, allowed):
    begin, end = name_at(blocked)
    raw.connect()
    raw.claim(blocked)
    raw.put(blocked[:end], 0)
    raw.put(allowed[begin:end] + blocked[end:], begin)


def false_half_early_then_true_overlap(raw, blocked, allowed):
    """A kernel prefers what arrives in order to what waits out of order."""
    begin, end = name_at(blocked)
    raw.connect()
    raw.claim(blocked)
    raw.put(allowed[begin:], begin)
    time.sleep(0.05)
    raw.put(blocked[:end], 0)


def seqovl_out_of_order(raw, blocked, allowed):
    """The later half first, and before its begin what is false (zapret: multidisorder, seqovl)."""
    begin, end = name_at(blocked)
    raw.connect()
    raw.claim(blocked)
    raw.put(allowed[begin:end - 7] + blocked[end - 7:], begin)
    time.sleep(0.05)
    raw.put(blocked[:end - 7], 0)


def below_the_stream(raw, blocked, allowed):
    """One segment: an old part, which an origin cuts off, and the stream's begin behind it (zapret: seqovl)."""
    begin, end = name_at(blocked)
    raw.connect()
    raw.claim(blocked)
    raw.put(allowed + blocked[:begin + 5], -len(allowed))
    raw.put(blocked[begin + 5:], begin + 5)


def far_fake_between_two_halves(raw, blocked, allowed):
    begin, _ = name_at(blocked)
    raw.connect()
    raw.claim(blocked)
    raw.put(blocked[:begin + 4], 0)
    raw.put(allowed, 2000)
    raw.put(blocked[begin + 4:], begin + 4)


def whole(size: int = 1400, cut=lambda hello: hello, **odd):
    def run(raw, blocked, allowed=None):
        raw.connect()
        raw.send(cut(blocked), size, **odd)
    return run


def last_first(size: int):
    def run(raw, hello, allowed=None):
        raw.connect()
        raw.claim(hello)
        for at in reversed(range(0, len(hello), size)):
            raw.put(hello[at:at + size], at)
    return run


def fragments(backwards=False):
    """IP fragments, cut in the name."""
    def run(raw, blocked, allowed):
        begin, _ = name_at(blocked)
        raw.connect()
        raw.send(blocked, cuts=((32 + begin + 8) // 8 * 8, 400), backwards=backwards)
    return run


def data_in_the_syn_then_other(raw, blocked, allowed):
    raw.connect(allowed)
    raw.send(blocked)


def hello_in_the_syn(raw, hello, allowed=None):
    """Where it is not taken there, it is retransmitted."""
    raw.connect(hello)
    raw.claim(hello)


def urgent(place):
    """A byte that a reading origin never sees, at place(hello)."""
    def run(raw, blocked, allowed):
        at = place(blocked)
        raw.connect()
        raw.send(blocked[:at] + b"\0" + blocked[at:], urgent=at + 1, flags=PSH | ACK | URG)
    return run


def urgent_ahead(raw, blocked, allowed):
    """The pointer travels on an ACK without payload; the byte that it takes out comes later, in an ordinary segment."""
    at = name_at(blocked)[0] + 9
    raw.connect()
    raw.put(flags=ACK | URG, urgent=at + 1)
    time.sleep(0.05)
    raw.send(blocked[:at] + b"\0" + blocked[at:])


def after(flags: int, forgotten: bool = False):
    """A RST or FIN that dies behind the gateway, and then the hello, perhaps after conntrack has timed out."""
    def run(raw, blocked, allowed):
        raw.connect()
        raw.put(flags=flags, ttl=SHORT_LIVED)
        time.sleep(0.1)
        if forgotten:
            raw.wire.gateway.run("conntrack", "-f", "ipv4" if raw.family == "v4" else "ipv6", "-D", "-p", "tcp",
                                 "-s", raw.source[0], "--sport", str(raw.source[1]), check=False)
        raw.send(blocked)
    return run


def same_tuple_again(raw, blocked, allowed):
    """A connection that was allowed and done, ended by a reset (the client's, or before it the origin's)."""
    with RawTcp(raw.wire, *raw.to, source_port=raw.source[1]) as first:
        first.connect()
        tls = TlsClient("www.allowed.test")
        first.send(tls.hello)
        tls.finish(first)
        tls.request(first, "www.allowed.test")
        time.sleep(0.2)
    raw.connect()
    raw.send(blocked)


def forged_reply(by_whom):
    """A fake hello, which waits for the origin's answer to be trusted, and that answer forged on the LAN."""
    def run(raw, blocked, allowed):
        raw.connect()
        raw.put(allowed, ttl=SHORT_LIVED)
        time.sleep(0.05)
        raw.forge_reply(by_whom(raw), bytes.fromhex("160303007a020000760303") + bytes(116), len(allowed))
        time.sleep(0.05)
        raw.send(blocked)
    return run


def stale_acks(raw, blocked, allowed):
    """Each draws an answer without payload from the origin: bytes from there, but no consent."""
    raw.connect()
    raw.put(allowed, ttl=SHORT_LIVED)
    for _ in range(24):
        raw.put(b"\0", -1000, flags=ACK)
        raw.put(at=-1000, flags=ACK)
    time.sleep(0.05)
    raw.send(blocked)


def moved_anchor(by: int, **odd):
    """A second SYN within the connection, which the origin never takes, and a fake hello where that one would begin."""
    def run(raw, blocked, allowed):
        raw.connect()
        raw.syn(at=by, **odd)
        raw.put(allowed, by, ttl=SHORT_LIVED)
        time.sleep(0.1)
        raw.send(blocked)
    return run


def two_syns(raw, blocked, allowed):
    """The second one dies behind the gateway, so the origin answers the first."""
    raw.syn()
    raw.syn(at=-9000, ttl=SHORT_LIVED)
    raw.established()
    raw.put(allowed, -9000, ttl=SHORT_LIVED)
    time.sleep(0.1)
    raw.send(blocked)


def second_after_retry(raw, second, first):
    raw.connect()
    raw.send(first)
    raw.recv(1)
    raw.send(second)


def second_after_retry_in_bits(raw, second, first):
    """The window cuts it within what tells it from a ServerHello."""
    raw.connect()
    raw.send(first)
    raw.recv(raw.window)
    raw.window = 65535
    raw.put(at=len(first), flags=ACK)
    while len(raw.received) < 5 + 88:
        raw.recv(100)
    raw.send(second)


def second_before_retry(raw, second, first):
    raw.connect()
    raw.send(first + second)


def second_waiting_before_first(raw, second, first):
    raw.connect()
    raw.claim(first + second)
    raw.put(second, len(first))
    raw.put(first, 0)


EVASIONS = {
    "nothing but the hello": Technique(whole()),
    "fake, bad checksum": Technique(fake(good_checksum=False)),
    "fake, 10000 below": Technique(fake(at=-10_000)),
    "fake, 1001 above": Technique(fake(at=1001)),
    "fake, 2000 above": Technique(fake(at=2000)),
    "fake, TTL 2": Technique(fake(ttl=SHORT_LIVED)),
    "fake, TTL 2, 100 ms earlier": Technique(fake(ttl=SHORT_LIVED, pause=0.1)),
    "fake, old timestamp": Technique(fake(age=LONG_AGO)),
    "fake, old timestamp, 100 ms earlier": Technique(fake(age=LONG_AGO, pause=0.1)),
    "fake, MD5 option": Technique(fake(options=MD5)),
    "fake, MD5 option, 100 ms earlier": Technique(fake(options=MD5, pause=0.1)),
    "fake, no ACK": Technique(fake(flags=PSH)),
    "fake that is no TLS, TTL 2": Technique(fake(rubbish(), ttl=SHORT_LIVED)),
    "fake that is no TLS, TTL 2, 100 ms earlier": Technique(fake(rubbish(), ttl=SHORT_LIVED, pause=0.1)),
    "fake that is HTTP, TTL 2, 100 ms earlier": Technique(fake(
        b"GET / HTTP/1.1\r\nHost: www.allowed.test\r\n\r\n", ttl=SHORT_LIVED, pause=0.1)),
    "true half, false overlap": Technique(true_half_then_false_overlap),
    "false half early, true overlap": Technique(false_half_early_then_true_overlap),
    "multisplit": Technique(pieces(0, 1, 2, 3)),
    "multidisorder": Technique(pieces(3, 2, 1, 0)),
    "multisplit, seqovl": Technique(below_the_stream),
    "multidisorder, seqovl": Technique(seqovl_out_of_order),
    "fakedsplit, TTL 2": Technique(pieces(0, 1, 2, 3, fakes=True, ttl=SHORT_LIVED)),
    "fakedsplit, old timestamp": Technique(pieces(0, 1, 2, 3, fakes=True, age=LONG_AGO)),
    "fakedsplit, bad checksum": Technique(pieces(0, 1, 2, 3, fakes=True, good_checksum=False)),
    "fakeddisorder, MD5 option": Technique(pieces(3, 2, 1, 0, fakes=True, options=MD5)),
    "fake and multisplit, TTL 2": Technique(pieces(0, 1, 2, 3, fake_first=True, ttl=SHORT_LIVED)),
    "fake and multidisorder, old timestamp": Technique(pieces(3, 2, 1, 0, fake_first=True, age=LONG_AGO)),
    "hostfakesplit, TTL 2": Technique(host_fake_split(ttl=SHORT_LIVED)),
    "hostfakesplit, old timestamp": Technique(host_fake_split(age=LONG_AGO)),
    "far fake between two halves": Technique(far_fake_between_two_halves),
    "one-byte segments": Technique(whole(1)),
    "one-byte segments, last first": Technique(last_first(1)),
    "7-byte records": Technique(whole(cut=lambda hello: in_records(hello, 7))),
    "1-byte records in 3-byte segments": Technique(whole(3, cut=lambda hello: in_records(hello, 1))),
    "4.8 KB hello": Technique(whole(), protocols=220),
    "4.8 KB hello, last first": Technique(last_first(1400), protocols=220),
    "4.8 KB hello in one GSO packet": Technique(lambda sock, blocked, allowed: sock.sendall(blocked), kernel=True,
                                               protocols=220),
    "hello over the end of sequence numbers": Technique(whole(), how={"isn": 0xFFFFFFFF - 100}),
    "IP fragments": Technique(fragments()),
    "IP fragments, last first": Technique(fragments(backwards=True)),
    "atomic IPv6 fragment": Technique(whole(cuts=(0,)), families=("v6",)),
    "IPv6 destination options": Technique(whole(headers=(DESTINATION_OPTIONS,)), families=("v6",)),
    "IPv6 hop-by-hop options": Technique(whole(headers=(HOP_BY_HOP,)), families=("v6",)),
    "IPv6 destination options in fragments": Technique(whole(headers=(DESTINATION_OPTIONS,), cuts=(0, 96, 160)),
                                                       families=("v6",)),
    "data in the SYN, then other bytes": Technique(data_in_the_syn_then_other),
    "hello in the SYN": Technique(hello_in_the_syn, origin="fast open"),
    "urgent byte in the name": Technique(urgent(lambda hello: name_at(hello)[0] + 9)),
    "urgent byte before the hello": Technique(urgent(lambda hello: 0)),
    "urgent pointer ahead into the name": Technique(urgent_ahead),
    "RST with TTL 2, then the hello": Technique(after(RST | ACK)),
    "FIN with TTL 2, then the hello": Technique(after(FIN | ACK)),
    "RST with TTL 2, forgotten by conntrack, then the hello": Technique(after(RST | ACK, forgotten=True)),
    "forgotten by conntrack, then the hello": Technique(after(ACK, forgotten=True)),
    "same tuple again, after the client's reset": Technique(same_tuple_again),
    "same tuple again, after the origin's reset": Technique(same_tuple_again, origin="resetting"),
    "fake, TTL 2, and a reply forged by herself": Technique(forged_reply(lambda raw: raw.wire)),
    "fake, TTL 2, and a reply forged by bob": Technique(forged_reply(lambda raw: raw.wire.neighbour)),
    "fake, TTL 2, and stale ACKs": Technique(stale_acks),
    "SYN in between, TTL 2, 9000 below": Technique(moved_anchor(-9000, ttl=SHORT_LIVED)),
    "SYN in between, TTL 2, 9000 above": Technique(moved_anchor(9000, ttl=SHORT_LIVED)),
    "SYN in between, 9000 below": Technique(moved_anchor(-9000)),
    "two SYNs, the later with TTL 2": Technique(two_syns),
    "other name after a HelloRetryRequest": AfterRetry(second_after_retry, origin="retrying"),
    "other name after a HelloRetryRequest in bits": AfterRetry(second_after_retry_in_bits, origin="retrying",
                                                              how={"window": 12}),
    "other name after a HelloRetryRequest in thirds": AfterRetry(second_after_retry_in_bits, origin="retrying",
                                                                how={"window": 40}),
    "other name before a HelloRetryRequest": AfterRetry(second_before_retry, origin="retrying"),
    "other name before the first hello": AfterRetry(second_waiting_before_first, origin="retrying"),
}


# --- honest traffic ----------------------------------------------------------------------------------------------------------


def idle_then_hello(raw, hello):
    raw.connect()
    time.sleep(4)
    raw.send(hello)


def keep_alive_while_waiting(raw, hello):
    raw.connect()
    raw.put(b"\0", -1, flags=ACK)
    raw.claim(hello)
    raw.put(hello[:100], 0)
    time.sleep(0.2)
    raw.put(b"\0", 99, flags=ACK)
    time.sleep(0.2)
    raw.put(hello[100:], 100)


def keep_alive_before_the_answer(raw, hello):
    raw.connect()
    raw.send(hello)
    time.sleep(0.2)
    raw.put(b"\0", len(hello) - 1, flags=ACK)


def everything_twice(raw, hello):
    raw.connect()
    raw.claim(hello)
    for at in range(0, len(hello), 100):
        for _ in range(2):
            raw.put(hello[at:at + 100], at)
    raw.put(hello, 0)


def retransmitted_cut_otherwise(raw, hello):
    raw.connect()
    raw.claim(hello)
    raw.put(hello[:200], 0)
    raw.put(hello[300:], 300)
    time.sleep(0.2)
    raw.put(hello[150:350], 150)


def followed_by_change_cipher_spec(raw, hello):
    raw.connect()
    raw.send(hello)
    raw.send(bytes.fromhex("140303000101"))


def syn_twice(raw, hello):
    raw.syn()
    raw.syn()
    raw.established()
    raw.send(hello)


def unanswered_before_on_the_same_tuple(raw, hello):
    """A SYN that got lost behind the gateway (or was answered by it, and then that is reset); and later, from the same
    port, another connection. Its number is above the first one's: clients count by a clock (RFC 6528), and to conntrack
    what is below the first one is invalid."""
    with RawTcp(raw.wire, *raw.to, source_port=raw.source[1], timeout=0.2, isn=raw.base - 5_000_000) as first:
        first.syn(ttl=SHORT_LIVED)
        with contextlib.suppress(TimeoutError):
            first.established()
    raw.connect()
    raw.send(hello)


def same_tuple_again_honestly(raw, hello):
    same_tuple_again(raw, hello, None)


HONEST = {
    "nothing but the hello": Technique(whole(), honest=True),
    "4 s of silence first": Technique(idle_then_hello, honest=True),
    "keep-alive while waiting": Technique(keep_alive_while_waiting, honest=True),
    "keep-alive before the answer": Technique(keep_alive_before_the_answer, honest=True, origin="slow"),
    "one-byte segments": Technique(whole(1), honest=True),
    "tail first": Technique(last_first(300), honest=True),
    "7-byte records": Technique(whole(cut=lambda hello: in_records(hello, 7)), honest=True),
    "4.8 KB hello": Technique(whole(), honest=True, protocols=220),
    "4.8 KB hello in one GSO packet": Technique(lambda sock, hello: sock.sendall(hello), honest=True, kernel=True,
                                               protocols=220),
    "hello over the end of sequence numbers": Technique(whole(), honest=True, how={"isn": 0xFFFFFFFF - 100}),
    "hello in the SYN": Technique(hello_in_the_syn, honest=True, origin="fast open"),
    "hello in the SYN, not taken": Technique(hello_in_the_syn, honest=True),
    "everything twice": Technique(everything_twice, honest=True),
    "retransmitted and cut otherwise": Technique(retransmitted_cut_otherwise, honest=True),
    "followed by change_cipher_spec": Technique(followed_by_change_cipher_spec, honest=True),
    "SYN twice": Technique(syn_twice, honest=True),
    "unanswered before on the same tuple": Technique(unanswered_before_on_the_same_tuple, honest=True),
    "same tuple again, after the client's reset": Technique(same_tuple_again_honestly, honest=True),
    "same tuple again, after the origin's reset": Technique(same_tuple_again_honestly, honest=True, origin="resetting"),
    "HelloRetryRequest": Technique(whole(), honest=True, origin="retrying"),
    "HelloRetryRequest in bits": Technique(whole(), honest=True, origin="retrying", how={"window": 40}),
    "HelloRetryRequest, one-byte segments": Technique(whole(1), honest=True, origin="retrying"),
    "IP fragments": Technique(whole(cuts=(160, 400)), honest=True),
    "IPv6 destination options": Technique(whole(headers=(DESTINATION_OPTIONS,)), honest=True, families=("v6",)),
}


# --- the tests ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site():
    with Lab(guest=False, inner=False, hop=True) as lab:
        site = Site(lab)
        yield site
        site.close()


@pytest.fixture(scope="module")
def unfiltered(site):
    """The control run: {("evasion" or "honest", how, family): how it ended}, while the gateway only forwards."""
    return ends(site, control=True)


@pytest.fixture(scope="module", params=LANES)
def lane(request, unfiltered, site, built):
    with Sluice(site.lab, network={"lan": ["lan0"], **LANES[request.param]}) as sluice:
        yield sluice
        sluice.stop()
        sluice.ctl("down")


@pytest.fixture(scope="module")
def filtered(lane, site):
    return ends(site)


def ends(site, control: bool = False) -> dict[tuple[str, str, str], str]:
    """How each ended. What ought to come through (all of the control) is tried once more, alone, if it has not: sixteen at
    once may be too many for a machine that is busy with other things."""
    both = {("evasion", how): technique for how, technique in EVASIONS.items()} | \
           {("honest", how): technique for how, technique in HONEST.items()}
    played = site.play_all(both)
    for (key, family), end in played.items():
        if (control or key[0] == "honest") and end not in ("page", "named"):
            played[key, family] = site.play(both[key], family)
    return {(*key, family): end for (key, family), end in played.items()}


def table(techniques: dict):
    return pytest.mark.parametrize("how,family", [pytest.param(how, family, id=f"{how}-{family}")
                                                  for how, technique in techniques.items()
                                                  for family in technique.families])


@table(EVASIONS)
def test_without_a_filter_it_reaches_the_origin(unfiltered, how, family):
    """Else the row below proves nothing."""
    wanted = "named" if isinstance(EVASIONS[how], AfterRetry) else "page"
    assert unfiltered["evasion", how, family] == wanted


@table(EVASIONS)
def test_an_evasion_does_not_reach_the_origin(filtered, how, family):
    end = filtered["evasion", how, family]
    assert not end.startswith(("page", "named")), end


@table(HONEST)
def test_without_a_filter_honest_traffic_works(unfiltered, how, family):
    end = unfiltered["honest", how, family]
    assert end.startswith("page"), end


@table(HONEST)
def test_honest_traffic_works(filtered, how, family):
    end = filtered["honest", how, family]
    assert end.startswith("page"), end


@pytest.mark.parametrize("family", FAMILIES)
def test_other_protocols_pass(lane, site, family):
    lab = site.lab
    with Peer(lab.origin.namespace, lab.peer[family], 443, server_first):
        with lab.alice.connect(lab.peer[family], 443, timeout=8) as sock:
            assert sock.recv(100).startswith(b"SSH-2.0-OpenSSH")
            sock.sendall(b"SSH-2.0-client\r\n")
            assert sock.recv(100) == b"SSH-2.0-client\r\n"
    with Peer(lab.origin.namespace, lab.peer[family], 443, echo):
        for data in (rubbish(), b"SSH-2.0-client\r\n"):
            with lab.alice.connect(lab.peer[family], 443, timeout=8) as sock:
                sock.sendall(data)
                assert sock.recv(4096) == data


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("protocols,size", [(0, 1400), (0, 100), (220, 100_000), (220, 1000)],
                         ids=["one segment", "many segments", "one GSO packet", "large, many segments"])
def test_a_block_resets_both_sides_at_once(lane, site, family, protocols, size):
    if lane.lane == "proxy":
        pytest.skip("the proxy lane answers with an alert and has not connected yet")
    lab, endings = site.lab, []
    hello = TlsClient("www.blocked.test", _context(protocols)).hello
    with Peer(lab.origin.namespace, lab.peer[family], 443, lambda sock: endings.append(end_of(sock, 8))):
        with lab.alice.connect(lab.peer[family], 443) as sock:
            begun = time.monotonic()
            try:
                for at in range(0, len(hello), size):
                    sock.sendall(hello[at:at + size])
                mine = end_of(sock, 8)
            except OSError:
                mine = "reset"
            assert mine == "reset" and time.monotonic() - begun < 8  # not by a time-out, which would take 10 s
        wait_until(lambda: endings, 4, "the origin's side has ended")
    assert endings == ["reset"]

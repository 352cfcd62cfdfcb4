"""Who gets where: by SNI, by Host, by URL, whatever shape the name and the hello have."""
import contextlib
import itertools
import ssl

import pytest

from backends import on_every_kind
from client import (TlsClient, answer_to_hello, end_of, fetch, hello_for, in_records, rubbish, send_in_pieces,
                    with_filler_first)
from lab import FAMILIES
from namespace import wait_until
from origin import Peer, echo, hold, keep_in, server_first

pytestmark = on_every_kind


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("name", ["www.allowed.test", "WWW.Allowed.TEST", "www.allowed.test.", "notblocked.test",
                                  "blocked.test.allowed.test"])
def test_allowed(gateway, lab, family, scheme, name):
    reply = fetch(lab.alice, lab.origin[family], f"{scheme}://{name}/x")
    assert reply.allowed, reply
    assert reply.seen == {"client": lab.alice[family], "host": name, "uri": "/x", "method": "GET"}


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("name", ["blocked.test", "www.blocked.test", "WWW.BLOCKED.TEST", "www.blocked.test.",
                                  "a.b.c.blocked.test", "arcade.test"])
def test_blocked(gateway, lab, family, scheme, name):
    reply = fetch(lab.alice, lab.origin[family], f"{scheme}://{name}/x")
    assert reply.blocked, reply
    assert reply.kind == ("page" if scheme == "http" else gateway.refusal), reply


def test_host_with_its_port(gateway, lab, family):
    for host, allowed in (("www.allowed.test:80", True), ("www.blocked.test:80", False),
                          ("WWW.BLOCKED.TEST.:80", False)):
        reply = fetch(lab.alice, lab.origin[family], f"http://{host}/")
        assert reply.allowed == allowed and reply.blocked != allowed, (host, reply)


def test_path_above_a_blocked_host_and_a_blocked_path(gateway, lab, family):
    def ask(url):
        return fetch(lab.alice, lab.origin[family], url)
    assert ask("http://arcade.test/maths/1").allowed
    assert ask("http://arcade.test/shooter").blocked
    assert ask("http://files.test/books/1").allowed
    assert ask("http://files.test/films/1").blocked
    assert ask("http://files.test/books/../films/1").blocked      # a path is judged as the origin will read it
    assert ask("http://files.test/%66ilms/1").blocked
    assert ask("https://arcade.test/maths/1").blocked             # not inspected: the path can never be told


def test_the_page_says_what_why_and_which_decision(gateway, lab, family):
    reply = fetch(lab.alice, lab.origin[family], "http://arcade.test/%3Cb%3E?<script>")
    page = reply.body.decode()
    assert reply.status == 403 and "no games" in page and "arcade.test" in page
    assert "<script>" not in page
    gateway.wait_access(action="block", name="arcade.test", client=lab.alice[family], proto="http")
    wait_until(lambda: any(r["id"] in page for r in gateway.access(action="block", name="arcade.test")), 5,
               "the page's decision in the log")


def test_a_refused_hello_gets_one_alert_or_a_reset_and_the_connection_ends(gateway, lab, family):
    with lab.alice.connect(lab.origin[family], 443) as sock:
        sock.sendall(hello_for("www.blocked.test"))
        if gateway.lane == "kernel":
            with pytest.raises(ConnectionResetError):
                sock.recv(100)
            return
        record = sock.recv(100)
        assert record[:3] in (b"\x15\x03\x01", b"\x15\x03\x03") and record[5] == 2, record  # fatal
        assert end_of(sock) in ("closed", "reset")


# --- hellos in every shape ---------------------------------------------------------------------------------------------

SHAPES = {
    "whole": dict(),
    "byte by byte": dict(size=1),
    "60-byte segments with pauses": dict(size=60, pause=0.02),
    "30-byte records": dict(recut=lambda h: in_records(h, 30)),
    "30-byte records, byte by byte": dict(recut=lambda h: in_records(h, 30), size=1),
    "1.2 KiB before the name, two segments": dict(recut=lambda h: with_filler_first(h, 1200), size=1000, pause=0.05),
    "30 KiB before the name": dict(recut=lambda h: in_records(with_filler_first(h, 30000), 16384), size=1448),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_hello_shapes(gateway, lab, family, shape):
    how = dict(SHAPES[shape])
    recut = how.pop("recut", lambda hello: hello)
    for name, wanted in (("www.allowed.test", "server hello"), ("www.blocked.test", gateway.refusal)):
        assert answer_to_hello(lab.alice, lab.origin[family], recut(hello_for(name)), **how) == wanted, name


@pytest.mark.parametrize("size,pause", [(1, 0), (60, 0.005)])
def test_a_cut_hello_completes_its_handshake(gateway, lab, family, size, pause):
    """The hello was only looked at: what arrives at the origin is byte for byte what the client sent."""
    tls = TlsClient("www.allowed.test")
    with lab.alice.connect(lab.origin[family], 443) as sock:
        send_in_pieces(sock, in_records(tls.hello, 30), size, pause)
        tls.finish(sock)
        assert tls.request(sock, "www.allowed.test").startswith(b"HTTP/1.1 200")


def test_no_name_is_allowed_where_no_rule_says_otherwise(gateway, lab, family):
    assert answer_to_hello(lab.alice, lab.origin[family], hello_for(None)) == "server hello"


@pytest.mark.parametrize("damage", [
    lambda h: h[:5] + b"\x01\x00\x00\x04" + h[9:],                       # handshake shorter than its content
    lambda h: h[:3] + b"\x00\x00" + h[3:],                               # an empty handshake record
    lambda h: h[:9] + b"\x03\x03" + h[11:43] + b"\xff" + h[44:],          # session id beyond 32 bytes
    lambda h: b"\x16\x03\x01\x40\x01" + bytes(0x4001),                   # record beyond 2^14
])
def test_a_damaged_hello_is_blocked(gateway, lab, family, damage):
    received = []
    with Peer(lab.origin.namespace, lab.peer[family], 443, keep_in(received)) as peer:
        answer = answer_to_hello(lab.alice, lab.peer[family], damage(hello_for("www.allowed.test")))
        assert answer in ("alert", "closed", "reset"), answer
        assert not received
        assert gateway.lane == "kernel" or not peer.seen


# --- neither TLS nor HTTP ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("port", [80, 443])
def test_other_protocols_are_tunnelled(gateway, lab, family, port):
    with Peer(lab.origin.namespace, lab.peer[family], port, echo):
        for data in (rubbish(), b"SSH-2.0-client\r\n", b"\x80\x2e\x01\x00\x02" + bytes(41), b"\x05\x01\x00"):
            with lab.alice.connect(lab.peer[family], port, timeout=10) as sock:
                sock.sendall(data)
                got = b""
                while len(got) < len(data):
                    more = sock.recv(4096)
                    assert more, f"{data[:16]!r} ended after {got!r}"
                    got += more
                assert got == data


def test_a_server_that_speaks_first_does_not_hang(gateway, lab):
    with contextlib.ExitStack() as stack:
        socks = []
        for family, port in itertools.product(FAMILIES, (80, 443)):
            stack.enter_context(Peer(lab.origin.namespace, lab.peer[family], port, server_first))
            socks.append(stack.enter_context(lab.alice.connect(lab.peer[family], port, timeout=8)))
        for sock in socks:
            assert sock.recv(100).startswith(b"SSH-2.0-OpenSSH")
            sock.sendall(b"SSH-2.0-client\r\n")
            assert sock.recv(100) == b"SSH-2.0-client\r\n"


def test_tls_on_80(gateway, lab, family):
    """There everything is proxied."""
    with Peer(lab.origin.namespace, lab.peer[family], 80, hold) as peer:
        with lab.alice.connect(lab.peer[family], 80) as sock:
            sock.sendall(hello_for("www.blocked.test"))
            assert sock.recv(10)[:1] == b"\x15"
        assert not peer.seen
    with lab.alice.connect(lab.origin[family], 80) as sock:
        tls = TlsClient("www.allowed.test")
        sock.sendall(tls.hello)
        assert sock.recv(100).startswith(b"HTTP/1.1 400")  # from nginx, which has no TLS there


def test_http_on_443(gateway, lab, family):
    """The kernel lane cannot judge requests: where a rule could refuse one of this client's, none passes."""
    for name in ("www.blocked.test", "www.allowed.test"):
        reply = fetch(lab.alice, lab.origin[family], f"http://{name}:443/")
        if gateway.lane == "kernel":
            assert reply.kind == "reset", reply
            gateway.wait_access(client=lab.alice[family], dport=443, proto="http", action="block", tls="kernel")
        else:
            assert reply.blocked == (name == "www.blocked.test"), reply
            assert reply.blocked or reply.status == 400, reply  # nginx wants TLS


def test_other_ports_are_left_alone(gateway, lab, family):
    with Peer(lab.origin.namespace, lab.peer[family], 8080, echo) as peer:
        with lab.alice.connect(lab.peer[family], 8080) as sock:
            source = sock.getsockname()
            sock.sendall(b"GET / HTTP/1.1\r\nHost: www.blocked.test\r\n\r\n")
            assert sock.recv(100).startswith(b"GET / ")
        assert peer.seen[0] == source[:2]  # not even its port has changed


# --- whose address -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_origin_sees_the_client(gateway, lab, family, scheme):
    for client in (lab.alice, lab.bob, lab.guest):
        assert fetch(client, lab.origin[family], f"{scheme}://www.allowed.test/").seen["client"] == client[family]


def test_an_origin_that_is_not_there(gateway, lab, family):
    assert fetch(lab.alice, lab.peer[family], "http://www.allowed.test/", timeout=8).kind in ("page", "reset", "closed")
    assert not fetch(lab.alice, lab.peer[family], "http://www.allowed.test/", timeout=8).allowed
    kind = fetch(lab.alice, lab.peer[family], "https://www.allowed.test/", timeout=8).kind
    assert kind == "refused" if gateway.lane == "kernel" else kind in ("reset", "closed", "alert")


def test_certificates_are_the_origins_own(gateway, lab, family):
    context = ssl.create_default_context()
    with lab.alice.connect(lab.origin[family], 443) as sock, pytest.raises(ssl.SSLCertVerificationError):
        context.wrap_socket(sock, server_hostname="www.allowed.test")

"""HTTP/1.1: every request of a connection is judged, and nothing is read differently by us and by the origin."""
import time

import pytest

from backends import on_both_backends
from client import end_of, read_reply, request
from namespace import wait_until
from origin import Peer, read_exactly, read_frame, read_head, websocket_echo, write_frame


def get(path="/", host="www.allowed.test", *more: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", f"Host: {host}", *more, "", ""]).encode()


@on_both_backends
def test_keep_alive_is_judged_request_by_request(gateway, lab, family):
    with lab.alice.connect(lab.origin[family], 80) as sock:
        for number in range(5):
            reply = request(sock, "www.allowed.test", f"/{number}")
            assert reply.allowed and reply.seen["uri"] == f"/{number}"
        assert request(sock, "files.test", "/films/1").blocked
    wait_until(lambda: len(gateway.access(client=lab.alice[family], method="GET", dport=80)) >= 6, 5, "a record a request")


def test_a_blocked_request_does_not_poison_the_next_connection(gateway, lab, family):
    with lab.alice.connect(lab.origin[family], 80) as sock:
        assert request(sock, "www.blocked.test").blocked
        # Either the connection ends or it goes on being judged; never an unjudged page.
        try:
            again = request(sock, "www.blocked.test")
            assert again.blocked or again.kind == "closed"
        except OSError:
            pass


def test_pipelined_requests_keep_their_order(gateway, lab, family):
    with lab.alice.connect(lab.origin[family], 80) as sock:
        sock.sendall(get("/1") + get("/2") + get("/films/x", "files.test") + get("/4"))
        first, second, third = read_reply(sock), read_reply(sock), read_reply(sock)
        assert first.seen["uri"] == "/1" and second.seen["uri"] == "/2"
        assert third.blocked, third


def test_bodies_of_every_kind(gateway, lab, family):
    with lab.alice.connect(lab.origin[family], 80) as sock:
        assert len(request(sock, "www.allowed.test", "/chunked").body) > 5000
        assert request(sock, "www.allowed.test", "/none").status == 204
        assert request(sock, "www.allowed.test", "/302").status == 302
        head = request(sock, "www.allowed.test", "/big", "HEAD")
        assert head.headers["content-length"] == str(1 << 30) and head.body == b""
        assert request(sock, "www.allowed.test", "/last").allowed


def test_chunked_upload_with_trailers_and_100_continue(lab, gateway, family):
    seen = {}

    def upload(sock):
        head = read_head(sock)
        seen["head"], _, body = head.partition(b"\r\n\r\n")
        if b"100-continue" in head.lower():
            assert body == b""  # the client was right to wait
            sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not body.endswith(b"X-Sum: 7\r\n\r\n"):
            body += sock.recv(4096)
        seen["body"] = body
        sock.sendall(b"HTTP/1.1 200 OK\r\nX-Origin: peer\r\nContent-Length: 2\r\n\r\nok")
        seen["next"] = read_head(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nX-Origin: peer\r\nContent-Length: 4\r\n\r\nnext")

    with Peer(lab.origin.namespace, lab.peer[family], 80, upload):
        with lab.alice.connect(lab.peer[family], 80) as sock:
            sock.sendall(b"POST /up HTTP/1.1\r\nHost: www.allowed.test\r\nTransfer-Encoding: chunked\r\n"
                         b"Trailer: X-Sum\r\nExpect: 100-continue\r\n\r\n")
            assert read_exactly(sock, 25) == b"HTTP/1.1 100 Continue\r\n\r\n"
            for piece in (b"3\r\nabc\r\n", b"4;x=y\r\ndefg\r\n", b"0\r\nX-Sum: 7\r\n\r\n"):
                sock.sendall(piece)
                time.sleep(0.02)
            assert read_reply(sock).body == b"ok"
            sock.sendall(get("/next"))
            assert read_reply(sock).body == b"next"
    assert b"abc" in seen["body"] and b"defg" in seen["body"] and seen["next"].startswith(b"GET /next ")


@on_both_backends
def test_websocket(gateway, lab, family):
    upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    with Peer(lab.origin.namespace, lab.peer[family], 80, websocket_echo) as peer:
        with lab.alice.connect(lab.peer[family], 80) as sock:
            sock.sendall(get("/ws", "ws.test", *upgrade))
            answer = read_head(sock)
            assert answer.startswith(b"HTTP/1.1 101") and b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer
            for text in (b"hello", b"x" * 5000, b"GET / HTTP/1.1\r\nHost: www.blocked.test\r\n\r\n"):
                sock.sendall(write_frame(text, mask=b"\1\2\3\4"))
                assert read_frame(sock) == text
        assert len(peer.seen) == 1
        with lab.alice.connect(lab.peer[family], 80) as sock:
            sock.sendall(get("/ws", "www.blocked.test", *upgrade))
            assert read_reply(sock).blocked
        assert len(peer.seen) == 1


def test_absolute_form(gateway, lab, family):
    for target, host, allowed in (("http://www.allowed.test/abs", "www.allowed.test", True),
                                  ("http://www.blocked.test/abs", "www.allowed.test", False),
                                  ("http://WWW.BLOCKED.test:80/", "www.allowed.test", False)):
        with lab.alice.connect(lab.origin[family], 80) as sock:
            sock.sendall(get(target, host))
            reply = read_reply(sock)
            assert reply.allowed == allowed and reply.blocked != allowed, (target, reply)


def test_connect_is_not_a_way_out(gateway, lab, family):
    with Peer(lab.origin.namespace, lab.peer[family], 80, lambda sock: sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")) as peer:
        with lab.alice.connect(lab.peer[family], 80) as sock:
            sock.sendall(b"CONNECT www.allowed.test:443 HTTP/1.1\r\nHost: www.allowed.test:443\r\n\r\n")
            reply = read_reply(sock)
            assert reply.kind == "page" and reply.status >= 400, reply
        assert not peer.seen


# RFC 9112, 11.2 and FACTS: two readings of one message are an attack; 400 and the connection ends.
SMUGGLING = {
    "TE and CL": b"POST / HTTP/1.1\r\nHost: www.allowed.test\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
                 b"0\r\n\r\nGET /films/1 HTTP/1.1\r\nHost: files.test\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: www.allowed.test\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    "length list": b"POST / HTTP/1.1\r\nHost: www.allowed.test\r\nContent-Length: 4, 5\r\n\r\nabcde",
    "negative length": b"POST / HTTP/1.1\r\nHost: www.allowed.test\r\nContent-Length: -1\r\n\r\n",
    "signed length": b"POST / HTTP/1.1\r\nHost: www.allowed.test\r\nContent-Length: +1\r\n\r\na",
    "chunked not last": b"POST / HTTP/1.1\r\nHost: www.allowed.test\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunked twice": b"POST / HTTP/1.1\r\nHost: www.allowed.test\r\nTransfer-Encoding: chunked\r\n"
                     b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "unknown coding": b"POST / HTTP/1.1\r\nHost: www.allowed.test\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "space before colon": b"POST / HTTP/1.1\r\nHost: www.allowed.test\r\nContent-Length : 5\r\n\r\nabcde",
    "obs-fold": b"GET / HTTP/1.1\r\nHost: www.allowed.test\r\nX: a\r\n b\r\n\r\n",
    "bare CR": b"GET / HTTP/1.1\r\nHost: www.allowed.test\r\nX: a\rHost: www.blocked.test\r\n\r\n",
    "NUL": b"GET / HTTP/1.1\r\nHost: www.allowed.test\r\nX: a\x00b\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\nX: y\r\n\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\nHost: www.allowed.test\r\nHost: www.blocked.test\r\n\r\n",
    "bad Host": b"GET / HTTP/1.1\r\nHost: www.allowed.test/@www.blocked.test\r\n\r\n",
    "chunk size overflow": b"POST / HTTP/1.1\r\nHost: www.allowed.test\r\nTransfer-Encoding: chunked\r\n\r\n"
                           b"10000000000000000\r\na\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("attack", SMUGGLING)
def test_smuggling_is_closed(gateway, lab, family, attack):
    arrived = []

    def origin(sock):
        arrived.append(read_head(sock))
        sock.sendall(b"HTTP/1.1 200 OK\r\nX-Origin: peer\r\nContent-Length: 2\r\n\r\nok")
        time.sleep(0.3)

    with Peer(lab.origin.namespace, lab.peer[family], 80, origin):
        with lab.alice.connect(lab.peer[family], 80) as sock:
            sock.sendall(SMUGGLING[attack])
            try:
                reply = read_reply(sock)
                # A fault that shows only in the body may come after the head has gone on: then the connection ends.
                assert reply.status == 400 or reply.kind == "closed", reply
            except OSError:
                pass
            assert end_of(sock) in ("closed", "reset")
    assert not any(b"/films/" in head for head in arrived)


def test_an_oversize_head_costs_only_itself(gateway, lab, family):
    with lab.alice.connect(lab.origin[family], 80) as sock:
        try:
            sock.sendall(get("/", "www.allowed.test", "X: " + "y" * 300_000))
            assert read_reply(sock).status in (400, 414, 431)
        except OSError:
            pass
    with lab.alice.connect(lab.origin[family], 80) as sock:
        assert request(sock, "www.allowed.test").allowed


def test_a_head_in_single_bytes(gateway, lab, family):
    for host, allowed in (("www.allowed.test", True), ("www.blocked.test", False)):
        with lab.alice.connect(lab.origin[family], 80) as sock:
            for byte in get("/", host):
                sock.sendall(bytes([byte]))
            reply = read_reply(sock)
            assert reply.allowed == allowed and reply.blocked != allowed

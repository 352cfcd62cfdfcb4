"""The lab itself, without sluice: the gateway only forwards. What fails here is not sluice's fault."""
import ssl
import threading

from client import TlsClient, answer_to_hello, fetch, hello_for, in_records, send_in_pieces, with_filler_first
from lab import gateway_address
from origin import Peer, read_frame, websocket_echo, write_frame


def test_pages_over_http_and_https(lab, family):
    for client in (lab.alice, lab.bob, lab.guest):
        for scheme in ("http", "https"):
            reply = fetch(client, lab.origin[family], f"{scheme}://www.allowed.test/a?b=c")
            assert reply.allowed, reply
            assert reply.seen == {"client": client[family], "host": "www.allowed.test", "uri": "/a?b=c",
                                  "method": "GET"}
    assert any(line.startswith(f"{lab.alice[family]} https www.allowed.test 200") for line in lab.nginx.lines())


def test_curl_finds_the_names(lab, family):
    page = lab.alice.run("curl", "-sS", "-4" if family == "v4" else "-6", "http://www.allowed.test/").stdout
    assert f"client={lab.alice[family]} " in page


def test_a_hello_in_pieces_still_makes_a_handshake(lab, family):
    for cut in (lambda h: h, lambda h: in_records(h, 30)):
        tls = TlsClient("www.allowed.test")
        with lab.alice.connect(lab.origin[family], 443) as sock:
            send_in_pieces(sock, cut(tls.hello), 60)
            tls.finish(sock)
            assert tls.request(sock, "www.allowed.test").startswith(b"HTTP/1.1 200")


def test_a_late_name_is_still_a_legal_hello(lab, family):
    hello = with_filler_first(hello_for("www.allowed.test"), 1200)
    assert answer_to_hello(lab.alice, lab.origin[family], hello) == "server hello"


def test_hosts_are_apart(lab, family):
    assert fetch(lab.guest, lab.inner[family], "http://inner.test/").allowed
    refused = fetch(lab.alice, gateway_address("lan", family), "http://gateway.test/")
    assert refused.kind == "refused", refused


def test_websocket_peer(lab, family):
    with Peer(lab.origin.namespace, lab.peer[family], 80, websocket_echo):
        with lab.alice.connect(lab.peer[family], 80) as sock:
            sock.sendall(b"GET /ws HTTP/1.1\r\nHost: ws.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
            assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in sock.recv(4096)
            sock.sendall(write_frame(b"hello", mask=b"\1\2\3\4"))
            assert read_frame(sock) == b"hello"


def test_certificates_are_really_checked(lab, family):
    """Else an interception by accident would go unseen."""
    context = ssl.create_default_context()
    with lab.alice.connect(lab.origin[family], 443) as sock:
        try:
            context.wrap_socket(sock, server_hostname="www.allowed.test")
        except ssl.SSLCertVerificationError:
            return
    raise AssertionError("a certificate of the lab's CA passed the system's trust")


def test_threads_see_their_own_namespace(lab):
    replies = {}

    def ask(client, family):
        replies[client, family] = fetch(client, lab.origin[family], "http://www.allowed.test/").seen["client"]

    threads = [threading.Thread(target=ask, args=(c, f)) for c in (lab.alice, lab.guest) for f in ("v4", "v6")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(seen == client[family] for (client, family), seen in replies.items()) and len(replies) == 4

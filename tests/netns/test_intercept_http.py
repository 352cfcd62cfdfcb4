"""HTTP inside decrypted TLS is held to what holds on port 80, and neither leg believes what the other cannot stand for: ends
that are cut, protocols that were not offered, keys negotiated anew."""
import contextlib
import ctypes
import os
import socket
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from client import end_of, read_reply, request
from namespace import wait_until
from origin import Peer, authority, read_exactly, read_frame, read_head, websocket_echo, write_frame
from sluice import Sluice
from test_http import SMUGGLING, get
from test_intercept import curl, decision
from tls_origin import TlsServer

POLICY = """
zone = "UTC"
[group.default]
tls = "inspect"
not_enrolled = "inspect"
log = "url"
[[rule]]
name = "no games"
to = ["host:www.blocked.test"]
action = "block"
[[rule]]
name = "no films"
to = ["url:files.test/films/"]
action = "block"
[[rule]]
name = "no archives"
to = ["host:files.test"]
response_type = ["application/zip"]
action = "block"
[[rule]]
name = "nothing large"
to = ["host:files.test"]
larger_than = "1MB"
action = "block"
"""
NAME = "www.allowed.test"
VERSIONS = pytest.mark.parametrize("version", ["--http1.1", "--http2"])


@pytest.fixture(scope="module")
def inspecting(lab, built):
    with Sluice(lab, POLICY) as sluice:
        yield sluice


class LabLeaf:
    """The lab's own certificate, for s_server."""
    chain, key, staple = authority() / "origin.crt", authority() / "origin.key", None


@contextlib.contextmanager
def origin(lab, handler, family="v4", alpn=("http/1.1",), prepare=lambda context: None):
    """`handler` has the inside of every TLS connection; what it did not close in order is cut."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(LabLeaf.chain, LabLeaf.key)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    prepare(context)

    def serve(sock):
        handler(context.wrap_socket(sock, server_side=True))

    with Peer(lab.origin.namespace, lab.peer[family], 443, serve) as peer:
        yield peer


@contextlib.contextmanager
def inside(sluice, lab, name=NAME, family="v4", address=None):
    """A decrypted connection, as a client that trusts the gateway has it."""
    context = ssl.create_default_context(cafile=str(sluice.ca_pem))
    with lab.alice.connect(address or lab.peer[family], 443) as sock:
        with context.wrap_socket(sock, server_hostname=name) as tls:
            yield tls


def answer(body: bytes, *fields: str, status="200 OK") -> bytes:
    head = [f"HTTP/1.1 {status}", "X-Origin: peer", f"Content-Length: {len(body)}", *fields, "", ""]
    return "\r\n".join(head).encode() + body


def read_body(sock) -> tuple[bytes, bytes]:
    """Head and body of a request that tells its length."""
    head, _, body = read_head(sock).partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    return head, body + read_exactly(sock, length - len(body))


# --- as on port 80 -----------------------------------------------------------------------------------------------------


def test_keep_alive_is_judged_request_by_request(inspecting, lab, family):
    with inside(inspecting, lab, "files.test", address=lab.origin[family]) as tls:
        for number in range(3):
            reply = request(tls, "files.test", f"/{number}")
            assert reply.allowed and reply.seen["uri"] == f"/{number}"
        blocked = request(tls, "files.test", "/films/1")
        assert blocked.blocked and b"no films" in blocked.body
    lines = wait_until(lambda: len(found := inspecting.access(client=lab.alice[family], name="files.test")) >= 4 and found,
                       5, "a record a request")
    assert [line["action"] for line in lines[-4:]] == ["allow"] * 3 + ["block"]
    assert lines[-1]["url"] == "https://files.test/films/1" and {line["tls"] for line in lines} == {"inspected"}


@pytest.mark.parametrize("host", ["www.blocked.test", "WWW.BLOCKED.TEST.", "www.blocked.test:443"])
def test_another_host_inside_is_no_way_around(inspecting, lab, host):
    with inside(inspecting, lab, address=lab.origin["v4"]) as tls:
        reply = request(tls, host)
    assert reply.kind == "page" and reply.status in (403, 421) and "x-origin" not in reply.headers, reply


@pytest.mark.parametrize("attack", SMUGGLING)
def test_smuggling_is_closed(inspecting, lab, attack):
    arrived = []

    def serve(sock):
        arrived.append(read_head(sock))
        sock.sendall(answer(b"ok"))
        time.sleep(0.2)

    with origin(lab, serve), inside(inspecting, lab) as tls:
        tls.sendall(SMUGGLING[attack])
        with contextlib.suppress(OSError):
            reply = read_reply(tls)
            assert reply.status in (400, 421) or reply.kind == "closed", reply
        assert end_of(tls) in ("closed", "reset")
    assert not any(b"/films/" in head for head in arrived)


def test_uploads_wait_for_100_continue(inspecting, lab):
    """Passed on, both ways; nobody answers in the origin's place."""
    seen = []

    def serve(sock):
        head = read_head(sock)
        seen.append(head)
        if b"/refused" in head:
            return sock.sendall(answer(b"no", "Connection: close", status="417 Expectation Failed"))
        sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        sock.sendall(answer(read_exactly(sock, 4000)[-4:], "Connection: close"))

    upload = inspecting.directory / "small"
    upload.write_bytes(b"x" * 3996 + b"last")
    with origin(lab, serve):
        for path, status, body in (("/up", 200, "last"), ("/refused", 417, "no")):
            got = curl(inspecting, lab.alice, f"https://{NAME}{path}", "--http1.1", "-H", "Expect: 100-continue",
                       "--expect100-timeout", "60", "-T", str(upload), address=lab.peer["v4"], timeout=30)
            assert (got.status, got.body) == (status, body), got
    assert [head.endswith(b"\r\n\r\n") for head in seen] == [True, True]  # no byte of the body came unasked


@pytest.mark.parametrize("encoding", ["length", "chunked"])
def test_bodies_arrive_byte_for_byte(inspecting, lab, family, encoding):
    text = os.urandom(10 << 20).hex()
    sent = inspecting.directory / "sent"
    sent.write_text(text)

    def serve(sock):
        if encoding == "length":
            _, body = read_body(sock)
        else:
            file = sock.makefile("rb")
            while file.readline().strip():
                pass
            body = bytearray()
            while size := int(file.readline().partition(b";")[0], 16):
                body += file.read(size)
                file.readline()
        sock.sendall(answer(bytes(body), "Content-Type: application/octet-stream", "Connection: close"))

    options = ["-H", "Transfer-Encoding: chunked"] if encoding == "chunked" else []
    with origin(lab, serve, family):
        got = curl(inspecting, lab.alice, f"https://{NAME}/", "--http1.1", "-X", "POST", "-T", str(sent), *options,
                   family=family, address=lab.peer[family], timeout=90)
    assert got.status == 200 and got.code == 0, got
    assert (got.body == text) is True  # (of 20 MB, pytest would show the difference)


def test_http3_is_not_offered(inspecting, lab):
    def serve(sock):
        read_head(sock)
        sock.sendall(answer(b"ok", 'Alt-Svc: h3=":443"; ma=60, h2="other:443"', 'alt-svc: h3-29=":443"'))

    with origin(lab, serve), inside(inspecting, lab) as tls:
        assert request(tls, NAME).headers.get("alt-svc") == 'h2="other:443"'


# --- judged by the answer ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def h2(lab):
    """The origin that speaks HTTP/2 and more, at lab.peer["v6"]."""
    process = lab.origin.namespace.popen("node", str(Path(__file__).with_name("h2_origin.js")), lab.peer["v6"],
                                         str(LabLeaf.chain), str(LabLeaf.key), stdout=subprocess.PIPE)
    assert process.stdout.readline().strip() == b"ready"
    yield lab.peer["v6"]
    process.kill()
    process.wait()


def serve_large(sock):
    head = read_head(sock)
    if b"/zip" in head:
        return sock.sendall(answer(b"PK" * 100, "Content-Type: application/zip"))
    sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(20):
        sock.sendall(b"10000\r\n" + b"b" * 65536 + b"\r\n")
    sock.sendall(b"0\r\n\r\n")
    sock.unwrap()


def ask_large(inspecting, lab, h2, version, path):
    if version == "--http2":
        return curl(inspecting, lab.alice, f"https://files.test{path}", version, family="v6", address=h2)
    with origin(lab, serve_large):
        return curl(inspecting, lab.alice, f"https://files.test{path}", version, address=lab.peer["v4"])


@VERSIONS
def test_types_are_judged(inspecting, lab, h2, version):
    got = ask_large(inspecting, lab, h2, version, "/zip")
    assert got.status == 403 and "no archives" in got.body and "PK" not in got.body, got
    record = inspecting.wait_access(id=decision(got))
    assert (record["rule"], record["type"]) == ("no archives", "application/zip")


@VERSIONS
def test_what_has_no_declared_length_is_cut_at_the_limit(inspecting, lab, h2, version):
    got = ask_large(inspecting, lab, h2, version, "/big")
    assert got.code in (18, 56, 92), got  # cut, and no client can take it for the whole
    assert got.told["size_download"] <= 1_000_000, got.told
    assert inspecting.wait_access(url="https://files.test/big", action="block")["rule"] == "nothing large"


# --- ends ----------------------------------------------------------------------------------------------------------------


def test_an_h2_origin_that_goes_in_mid_body(inspecting, lab, h2):
    got = curl(inspecting, lab.alice, f"https://{NAME}/cut", "--http2", family="v6", address=h2)
    assert got.status == 200 and got.code in (16, 18, 52, 55, 56, 92), got
    assert "half" in got.body


@pytest.mark.parametrize("polite", [True, False], ids=["close_notify", "cut"])
def test_an_upload_that_is_broken_off_is_not_completed(inspecting, lab, polite):
    got, ended = [], []

    def serve(sock):
        try:
            while data := sock.recv(65536):
                got.append(data)
        finally:
            ended.append(True)

    with origin(lab, serve):
        with inside(inspecting, lab) as tls:
            tls.sendall(b"POST /up HTTP/1.1\r\nHost: www.allowed.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            wait_until(lambda: b"hello" in b"".join(got), 5, "the beginning arrives")
            if polite:
                with contextlib.suppress(OSError):
                    tls.unwrap()
            else:
                tls.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: ended, 5, "the origin hears of the end")
    assert b"\r\n0\r\n" not in b"".join(got)


def test_a_websocket_ends_when_the_policy_refuses_it(inspecting, lab):
    upgrade = get("/chat", NAME, "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    with origin(lab, websocket_echo), inside(inspecting, lab) as tls:
        tls.sendall(upgrade)
        assert read_head(tls).startswith(b"HTTP/1.1 101 ")
        tls.sendall(write_frame(b"one", b"abcd"))
        assert read_frame(tls) == b"one"
        try:
            inspecting.reload(POLICY + f'[[rule]]\nname = "no chat"\nto = ["url:{NAME}/chat"]\naction = "block"\n')
            assert end_of(tls, 2) in ("closed", "reset")
        finally:
            inspecting.reload(POLICY)
    with origin(lab, read_head), inside(inspecting, lab, "files.test") as tls:
        tls.sendall(upgrade.replace(b"/chat", b"/films/").replace(NAME.encode(), b"files.test"))
        assert read_reply(tls).blocked


# --- versions, protocols, keys -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("client", ["1.2", "1.3"])
def test_the_legs_need_not_speak_the_same_version(inspecting, lab, server, client):
    with TlsServer(lab.origin.namespace, lab.peer["v4"], LabLeaf, server):
        got = curl(inspecting, lab.alice, f"https://{NAME}/", "--tlsv" + client, "--tls-max", client, address=lab.peer["v4"])
    assert got.status == 200 and f"SSL connection using TLSv{client}" in got.stderr, got


def s_client(inspecting, lab, where: str, *options: str, script: str = "") -> subprocess.CompletedProcess:
    return lab.alice.run("openssl", "s_client", "-connect", f"{where}:443", "-servername", NAME, "-CAfile",
                         str(inspecting.ca_pem), *options, input=script, check=False)


def test_http2_is_chosen_only_if_both_sides_want_it(inspecting, lab):
    def serve(sock):
        read_head(sock)
        sock.sendall(answer(b"one"))

    with origin(lab, serve):
        got = curl(inspecting, lab.alice, f"https://{NAME}/", "--http2", address=lab.peer["v4"])
        assert got.status == 200 and got.version == "1.1", got
        alone = s_client(inspecting, lab, lab.peer["v4"], "-alpn", "h2")  # not what this origin speaks
        assert "ALPN protocol: h2" not in alone.stdout
    with origin(lab, serve, alpn=()):
        got = curl(inspecting, lab.alice, f"https://{NAME}/", "--http2", address=lab.peer["v4"])
        assert got.status == 200 and got.version == "1.1", got


def chooses(protocol: bytes):
    """An SSLContext that chooses `protocol` whatever was offered. Python has no such wish: it is told to OpenSSL itself."""
    libssl = ctypes.CDLL("libssl.so.3")
    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p),
                            ctypes.POINTER(ctypes.c_ubyte), ctypes.c_void_p, ctypes.c_uint, ctypes.c_void_p)
    text = ctypes.create_string_buffer(protocol)

    chosen = []

    def choose(_ssl, out, length, *_):
        chosen.append(protocol)
        out[0], length[0] = ctypes.addressof(text), len(protocol)
        return 0

    callback = kind(choose)

    def prepare(context):
        pointer = ctypes.c_void_p.from_address(id(context) + object.__basicsize__)  # PySSLContext's first member
        libssl.SSL_CTX_set_alpn_select_cb(pointer, callback, None)

    return prepare, chosen, callback


@pytest.mark.parametrize("offered,chosen", [("--http1.1", b"h2"), ("--http2", b"spdy/3")])
def test_an_origin_that_chooses_what_nobody_offered(inspecting, lab, offered, chosen):
    """RFC 7301 3.2. The client is told, or its connection ends; nothing hangs, and the next one works."""
    prepare, did, _kept = chooses(chosen)
    seen = []

    def serve(sock):
        seen.append(sock.recv(65536))
        sock.sendall(answer(b"what is this"))

    with origin(lab, serve, alpn=(), prepare=prepare):
        got = curl(inspecting, lab.alice, f"https://{NAME}/", offered, address=lab.peer["v4"], timeout=15)
        assert did == [chosen] and got.code != 28, got
    assert got.code in (35, 56, 52) or got.status == 502, got
    assert "what is this" not in got.body
    assert not any(head.startswith(b"GET") for head in seen)
    assert curl(inspecting, lab.alice, f"https://{NAME}/").status == 200


def test_keys_are_not_negotiated_anew(inspecting, lab):
    """TLS 1.2's renegotiation at a client's wish."""
    shown = s_client(inspecting, lab, lab.origin["v4"], "-tls1_2", script="R\n")
    assert "RENEGOTIATING" in shown.stderr and "no renegotiation" in shown.stderr, shown


@pytest.mark.parametrize("version", ["tls1_2", "tls1_3"])
def test_sessions_are_resumed_without_early_data(inspecting, lab, version):
    session = str(inspecting.directory / f"session-{version}")
    script = f"GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n"
    first = s_client(inspecting, lab, lab.origin["v4"], "-" + version, "-sess_out", session, "-ign_eof", script=script)
    again = s_client(inspecting, lab, lab.origin["v4"], "-" + version, "-sess_in", session, "-ign_eof", script=script)
    assert "New, TLSv1" in first.stdout and "Reused, TLSv1" in again.stdout and "client=10.20.0.2" in again.stdout
    assert "Max Early Data: 0" in first.stdout or version == "tls1_2"

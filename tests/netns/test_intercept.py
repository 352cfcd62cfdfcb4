"""TLS that is decrypted: what curl sees over HTTP/1 and HTTP/2, what is judged inside, what is left alone."""
import json
import re
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from certificates import Leaf
from origin import Peer, authority, read_frame, read_head, server_context, websocket_echo, write_frame
from tls_origin import TlsServer

POLICY = """
zone = "UTC"
[group.default]
tls = "inspect"
not_enrolled = "inspect"
log = "url"
tls_skip = ["host:ws.test"]
[[rule]]
name = "this path is homework"
to = ["url:arcade.test/maths/"]
action = "allow"
[[rule]]
name = "no games"
to = ["host:arcade.test"]
action = "block"
[[rule]]
name = "no films"
to = ["url:files.test/films/"]
action = "block"
[[rule]]
name = "no writing"
to = ["host:files.test"]
method = ["DELETE"]
action = "block"
[[rule]]
name = "nothing large"
to = ["host:files.test"]
larger_than = "1MB"
action = "block"
"""


class Got:
    """What curl got. `issuer` is the certificate's."""

    def __init__(self, done):
        self.code = done.returncode
        self.stderr = done.stderr
        head, _, self.body = done.stdout.rpartition("\x02")
        self.told = json.loads(head.rpartition("\x01")[2] or "{}") if "\x01" in head else {}
        self.status = int(self.told.get("http_code", 0))
        self.version = self.told.get("http_version", "")
        found = re.search(r"issuer: (.*)", self.stderr)
        self.issuer = found[1] if found else ""

    def __repr__(self):
        return f"exit {self.code}, status {self.status}, {self.version}, {self.issuer}\n{self.body[:500]}\n{self.stderr[-800:]}"


def curl(sluice, host, url: str, *arguments: str, ca=None, timeout: int = 15, family: str = "v4", address=None) -> Got:
    """`address` where the name does not resolve, or somewhere else (the lab's names are nginx's)."""
    body = sluice.directory / "body"
    name = url.split("/")[2]
    where = address or sluice.lab.origin[family]
    arguments += ("--resolve", f"{name}:443:{'[%s]' % where if ':' in where else where}")
    done = host.run("curl", "-sv", "-" + family[1], "--max-time", str(timeout), "--cacert", str(ca or sluice.ca_pem),
                    "-o", str(body), "-w", "\x01%{json}\x02", *arguments, url, check=False, timeout=timeout + 5)
    got = Got(done)
    got.body = body.read_bytes().decode("utf-8", "replace") if body.exists() else ""
    body.unlink(missing_ok=True)
    return got


def decision(got: Got) -> str:
    """The number that the block page tells."""
    return re.search(r"<code>(\w{13})</code>", got.body)[1]


@pytest.fixture(scope="module")
def inspecting(lab, built):
    from sluice import Sluice
    with Sluice(lab, POLICY) as sluice:
        yield sluice


VERSIONS = pytest.mark.parametrize("version", ["--http1.1", "--http2"])


@VERSIONS
def test_a_page_comes_through(inspecting, lab, family, version):
    got = curl(inspecting, lab.alice, "https://www.allowed.test/page?x=1", version, family=family)
    assert got.code == 0 and got.status == 200, got
    assert "uri=/page?x=1" in got.body
    assert "sluice local CA" in got.issuer
    assert got.version == ("2" if version == "--http2" else "1.1")
    record = inspecting.wait_access(url="https://www.allowed.test/page?x=1")
    assert (record["tls"], record["action"], record["status"], record["method"]) == ("inspected", "allow", 200, "GET")


@VERSIONS
def test_urls_are_judged_inside(inspecting, lab, version):
    allowed = curl(inspecting, lab.alice, "https://arcade.test/maths/sums", version)
    assert allowed.status == 200 and "uri=/maths/sums" in allowed.body, allowed
    blocked = curl(inspecting, lab.alice, "https://arcade.test/shooter", version)
    assert blocked.status == 403 and "no games" in blocked.body, blocked
    film = curl(inspecting, lab.alice, "https://files.test/films/1", version)
    assert film.status == 403 and "no films" in film.body, film
    record = inspecting.wait_access(id=decision(film))
    assert (record["rule"], record["tls"], record["url"]) == ("no films", "inspected", "https://files.test/films/1")
    delete = curl(inspecting, lab.alice, "https://files.test/x", version, "-X", "DELETE")
    assert delete.status == 403 and "no writing" in delete.body, delete


@VERSIONS
def test_bodies_are_streamed_both_ways(inspecting, lab, family, version):
    if version == "--http1.1":  # over HTTP/2 nginx answers early and leaves the rest where it is; see test_h2_uploads
        upload = inspecting.directory / "upload"
        upload.write_bytes(b"u" * (20 << 20))
        sent = curl(inspecting, lab.alice, "https://www.allowed.test/up", version, "-T", str(upload), family=family)
        assert sent.status == 200 and "method=PUT" in sent.body, sent
        assert sent.told["size_upload"] == 20 << 20
    part = curl(inspecting, lab.alice, "https://www.allowed.test/big", version, "-r", "0-20971519", family=family)
    assert part.status == 206 and part.told["size_download"] == 20 << 20, part.told
    head = curl(inspecting, lab.alice, "https://www.allowed.test/big", version, "-I", family=family)
    assert head.status == 200 and f"ontent-{'L' if version == '--http1.1' else 'l'}ength: {1 << 30}" in head.body, head


@VERSIONS
def test_types_and_sizes_are_judged(inspecting, lab, version):
    declared = curl(inspecting, lab.alice, "https://files.test/big", version)
    assert declared.status == 403 and "nothing large" in declared.body, declared


def test_names_that_are_skipped_keep_their_own_certificate(inspecting, lab):
    got = curl(inspecting, lab.alice, "https://ws.test/", ca=authority() / "ca.crt")
    assert got.status == 200 and "sluice lab CA" in got.issuer, got
    assert inspecting.wait_access(name="ws.test", spared="skip")["tls"] == "spliced"


def test_without_alpn_it_is_http1(inspecting, lab):
    got = curl(inspecting, lab.alice, "https://www.allowed.test/plain", "--no-alpn")
    assert got.status == 200 and got.version == "1.1" and "sluice local CA" in got.issuer, got


# --- peers of our own, on the lab's free address


def node(host, script: str, *arguments: str) -> dict:
    done = host.run("node", str(Path(__file__).with_name(script)), *arguments, check=False, timeout=60)
    assert done.stdout.strip(), done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def h2_origin(lab):
    process = lab.origin.namespace.popen("node", str(Path(__file__).with_name("h2_origin.js")), lab.peer["v4"],
                                         str(authority() / "origin.crt"), str(authority() / "origin.key"),
                                         stdout=subprocess.PIPE)
    assert process.stdout.readline().strip() == b"ready"
    yield lambda scenario, name="allowed.test": node(lab.alice, "h2_client.js", lab.peer["v4"], name, str(CA[0]), scenario)
    process.kill()
    process.wait()


CA = [None]


@pytest.fixture(autouse=True)
def _remember_ca(inspecting):
    CA[0] = inspecting.ca_pem


def test_h2_trailers_and_interim_answers(h2_origin):
    got = h2_origin("trailers")["got"]
    assert (got["status"], got["body"], got["trailers"]) == (200, "body before trailers", {"x-sum": "42"})
    early = h2_origin("early")["got"]
    assert early["status"] == 200 and early["interim"][0][":status"] == 103, early


def test_h2_uploads_with_trailers_and_alt_svc(h2_origin):
    got = h2_origin("upload")["got"]
    told = json.loads(got["body"])
    assert told["size"] == 20 << 20 and told["trailers"]["x-up"] == "there"
    assert got["headers"]["alt-svc"] == 'h2="other:443"'  # HTTP/3 could not be decrypted


def test_h2_pushes_are_off_and_resets_passed_on(h2_origin):
    push = h2_origin("push")["got"]
    assert push["headers"]["x-push"] == "false" and "pushed" not in push
    reset = h2_origin("reset")["got"]
    assert reset["rst"] == 2 and "half" in reset["body"], reset


def test_h2_flow_control_and_many_streams(h2_origin):
    assert h2_origin("big")["got"]["size"] == 20 << 20
    assert h2_origin("many")["statuses"] == [200] * 300


def test_h2_websocket(h2_origin):
    told = h2_origin("websocket")
    assert (told["status"], told["got"]) == (200, "hello over two")


def test_h2_streams_are_judged_one_by_one(h2_origin, inspecting):
    first, fine, second = h2_origin("blocked", "files.test")["all"]
    assert (first["status"], fine["status"], second["status"]) == (403, 200, 403)
    assert "no films" in first["body"] and "no films" in second["body"]


def test_h2_requests_for_other_hosts_are_misdirected(h2_origin):
    assert h2_origin("other")["got"]["status"] == 421
    assert h2_origin("connect")["got"]["status"] == 403


def test_h2_rapid_reset_ends_the_connection_and_nothing_else(h2_origin, inspecting):
    told = h2_origin("rapid")
    assert told.get("goaway") == 11 or told.get("error"), told
    assert h2_origin("trailers")["got"]["status"] == 200


def test_websocket_over_http1(inspecting, lab):
    context = ssl.create_default_context(cafile=str(inspecting.ca_pem))

    def serve(sock):
        with server_context().wrap_socket(sock, server_side=True) as inside:
            websocket_echo(inside)

    with Peer(lab.origin.namespace, lab.peer["v6"], 443, serve):
        with lab.alice.connect(lab.peer["v6"], 443) as sock, context.wrap_socket(sock, server_hostname="allowed.test") as tls:
            tls.sendall(b"GET /chat HTTP/1.1\r\nHost: allowed.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
            assert read_head(tls).startswith(b"HTTP/1.1 101 ")
            for text in (b"one", b"x" * 5000):
                tls.sendall(write_frame(text, b"abcd"))
                assert read_frame(tls) == text


@pytest.mark.parametrize("framing", ["length", "until close", "chunked"])
@pytest.mark.parametrize("polite", [True, False], ids=["close_notify", "cut"])
def test_truncation_stays_truncation(inspecting, lab, framing, polite):
    """An origin's stream that just stops is not passed on as an end."""
    head = {"length": "Content-Length: 1000\r\n", "until close": "", "chunked": "Transfer-Encoding: chunked\r\n"}[framing]
    body = b"3e8\r\n" + b"h" * 500 if framing == "chunked" else b"h" * 500

    def serve(sock):
        inside = server_context().wrap_socket(sock, server_side=True)
        read_head(inside)
        inside.sendall(b"HTTP/1.1 200 OK\r\n" + head.encode() + b"Connection: close\r\n\r\n" + body)
        if polite:
            inside.unwrap()
        else:
            sock = socket.socket(fileno=inside.detach())
            sock.close()

    with Peer(lab.origin.namespace, lab.peer["v6"], 443, serve):
        got = curl(inspecting, lab.alice, "https://allowed.test/", "--http1.1", family="v6", address=lab.peer["v6"])
    whole = polite and framing == "until close"
    assert (got.code == 0) == whole, got


def test_garbage_after_the_handshake_costs_only_its_flow(inspecting, lab):
    def serve(sock):
        inside = server_context().wrap_socket(sock, server_side=True)
        read_head(inside)
        raw = socket.socket(fileno=inside.detach())
        raw.sendall(b"\x17\x03\x03\x01\x00" + b"g" * 256 + b"HTTP/1.1 200 OK\r\n\r\n")
        raw.close()

    with Peer(lab.origin.namespace, lab.peer["v6"], 443, serve):
        got = curl(inspecting, lab.alice, "https://allowed.test/", "--http1.1", family="v6", address=lab.peer["v6"])
    assert got.code != 0 and got.status == 0, got
    assert curl(inspecting, lab.alice, "https://www.allowed.test/").status == 200


@pytest.mark.parametrize("demand", ["-verify", "-Verify"], ids=["optional", "required"])
def test_origins_that_ask_for_client_certificates_are_left_alone(inspecting, lab, demand):
    leaf = Leaf.__new__(Leaf)
    leaf.chain, leaf.key, leaf.staple = authority() / "origin.crt", authority() / "origin.key", None
    name = "files.test" if demand == "-verify" else "inner.test"
    mine = ["--cert", str(leaf.chain), "--key", str(leaf.key)]
    with TlsServer(lab.origin.namespace, lab.peer["v6"], leaf, demand, "1", "-CAfile", str(authority() / "ca.crt")):
        got = curl(inspecting, lab.alice, f"https://{name}/", *mine, ca=authority() / "ca.crt", family="v6",
                   address=lab.peer["v6"])
        assert got.status == 200 and "sluice lab CA" in got.issuer, got
    assert inspecting.wait_access(name=name, spared="client_certificate")["tls"] == "spliced"


def test_sessions_are_resumed_on_both_legs(inspecting, lab):
    session = str(inspecting.directory / "session")
    common = ["openssl", "s_client", "-connect", f"{lab.origin['v4']}:443", "-servername", "www.allowed.test", "-CAfile",
              str(inspecting.ca_pem), "-verify_return_error"]
    request = "GET / HTTP/1.1\r\nHost: www.allowed.test\r\nConnection: close\r\n\r\n"
    first = lab.alice.run(*common, "-sess_out", session, "-ign_eof", input=request)
    again = lab.alice.run(*common, "-sess_in", session, "-ign_eof", input=request)
    assert "New, TLSv1.3" in first.stdout and "Reused, TLSv1.3" in again.stdout
    assert "client=10.20.0.2" in again.stdout
    elsewhere = lab.alice.run(*[a.replace("www.allowed", "allowed") for a in common], "-sess_in", session, "-ign_eof",
                              input=request.replace("www.allowed", "allowed"))
    assert "New, TLSv1.3" in elsewhere.stdout  # a ticket does not cross names


@pytest.mark.parametrize("options", [["-tls1_1"], ["-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"],
                                     ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0"]],
                         ids=["TLS 1.1", "static RSA", "CBC"])
def test_clients_get_nothing_weak(inspecting, lab, options):
    done = lab.alice.run("openssl", "s_client", "-connect", f"{lab.origin['v4']}:443", "-servername", "www.allowed.test",
                         *options, input="", check=False)
    assert "Cipher is (NONE)" in done.stdout and "alert" in done.stderr


def test_the_leaf_is_what_clients_expect(inspecting, lab):
    shown = lab.alice.run("openssl", "s_client", "-connect", f"{lab.origin['v4']}:443", "-servername", "www.allowed.test",
                          input="").stdout
    leaf = x509.load_pem_x509_certificate(shown[shown.index("-----BEGIN"):].encode())
    ca = x509.load_pem_x509_certificate(inspecting.ca_pem.read_bytes())
    ca.public_key().verify(leaf.signature, leaf.tbs_certificate_bytes, ec.ECDSA(leaf.signature_hash_algorithm))
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["www.allowed.test"]
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert (leaf.not_valid_after - leaf.not_valid_before).days <= 197
    assert leaf.serial_number.bit_length() > 64
    assert leaf.public_key().public_numbers() != ca.public_key().public_numbers()


def test_the_gateways_own_hello_is_sound(inspecting, lab):
    hellos = []

    def serve(sock):
        hellos.append(sock.recv(65536))

    with Peer(lab.origin.namespace, lab.peer["v6"], 443, serve):
        curl(inspecting, lab.alice, "https://allowed.test/", "--http2", family="v6", address=lab.peer["v6"])
    hello = hellos[0]
    length = 44 + hello[43]  # past the session id
    count = int.from_bytes(hello[length:length + 2], "big")
    suites = {int.from_bytes(hello[i:i + 2], "big") for i in range(length + 2, length + 2 + count, 2)}
    assert suites <= {0x1301, 0x1302, 0x1303, 0xc02b, 0xc02c, 0xc02f, 0xc030, 0xcca8, 0xcca9, 0x00ff}, [hex(s) for s in suites]
    assert hello[length + 2 + count:length + 4 + count] == b"\x01\x00"  # no compression
    assert b"\x00\x2b\x00\x05\x04\x03\x04\x03\x03" in hello            # TLS 1.3 and 1.2, nothing else
    assert b"\x02h2\x08http/1.1" in hello and b"allowed.test" in hello


def test_the_shipped_lists_are_not_decrypted(inspecting, lab):
    """A name below one of the shipped no_decrypt categories; the origin's certificate is for other names, which is its affair."""
    for name in ("www.paypal.com", "push.apple.com", "www.nhs.uk"):
        got = curl(inspecting, lab.alice, f"https://{name}/", "-k", address=lab.origin["v4"])
        assert got.status == 200 and "sluice lab CA" in got.issuer, got
        assert inspecting.wait_access(name=name, spared="skip")["tls"] == "spliced"

"""A real browser that trusts the local CA: a page over HTTP/2, a block page, a WebSocket, the check of the gateway's page."""
import re
import subprocess
import time

import pytest

from namespace import wait_until
from origin import Peer, read_head, server_context, websocket_echo
from sluice import Sluice
from test_devices import mac_of

POLICY = """
zone = "UTC"
[group.default]
tls = "inspect"
not_enrolled = "inspect"
log = "url"
[[rule]]
name = "no games"
to = ["host:arcade.test"]
action = "block"
"""
PAGE = b"""<!doctype html><title>chat</title><p id=out>nothing<img src=/slow><script>
var s = new WebSocket('wss://' + location.host + '/chat'), out = document.getElementById('out');
s.onopen = function () { s.send('hello from a browser'); };
s.onmessage = function (m) { out.textContent = 'echo: ' + m.data; document.images[0].removeAttribute('src'); };
s.onerror = function () { out.textContent = 'failed'; };
</script>"""


@pytest.fixture(scope="module")
def inspecting(lab, built):
    with Sluice(lab, POLICY) as sluice:
        yield sluice


@pytest.fixture(scope="module")
def browser(inspecting, lab):
    """browser(url) is the page's DOM as Chromium has it after a while."""
    home = inspecting.directory / "home"
    database = home / ".pki" / "nssdb"
    database.mkdir(parents=True)
    for arguments in (["-N", "--empty-password"],
                      ["-A", "-t", "C,,", "-n", "gateway", "-i", str(inspecting.ca_pem)]):
        subprocess.run(["certutil", "-d", f"sql:{database}", *arguments], check=True, capture_output=True)

    def show(url: str, host=None) -> str:
        done = (host or lab.alice).run(
            "env", f"HOME={home}", "chromium-headless-shell", "--no-sandbox", "--disable-gpu", "--disable-quic",
            f"--user-data-dir={home}/profile", "--virtual-time-budget=4000", "--timeout=30000", "--dump-dom", url,
            check=False, timeout=100)
        return done.stdout
    return show


def test_a_page_loads_over_http2(browser, inspecting, lab):
    assert "uri=/from-a-browser" in browser("https://www.allowed.test/from-a-browser")
    record = inspecting.wait_access(url="https://www.allowed.test/from-a-browser")
    assert (record["tls"], record["action"]) == ("inspected", "allow")


def test_a_block_page_is_a_page(browser, inspecting):
    page = browser("https://arcade.test/shooter")
    assert "no games" in page and re.search(r"<code>\w{13}</code>", page), page


def test_a_websocket_echoes(browser, inspecting, lab):
    def serve(sock):
        inside = server_context().wrap_socket(sock, server_side=True)
        head = read_head(inside)
        if b"GET /slow" in head:  # the page is not ready before this is answered, or not wanted any more
            time.sleep(20)
        if b"pgrade: websocket" not in head:
            return inside.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\nConnection: close\r\n"
                                  b"\r\n" % len(PAGE) + PAGE)
        websocket_echo(_Again(inside, head))

    class _Again:  # a socket whose head was read already
        def __init__(self, sock, head):
            self._sock, self._head = sock, head

        def recv(self, count):
            data, self._head = self._head[:count], self._head[count:]
            return data or self._sock.recv(count)

        def __getattr__(self, name):
            return getattr(self._sock, name)

    with Peer(lab.origin.namespace, lab.peer["v4"], 443, serve):
        done = lab.alice.run("env", f"HOME={inspecting.directory}/home", "chromium-headless-shell", "--no-sandbox",
                             "--disable-gpu", f"--user-data-dir={inspecting.directory}/home/chat",
                             f"--host-resolver-rules=MAP ws.test {lab.peer['v4']}", "--timeout=30000",
                             "--dump-dom", "https://ws.test/", check=False, timeout=100)
    assert "echo: hello from a browser" in done.stdout, done.stdout + done.stderr[-2000:]


def test_the_gateways_page_finds_out_that_it_is_trusted(browser, lab, inspecting):
    before = inspecting.ctl_json("status")["interception"]["enrolled"]
    page = browser("http://10.30.0.1/", lab.guest)
    assert "This device trusts the certificate. There is nothing left to do." in page, page
    wait_until(lambda: mac_of(lab.guest) in inspecting.ctl_json("status")["interception"]["enrolled"], 5, before)

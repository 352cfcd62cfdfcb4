"""Lists that are fetched: what may go live does, and nothing that a publisher serves can hurt."""
import contextlib
import gzip
import io
import json
import os
import shutil
import signal
import ssl
import subprocess
import tarfile
from pathlib import Path

import pytest

from client import fetch
from namespace import wait_until
from origin import Peer, authority, read_head, server_context

PORT = 8000
POLICY = """
zone = "UTC"
[list.far]
format = "domains"
match = "subdomains"
url = "{url}"
every = "24h"
max_shrink = "30%"
max_grow = "400%"
never = ["www.allowed.test"]
[[rule]]
name = "nothing of the list"
to = ["list:far"]
action = "block"
"""
FILLER = [f"filler{i}.example" for i in range(10)]


def lines(*names: str) -> bytes:
    return "".join(f"{name}\n" for name in (*names, *FILLER)).encode()


class Publisher:
    """An HTTP server that answers what it is told to, and knows ETags."""

    def __init__(self, lab, family="v4", tls: ssl.SSLContext | None = None):
        self.body, self.status, self.headers = lines("blocked.test"), 200, {}
        self.requests: list[str] = []
        self.etag = True
        self.tls = tls
        host = lab.origin[family]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{PORT}/list"
        self.peer = Peer(lab.origin.namespace, host, PORT, self.handle)

    def handle(self, sock):
        if self.tls:
            sock = self.tls.wrap_socket(sock, server_side=True)
        head = read_head(sock).decode("latin-1")
        self.requests.append(head)
        tag = f'"{hash(self.body)}"'
        headers = dict(self.headers)
        status, body = self.status, self.body
        if self.etag and status == 200:
            headers["ETag"] = tag
            if f"If-None-Match: {tag}" in head:
                status, body = 304, b""
        headers.setdefault("Content-Length", str(len(body)))
        fields = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
        sock.sendall(f"HTTP/1.1 {status} X\r\n{fields}Connection: close\r\n\r\n".encode() + body)
        with contextlib.suppress(OSError):
            sock.shutdown(2)

    def serve(self, body: bytes, status=200, **headers):
        self.body, self.status = body, status
        self.headers = {key.replace("_", "-"): value for key, value in headers.items()}


@pytest.fixture
def publisher(lab):
    publisher = Publisher(lab)
    yield publisher
    publisher.peer.close()


def stats(sluice) -> dict:
    return sluice.ctl_json("list", "stats")["lists"][0]


def update(sluice, *arguments: str, code: int) -> dict:
    return sluice.ctl_json("list", "update", *arguments, code=code)["lists"][0]


def is_blocked(lab, name: str) -> bool:
    return fetch(lab.alice, lab.origin["v4"], f"http://{name}/").blocked


def wait_blocked(lab, name: str, blocked=True):
    wait_until(lambda: is_blocked(lab, name) == blocked, 10, f"{name} is {'blocked' if blocked else 'allowed'}")


@pytest.fixture
def live(lab, fresh, publisher):
    """A daemon whose list has come and blocks www.blocked.test."""
    sluice = fresh(POLICY.format(url=publisher.url))
    wait_blocked(lab, "www.blocked.test")
    return sluice


def test_a_list_goes_live_when_it_is_there(lab, fresh, publisher):
    publisher.serve(b"", 503)
    sluice = fresh(POLICY.format(url=publisher.url))
    assert not is_blocked(lab, "www.blocked.test"), "the daemon must start without the list"
    assert "not fetched yet" in sluice.log_text
    wait_until(lambda: stats(sluice)["result"] == "failed", 10, "the first try is over")
    assert "status 503" in stats(sluice)["last_trouble_reason"]
    assert "list 'far': failed" in sluice.ctl("status").stdout
    publisher.serve(lines("blocked.test"))
    assert update(sluice, code=0)["result"] == "taken"
    wait_blocked(lab, "www.blocked.test")
    assert stats(sluice)["entries"] == 1 + len(FILLER)
    assert "list 'far': failed" not in sluice.ctl("status").stdout
    said = sluice.ctl("explain", "--client", lab.alice["v4"], "http://www.blocked.test/").stdout
    assert "lists/far/current:1" in said


def test_the_same_list_is_not_sent_again(lab, live, publisher):
    asked = len(publisher.requests)
    assert update(live, "far", code=0)["result"] == "unchanged"
    assert "If-None-Match" in publisher.requests[-1] and len(publisher.requests) == asked + 1
    publisher.etag = False  # the whole file, and the same
    assert update(live, "far", code=0)["result"] == "unchanged"
    assert is_blocked(lab, "www.blocked.test")


def test_a_grown_list_goes_live_and_can_be_rolled_back(lab, live, publisher):
    publisher.serve(lines("blocked.test", "arcade.test"))
    assert update(live, code=0)["result"] == "taken"
    wait_blocked(lab, "arcade.test")
    assert live.ctl("list", "rollback", "far").returncode == 0
    wait_blocked(lab, "arcade.test", False)
    assert is_blocked(lab, "www.blocked.test")
    assert "rolled back" in update(live, code=1)["reason"]
    assert live.ctl("list", "rollback", "far").returncode == 1, "there is no version before"
    publisher.serve(lines("blocked.test", "files.test"))
    assert update(live, code=0)["result"] == "taken"
    wait_blocked(lab, "files.test")


def archive(members: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return out.getvalue()


REFUSED = {
    "empty": (dict(body=b""), "empty"),
    "comments only": (dict(body=b"# nothing\n"), "no entry"),
    "truncated gzip": (dict(body=gzip.compress(lines("blocked.test", *[f"x{i}.example" for i in range(500)]))[:-20]),
                       "unpacked"),
    "a page": (dict(body=b"<!DOCTYPE html><html><body>Down for maintenance</body></html>"), "web page"),
    "a page by its type": (dict(body=lines("blocked.test", "files.test"), Content_Type="text/html; charset=x"),
                           "web page"),
    "garbage": (dict(body=b"blocked.test\n" + b"!! not a name\n" * 50), "half of its lines"),
    "shrunk": (dict(body=b"blocked.test\n"), "max_shrink"),
    "grown too much": (dict(body=lines("blocked.test", *[f"x{i}.example" for i in range(100)])), "max_grow"),
    "a canary": (dict(body=lines("blocked.test", "allowed.test")), "never"),
    "a file outside": (dict(body=archive({"../escaped.txt": lines("files.test")})), "outside"),
    "a link outside": (dict(body=archive({"a.txt": lines("files.test")}, {"b": "../../../../etc/passwd"})), "leads out"),
    "not there": (dict(body=b"no", status=404), "status 404"),
    "shorter than it says": (dict(body=lines("blocked.test", "files.test"), Content_Length="100000"), ""),
    "a redirect without end": (dict(body=b"", status=302, Location=f"http://10.99.0.2:{PORT}/list"), "redirect"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_leaves_the_old_list(lab, live, publisher, what):
    served, reason = REFUSED[what]
    before = live.ctl_json("status")["list_entries"]
    publisher.serve(**served)
    outcome = update(live, code=1)
    assert outcome["result"] in ("refused", "failed")
    assert reason in outcome["reason"], outcome
    assert is_blocked(lab, "www.blocked.test") and not is_blocked(lab, "files.test")
    assert not is_blocked(lab, "www.allowed.test")
    assert live.ctl_json("status")["list_entries"] == before
    assert outcome["reason"] in live.log_text and outcome["reason"] in live.ctl("status").stdout
    assert stats(live)["last_trouble_reason"] == outcome["reason"]
    history = [json.loads(line) for line in (live.directory / "state/lists/updates.jsonl").read_text().splitlines()]
    assert history[-1]["reason"] == outcome["reason"] and history[-1]["list"] == "far"
    assert not list(Path(live.directory / "state/lists").glob("**/escaped.txt"))
    publisher.serve(lines("blocked.test", "files.test"))
    assert update(live, code=0)["result"] == "taken"


def test_force_takes_what_the_limits_refuse_and_no_damage(lab, live, publisher):
    publisher.serve(b"files.test\n")
    assert "max_shrink" in update(live, code=1)["reason"]
    assert update(live, "--force", code=0)["result"] == "taken"
    wait_blocked(lab, "files.test")
    publisher.serve(b"# nothing\n")
    assert update(live, "--force", code=1)["result"] == "refused"
    publisher.serve(lines("allowed.test"))
    assert "never" in update(live, "--force", code=1)["reason"]
    assert is_blocked(lab, "files.test")


def test_categories_in_an_archive(lab, fresh, publisher):
    """A squidguard archive with a top folder and a linked category, as UT1 is published."""
    publisher.serve(archive({"blacklists/games/domains": lines("arcade.test"), "blacklists/bad/domains": lines("blocked.test")},
                            {"blacklists/naughty": "bad"}))
    sluice = fresh(f"""
zone = "UTC"
[list.ut]
format = "squidguard"
url = "{publisher.url}"
never = ["files.test"]
[[rule]]
name = "categories"
to = ["category:naughty", "category:games"]
action = "block"
""")
    wait_blocked(lab, "arcade.test")
    assert is_blocked(lab, "blocked.test")
    publisher.serve(archive({"blacklists/games/domains": lines("arcade.test", "files.test"),
                             "blacklists/bad/domains": lines("blocked.test")}, {"blacklists/naughty": "bad"}))
    assert "category:games" in update(sluice, code=1)["reason"]
    publisher.serve(archive({"blacklists/games/domains": lines("arcade.test"), "blacklists/bad/domains": lines("blocked.test"),
                             "blacklists/other/domains": lines("files.test")}, {"blacklists/naughty": "bad"}))
    assert update(sluice, code=0)["result"] == "taken", "no rule refuses that category"


def test_over_tls_with_a_certificate_that_is_verified(lab, fresh):
    publisher = Publisher(lab, tls=server_context())
    hosts = Path("/etc/netns") / lab.gateway.name
    hosts.mkdir(parents=True)
    (hosts / "hosts").write_text(f"127.0.0.1 localhost\n{lab.origin['v4']} files.test\n")
    try:
        sluice = fresh(POLICY.format(url=f"https://files.test:{PORT}/list"), start=False)
        sluice.start()
        wait_until(lambda: stats(sluice)["result"] == "failed", 10, "nobody vouches for the certificate")
        assert "certificate" in stats(sluice)["last_trouble_reason"].lower()
        sluice.stop()
        os.environ["SSL_CERT_FILE"] = str(authority() / "ca.crt")
        try:
            sluice.start()
        finally:
            del os.environ["SSL_CERT_FILE"]
        wait_until(lambda: update(sluice, code=0)["result"] in ("taken", "unchanged"), 10, "fetched")
        wait_blocked(lab, "www.blocked.test")
        publisher.serve(b"", 302, Location=f"http://{lab.origin['v4']}:{PORT}/list")
        assert "protocol" in update(sluice, code=1)["reason"].lower(), "TLS is never given up on the way"
    finally:
        publisher.peer.close()
        shutil.rmtree(hosts)


def test_a_restart_does_not_ask_again(lab, live, publisher):
    asked = len(publisher.requests)
    live.stop()
    publisher.serve(b"", 500)
    live.start()
    assert is_blocked(lab, "www.blocked.test"), "the list is there from the first moment"
    assert stats(live)["last_check"]
    assert len(publisher.requests) == asked


def test_a_helper_that_dies_comes_back(lab, live, publisher):
    before = live.signal("helper", signal.SIGKILL)
    wait_until(lambda: live.role("helper") not in (None, before), 10, "a new helper")
    assert is_blocked(lab, "www.blocked.test")
    publisher.serve(lines("blocked.test", "files.test"))
    wait_until(lambda: live.ctl("list", "update").returncode == 0, 10, "the new one answers")
    wait_blocked(lab, "files.test")


def test_without_lists_to_fetch_there_is_no_helper(lab, live, publisher):
    assert live.role("helper")
    live.reload('zone = "UTC"\n')
    wait_until(lambda: live.role("helper") is None, 10, "it has ended")
    assert "no list has a url" in live.ctl("list", "stats").stderr + live.ctl("list", "stats").stdout
    live.reload(POLICY.format(url=publisher.url))
    wait_until(lambda: live.role("helper"), 10, "it is back")
    wait_blocked(lab, "www.blocked.test")


def test_a_full_disk_keeps_the_old_list(lab, fresh, publisher):
    sluice = fresh(POLICY.format(url=publisher.url), start=False)
    state = sluice.directory / "state"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", state], check=True)
    try:
        sluice.start()
        wait_blocked(lab, "www.blocked.test")
        publisher.serve(lines("blocked.test", "files.test") + b"# " + b"x" * 10_000 + b"\n" * 600_000)
        outcome = update(sluice, code=1)
        assert outcome["result"] == "failed" and "space" in outcome["reason"].lower()
        assert is_blocked(lab, "www.blocked.test")
        (state / "ballast").write_bytes(b"")
        with contextlib.suppress(OSError), open(state / "ballast", "wb", buffering=0) as ballast:
            while ballast.write(b"x" * 4096):
                pass
        sluice.reload(POLICY.format(url=publisher.url) + '[list.more]\nformat = "domains"\nmatch = "exact"\n'
                      'path = "bad.txt"\n[[rule]]\nname = "more"\nto = ["list:more"]\naction = "block"\n')
        assert is_blocked(lab, "blocked.test"), "the image is in memory"
        assert "in memory only" in sluice.log_text
    finally:
        sluice.close()
        subprocess.run(["umount", "-l", state], check=False)

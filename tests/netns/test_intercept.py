"""TLS that is decrypted: what curl sees over HTTP/1 and HTTP/2, what is judged inside, what is left alone."""
import json
import re

import pytest

from namespace import wait_until

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

"""`warn` rules that a click gets past, and `code` rules that a code does: on plain HTTP, for that client, for that time."""
import html
import re
import time
import urllib.parse

import pytest

from backends import KINDS
from client import end_of, fetch, request, trusting
from namespace import wait_until
from test_devices import mac_of

POLICY = """
zone = "UTC"
[[rule]]
name = "never"
tier = "must"
to = ["url:files.test/forbidden"]
action = "block"
[[rule]]
name = "think twice"
to = ["host:arcade.test", "host:files.test"]
action = "warn"
minutes = 5
[[rule]]
name = "ask a teacher"
to = ["host:blocked.test"]
action = "code"
"""
PROCEED = "/.well-known/sluice/proceed"


class Page:
    """The block page that a client got for a URL, with its form."""

    def __init__(self, lab, host, family, name: str, path: str = "/"):
        self.lab, self.host, self.family, self.name = lab, host, family, name
        reply = fetch(host, lab.origin[family], f"http://{name}{path}")
        assert reply.blocked, reply
        self.body = reply.body if isinstance(reply.body, str) else reply.body.decode()
        self.fields = {key: html.unescape(value) for key, value in
                       re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', self.body)}

    def post(self, host=None, **changed) -> "Answer":
        """Sends the form, as a browser does, from `host` (whoever got the page, by default)."""
        body = urllib.parse.urlencode(self.fields | changed).encode()
        return post(host or self.host, self.lab.origin[self.family], self.name, body)


class Answer:
    def __init__(self, raw: bytes):
        head, _, body = raw.partition(b"\r\n\r\n")
        self.status = int(head.split()[1]) if head else 0
        self.body = body.decode()
        found = re.search(rb"\r\nLocation: (\S+)", head)
        self.location = found and found[1].decode()


def post(host, address: str, name: str, body: bytes, method="POST") -> Answer:
    with host.connect(address, 80) as sock:
        sock.sendall(f"{method} {PROCEED} HTTP/1.1\r\nHost: {name}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                     f"Content-Length: {len(body)}\r\n\r\n".encode())
        time.sleep(0.05)  # the body comes apart from its head
        sock.sendall(body)
        raw = b""
        while data := sock.recv(65536):
            raw += data
    return Answer(raw)


@pytest.fixture(params=["nftables", "proxy"])
def sluice(request, fresh):
    return fresh(POLICY, network=KINDS[request.param])


def allowed(lab, host, family, url: str) -> bool:
    return fetch(host, lab.origin[family], url).allowed


def new_code(sluice, *arguments: str) -> str:
    done = sluice.ctl("code", "new", *arguments)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout.strip()


def has_ended(sock) -> bool:
    try:
        return not request(sock, "www.blocked.test").allowed
    except OSError:
        return True


def test_a_click_opens_the_page_and_its_https(lab, sluice, family):
    assert not allowed(lab, lab.alice, family, "https://www.arcade.test/")
    page = Page(lab, lab.alice, family, "www.arcade.test", "/some?page=1&x=%22")
    assert sluice.ctl("explain", "--client", lab.alice[family], "http://www.arcade.test/").returncode == 1
    answer = page.post()
    assert answer.status == 303 and answer.location == "http://www.arcade.test/some?page=1&x=%22"
    assert allowed(lab, lab.alice, family, answer.location)
    assert allowed(lab, lab.alice, family, "http://files.test/"), "the rule is the same"
    assert allowed(lab, lab.alice, family, "https://www.arcade.test/")
    assert not allowed(lab, lab.bob, family, "http://www.arcade.test/"), "it was not bob who clicked"
    assert fetch(lab.alice, lab.origin[family], "http://files.test/forbidden/x").blocked, "must rules are before it"
    assert sluice.ctl("explain", "--client", lab.alice[family], "http://www.arcade.test/").returncode == 0
    grants = sluice.ctl_json("grants")["grants"]
    assert [(g["client"], g["rule"], g["how"]) for g in grants] == [("device " + mac_of(lab.alice), "think twice", "click")]
    record = sluice.wait_access(name="www.arcade.test", status=303)
    assert (record["status"], record["rule"], record["action"]) == (303, "think twice", "allow")
    assert "went on past the rule 'think twice'" in sluice.log_text
    sluice.reload(POLICY + "# reloaded\n")
    assert allowed(lab, lab.alice, family, "http://www.arcade.test/")
    sluice.reload(POLICY.replace("think twice", "think thrice"))
    assert not allowed(lab, lab.alice, family, "http://www.arcade.test/"), "another rule asks again"


def test_forms_that_are_not_ours_open_nothing(lab, sluice, family):
    page = Page(lab, lab.alice, family, "www.arcade.test")
    assert page.post(lab.bob).status == 403, "sealed for alice"
    assert page.post(url="http://evil.test/").status == 403
    assert page.post(rule="ask a teacher").status == 403
    assert page.post(until=str(int(page.fields["until"]) + 1)).status == 403
    assert page.post(until="1").status == 403
    assert page.post(seal="0" * 64).status == 403
    assert page.post(seal="").status == 400
    address = lab.origin[family]
    assert post(lab.alice, address, "www.arcade.test", b"").status == 400
    assert post(lab.alice, address, "www.arcade.test", b"x" * 5000).status == 400
    assert post(lab.alice, address, "www.arcade.test", b"", method="GET").status == 400
    assert not allowed(lab, lab.alice, family, "http://www.arcade.test/")
    assert page.post().status == 303, "and the right one still does"


def test_a_code_opens_for_its_rule_until_its_end(lab, sluice, family):
    assert sluice.ctl("code", "new", "--rule", "think twice", "--for", "1m").returncode == 1
    assert sluice.ctl("code", "new", "--rule", "nobody", "--for", "1m").returncode == 1
    code = new_code(sluice, "--rule", "ask a teacher", "--for", "12s", "--note", "for the lesson")
    assert re.fullmatch(r"\d{4}-\d{4}", code)
    page = Page(lab, lab.alice, family, "www.blocked.test")
    assert 'name="code"' in page.body
    wrong = page.post(code="0000-0000")
    assert wrong.status == 403 and "not good" in wrong.body and "<form" in wrong.body
    assert page.post(code=code.replace("-", " ")).status == 303
    assert allowed(lab, lab.alice, family, "http://www.blocked.test/")
    tls = trusting().wrap_socket(lab.alice.connect(lab.origin[family], 443), server_hostname="www.blocked.test")
    assert request(tls, "www.blocked.test").allowed
    plain = lab.alice.connect(lab.origin[family], 80)
    assert request(plain, "www.blocked.test").allowed
    listed = sluice.ctl_json("code", "list")["codes"]
    assert listed[0]["note"] == "for the lesson" and listed[0]["made_by"] == "uid 0" and code not in str(listed)
    wait_until(lambda: not allowed(lab, lab.alice, family, "http://www.blocked.test/"), 20, "the code has ended")
    assert end_of(plain) in ("closed", "reset"), "what the grant alone allowed ends with it"
    wait_until(lambda: has_ended(tls), 5, "the kernel lane's flow ends at its next packet, too")
    assert Page(lab, lab.alice, family, "www.blocked.test").post(code=code).status == 403


def test_codes_are_used_up_revoked_and_kept(lab, sluice, family):
    once = new_code(sluice, "--for", "10m", "--uses", "1")
    assert Page(lab, lab.alice, family, "www.blocked.test").post(code=once).status == 303
    assert Page(lab, lab.bob, family, "www.blocked.test").post(code=once).status == 403
    assert sluice.ctl("code", "revoke", once).returncode == 0
    wait_until(lambda: not allowed(lab, lab.alice, family, "http://www.blocked.test/"), 10, "the grant went with the code")
    assert sluice.ctl("code", "revoke", once).returncode == 1
    kept = new_code(sluice, "--for", "10m")
    assert kept.replace("-", "") not in (sluice.directory / "state/codes/codes.json").read_text()
    sluice.stop()
    sluice.start()
    assert Page(lab, lab.alice, family, "www.blocked.test").post(code=kept).status == 303
    assert "uid 0 made a code" in sluice.log_text and "uid 0 revoked" in sluice.log_text


def test_guessing_is_slow(lab, sluice, family):
    code = new_code(sluice, "--for", "10m")
    page = Page(lab, lab.alice, family, "www.blocked.test")
    for guess in range(5):
        assert "not good" in page.post(code=f"1111-000{guess}").body
    assert "Too many" in page.post(code=code).body
    assert Page(lab, lab.bob, family, "www.blocked.test").post(code=code).status == 303, "bob has not guessed"


def test_a_head_has_no_form_and_a_device_has_one_grant(lab, fresh, family):
    mac = mac_of(lab.alice)
    sluice = fresh(POLICY + f'[device]\n"alice" = {{ mac = ["{mac}"] }}\n')
    head = fetch(lab.alice, lab.origin[family], "http://www.arcade.test/", method="HEAD")
    assert head.status == 403
    other = "v6" if family == "v4" else "v4"
    assert Page(lab, lab.alice, family, "www.arcade.test").post().status == 303
    assert allowed(lab, lab.alice, other, "http://www.arcade.test/"), "the device, whatever its address"
    assert sluice.ctl_json("grants")["grants"][0]["client"] == "device alice"


LESSON = """
zone = "UTC"
[[rule]]
name = "never"
tier = "must"
to = ["url:files.test/forbidden"]
action = "block"
[[rule]]
name = "no games in school"
to = ["host:arcade.test", "host:files.test"]
action = "block"
"""


@pytest.mark.parametrize("kind", ["nftables", "proxy"])
def test_a_lesson_code_opens_one_thing_on_any_block_page(lab, fresh, kind):
    sluice = fresh(LESSON, network=KINDS[kind])
    assert "<form" not in Page(lab, lab.alice, "v4", "arcade.test").body, "nobody has made a code"
    made = sluice.ctl_json("code", "new", "--to", "arcade.test", "--minutes", "40", "--note", "year 7")
    page = Page(lab, lab.alice, "v4", "arcade.test")
    assert page.post(code="0000-0000").status == 403
    assert page.post(code=made["code"]).status == 303
    assert allowed(lab, lab.alice, "v6", "https://arcade.test/"), "the whole site, over TLS too"
    assert fetch(lab.alice, lab.origin["v4"], "http://files.test/").blocked, "nothing but what it is for"
    assert fetch(lab.bob, lab.origin["v4"], "http://arcade.test/").blocked, "nobody but who has redeemed it"
    assert "<form" not in Page(lab, lab.alice, "v4", "files.test", "/forbidden").body, "nothing gets past a must rule"
    told = sluice.ctl("explain", "--client", lab.alice["v4"], "http://arcade.test/")
    assert told.returncode == 0 and "lesson" in told.stdout
    listed = sluice.ctl("code", "list").stdout
    assert "year 7" in listed and "host:arcade.test" in listed
    assert sluice.ctl("code", "revoke", made["code"]).returncode == 0
    wait_until(lambda: fetch(lab.alice, lab.origin["v4"], "http://arcade.test/").blocked, 3, "it ends with the code")
    assert "<form" not in Page(lab, lab.alice, "v4", "arcade.test").body


def test_a_lesson_code_for_nothing_is_refused(lab, fresh):
    sluice = fresh(LESSON)
    for target, words in (("category:nothing", "there is no category:nothing"), ("regex:x", "is not a host"),
                          ("https://www.youtube.com/watch?v=x", "host and path only"), ("*.school.test", "*.school.test")):
        done = sluice.ctl("code", "new", "--to", target, "--minutes", "5")
        assert done.returncode == 2 and words in done.stderr, done.stderr

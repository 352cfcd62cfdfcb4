"""The gateway's own page (POLICY 10): what was refused over HTTPS, where no page could be shown, and the way past it."""
import html
import re
import subprocess
import urllib.parse

import pytest

from backends import KINDS
from client import fetch
from namespace import wait_until
from test_proceed import PROCEED, new_code
from test_quotas import FAST, GAMES, LISTS, policy, quota, take

POLICY = """
zone = "UTC"
[group.private]
members = ["10.20.0.3", "fd00:20::3"]
log = "none"
[[rule]]
name = "think twice"
to = ["host:warned.test"]
action = "warn"
minutes = 5
[[rule]]
name = "ask a <teacher>"
to = ["host:coded.test"]
action = "code"
[[rule]]
name = "no games"
to = ["host:arcade.test"]
action = "block"
"""
GATEWAY = {"v4": "10.20.0.1", "v6": "[fd00:20::1]"}


class Page:
    """What `host` is told by the gateway's page."""

    def __init__(self, host, *, family="v4", name: str = "", form: dict | None = None):
        self.host = host
        more = ["-H", f"Host: {name}"] if name else []
        path = "/"
        if form is not None:
            more += ["--data", urllib.parse.urlencode(form)]
            path = PROCEED
        got = subprocess.run(["ip", "netns", "exec", host.namespace.name, "curl", "-gsi", "--max-time", "5", *more,
                              f"http://{GATEWAY[family]}{path}"], capture_output=True, text=True, check=False)
        self.head, _, self.text = got.stdout.replace("\r\n", "\n").partition("\n\n")
        self.status = int(self.head.split()[1]) if self.head else 0
        found = re.search(r"\nLocation: (\S+)", self.head)
        self.location = found and found[1]
        self.items = dict(re.findall(r"<li><b>([^<]*)</b>(.*?)(?=<li>|</ul>)", self.text, re.S))

    def form(self, name: str, **more) -> dict:
        return {key: html.unescape(value) for key, value in
                re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', self.items[name])} | more


@pytest.fixture(params=["nftables", "iptables", "proxy"])
def sluice(request, fresh):
    return fresh(POLICY, network=KINDS[request.param])


@pytest.fixture
def quick(fresh):
    return fresh(POLICY)


def refused(lab, host, name: str, family="v4") -> bool:
    return fetch(host, lab.origin[family], f"https://{name}/").blocked


def test_a_click_lets_past_a_warning(lab, sluice, family):
    assert "Nothing" in Page(lab.alice).text
    assert refused(lab, lab.alice, "www.warned.test", family)
    page = Page(lab.alice)  # by IPv4, whatever was refused: it is the same device
    assert page.status == 200 and list(page.items) == ["www.warned.test"]
    assert "think twice" in page.items["www.warned.test"] and "just now" in page.items["www.warned.test"]
    answer = Page(lab.alice, form=page.form("www.warned.test"))
    assert (answer.status, answer.location) == (303, "https://www.warned.test/")
    assert fetch(lab.alice, lab.origin[family], answer.location).allowed
    assert "Nothing" in Page(lab.alice).text
    assert refused(lab, lab.bob, "www.warned.test", family)


def test_a_code_lets_past(lab, sluice, family):
    assert refused(lab, lab.alice, "coded.test", family)
    page = Page(lab.alice, family=family)
    assert "ask a &lt;teacher&gt;" in page.items["coded.test"] and 'name="code"' in page.items["coded.test"]
    wrong = Page(lab.alice, form=page.form("coded.test", code="1234"))
    assert wrong.status == 403 and "This code is not good here" in wrong.text and "coded.test" in wrong.items
    assert refused(lab, lab.alice, "coded.test", family)
    right = Page(lab.alice, form=wrong.form("coded.test", code=new_code(sluice, "--rule", "ask a <teacher>", "--for", "1h")))
    assert right.status == 303
    assert fetch(lab.alice, lab.origin[family], "https://coded.test/").allowed


def test_what_is_blocked_is_told_and_stays(lab, sluice):
    assert refused(lab, lab.alice, "arcade.test")
    told = Page(lab.alice).items["arcade.test"]
    assert "Blocked by the rule &#39;no games&#39;" in told and "<form" not in told
    assert sluice.wait_access(name="arcade.test")["id"] in told
    lesson = new_code(sluice, "--to", "host:arcade.test", "--minutes", "10")
    wait_until(lambda: "<form" in Page(lab.alice).items["arcade.test"], 5, "a code opens it")
    answer = Page(lab.alice, form=Page(lab.alice).form("arcade.test", code=lesson))
    assert answer.status == 303 and fetch(lab.alice, lab.origin["v4"], answer.location).allowed


def test_each_sees_their_own(lab, quick):
    assert refused(lab, lab.alice, "warned.test")
    assert "Nothing" in Page(lab.bob).text
    form = Page(lab.alice).form("warned.test")
    stolen = Page(lab.bob, form=form)
    assert stolen.status == 403 and "out of date" in stolen.text
    assert refused(lab, lab.bob, "warned.test")


def test_a_group_that_logs_nothing(lab, quick):
    """Only what there is a way past."""
    assert refused(lab, lab.bob, "arcade.test") and refused(lab, lab.bob, "warned.test")
    assert list(Page(lab.bob).items) == ["warned.test"]


def test_a_name_that_was_made_to_point_here(lab, quick):
    """DNS rebinding: a page elsewhere reads nothing and clicks nothing."""
    assert refused(lab, lab.alice, "warned.test")
    own = Page(lab.alice, name="sluice.lan")
    form = own.form("warned.test")
    assert "X-Frame-Options: DENY" in own.head and "frame-ancestors 'none'" in own.head  # nor frames it
    page = Page(lab.alice, name="evil.test")
    assert page.status == 200 and "warned.test" not in page.text and "seal" not in page.text
    assert Page(lab.alice, name="evil.test", form=form).status == 400
    assert refused(lab, lab.alice, "warned.test")


def test_a_spent_quota_comes_back(lab, fresh):
    sluice = fresh(policy(GAMES % "1MB"), lists=LISTS, accounting=FAST)
    assert take(lab.alice, lab.origin["v4"], "arcade.test", 1_500_000) in (0, 35, 56)
    wait_until(lambda: quota(sluice).get("spent"), 5, "the quota is spent")
    assert refused(lab, lab.alice, "arcade.test")
    told = Page(lab.alice).items["arcade.test"]
    assert "is used up. It comes back at" in told and "<form" not in told


def test_the_list_is_short(lab, quick):
    for number in range(12):
        assert refused(lab, lab.alice, f"a{number}.warned.test") and refused(lab, lab.alice, f"b{number}.arcade.test")
    names = [f"a{n}.warned.test" for n in range(11, 1, -1)] + [f"b{n}.arcade.test" for n in range(11, 1, -1)]
    assert list(Page(lab.alice).items) == names


@pytest.mark.parametrize("body", [b"rule=x&url=y&seal=z", b"", b"rule=" + b"x" * 5000])
def test_forms_that_are_none(lab, quick, body):
    with lab.alice.connect("10.20.0.1", 80) as sock:
        sock.sendall(f"POST {PROCEED} HTTP/1.1\r\nHost: 10.20.0.1\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = b""
        while data := sock.recv(65536):
            answer += data
    assert answer.split()[1] in (b"400", b"403")
    assert Page(lab.alice).status == 200


def has_page(host) -> bool:
    return Page(host).status == 200


def test_it_is_there_for_whom_it_is_of_use(lab, fresh):
    plain = policy("")
    sluice = fresh(plain, lists=LISTS)
    assert not has_page(lab.alice)
    sluice.write(policy=POLICY)
    done = sluice.ctl("reload")
    assert done.returncode == 0
    wait_until(lambda: "`sluicectl restart` opens it" in sluice.log_text, 5, "the log says that the page is not there")
    assert not has_page(lab.alice)
    assert sluice.ctl("restart", timeout=60).returncode == 0
    wait_until(lambda: has_page(lab.alice), 5, "the page is there")
    sluice.write(policy=plain, portal={"http": 80})
    assert sluice.ctl("restart", timeout=60).returncode == 0
    assert has_page(lab.alice)
    sluice.write(policy=POLICY, portal={"http": 0})
    assert sluice.ctl("restart", timeout=60).returncode == 0
    wait_until(lambda: not has_page(lab.alice), 20, "the page is gone with the gateway before")

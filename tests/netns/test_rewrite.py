"""safe_search, youtube and tenant on plain HTTP: the origin reads what the group asks for, whatever the client wrote."""
from __future__ import annotations

import pytest

from client import read_reply
from origin import Peer, read_head
from sluice import Sluice

POLICY = """
zone = "UTC"
[group.pupils]
members = ["10.20.0.2", "fd00:20::2"]
safe_search = true
youtube = "strict"
quic = "block"
[group.pupils.tenant]
google = ["school.test", "b.test"]
microsoft = ["school.test"]
microsoft_context = "72f988bf-86f1-41af-91ab-2d7cd011db47"
[[rule]]
name = "no cats"
to = ["regex:safe=cats"]
action = "block"
"""


@pytest.fixture(scope="module")
def gateway(lab, built):
    with Sluice(lab, POLICY) as sluice:
        yield sluice


def echo_heads(sock):
    """Answers every request with its head, and offers HTTP/3."""
    while head := read_head(sock):
        sock.sendall(b"HTTP/1.1 200 OK\r\nX-Origin: peer\r\nAlt-Svc: h3=\":443\"; ma=60, h2=\":443\"\r\n"
                     b"Content-Length: %d\r\n\r\n%s" % (len(head), head))


@pytest.fixture
def ask(lab, gateway, family):
    """ask(who, target, host, *fields): the request as the origin read it, and the answer."""
    with Peer(lab.origin.namespace, lab.peer[family], 80, echo_heads):
        def make(who, target: str, host: str, *fields: str):
            with who.connect(lab.peer[family], 80) as sock:
                sock.sendall("\r\n".join([f"GET {target} HTTP/1.1", f"Host: {host}", *fields, "", ""]).encode())
                reply = read_reply(sock)
            return reply.body.decode().split("\r\n") if reply.allowed else None, reply
        yield make


def test_searches_are_asked_to_be_safe(lab, ask, gateway, family):
    for host, target, seen in (("www.google.com", "/search?q=a&safe=off", "/search?q=a&safe=active"),
                               ("www.google.co.uk", "/search?%73afe=off&q=a&SAFE=off", "/search?q=a&safe=active"),
                               ("www.google.com", "/maps?safe=off", "/maps?safe=off"),
                               ("www.bing.com", "/search?q=a", "/search?q=a&adlt=strict"),
                               ("duckduckgo.com", "/?q=a&kp=-2", "/?q=a&kp=1"),
                               ("www.allowed.test", "/search?safe=off", "/search?safe=off")):
        head, reply = ask(lab.alice, target, host)
        assert head and head[0] == f"GET {seen} HTTP/1.1", (host, target, reply)
    # The log has what was asked.
    gateway.wait_access(client=lab.alice[family], name="www.bing.com")
    # And so has the policy.
    head, reply = ask(lab.alice, "/search?safe=cats", "www.google.com")
    assert reply.blocked


def test_the_clients_own_fields_are_removed(lab, ask, family):
    head, _ = ask(lab.alice, "/watch?v=1", "www.youtube.com", "youtube-restrict: none", "X-Kept: yes",
                  "Connection: YouTube-Restrict", "YOUTUBE-RESTRICT: Moderate")
    fields = [line for line in head[1:] if line]
    assert fields == ["Host: www.youtube.com", "X-Kept: yes", "YouTube-Restrict: Strict"]
    head, _ = ask(lab.alice, "/", "accounts.google.com", "X-GoogApps-Allowed-Domains: mine.test")
    assert [line for line in head if "goog" in line.lower()] == \
        ["Host: accounts.google.com", "X-GoogApps-Allowed-Domains: school.test,b.test"]
    head, _ = ask(lab.alice, "/", "login.microsoftonline.com", "restrict-access-to-tenants: mine.test")
    assert [line for line in head if line.startswith("Restrict")] == \
        ["Restrict-Access-To-Tenants: school.test", "Restrict-Access-Context: 72f988bf-86f1-41af-91ab-2d7cd011db47"]
    assert not [line for line in head if "mine.test" in line]
    head, _ = ask(lab.alice, "/", "login.live.com")
    assert "sec-Restrict-Tenant-Access-Policy: restrict-msa" in head


def test_other_groups_are_left_alone(lab, ask, family):
    head, reply = ask(lab.bob, "/search?q=a&safe=off", "www.google.com", "YouTube-Restrict: none")
    assert head[:3] == ["GET /search?q=a&safe=off HTTP/1.1", "Host: www.google.com", "YouTube-Restrict: none"]
    assert reply.headers["alt-svc"] == 'h3=":443"; ma=60, h2=":443"'


def test_http3_is_not_offered_where_quic_is_refused(lab, ask, family):
    _, reply = ask(lab.alice, "/", "www.allowed.test")
    assert reply.headers["alt-svc"] == 'h2=":443"'

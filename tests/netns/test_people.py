"""Who is there, and what follows from it: log-ins choose the lane and what is closed, unknown devices have their place, and
a log-in outlives a killed gateway but never its device."""
import signal

import pytest
from backends import KINDS
from client import fetch, hello_for
from namespace import wait_until
from test_devices import mac_of

POLICY = """
zone = "UTC"
[list.bad]
format = "domains"
path = "bad.txt"
match = "subdomains"
[group.free]
members = ["user:ann", "role:teachers"]
tls = "off"
if_down = "open"
[group.closed]
members = ["user:ben"]
if_down = "closed"
[[rule]]
name = "no games"
to = ["list:bad"]
action = "block"
"""
URL = "https://www.blocked.test/"


def login(sluice, host, user: str, *more: str, family="v4"):
    done = sluice.ctl("login", "--client", host[family], "--user", user, *more)
    assert done.returncode == 0, done.stdout + done.stderr


def client(sluice, address: str) -> dict:
    found = [each for each in sluice.ctl_json("clients")["clients"] if each["address"] == address]
    return found[0] if found else {}


@pytest.fixture(params=["nftables", "iptables"])
def sluice(request, fresh):
    return fresh(POLICY, network=KINDS[request.param])


def test_a_login_reaches_the_rules_of_the_kernel(lab, sluice, family):
    assert fetch(lab.alice, lab.origin[family], URL).blocked
    login(sluice, lab.alice, "ann", family=family)
    # tls = "off": its connections take another way, and the other family is the same device.
    for each in ("v4", "v6"):
        fetch(lab.alice, lab.origin[each], "http://www.allowed.test/")
        wait_until(lambda: fetch(lab.alice, lab.origin[each], URL).allowed, 3, "ann is not looked at")
        wait_until(lambda: lab.alice[each] in sluice.kernel_rules(each), 3, "the kernel is told")
        assert fetch(lab.alice, lab.origin[each], URL).allowed
    assert fetch(lab.bob, lab.origin[family], URL).blocked
    known = client(sluice, lab.alice[family])
    assert (known["user"], known["group"], known["identity"]) == ("ann", "free", "login")
    assert known["mac"] == mac_of(lab.alice)
    assert sluice.ctl("logout", "--user", "ann").returncode == 0
    wait_until(lambda: fetch(lab.alice, lab.origin[family], URL).blocked, 3, "nobody is there any more")
    # It may be the tables that are told first that have blocked it.
    wait_until(lambda: lab.alice[family] not in sluice.kernel_rules(family), 3, "the kernel forgets ann")
    assert sluice.ctl("logout", "--user", "ann").returncode == 1


WATCHED = """
[group.watched]
members = ["user:cid"]
tls = "inspect"
"""


@pytest.mark.parametrize("kind", ["nftables", "iptables"])
@pytest.mark.parametrize("user, blocked", [("ann", "answered"), ("cid", "reset")])
def test_a_handshake_goes_on_while_its_client_becomes_somebody_else(lab, fresh, family, user, blocked, kind):
    """In the middle of it the client's group is one whose TLS takes another way: off, or the proxy lane. The origin gets the
    hello and the client its answer, or a refusal by the rules of the new group."""
    sluice = fresh(POLICY + WATCHED, network=KINDS[kind])
    fetch(lab.alice, lab.origin[family], "http://www.allowed.test/")
    waiting = {name: lab.alice.connect(lab.origin[family], 443, timeout=5) for name in ("www.allowed.test", "www.blocked.test")}
    halves = {name: hello_for(name) for name in waiting}
    waiting["www.allowed.test"].sendall(halves["www.allowed.test"][:40])  # one says something before, the other nothing
    halves["www.allowed.test"] = halves["www.allowed.test"][40:]
    login(sluice, lab.alice, user, family=family)
    wait_until(lambda: lab.alice[family] in sluice.kernel_rules(family), 5, "the kernel has been told")
    assert sluice.ctl_json("status")["complete"]  # so have the workers
    answers = {}
    for name, sock in waiting.items():
        with sock:
            sock.sendall(halves[name])
            try:
                answers[name] = "answered" if sock.recv(1) == b"\x16" else "alert"  # a TLS record of the handshake, or none
            except ConnectionResetError:
                answers[name] = "reset"
    assert answers == {"www.allowed.test": "answered", "www.blocked.test": blocked}


def test_a_role_is_enough(lab, sluice):
    assert fetch(lab.alice, lab.origin["v4"], URL).blocked
    login(sluice, lab.alice, "somebody", "--role", "guests,teachers")
    wait_until(lambda: fetch(lab.alice, lab.origin["v4"], URL).allowed, 3, "a teacher")


def test_what_is_closed_follows_the_person(lab, sluice):
    login(sluice, lab.alice, "ben")
    assert fetch(lab.alice, lab.origin["v4"], "http://www.allowed.test/").allowed
    wait_until(lambda: client(sluice, lab.alice["v4"]).get("group") == "closed", 3, "ben is known")
    wait_until(lambda: lab.alice["v4"] in sluice.kernel_rules("v4"), 5, "and told to the kernel")
    sluice.signal("supervisor", signal.SIGKILL)
    sluice.process.wait()
    wait_until(lambda: fetch(lab.alice, lab.origin["v4"], "http://www.allowed.test/").kind == "refused", 5, "closed")
    assert fetch(lab.bob, lab.origin["v4"], "http://www.allowed.test/").allowed
    sluice.start()
    # The log-in has outlived the daemon.
    wait_until(lambda: client(sluice, lab.alice["v4"]).get("user") == "ben", 5, "ben is still known")


def test_an_address_that_goes_to_another_device_takes_nobody_along(lab, fresh):
    sluice = fresh(POLICY)
    fetch(lab.alice, lab.origin["v4"], "http://www.allowed.test/")
    login(sluice, lab.alice, "ann")
    wait_until(lambda: fetch(lab.alice, lab.origin["v4"], URL).allowed, 3, "ann is known")
    address, own = lab.alice["v4"], lab.bob["v4"]
    lab.alice.namespace.ip(f"addr del {address}/16 dev eth0")
    lab.bob.namespace.ip(f"addr add {address}/16 dev eth0")
    try:
        lab.gateway.ip(f"neigh del {address} dev lan0")  # the router asks anew, as it does after a while
        with lab.bob.connect(lab.origin["v4"], 80, source=address) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: www.blocked.test\r\n\r\n")
            assert b"403" in sock.recv(4096)
        wait_until(lambda: client(sluice, address).get("mac") == mac_of(lab.bob), 5, "bob is seen there")
        assert client(sluice, address)["user"] == ""
        assert client(sluice, own).get("user", "") == ""
    finally:
        lab.bob.namespace.ip(f"addr del {address}/16 dev eth0")
        lab.alice.namespace.ip(f"addr add {address}/16 dev eth0", "route replace default via 10.20.0.1")
    assert client(sluice, lab.alice["v6"]).get("user", "ann") == "ann", "she is still who she was, on her own device"


def test_an_unknown_device_is_in_quarantine_until_it_is_claimed(lab, fresh):
    text = """
zone = "UTC"
[device]
"bobs tablet" = { mac = ["%s"] }
[group.house]
members = ["device:bobs tablet", "user:ann"]
[group.quarantine]
[[rule]]
name = "who are you"
from = ["quarantine"]
to = ["host:allowed.test"]
action = "block"
""" % mac_of(lab.bob)
    sluice = fresh(text, identity={"unknown_mac": "quarantine"})
    assert fetch(lab.bob, lab.origin["v4"], "https://www.allowed.test/").allowed
    assert fetch(lab.alice, lab.origin["v6"], "https://www.allowed.test/").blocked
    record = sluice.wait_access(rule="who are you")
    assert record["group"] == "quarantine" and record["identity"] == "unknown_mac"
    login(sluice, lab.alice, "ann", family="v6")
    wait_until(lambda: fetch(lab.alice, lab.origin["v6"], "https://www.allowed.test/").allowed, 3, "claimed")


@pytest.mark.parametrize("arguments, words", [
    (("--client", "nowhere", "--user", "ann"), "is not an address"),
    (("--client", "10.20.0.2", "--user", "a\nb"), "control characters"),
    (("--client", "10.20.0.2", "--user", "ann", "--for", "1000d"), "at most a year"),
])
def test_a_login_that_cannot_be_is_refused(gateway, arguments, words):
    done = gateway.ctl("login", *arguments)
    assert done.returncode == 2 and words in done.stderr, done.stderr

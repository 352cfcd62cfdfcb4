"""RADIUS accounting tells who is behind an address: FreeRADIUS' own radclient against the real daemon.

The NAS is `inner`, 10.40.0.2; the daemon listens at every address of the gateway.
"""
import hashlib
import signal
import socket
import struct
import subprocess
import time

import pytest
from client import fetch
from lab import gateway_address
from namespace import wait_until

SECRET = "a secret of thirty-two octets ..."
PORT = 1813
POLICY = """
zone = "UTC"
[group.pupils]
members = ["role:pupils"]
[group.staff]
members = ["user:carol"]
[[rule]]
name = "no games for pupils"
from = ["pupils"]
to = ["host:arcade.test"]
action = "block"
[[rule]]
name = "alice learns"
from = ["user:alice"]
to = ["host:files.test"]
action = "block"
"""


@pytest.fixture
def radius(lab, fresh):
    """A daemon that hears RADIUS: radius(session_timeout=..., listen=...)."""
    secret = lab.directory / "radius.secret"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)

    def make(listen=f"0.0.0.0:{PORT}", nas=None, leases="off", **radius):
        client = {"secret_file": str(secret)}
        sluice = fresh(POLICY, **{"identity": {"leases": leases}, "identity.radius": {"listen": listen} | radius,
                                f'identity.radius.clients."{nas or lab.inner["v4"]}"': client})
        wait_until(lambda: "RADIUS accounting: listening" in sluice.log_text, 10, "the helper listens")
        return sluice

    return make


def account(host, status: str, session: str = "81A4", *, secret=SECRET, to=None, timeout=5, tries=3, **attributes) -> bool:
    """One Accounting-Request by radclient; True: answered, by whom it asked, with the right authenticator. (The answer comes
    when gateway and keeper have it: of two in a row after a second.)"""
    lines = [f"Acct-Status-Type = {status}"] + ([f'Acct-Session-Id = "{session}"'] if session else [])
    for name, value in attributes.items():
        for each in value if isinstance(value, list) else [value]:
            quoted = f'"{each}"' if name in ("User_Name", "Class", "Calling_Station_Id", "NAS_Identifier") else each
            lines.append(f"{name.replace('_', '-')} = {quoted}")
    to = to or gateway_address("inner", "v4")
    name = f"[{to}]:{PORT}" if ":" in to else f"{to}:{PORT}"
    done = host.namespace.run("radclient", "-x", "-r", str(tries), "-t", str(timeout), name, "acct", secret,
                              input=", ".join(lines) + "\n", check=False)
    return done.returncode == 0 and "Received Accounting-Response" in done.stdout


def clients(sluice) -> dict[str, dict]:
    return {each["address"]: each for each in sluice.ctl_json("clients")["clients"]}


def user_at(sluice, address: str) -> str:
    return clients(sluice).get(address, {}).get("user", "")


def wait_user(sluice, address: str, user: str, timeout=5):
    wait_until(lambda: user_at(sluice, address) == user, timeout, f"'{user}' at {address}: {clients(sluice)}")


def test_start_interim_stop(lab, radius):
    sluice = radius()
    nas, alice = lab.inner, lab.alice["v4"]
    assert fetch(lab.alice, lab.origin["v4"], "http://arcade.test/").allowed
    assert account(nas, "Start", User_Name="zoë", Framed_IP_Address=alice, Class=["OU=pupils;", "reading"])
    wait_user(sluice, alice, "zoë")
    assert {"pupils", "OU=pupils", "reading"} <= set(clients(sluice)[alice]["roles"])
    assert clients(sluice)[alice]["group"] == "pupils"
    assert fetch(lab.alice, lab.origin["v4"], "http://arcade.test/").blocked
    assert fetch(lab.bob, lab.origin["v4"], "http://arcade.test/").allowed
    record = sluice.wait_access(client=alice, action="block")
    assert record["user"] == "zoë" and record["group"] == "pupils"

    assert account(nas, "Interim-Update", User_Name="zoë", Framed_IP_Address=alice)
    assert user_at(sluice, alice) == "zoë"
    assert account(nas, "Stop", User_Name="zoë", Framed_IP_Address=alice)
    wait_user(sluice, alice, "")
    assert fetch(lab.alice, lab.origin["v4"], "http://arcade.test/").allowed


def test_the_answer_means_that_the_rules_know(lab, radius):
    radius()
    for _ in range(3):
        assert account(lab.inner, "Start", f"s{time.monotonic_ns()}", User_Name="alice", Framed_IP_Address=lab.alice["v4"])
        # New ones are judged so at once, running ones within half a second.
        wait_until(lambda: not fetch(lab.alice, lab.origin["v4"], "http://files.test/").allowed, 5, "the rules know", pause=0)


def test_ipv6_and_the_device_behind_it(lab, radius):
    sluice = radius(listen=f"[::]:{PORT}", nas=lab.inner["v6"])
    to = gateway_address("inner", "v6")
    assert account(lab.inner, "Start", to=to, User_Name="alice", Framed_IPv6_Address=lab.alice["v6"])
    wait_user(sluice, lab.alice["v6"], "alice")
    assert fetch(lab.alice, lab.origin["v6"], "http://files.test/").blocked
    assert account(lab.inner, "Start", "2", to=to, User_Name="bob", Framed_IPv6_Prefix=f"{lab.bob['v6']}/128")
    assert fetch(lab.bob, lab.origin["v6"], "http://files.test/").allowed  # a prefix names no address to show
    wait_user(sluice, lab.bob["v6"], "bob")
    # v4 through the same socket, from a NAS that is no client.
    assert not account(lab.inner, "Start", "3", timeout=1, tries=1, User_Name="mallory", Framed_IP_Address=lab.bob["v4"])


def test_a_station_is_known_at_every_address(lab, radius):
    sluice = radius()
    from test_devices import mac_of
    station = mac_of(lab.alice).replace(":", "-").upper() + ":school"
    fetch(lab.alice, lab.origin["v4"], "http://files.test/")
    fetch(lab.alice, lab.origin["v6"], "http://files.test/")
    assert account(lab.inner, "Start", User_Name="alice", Calling_Station_Id=station)
    wait_user(sluice, lab.alice["v4"], "alice")
    wait_user(sluice, lab.alice["v6"], "alice")
    # Somebody else takes the same device.
    assert account(lab.inner, "Start", "81A5", User_Name="carol", Calling_Station_Id=station)
    wait_user(sluice, lab.alice["v4"], "carol")


def test_a_bad_secret_and_a_stranger_hear_nothing(lab, radius):
    sluice = radius()
    alice = lab.alice["v4"]
    assert not account(lab.inner, "Start", timeout=1, tries=1, secret="wrong", User_Name="mallory", Framed_IP_Address=alice)
    assert not account(lab.bob, "Start", timeout=1, tries=1, to=gateway_address("lan", "v4"), User_Name="mallory",
                       Framed_IP_Address=alice)
    assert user_at(sluice, alice) == ""
    wait_until(lambda: f"from {lab.inner['v4']}: a bad authenticator" in sluice.log_text
               and f"from {lab.bob['v4']}: not a RADIUS client" in sluice.log_text, 15, "it is said")
    assert account(lab.inner, "Start", User_Name="alice", Framed_IP_Address=alice)
    assert SECRET not in sluice.log_text


def test_it_answers_from_the_address_that_was_asked(lab, radius):
    radius()
    assert account(lab.inner, "Start", to=gateway_address("lan", "v4"), User_Name="alice",
                   Framed_IP_Address=lab.alice["v4"])


def test_a_lost_stop_ends_by_time(lab, radius):
    sluice = radius(session_timeout="15s")
    alice = lab.alice["v4"]
    assert account(lab.inner, "Start", User_Name="alice", Framed_IP_Address=alice)
    for _ in range(4):
        time.sleep(1)
        assert account(lab.inner, "Interim-Update", User_Name="alice", Framed_IP_Address=alice)
        assert user_at(sluice, alice) == "alice"
    wait_user(sluice, alice, "", timeout=20)


def test_a_lost_stop_ends_with_the_next_start(lab, radius):
    sluice = radius()
    alice = lab.alice["v4"]
    assert account(lab.inner, "Start", "1", User_Name="alice", Framed_IP_Address=alice)
    wait_user(sluice, alice, "alice")
    assert account(lab.inner, "Start", "2", User_Name="carol", Framed_IP_Address=alice)
    wait_user(sluice, alice, "carol")
    assert account(lab.inner, "Interim-Update", "1", User_Name="alice", Framed_IP_Address=alice)
    assert account(lab.inner, "Stop", "1", User_Name="alice", Framed_IP_Address=alice)
    time.sleep(1)
    assert user_at(sluice, alice) == "carol"


def test_a_nas_that_restarts_has_nobody(lab, radius):
    sluice = radius()
    assert account(lab.inner, "Start", "1", User_Name="alice", Framed_IP_Address=lab.alice["v4"])
    assert account(lab.inner, "Start", "2", User_Name="bob", Framed_IP_Address=lab.bob["v4"])
    wait_user(sluice, lab.bob["v4"], "bob")
    assert account(lab.inner, "Accounting-On", "")
    wait_user(sluice, lab.alice["v4"], "")
    wait_user(sluice, lab.bob["v4"], "")


def raw_request(identifier: int, status: int, user: str, address: str) -> bytes:
    attributes = b"".join(bytes([kind, len(value) + 2]) + value for kind, value in (
        (40, struct.pack("!I", status)), (44, b"81A4"), (1, user.encode()), (8, socket.inet_aton(address))))
    head = struct.pack("!BBH", 4, identifier, 20 + len(attributes))
    return head + hashlib.md5(head + bytes(16) + attributes + SECRET.encode()).digest() + attributes


def test_a_replay_is_answered_and_changes_nothing(lab, radius):
    sluice = radius()
    alice = lab.alice["v4"]
    with lab.inner.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as nas:
        nas.settimeout(5)
        nas.connect((gateway_address("inner", "v4"), PORT))

        def send(packet: bytes) -> bytes:
            nas.send(packet)
            return nas.recv(4096)

        start = raw_request(1, 1, "alice", alice)
        first = send(start)
        assert send(start) == first
        wait_user(sluice, alice, "alice")
        send(raw_request(2, 2, "alice", alice))
        wait_user(sluice, alice, "")
        assert send(start) == first
        # Also in another life of the helper, which has no answers kept.
        old = sluice.signal("helper", signal.SIGKILL)
        wait_until(lambda: sluice.role("helper") not in (None, old), 10, "a new helper")
        wait_until(lambda: sluice.log_text.count("RADIUS accounting: listening") >= 2, 10, "it listens")
        assert send(start) == first
        time.sleep(1)
        assert user_at(sluice, alice) == ""


def test_people_stay_logged_in_over_restarts(lab, radius):
    sluice = radius()
    alice = lab.alice["v4"]
    assert account(lab.inner, "Start", User_Name="alice", Framed_IP_Address=alice)
    wait_user(sluice, alice, "alice")
    for role in ("gateway", "helper"):
        before = sluice.signal(role, signal.SIGKILL)
        wait_until(lambda: sluice.role(role) not in (None, before), 10, f"a new {role}")
        wait_until(lambda: sluice.ctl("status").returncode == 0, 10, "it answers")
        wait_user(sluice, alice, "alice", timeout=10)
    assert sluice.stop() == 0
    sluice.start()
    wait_user(sluice, alice, "alice", timeout=10)


def test_rubbish_changes_nothing(lab, radius):
    sluice = radius()
    helper = sluice.role("helper")
    with lab.inner.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as nas:
        whole = raw_request(1, 1, "alice", lab.alice["v4"])
        for length in range(len(whole)):
            nas.sendto(whole[:length], (gateway_address("inner", "v4"), PORT))
            nas.sendto(whole[:length] + bytes(len(whole) - length), (gateway_address("inner", "v4"), PORT))
        nas.sendto(bytes(9000), (gateway_address("inner", "v4"), PORT))
    assert account(lab.inner, "Start", User_Name="carol", Framed_IP_Address=lab.bob["v4"])
    wait_user(sluice, lab.bob["v4"], "carol")
    assert user_at(sluice, lab.alice["v4"]) == "" and sluice.role("helper") == helper


def test_a_secret_that_cannot_be_read_is_an_error_at_the_start(lab, radius, fresh):
    sluice = fresh(POLICY, start=False, **{
        "identity.radius": {"listen": f"0.0.0.0:{PORT}"},
        'identity.radius.clients."10.40.0.2"': {"secret_file": "/no/such/secret"}})
    done = subprocess.run(["ip", "netns", "exec", lab.gateway.name, *sluice.command()], capture_output=True, text=True,
                          timeout=20, check=False)
    assert done.returncode == 2 and "/no/such/secret" in done.stderr


@pytest.mark.parametrize("told_by", ["radius", "login"])
def test_a_gateway_begins_with_all_that_is_known_of_people(lab, radius, told_by):
    """After a crash nobody is judged as a stranger, not for a moment."""
    sluice = radius()
    sluice.reload(POLICY + '[group.default]\nif_down = "closed"\n')
    alice, url = lab.alice, "http://files.test/"
    if told_by == "radius":
        assert account(lab.inner, "Start", User_Name="alice", Framed_IP_Address=alice["v4"])
    else:
        assert sluice.ctl("login", "--client", alice["v4"], "--user", "alice").returncode == 0
    wait_until(lambda: fetch(alice, lab.origin["v4"], url).blocked, 5, "she is known")
    known_in_time = 0
    for _ in range(4):
        time.sleep(1)  # a restart soon after another is put off
        late = sluice.log_text.count("who is logged in is not known yet")  # it waits for a second, and a machine may be busy
        dead = sluice.signal("gateway", signal.SIGKILL)
        replies = []

        def judged_again() -> bool:
            replies.append(fetch(alice, lab.origin["v4"], url, timeout=1))
            return replies[-1].blocked and sluice.role("gateway") not in (None, dead)

        wait_until(judged_again, 10, "judged again", pause=0)
        if sluice.log_text.count("who is logged in is not known yet") == late:
            known_in_time += 1
            assert not [reply for reply in replies if reply.allowed]
    assert known_in_time >= 2


def test_a_gateway_does_not_wait_for_a_helper_that_hangs(lab, radius):
    sluice = radius()
    sluice.signal("helper", signal.SIGSTOP)
    sluice.signal("gateway", signal.SIGKILL)
    wait_until(lambda: "the helper does not answer" in sluice.log_text, 10, "it is said")
    wait_until(lambda: fetch(lab.alice, lab.origin["v4"], "http://arcade.test/").allowed, 10, "it judges")
    sluice.signal("helper", signal.SIGCONT)

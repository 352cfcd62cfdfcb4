"""Quotas by bytes and by time, per person over all devices, their end and their return; temporary rules; rules on every port."""
import calendar
import contextlib
import re
import select
import signal
import socket
import time

import pytest
from backends import KINDS
from client import fetch
from namespace import family_of, wait_until
from origin import Peer
from test_accounting import Datagrams, UDP_PORT, give

GIVE_PORT = 2222
FAST = {"flush": "1s", "interval": "1s"}


def policy(rule: str, members='"10.20.0.0/16", "fd00:20::/48"') -> str:
    return f"""
zone = "UTC"
[list.games]
format = "domains"
path = "games.txt"
match = "subdomains"
category = "games"
[device]
"Mia tablet" = {{ ip = ["10.20.0.2", "fd00:20::2"] }}
[group.pupils]
members = [{members}]
{rule}
"""


LISTS = {"games.txt": "arcade.test\n"}
GAMES = """
[[rule]]
name = "an hour of games"
to = ["category:games"]
action = "quota"
per_day = "%s"
"""


@pytest.fixture
def counting(fresh):
    return lambda text, **more: fresh(text, lists=LISTS, accounting=FAST, **more)


@pytest.fixture(scope="module")
def peers(lab):
    made = [Peer(lab.peer.namespace, lab.peer[family], GIVE_PORT, give) for family in ("v4", "v6")]
    datagrams = Datagrams(lab.peer)
    yield made
    datagrams.close()
    for peer in made:
        peer.close()


def take(host, address: str, name: str, size: int, scheme="https") -> int:
    """Downloads; the exit status of curl."""
    port = 443 if scheme == "https" else 80
    return host.run("curl", "-gsk", "--max-time", "20", "-o", "/dev/null", "-r", f"0-{size - 1}", "--resolve",
                    f"{name}:{port}:{address}", f"{scheme}://{name}/big", check=False, timeout=30).returncode


def quota(sluice, rule="an hour of games") -> dict:
    found = [each for each in sluice.ctl_json("quotas")["quotas"] if each["rule"] == rule]
    return found[0] if found else {}


def test_five_megabytes_end_what_runs_and_what_begins(lab, counting):
    sluice = counting(policy(GAMES % "5MB"))
    for host, address in ((lab.alice, lab.origin["v4"]), (lab.alice, lab.origin["v6"])):
        assert fetch(host, address, "https://arcade.test/").allowed
    slow = lab.alice.connect(lab.origin["v4"], 80)
    slow.sendall(b"GET /slow HTTP/1.1\r\nHost: arcade.test\r\n\r\n")
    take(lab.alice, lab.origin["v4"], "arcade.test", 6_000_000)  # the quota may cut its end off
    wait_until(lambda: quota(sluice).get("spent"), 5, "the quota is spent")
    # The one that runs is closed, and a new one is refused, over both families and both lanes.
    with slow:
        slow.settimeout(5)
        with pytest.raises(ConnectionResetError):
            while slow.recv(65536):
                pass
    assert fetch(lab.alice, lab.origin["v4"], "https://arcade.test/").blocked
    assert fetch(lab.alice, lab.origin["v6"], "https://arcade.test/").blocked
    reply = fetch(lab.alice, lab.origin["v4"], "http://arcade.test/")
    assert reply.blocked and b"used up" in reply.body and b"It comes back at" in reply.body
    record = sluice.wait_access(action="quota", proto="http")
    assert record["rule"] == "an hour of games"
    # What is no game, and who has not played, is left alone.
    assert fetch(lab.alice, lab.origin["v4"], "https://www.allowed.test/").allowed
    assert fetch(lab.bob, lab.origin["v4"], "https://arcade.test/").allowed
    done = sluice.ctl("explain", "--client", lab.alice["v4"], "https://arcade.test/")
    assert done.returncode == 1 and "quota" in done.stdout
    # A restart forgets nothing.
    sluice.stop()
    sluice.start()
    wait_until(lambda: quota(sluice).get("spent"), 5, "it is known again")
    wait_until(lambda: fetch(lab.alice, lab.origin["v4"], "https://arcade.test/").blocked, 5, "still used up")


def test_time_in_use_is_the_persons_over_all_devices(lab, counting):
    """One minute is all there is: it is over within the next minute of use, whichever device is used."""
    sluice = counting(policy(GAMES % "1m", members='"user:jane"'))
    for host in (lab.alice, lab.bob):
        assert fetch(host, lab.origin["v4"], "http://www.allowed.test/").allowed
        assert sluice.ctl("login", "--client", host["v4"], "--user", "jane").returncode == 0
    assert fetch(lab.alice, lab.origin["v4"], "https://arcade.test/").allowed
    wait_until(lambda: quota(sluice).get("spent"), 10, "a minute has been used")
    assert quota(sluice)["person"] == "user jane" and quota(sluice)["seconds"] in (60, 120)
    assert fetch(lab.bob, lab.origin["v6"], "https://arcade.test/").blocked
    assert sluice.ctl("logout", "--user", "jane").returncode == 0
    wait_until(lambda: fetch(lab.bob, lab.origin["v6"], "https://arcade.test/").allowed, 5, "bob is not jane any more")


def test_it_comes_back_at_the_reset(lab, counting):
    """The reset is moved to a moment that will be there soon."""
    sluice = counting(policy(GAMES % "1MB"))
    take(lab.alice, lab.origin["v4"], "arcade.test", 2_000_000)  # the quota may cut its end off
    wait_until(lambda: fetch(lab.alice, lab.origin["v4"], "https://arcade.test/").blocked, 5, "used up")
    now = time.gmtime(time.time() + 80)  # 20 s at least: time to use it up
    if (now.tm_hour, now.tm_min) == (0, 0):  # that is the reset there was
        now = time.gmtime(time.time() + 140)
    minute = f"{now.tm_hour:02}:{now.tm_min:02}"
    sluice.reload(policy(GAMES % "1MB" + f'reset = "{minute}"\n'))
    # A period that begins at another time is another period: what was used belongs to the old one.
    wait_until(lambda: fetch(lab.alice, lab.origin["v4"], "https://arcade.test/").allowed, 5, "allowed")
    take(lab.alice, lab.origin["v4"], "arcade.test", 2_000_000)  # the quota may cut its end off
    wait_until(lambda: fetch(lab.alice, lab.origin["v4"], "https://arcade.test/").blocked, 5, "used up again")
    wait_until(lambda: fetch(lab.alice, lab.origin["v4"], "https://arcade.test/").allowed, 200, "it has come back", pause=1)
    assert time.time() >= calendar.timegm(now) // 60 * 60, "not before the reset"


def datagram(host, address) -> bool:
    """Whether one gets an answer."""
    with host.namespace.socket(family_of(address), socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        try:
            sock.sendto(b"x", (address, UDP_PORT))
            return bool(sock.recv(2048))
        except OSError:
            return False


def keeps_playing(sock) -> bool:
    """Whether a datagram that is sent now is answered; what is still here of earlier answers is none."""
    try:
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while sock.recv(2048):
                pass
        sock.settimeout(1)
        sock.send(b"x")
        while sock.recv(2048) != b"y" * 1200:
            pass
        return True
    except OSError:
        return False


def test_a_rule_of_who_and_when_holds_on_every_port(lab, counting, peers):
    blocked = '[[rule]]\nname = "tablet sleeps"\nfrom = ["device:Mia tablet"]\naction = "block"\n'
    sluice = counting(policy(""))
    with lab.alice.connect(lab.peer["v4"], GIVE_PORT) as ssh, \
            lab.alice.namespace.socket(socket.AF_INET6, socket.SOCK_DGRAM) as game:
        game.connect((lab.peer["v6"], UDP_PORT))
        wait_until(lambda: keeps_playing(game), 3, "a game")
        ssh.sendall(b"GIVE 1\n")
        assert ssh.recv(1) == b"x"
        sluice.reload(policy(blocked))
        # Both end at their next packet, and new ones do not come through.
        wait_until(lambda: not keeps_playing(game), 5, "the game ends")
        ssh.settimeout(3)
        with pytest.raises(OSError):
            ssh.sendall(b"GIVE 1\n")
            assert ssh.recv(1) == b"", "a reset"
            raise OSError
        record = sluice.wait_access(rule="tablet sleeps", proto="udp")
        assert record["action"] == "block" and record["dport"] == UDP_PORT and record["device"] == "Mia tablet"
        assert not keeps_playing_anew(lab.alice, lab.peer["v4"])
        ping = lab.alice.run("ping", "-c", "20", "-i", "0.2", "-W", "1", lab.peer["v4"], check=False).stdout
        assert int(re.search(r"(\d+) received", ping)[1]) < 12, ping  # the first ones
        assert datagram(lab.bob, lab.peer["v4"]), "somebody else"
        assert lab.alice.run("ping", "-c", "1", "-W", "5", "10.20.0.1", check=False).returncode == 0, "the router itself"
        assert fetch(lab.alice, lab.origin["v4"], "http://www.allowed.test/").blocked
        # And the other way round.
        sluice.reload(policy(""))
        wait_until(lambda: keeps_playing(game), 5, "the game goes on")
        assert datagram(lab.alice, lab.peer["v4"])


def keeps_playing_anew(host, address) -> bool:
    """The first packet or two of a new connection may pass; it does not last."""
    with host.namespace.socket(family_of(address), socket.SOCK_DGRAM) as sock:
        sock.connect((address, UDP_PORT))
        for _ in range(30):
            if not keeps_playing(sock) and not keeps_playing(sock):
                return False
            time.sleep(0.1)
        return True


def test_ports_and_addresses_are_conditions_everywhere(lab, counting, peers):
    sluice = counting(policy('[[rule]]\nname = "no console"\nport = ["udp/5000"]\naction = "block"\n'
                             '[[rule]]\nname = "not there"\nto = ["ip:10.99.0.3"]\naction = "block"\n'))
    assert not keeps_playing_anew(lab.bob, lab.peer["v6"])
    with lab.bob.connect(lab.peer["v6"], GIVE_PORT) as sock:
        sock.sendall(b"GIVE 1\n")
        assert sock.recv(1) == b"x"
    with pytest.raises(OSError), lab.bob.connect(lab.peer["v4"], GIVE_PORT) as sock:
        for _ in range(60):
            sock.sendall(b"GIVE 1\n")
            assert sock.recv(1) == b"x"
            time.sleep(0.1)
    assert sluice.wait_access(rule="not there", proto="tcp")["dport"] == GIVE_PORT
    assert "not enforced" not in sluice.ctl("check").stdout


@pytest.mark.parametrize("kind", ["nftables", "iptables"])
def test_what_is_refused_stays_refused_at_the_clients_next_syn(lab, counting, peers, kind):
    """The origin is far away: its answer to the first SYN comes when the connection is marked, and the client asks again."""
    sluice = counting(policy('[[rule]]\nname = "not there"\nto = ["ip:10.99.0.3"]\naction = "block"\n'), network=KINDS[kind])
    lab.origin.namespace.nft(f"table inet far {{ chain in {{ type filter hook input priority 0; tcp dport {GIVE_PORT} drop; }}; }}")
    try:
        with lab.bob.namespace.socket(socket.AF_INET) as sock:
            sock.setblocking(False)
            sock.connect_ex((lab.peer["v4"], GIVE_PORT))
            sluice.wait_access(rule="not there", proto="tcp")
            lab.origin.namespace.nft("delete table inet far")
            select.select([], [sock], [], 15)  # connected, or refused
            sock.settimeout(5)
            with pytest.raises(OSError):
                sock.sendall(b"GIVE 1\n")
                assert sock.recv(1) == b"x"
    finally:
        lab.origin.run("nft", "delete", "table", "inet", "far", check=False)


def test_a_quota_of_everything_counts_on_every_port(lab, counting, peers):
    sluice = counting(policy('[[rule]]\nname = "a megabyte"\nfrom = ["device:Mia tablet"]\naction = "quota"\n'
                             'per_day = "1MB"\n'))
    with lab.alice.connect(lab.peer["v4"], GIVE_PORT) as sock:
        sock.sendall(b"GIVE 1500000\n")
        got = 0
        with contextlib.suppress(OSError):  # the quota may cut its end off
            while got < 1_500_000 and (more := sock.recv(65536)):
                got += len(more)
        wait_until(lambda: quota(sluice, "a megabyte").get("spent"), 5, "used up")
        with pytest.raises(OSError):
            for _ in range(60):
                sock.sendall(b"GIVE 1\n")
                assert sock.recv(1) == b"x"
                time.sleep(0.1)
    assert not keeps_playing_anew(lab.alice, lab.peer["v6"])
    assert fetch(lab.alice, lab.origin["v4"], "https://www.allowed.test/").kind in ("reset", "refused", "alert")


def test_something_for_a_while(lab, counting, peers):
    sluice = counting(policy('[[rule]]\nname = "never"\ntier = "must"\nto = ["host:files.test"]\naction = "block"\n'
                             '[[rule]]\nname = "no games"\nto = ["category:games"]\naction = "block"\n'))
    url = "https://arcade.test/"
    assert fetch(lab.alice, lab.origin["v4"], url).blocked
    done = sluice.ctl("allow", "--client", "device:Mia tablet", "--to", "arcade.test", "--for", "15s")
    assert done.returncode == 0, done.stderr
    assert fetch(lab.alice, lab.origin["v6"], url).allowed
    assert fetch(lab.bob, lab.origin["v4"], url).blocked
    told = sluice.ctl("explain", "--client", lab.alice["v4"], url)
    assert told.returncode == 0 and "temporary allow" in told.stdout
    wait_until(lambda: fetch(lab.alice, lab.origin["v4"], url).blocked, 25, "it has ended")
    # Nothing gets past a "must" rule.
    assert sluice.ctl("allow", "--client", lab.alice["v4"], "--for", "1m").returncode == 0
    assert fetch(lab.alice, lab.origin["v4"], url).allowed
    assert fetch(lab.alice, lab.origin["v4"], "https://files.test/").blocked
    name = sluice.ctl_json("grants")["temporary"][0]["name"]
    # It outlives a kill and a reload.
    old = sluice.signal("gateway", signal.SIGKILL)
    wait_until(lambda: sluice.role("gateway") not in (None, old), 10, "another gateway")
    wait_until(lambda: sluice.ctl("status").returncode == 0 and sluice.ctl_json("grants")["temporary"], 10, "it is known")
    wait_until(lambda: fetch(lab.alice, lab.origin["v4"], url).allowed, 5, "still allowed")
    assert sluice.ctl("grants", "revoke", name).returncode == 0
    assert fetch(lab.alice, lab.origin["v4"], url).blocked
    assert sluice.ctl("grants", "revoke", name).returncode == 1


def test_blocked_for_a_while_is_blocked_on_every_port(lab, counting, peers):
    sluice = counting(policy(""))
    assert datagram(lab.bob, lab.peer["v4"])
    assert sluice.ctl("block", "--client", lab.bob["v4"], "--for", "1m").returncode == 0
    assert fetch(lab.bob, lab.origin["v4"], "http://www.allowed.test/").blocked
    assert not keeps_playing_anew(lab.bob, lab.peer["v4"])
    assert "temporary block" in sluice.wait_access(proto="udp", action="block")["rule"]


@pytest.mark.parametrize("arguments, words", [
    (("--client", "device:nobody", "--for", "1m"), "unknown device"),
    (("--client", "10.20.0.2", "--to", "category:nothing", "--for", "1m"), "unknown category"),
    (("--client", "10.20.0.2", "--for", "soon"), "usage"),
    (("--client", "10.20.0.2", "--for", "1000d"), "at most a year"),
])
def test_what_cannot_be_is_said(lab, gateway, arguments, words):
    done = gateway.ctl("allow", *arguments)
    assert done.returncode == 2 and words in done.stderr, done.stderr

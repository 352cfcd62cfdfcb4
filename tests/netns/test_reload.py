"""A reload swaps the whole policy or nothing, and running flows live through it unless the new policy blocks them."""
import concurrent.futures
import contextlib
import datetime
import http.client
import os
import re
import signal
import time

import pytest

from backends import KINDS
from client import end_of, fetch, is_reset, is_reset_when_it_sends, request, trusting
from lab import Lab
from namespace import wait_until
from origin import BIG, Peer, authority, echo, read_head
from sluice import POLICY, Sluice

OPEN_ALL = 'zone = "UTC"\n'
BLOCK_ALLOWED = POLICY + '[[rule]]\nname = "now blocked"\nto = ["host:www.allowed.test"]\naction = "block"\n'


@pytest.mark.parametrize("how", ["SIGHUP", "sluicectl reload"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_gigabyte_lives_through_reloads(lab, fresh, family, how, scheme):
    sluice = fresh(POLICY)
    sock = lab.alice.connect(lab.origin[family], 443 if scheme == "https" else 80, timeout=20)
    if scheme == "https":
        sock = trusting().wrap_socket(sock, server_hostname="files.test")
    with sock:
        sock.sendall(b"GET /big HTTP/1.1\r\nHost: files.test\r\nConnection: close\r\n\r\n")
        head = read_head(sock)
        left = BIG - len(head.partition(b"\r\n\r\n")[2])
        buffer = bytearray(1 << 20)
        reloads = [BIG * part // 4 for part in (3, 2, 1)]
        while left:
            count = sock.recv_into(buffer)
            assert count, f"ended with {left} bytes to go"
            left -= count
            if reloads and left < reloads[0]:
                reloads.pop(0)
                if how == "SIGHUP":
                    if len(reloads) == 2:  # later the last one may still be reading
                        sluice.write(BLOCK_ALLOWED)
                    sluice.signal("supervisor", signal.SIGHUP)
                else:
                    sluice.reload(BLOCK_ALLOWED)
    assert not reloads
    wait_until(lambda: fetch(lab.alice, lab.origin[family], f"{scheme}://www.allowed.test/").blocked, 5, "the new policy holds")


@pytest.mark.parametrize("kind", KINDS)
def test_live_flows_are_judged_again(lab, fresh, family, kind):
    """Newly blocked ones end within a second, in the kernel lane when either side sends; all others stay."""
    sluice = fresh(POLICY, network=KINDS[kind])

    def open_flows(name):
        tls = trusting(names_checked=False).wrap_socket(lab.alice.connect(lab.origin[family], 443),
                                                        server_hostname=name)
        plain = lab.alice.connect(lab.origin[family], 80)
        for sock in (tls, plain):
            assert request(sock, name).allowed
        return tls, plain

    hit, spared = open_flows("www.allowed.test"), open_flows("notblocked.test")
    with Peer(lab.origin.namespace, lab.peer[family], 443, echo):
        nameless = lab.alice.connect(lab.peer[family], 443)
        nameless.sendall(b"\x00here")
        assert nameless.recv(10) == b"\x00here"
        sluice.reload(BLOCK_ALLOWED)
        begun = time.monotonic()
        if sluice.lane == "kernel":
            assert is_reset_when_it_sends(hit[0], "www.allowed.test")
        else:
            assert end_of(hit[0]) != "open"
        assert time.monotonic() - begun < 8  # before any time-out
        # An idle keep-alive connection has nothing to end; its next request is blocked.
        try:
            assert not request(hit[1], "www.allowed.test").allowed
        except OSError:
            pass
        for sock in spared:
            assert request(sock, "notblocked.test").allowed
        nameless.sendall(b"still")
        assert nameless.recv(10) == b"still"
        for sock in (*hit, *spared, nameless):
            sock.close()


def test_a_running_http_answer_that_becomes_blocked_ends(lab, fresh, family):
    sluice = fresh(POLICY)
    with lab.alice.connect(lab.origin[family], 80) as sock:
        sock.sendall(b"GET /slow HTTP/1.1\r\nHost: www.allowed.test\r\n\r\n")
        assert sock.recv(4096)
        sluice.reload(BLOCK_ALLOWED)
        assert end_of(sock, 8) != "open"  # the answer takes 16 s


@pytest.mark.parametrize("kind", ["nftables", "iptables"])
def test_who_is_told_of_a_reload_is_judged_by_it(lab, fresh, kind):
    """Of one, too, that came while the gateway gave no sign of life, so that its rules only refuse at first."""
    sluice = fresh(POLICY, network=KINDS[kind])
    gateway = sluice.signal("gateway", signal.SIGSTOP)
    time.sleep(2)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        reload = pool.submit(sluice.reload, BLOCK_ALLOWED)
        wait_until(lambda: "tproxy" not in sluice.kernel_rules("v4").lower(), 5, "rules that divert nothing", pause=0.01)
        with contextlib.suppress(ProcessLookupError):
            os.kill(gateway, signal.SIGCONT)
        reload.result()
        assert fetch(lab.alice, lab.origin["v4"], "http://www.allowed.test/").blocked


def test_live_keep_leaves_running_flows_alone(lab, fresh, family):
    sluice = fresh(POLICY)
    tls = trusting().wrap_socket(lab.alice.connect(lab.origin[family], 443), server_hostname="www.allowed.test")
    with tls:
        sluice.reload(BLOCK_ALLOWED + 'live = "keep"\n')
        time.sleep(1.2)
        assert request(tls, "www.allowed.test").allowed
    assert fetch(lab.alice, lab.origin[family], "https://www.allowed.test/").blocked


@pytest.mark.parametrize("kind", ["nftables", "proxy"])
def test_a_schedules_edge_flips_the_verdict_and_ends_running_flows(lab, fresh, family, kind):
    def policy(start, end):
        return f"""zone = "UTC"
[schedule]
soon = ["{start:%Y-%m-%d %H:%M} - {end:%Y-%m-%d %H:%M}"]
[[rule]]
name = "not now"
to = ["host:www.allowed.test"]
when = ["soon"]
action = "block"
"""
    # Slots are told in minutes: wait for an edge only if it is near, else flip by a reload.
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    hour = datetime.timedelta(hours=1)
    sluice = fresh(policy(now + hour, now + 2 * hour), network=KINDS[kind])
    tls = trusting().wrap_socket(lab.alice.connect(lab.origin[family], 443), server_hostname="www.allowed.test")
    with tls:
        assert request(tls, "www.allowed.test").allowed
        sluice.reload(policy(now - hour, now + hour))
        if sluice.lane == "kernel":
            assert is_reset_when_it_sends(tls, "www.allowed.test")
        else:
            assert end_of(tls) != "open"
    for scheme in ("http", "https"):
        assert fetch(lab.alice, lab.origin[family], f"{scheme}://www.allowed.test/").blocked
    sluice.reload(policy(now - 2 * hour, now - hour))
    for scheme in ("http", "https"):
        assert fetch(lab.alice, lab.origin[family], f"{scheme}://www.allowed.test/").allowed


def until_an_edge(kind: str) -> tuple[float, bool]:
    """How many seconds after a full minute the clock itself ended a running connection, without anybody asking, and
    whether a new one was blocked then."""
    def now():
        return datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)

    with Lab(guest=False, inner=False) as lab, Sluice(lab, OPEN_ALL, network={"lan": ["lan0"], **KINDS[kind]}) as sluice:
        edge = now().replace(second=0, microsecond=0) + datetime.timedelta(minutes=1)
        if (edge - now()).total_seconds() < 15:
            edge += datetime.timedelta(minutes=1)
        end = edge + datetime.timedelta(hours=1)
        sluice.reload(f"""zone = "UTC"
[schedule]
soon = ["{edge:%Y-%m-%d %H:%M} - {end:%Y-%m-%d %H:%M}"]
[[rule]]
name = "not now"
to = ["host:www.allowed.test"]
when = ["soon"]
action = "block"
""")
        with trusting().wrap_socket(lab.alice.connect(lab.origin["v4"], 443), server_hostname="www.allowed.test") as tls:
            assert request(tls, "www.allowed.test").allowed
            if sluice.lane == "proxy":
                assert end_of(tls, (edge - now()).total_seconds() + 15) != "open"
            tls.settimeout(1)  # an answer that is on its way at the edge does not come
            while not is_reset(tls) and sluice.lane == "kernel":
                assert now() < edge + datetime.timedelta(seconds=15)
                time.sleep(0.1)
                with contextlib.suppress(OSError, http.client.HTTPException):
                    request(tls, "www.allowed.test")
        return (now() - edge).total_seconds(), fetch(lab.alice, lab.origin["v4"], "https://www.allowed.test/").blocked


@pytest.fixture(scope="module", autouse=True)
def edges(built):
    """Waits for a full minute while the other tests run."""
    authority()  # made once, before the threads
    with concurrent.futures.ThreadPoolExecutor() as pool:
        yield {kind: pool.submit(until_an_edge, kind) for kind in ("nftables", "proxy")}


BROKEN = {
    "syntax": (POLICY + "[[rule\n", r"policy\.toml:\d+:\d+: "),
    "unknown key": (POLICY + '[[rule]]\nname = "x"\ncolour = "red"\naction = "block"\n', r"policy\.toml:\d+:\d+: .*colour"),
    "unknown group": (POLICY + '[[rule]]\nname = "x"\nfrom = ["nobody"]\naction = "block"\n',
                      r"policy\.toml:\d+:\d+: .*nobody"),
    "half-written": (POLICY[:len(POLICY) * 2 // 3], r"policy\.toml:\d+:\d+: "),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_policy_changes_nothing(lab, fresh, fault):
    text, wanted = BROKEN[fault]
    sluice = fresh(POLICY)
    sluice.write(text)
    done = sluice.ctl("reload")
    assert done.returncode == 2
    assert re.search(wanted, done.stdout + done.stderr), done.stdout + done.stderr
    sluice.signal("supervisor", signal.SIGHUP)
    time.sleep(0.3)
    assert fetch(lab.alice, lab.origin["v4"], "https://www.blocked.test/").blocked
    assert fetch(lab.alice, lab.origin["v4"], "https://www.allowed.test/").allowed


def test_a_key_that_needs_a_restart_changes_nothing(lab, fresh):
    sluice = fresh(POLICY)
    sluice.write(OPEN_ALL, network={"upstream_source": "gateway"})
    done = sluice.ctl("reload")
    assert done.returncode == 2 and "needs restart" in done.stdout + done.stderr
    assert "upstream_source" in done.stdout + done.stderr
    assert fetch(lab.alice, lab.origin["v4"], "https://www.blocked.test/").blocked


def test_limits_and_exclude_are_reloadable(lab, fresh, family):
    sluice = fresh(POLICY)
    sluice.reload(network={"exclude": [lab.origin[family]]})
    assert fetch(lab.alice, lab.origin[family], "https://www.blocked.test/").allowed
    sluice.reload(network={"exclude": []}, limits={"connections_per_client": 1})
    assert fetch(lab.alice, lab.origin[family], "https://www.blocked.test/").blocked


def test_a_changed_list_goes_live_with_a_reload(lab, fresh):
    sluice = fresh(POLICY)
    (sluice.config / "lists" / "bad.txt").write_text("blocked.test\nnotblocked.test\n")
    assert fetch(lab.alice, lab.origin["v4"], "https://notblocked.test/").allowed
    sluice.reload()
    assert fetch(lab.alice, lab.origin["v4"], "https://notblocked.test/").blocked


@pytest.mark.parametrize("kind", ["nftables", "proxy"])
def test_a_real_edge_of_a_minute(edges, kind):
    seconds, blocked = edges[kind].result()
    assert -0.1 < seconds < 15 and blocked

"""What traffic gets while sluiced is dead, hung, stopped, not yet started or taken down (POLICY, Semantics 13).

One scenario is one event on one kind of gateway, in a lab of its own; it watches four kinds of client traffic at once: v4
and v6, from alice (a group that is `open`) and from bob (`closed`). All scenarios run side by side, because most of what
they do is wait; the tests below then read what they saw, one row of the table each.

What a new connection gets, by name asked for:
    judged   the allowed name's page, and the blocked name's refusal
    passes   both pages: nobody looks
    refused  neither, and told so at once
and what a connection gets that was running before the event:
    lives    it answers
    ends     it is closed or reset
    waits    neither, for now
Running connections of the kernel lane (TLS) live through everything; proxied ones (HTTP, and with `kernel_lane = "off"` TLS
too) share the fate of their process. What was opened while nobody judged lives on when somebody does again.
"""
import concurrent.futures
import signal
import threading
import time
from dataclasses import dataclass, field

import pytest

from backends import KINDS
from client import classify, end_of, fetch, is_reset_when_it_sends, request, trusting
from faults import Failing
from lab import FAMILIES, Lab
from namespace import PATIENCE, running, wait_until
from origin import authority
from sluice import Sluice

KERNEL_LANE = ("nftables", "iptables")
GROUPS = ("open", "closed")
WITHIN = 6.0    # seconds from the event to the state that POLICY promises within 3: a busy machine
RESTART = 20.0  # seconds in which a hung gateway is found out and replaced


@dataclass(frozen=True)
class Event:
    act: object                   # what happens to a Sluice
    new: tuple[str, str]          # new connections, within WITHIN: of the open group, of the closed one
    running: tuple[str, ...]      # what may have become of running proxied ones by then
    later: str | None = None      # new connections, once things have been put right, by the supervisor or `mend`
    later_running: str | None = None  # of proxied ones
    mend: object = None           # what an admin does then
    begins_running: bool = True   # whether sluiced runs before the event


def kill(role, number):
    return lambda sluice: sluice.signal(role, number)


def kill_supervisor(sluice):
    roles = [sluice.role("gateway"), sluice.role("keeper")]
    sluice.signal("supervisor", signal.SIGKILL)
    wait_until(lambda: not any(map(running, roles)), WITHIN, "gateway and keeper go with their supervisor")


def boot(sluice):
    done = sluice.boot()
    assert done.returncode == 0, done.stderr


def stop(sluice):
    sluice.process.terminate()


def start(sluice):
    """Once the last one has gone."""
    if sluice.process:
        sluice.process.wait(20)
    sluice.start()


def down(sluice):
    done = sluice.ctl("down")
    assert done.returncode == 0, done.stdout + done.stderr


EVENTS = {
    "kill -9 gateway": Event(kill("gateway", signal.SIGKILL), ("judged", "judged"), ("ends",)),
    "SIGSTOP gateway": Event(kill("gateway", signal.SIGSTOP), ("passes", "refused"), ("waits", "ends"),
                             later="judged", later_running="ends"),
    "kill -9 supervisor": Event(kill_supervisor, ("passes", "refused"), ("ends",), mend=start, later="judged",
                                later_running="ends"),
    "SIGSTOP supervisor": Event(kill("supervisor", signal.SIGSTOP), ("judged", "judged"), ("lives",)),
    "boot before start": Event(boot, ("passes", "refused"), (), mend=start, later="judged", begins_running=False),
    "clean stop": Event(stop, ("passes", "refused"), ("lives", "ends"), mend=start, later="judged", later_running="ends"),
    "down": Event(down, ("passes", "passes"), ("lives", "ends"), mend=start, later="judged", later_running="ends"),
}

POLICY = """
zone = "UTC"
[group.shut]
members = ["10.20.0.3", "fd00:20::3"]
if_down = "closed"
[[rule]]
name = "no games"
to = ["host:blocked.test"]
action = "block"
"""


@dataclass
class Seen:
    """One (family, group) of one scenario."""
    within: str = ""                # state of new connections at the end of WITHIN
    slips: list = field(default_factory=list)   # blocked pages that a closed group got to see meanwhile
    running: dict = field(default_factory=dict)  # "tls" and "http": lives, ends, waits
    later: str = ""
    later_running: dict = field(default_factory=dict)
    meanwhile: str = ""             # of a connection to a blocked name, opened when nobody judged


def state_of_new(client, where, timeout: float = 1) -> tuple[str, list]:
    """One look with both names and both schemes; "mixed" while things are changing."""
    replies = {(name, scheme): fetch(client, where, f"{scheme}://{name}/", timeout=timeout)
               for name in ("www.allowed.test", "www.blocked.test") for scheme in ("http", "https")}
    allowed = [r for (name, _), r in replies.items() if name == "www.allowed.test"]
    blocked = [r for (name, _), r in replies.items() if name == "www.blocked.test"]
    slips = [r for r in blocked if r.allowed]
    if all(r.allowed for r in allowed) and all(r.blocked for r in blocked):
        return "judged", slips
    if all(r.allowed for r in replies.values()):
        return "passes", slips
    if all(r.refused for r in replies.values()):
        return "refused", slips
    return "mixed: " + ", ".join(f"{name} {scheme} {reply.kind} {reply.status or ''}"
                                 for (name, scheme), reply in replies.items()), slips


def state_of_running(sock, timeout: float = 10) -> str:
    try:
        sock.settimeout(timeout)
        reply = request(sock, "www.allowed.test")
        return "lives" if reply.allowed else "ends"
    except Exception as error:  # noqa: BLE001
        return "waits" if classify(error).kind == "silent" else "ends"


def open_tls(client, where, name="www.allowed.test"):
    return trusting().wrap_socket(client.connect(where, 443), server_hostname=name)


def watch(event: Event, lab: Lab, sluice: Sluice | None, cell, seen: Seen, gate):
    """What one client sees of one event. `gate` is passed by all watchers and the event together."""
    family, group = cell
    client, where = (lab.alice if group == "open" else lab.bob), lab.origin[family]
    connections = {}
    if event.begins_running:
        connections["http"] = client.connect(where, 80)
        connections["tls"] = open_tls(client, where)
        for sock in connections.values():
            assert request(sock, "www.allowed.test").allowed
    gate.wait()  # all set
    gate.wait()  # the event has happened
    begun = time.monotonic()
    wanted = event.new[GROUPS.index(group)]
    while True:
        state, slips = state_of_new(client, where)
        seen.slips += slips
        if state == wanted or time.monotonic() - begun > WITHIN * PATIENCE:
            break
        time.sleep(0.1)
    seen.within = state
    time.sleep(0.3)  # and it stays so
    if seen.within == wanted:
        seen.within, slips = state_of_new(client, where, 1 if event.later else 10)
        seen.slips += slips
    # Those first that the supervisor's patience with a hung gateway is short for.
    for kind, sock in connections.items():
        proxied = kind == "http" or sluice.lane == "proxy"
        seen.running[kind] = state_of_running(sock, 1 if proxied and "waits" in event.running else 10)
    meanwhile = open_tls(client, where, "www.blocked.test") if event.later and state == "passes" else None
    if event.mend:
        gate.wait()
        gate.wait()
    if event.later:
        deadline = time.monotonic() + RESTART * PATIENCE
        while seen.later != event.later and time.monotonic() < deadline:
            time.sleep(0.3)
            seen.later, slips = state_of_new(client, where)
            seen.slips += slips
        proxied = connections if sluice.lane == "proxy" else {"http": connections.get("http")}
        for kind, sock in connections.items():
            seen.later_running[kind] = end_of(sock, RESTART * PATIENCE) if kind in proxied else state_of_running(sock)
    if meanwhile:
        seen.meanwhile = state_of_running(meanwhile)
        meanwhile.close()
    for sock in connections.values():
        sock.close()


def play(name: str, kind: str) -> dict:
    event = EVENTS[name]
    cells = {(family, group): Seen() for family in FAMILIES for group in GROUPS}
    with Lab(guest=False, inner=False) as lab:
        sluice = Sluice(lab, POLICY, network={"lan": ["lan0"], **KINDS[kind]}, start=event.begins_running)
        gate = threading.Barrier(len(cells) + 1, timeout=120)
        with concurrent.futures.ThreadPoolExecutor(len(cells)) as pool:
            watchers = [pool.submit(watch, event, lab, sluice, cell, seen, gate) for cell, seen in cells.items()]
            try:
                gate.wait()
                event.act(sluice)
                gate.wait()
                if event.mend:
                    gate.wait()
                    event.mend(sluice)
                    gate.wait()
            except BaseException:
                gate.abort()
                for watcher in watchers:
                    watcher.exception()
                raise
            for watcher in watchers:
                watcher.result()
    return cells


@pytest.fixture(scope="module")
def scenarios(built):
    """{(event, kind): what was seen, or the exception}; so many at a time keep two cores awake, not drowned."""
    authority()  # made once, before the threads
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        running_scenarios = {(name, kind): pool.submit(play, name, kind) for kind in KINDS for name in EVENTS}
    return running_scenarios


@pytest.fixture
def seen(scenarios, event, kind, family, if_down) -> Seen:
    return scenarios[event, kind].result()[family, if_down]


table = pytest.mark.parametrize("event,kind,family,if_down", [
    pytest.param(event, kind, family, if_down, id=f"{event}-{kind}-{family}-{if_down}")
    for event in EVENTS for kind in KINDS for family in FAMILIES for if_down in GROUPS])


@table
def test_a_new_connection(seen, event, if_down):
    wanted = EVENTS[event]
    assert seen.within == wanted.new[GROUPS.index(if_down)]
    if if_down == "closed" and event != "down":
        assert not seen.slips, "a closed group got a blocked page"
    if wanted.later:
        assert seen.later == wanted.later


@table
def test_a_running_connection(seen, event, kind):
    wanted = EVENTS[event]
    kernel = {"tls"} if kind in KERNEL_LANE else set()
    for name, state in seen.running.items():
        assert state in (("lives",) if name in kernel else wanted.running), name
    if wanted.later_running == "ends":
        for name, state in seen.later_running.items():
            assert state in (("lives",) if name in kernel else ("closed", "reset")), name


@table
def test_a_connection_opened_when_nobody_judged(seen, event, if_down, kind):
    """After `down` nobody here has conntrack look on: then it is one picked up in the middle (below)."""
    wanted = EVENTS[event]
    if wanted.later and wanted.new[GROUPS.index(if_down)] == "passes":
        ends = if_down == "closed" or (event == "down" and kind in KERNEL_LANE)
        assert seen.meanwhile == ("ends" if ends else "lives")


# --- flows of the kernel lane, afterwards ------------------------------------------------------------------------------------

ALLOWED_NO_MORE = POLICY + """[[rule]]
name = "not any more"
to = ["host:www.allowed.test"]
action = "block"
"""


def open_everywhere(lab) -> dict:
    """A running TLS connection of each client and family."""
    flows = {(client, family): open_tls(client, lab.origin[family]) for client in (lab.alice, lab.bob)
             for family in FAMILIES}
    for sock in flows.values():
        assert request(sock, "www.allowed.test").allowed
    return flows


def judges(lab) -> bool:
    return all(state_of_new(client, lab.origin[family])[0] == "judged" for client in (lab.alice, lab.bob)
               for family in FAMILIES)


@pytest.mark.parametrize("kind", KERNEL_LANE)
@pytest.mark.parametrize("killed", ["gateway", "supervisor"])
def test_a_reload_finds_flows_that_outlived_the_daemon(lab, fresh, kind, killed):
    sluice = fresh(POLICY, network=KINDS[kind])
    flows = open_everywhere(lab)
    if killed == "gateway":
        sluice.signal("gateway", signal.SIGKILL)
    else:
        kill_supervisor(sluice)
        start(sluice)
    wait_until(lambda: judges(lab), RESTART, "judged again")
    for sock in flows.values():
        assert request(sock, "www.allowed.test").allowed
    sluice.reload(ALLOWED_NO_MORE)
    for (client, family), sock in flows.items():
        assert is_reset_when_it_sends(sock, "www.allowed.test")
        sluice.wait_access(client=client[family], name="www.allowed.test", action="block", rule="not any more",
                           tls="kernel", sport=sock.getsockname()[1])


@pytest.mark.parametrize("kind", KERNEL_LANE)
def test_a_connection_picked_up_in_the_middle_is_reset(lab, fresh, kind):
    """It may be one whose client made conntrack forget it: in open groups too (docs/decisions/0008)."""
    fresh(POLICY, network=KINDS[kind])
    flows = open_everywhere(lab)
    for family in ("ipv4", "ipv6"):
        lab.gateway.run("conntrack", "-f", family, "-D", "-p", "tcp", "--dport", "443")
    for (client, family), sock in flows.items():
        assert is_reset_when_it_sends(sock, "www.allowed.test")
        assert fetch(client, lab.origin[family], "https://www.allowed.test/").allowed


def test_long_work_of_the_main_thread_is_no_death(lab, fresh):
    """A large policy, a table of 200,000 connections: the workers judge on, and neither the rules nor the supervisor take the
    gateway for dead. (Each wait of its main thread takes 10 s here; the supervisor's patience is 8.)"""
    sluice = fresh(POLICY)
    gateway = sluice.role("gateway")
    with Failing(gateway, "epoll_wait,epoll_pwait:delay_enter=10s", threads=False):
        end = time.monotonic() + 13
        while time.monotonic() < end:
            for client in (lab.alice, lab.bob):  # an open group and a closed one
                assert fetch(client, lab.origin["v4"], "http://www.allowed.test/").allowed
                assert fetch(client, lab.origin["v4"], "https://www.blocked.test/").blocked
            time.sleep(0.1)
    assert sluice.role("gateway") == gateway


@pytest.mark.slow
def test_a_main_thread_that_is_stuck_is_found_out(lab, fresh):
    sluice = fresh(POLICY)
    gateway = sluice.role("gateway")
    with Failing(gateway, "epoll_wait,epoll_pwait:delay_enter=45s", threads=False):  # who waits so dies only then
        wait_until(lambda: sluice.role("gateway") not in (None, gateway), 60, "another gateway")
    assert "the gateway gives no sign of life" in sluice.log_text
    wait_until(lambda: fetch(lab.bob, lab.origin["v4"], "https://www.blocked.test/").blocked, 10, "judged again")

"""EMFILE, ENOMEM and EAGAIN of fork: limits that a running role runs into. What cannot be done is refused and said, what is
judged stays judged, and with room again all goes on."""
import concurrent.futures
import contextlib
import itertools
import os
import time

import pytest

from faults import DOWN, JUDGED, Failing, Killer, Slips, limit, states, wait_states
from lab import Lab
from namespace import wait_until
from origin import authority
from sluice import POLICY, Sluice
from test_limits import cpu_seconds

OTHER_POLICY = POLICY + """
[[rule]]
name = "one more"
to = ["host:other.test"]
action = "block"
"""
MANY_NAMES = "blocked.test\n" + "".join(f"host-{i}.example\n" for i in range(300_000))


def no_descriptors(pid: int):
    """No number below the limit is free, nor becomes free by something that is just ending."""
    def settled():
        before = set(os.listdir(f"/proc/{pid}/fd"))
        time.sleep(0.3)
        return before == set(os.listdir(f"/proc/{pid}/fd")) and before

    used = set(map(int, wait_until(settled, 10, "no descriptor comes or goes")))
    limit(pid, nofile=next(number for number in itertools.count() if number not in used))


def size_of(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[0]) * 4096


def no_memory(pid: int):
    limit(pid, **{"as": size_of(pid)})


def room_again(pid: int):
    limit(pid, nofile=4096, **{"as": "unlimited"})


def supervisor_without_descriptors(lab, sluice):
    """A reload is refused, rules that somebody flushes come back when there is room, and so does a gateway."""
    pid = sluice.supervisor
    no_descriptors(pid)
    done = sluice.ctl("reload")
    assert done.returncode != 0 and states(lab) == JUDGED, done
    gateway = sluice.signal("gateway", 9)
    wait_until(lambda: sluice.role("gateway") != gateway, 10, "it has gone")
    lab.gateway.run("nft", "delete", "table", "inet", "sluice")
    wait_until(lambda: "Too many open files" in sluice.log_text, 20, "it is said")
    room_again(pid)
    wait_states(lab, JUDGED, 60)
    sluice.reload(OTHER_POLICY)


def supervisor_cannot_start_a_gateway(lab, sluice):
    pid = sluice.supervisor
    with Slips(lab):
        no_descriptors(pid)
        sluice.signal("gateway", 9)
        wait_until(lambda: "the gateway cannot be started" in sluice.log_text, 10, "it is said")
        wait_states(lab, DOWN)
        assert sluice.process.poll() is None
        room_again(pid)
        wait_states(lab, JUDGED, 60)


def fork_fails(lab, sluice):
    """What needs a tool or a process is refused."""
    with Slips(lab), Failing(sluice.supervisor, "clone:error=EAGAIN", "clone3:error=EAGAIN", "vfork:error=EAGAIN",
                             "fork:error=EAGAIN"):
        sluice.write(OTHER_POLICY)
        done = sluice.ctl("reload")
        assert done.returncode == 2 and "temporarily unavailable" in done.stdout + done.stderr, done
        assert states(lab) == JUDGED
    wait_states(lab, JUDGED)
    sluice.reload()


def gateway_without_descriptors(lab, sluice):
    """It cannot even receive a policy, and says so; its proxied flows need descriptors too, the kernel lane's do not."""
    pid = sluice.role("gateway")
    no_descriptors(pid)
    sluice.write(OTHER_POLICY)
    done = sluice.ctl("reload")
    assert done.returncode == 2 and "no file descriptors left" in done.stdout + done.stderr, done
    with Slips(lab):
        states(lab, timeout=2)
        room_again(pid)
        wait_states(lab, JUDGED)
    sluice.reload()
    assert sluice.role("gateway") == pid


def keeper_without_descriptors(lab, sluice):
    """It cannot hear who asks; it does not spin, and traffic does not notice."""
    pid = sluice.role("keeper")
    no_descriptors(pid)
    assert states(lab) == JUDGED
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(sluice.ctl, "status", timeout=60) for _ in range(3)]
        time.sleep(0.5)
        before = cpu_seconds(pid)
        time.sleep(2)
        spun = cpu_seconds(pid) - before
        room_again(pid)
        assert spun < 1, "spins while there are no descriptors"
        assert all(each.result().returncode == 0 for each in asking)


def gateway_without_memory(lab, sluice):
    """A larger list does not fit: the old policy stays, or the gateway dies of it and its successor has the new one."""
    pid = sluice.role("gateway")
    no_memory(pid)
    sluice.write(OTHER_POLICY)
    (sluice.config / "lists" / "bad.txt").write_text(MANY_NAMES)
    with Slips(lab):
        done = sluice.ctl("reload", timeout=60)
        if sluice.role("gateway") == pid:
            assert done.returncode == 2 and "keeps its old policy" in done.stdout + done.stderr, done
            room_again(pid)
        wait_states(lab, JUDGED, 60)
        sluice.reload()
        wait_states(lab, JUDGED)


def keeper_without_memory(lab, sluice):
    pid = sluice.role("keeper")
    no_memory(pid)
    for verb in ("status", "connections", "usage", "top"):
        sluice.ctl(verb)
    assert states(lab) == JUDGED
    if sluice.role("keeper") == pid:
        room_again(pid)
    wait_until(lambda: sluice.ctl("status").returncode == 0, 30, "it answers")
    wait_until(lambda: sluice.ctl("usage").returncode == 0, 30, "of usage too")


def a_gateway_that_cannot_begin(lab, sluice):
    """Somebody has taken its port: it ends by itself at each start, which backs off; if_down holds, until it is free."""
    def port():
        with contextlib.suppress(OSError):
            return lab.gateway.listen("0.0.0.0", 8129)

    with Slips(lab):
        with Killer(sluice, "gateway"):  # each pause before the next one is longer
            taken = wait_until(port, 20, "the port is ours", pause=0.001)
        wait_states(lab, DOWN, 20)
        wait_until(lambda: sluice.log_text.count("the gateway ended (exit status") >= 3, 30, "a crash loop")
        begun = sluice.log_text.count("the gateway ended")
        end = time.monotonic() + 5
        while time.monotonic() < end:
            assert states(lab) == DOWN
            time.sleep(0.3)
        assert sluice.log_text.count("the gateway ended") - begun <= 6, "without a pause there would be hundreds"
        taken.close()
        wait_states(lab, JUDGED, 60)


FAULTS = [supervisor_without_descriptors, supervisor_cannot_start_a_gateway, fork_fails, gateway_without_descriptors,
          keeper_without_descriptors, gateway_without_memory, keeper_without_memory, a_gateway_that_cannot_begin]


def play(fault):
    with Lab(guest=False, inner=False) as lab:
        sluice = Sluice(lab, POLICY, network={"lan": ["lan0"]}, daemon={"workers": 2})
        wait_states(lab, JUDGED)
        fault(lab, sluice)
        assert sluice.stop() == 0


@pytest.fixture(scope="module")
def played(built):
    authority()
    with concurrent.futures.ThreadPoolExecutor(len(FAULTS)) as pool:
        return {fault: pool.submit(play, fault) for fault in FAULTS}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_what_runs_out(played, fault):
    played[fault].result()

"""A service manager starts the daemon as a user of its own, with two capabilities: everything works as it does for root."""
import signal
from pathlib import Path

import pytest

from backends import KINDS
from client import fetch
from lab import FAMILIES
from namespace import wait_until
from sluice import POLICY, UNPRIVILEGED, Sluice

INSPECT = '[group.inspected]\nmembers = ["10.20.0.2", "fd00:20::2"]\ntls = "inspect"\n[group.closed]'
NET_ADMIN, NET_RAW, NET_BIND_SERVICE = 1 << 12, 1 << 13, 1 << 10


def of_status(pid: int, key: str) -> list[str]:
    return next(line.split()[1:] for line in Path(f"/proc/{pid}/status").read_text().splitlines()
                if line.startswith(key + ":"))


@pytest.fixture(params=["nftables", "iptables"])
def sluice(request, fresh):
    return fresh(POLICY.replace("[group.closed]", INSPECT, 1), root=False, network=KINDS[request.param])


def test_it_filters_and_follows(lab, sluice):
    assert "cannot be at port" not in sluice.log_text  # the gateway's own page
    for family in FAMILIES:
        where = lab.origin[family]
        for client in (lab.alice, lab.bob):  # decrypted; judged in the kernel lane
            for scheme in ("http", "https"):
                assert fetch(client, where, f"{scheme}://www.allowed.test/").allowed
        assert fetch(lab.alice, where, "https://www.blocked.test/").blocked
        assert fetch(lab.bob, where, "http://www.blocked.test/").blocked
        assert fetch(lab.bob, where, "https://www.blocked.test/").kind == "reset"
    sluice.reload(POLICY + '[[rule]]\nname = "no more"\nto = ["host:www.allowed.test"]\naction = "block"\n')
    assert fetch(lab.bob, lab.origin["v4"], "http://www.allowed.test/").blocked
    sluice.wait_access(name="www.allowed.test", action="block", rule="no more")


def test_who_may_what(sluice):
    nobody = of_status(sluice.supervisor, "Uid")[0]
    for role, kept in (("supervisor", NET_ADMIN | NET_RAW | NET_BIND_SERVICE), ("gateway", NET_ADMIN), ("keeper", 0), ("signer", 0)):
        pid = sluice.supervisor if role == "supervisor" else sluice.role(role)
        assert of_status(pid, "Uid") == [nobody] * 4
        assert int(of_status(pid, "CapEff")[0], 16) == int(of_status(pid, "CapPrm")[0], 16) == kept, role
        assert int(of_status(pid, "CapAmb")[0], 16) == (kept if role == "supervisor" else 0), role


def test_a_killed_gateway_comes_back_and_a_stop_leaves_what_it_should(lab, sluice):
    before = sluice.signal("gateway", signal.SIGKILL)
    wait_until(lambda: sluice.role("gateway") not in (None, before), 10, "another gateway")
    wait_until(lambda: fetch(lab.alice, lab.origin["v4"], "http://www.blocked.test/").blocked, 10, "judged again")
    assert sluice.stop() == 0
    assert fetch(lab.alice, lab.origin["v4"], "http://www.blocked.test/").allowed
    assert not fetch(lab.bob, lab.origin["v4"], "http://www.allowed.test/").allowed  # if_down = "closed"


@pytest.mark.parametrize("given,instead,said", [
    ("--ambient-caps=-all,+net_admin,+net_raw,+net_bind_service", "--ambient-caps=-all,+net_admin", "AmbientCapabilities"),
    ("--reuid=nobody", "--reuid=daemon", "must run as root, or as the user")])
def test_without_what_it_needs_it_says_so(lab, built, given, instead, said):
    sluice = Sluice(lab, root=False, start=False)
    sluice.give_away()
    starter = [instead if word == given else word for word in UNPRIVILEGED]
    done = lab.gateway.run(*starter, *sluice.command(), check=False)
    assert done.returncode == 1 and said in done.stderr

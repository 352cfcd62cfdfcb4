"""DHCP leases as a real dnsmasq writes them: names of devices, and an address that changes hands."""
import time

import pytest
from client import fetch
from dhcp_client import DhcpClient
from namespace import wait_until
from test_devices import mac_of
from test_radius import POLICY, account, clients, radius, user_at, wait_user  # noqa: F401 (radius is a fixture)

RANGE = "10.20.1.100"


@pytest.fixture
def dnsmasq(lab):
    """A DHCP server on lan0 with one address to give; the path of its leases."""
    leases = lab.directory / f"dnsmasq-{time.monotonic_ns()}.leases"
    server = lab.gateway.popen("dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--interface=lan0",
                               "--user=root", "--dhcp-authoritative", "--no-ping", f"--dhcp-leasefile={leases}",
                               f"--dhcp-range={RANGE},{RANGE},255.255.0.0,2m", "--pid-file=", stderr=(lab.directory / "dnsmasq.log").open("w"))
    wait_until(leases.exists, 5, "dnsmasq has begun its file")
    yield leases
    server.terminate()
    server.wait(5)


@pytest.fixture
def dhcp(lab):
    """dhcp(host, hostname): a client on its eth0."""
    made = []

    def make(host, hostname: str) -> DhcpClient:
        made.append(DhcpClient(host.namespace, mac_of(host), hostname))
        return made[-1]

    yield make
    for each in made:
        each.close()
    for host in (lab.alice, lab.bob):
        host.run("ip", "addr", "del", f"{RANGE}/16", "dev", "eth0", check=False)


def test_a_lease_names_its_device(lab, fresh, dnsmasq, dhcp):
    sluice = fresh(POLICY, identity={"leases": [str(dnsmasq)]})
    lease = dhcp(lab.alice, "alices-tablet").lease()
    assert lease.address == RANGE
    lab.alice.namespace.ip(f"addr add {RANGE}/16 dev eth0")
    wait_until(lambda: clients(sluice).get(RANGE, {}).get("hostname") == "alices-tablet", 5, "the name is known")
    assert clients(sluice)[RANGE]["mac"] == mac_of(lab.alice)
    with lab.alice.connect(lab.origin["v4"], 80, source=RANGE) as sock:
        from client import request
        assert request(sock, "www.allowed.test").allowed
    # The same device at another address of its own.
    assert fetch(lab.alice, lab.origin["v6"], "http://www.allowed.test/").allowed
    wait_until(lambda: clients(sluice).get(lab.alice["v6"], {}).get("hostname") == "alices-tablet", 5, "IPv6 joins it")


def test_an_address_that_changes_hands(lab, fresh, dnsmasq, dhcp, radius):  # noqa: F811
    sluice = radius(leases=[str(dnsmasq)])
    alice, bob = dhcp(lab.alice, "alices-tablet"), dhcp(lab.bob, "bobs-phone")
    lease = alice.lease()
    lab.alice.namespace.ip(f"addr add {RANGE}/16 dev eth0")
    wait_until(lambda: clients(sluice).get(RANGE, {}).get("hostname") == "alices-tablet", 5, "the name is known")
    # Her session, told by a NAS that does not tell of devices, and whose Stop is lost.
    assert account(lab.inner, "Start", User_Name="alice", Framed_IP_Address=RANGE)
    wait_user(sluice, RANGE, "alice")

    alice.release(lease)
    lab.alice.namespace.ip(f"addr del {RANGE}/16 dev eth0")
    wait_until(lambda: RANGE not in dnsmasq.read_text(), 5, "dnsmasq has it back")
    assert bob.lease().address == RANGE
    lab.bob.namespace.ip(f"addr add {RANGE}/16 dev eth0")
    with lab.bob.connect(lab.origin["v4"], 80, source=RANGE) as sock:
        from client import request
        assert request(sock, "files.test").allowed  # alice may not
    wait_until(lambda: clients(sluice).get(RANGE, {}).get("hostname") == "bobs-phone", 5, "the new name is known")
    assert user_at(sluice, RANGE) == ""
    # An Interim that still tells of her changes nothing.
    assert account(lab.inner, "Interim-Update", User_Name="alice", Framed_IP_Address=RANGE)
    time.sleep(1)
    assert user_at(sluice, RANGE) == ""


def test_half_a_file_takes_nothing_away(lab, fresh):
    path = lab.directory / "half.leases"
    lines = [f"{int(time.time()) + 3600} 02:00:00:00:00:0{n} 10.20.1.{n} device-{n} *\n" for n in range(1, 6)]
    path.write_text("".join(lines))
    path.chmod(0o644)
    sluice = fresh(POLICY, identity={"leases": str(path)})

    def names():
        return sorted(each["hostname"] for each in clients(sluice).values() if each["hostname"])

    everybody = [f"device-{n}" for n in range(1, 6)]
    wait_until(lambda: names() == everybody, 5, "all are known")
    for _ in range(3):
        begun = time.monotonic()
        path.write_text("".join(lines)[:110])  # in the third line; it is believed after 2 s
        time.sleep(0.5)
        found = names()
        path.write_text("".join(lines))
        assert found == everybody or time.monotonic() - begun > 1.5
        time.sleep(1)
    path.write_text("".join(lines[1:]))
    wait_until(lambda: names() == everybody[1:], 5, "one has gone")
    path.unlink()
    wait_until(lambda: names() == [], 5, "all have gone")

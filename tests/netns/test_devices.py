"""Who is asking: by MAC address, IPv6 privacy addresses included; by address; by the interface they came in on."""
import contextlib
import socket
import time

import pytest
from backends import KINDS
from client import fetch
from namespace import family_of
from origin import Peer, echo
from quic_packets import crypto, hello, initial

POLICY = """
zone = "UTC"
[device]
"alices tablet" = {{ mac = ["{mac}"] }}
[group.pupils]
members = ["device:alices tablet"]
[group.visitors]
members = ["iface:guest0"]
[group.staff]
members = ["10.20.0.3", "fd00:20::/64"]
[[rule]]
name = "pupils"
from = ["pupils"]
to = ["host:www.allowed.test"]
action = "block"
[[rule]]
name = "tablet"
from = ["device:alices tablet"]
to = ["host:files.test"]
action = "block"
[[rule]]
name = "visitors"
from = ["visitors"]
to = ["host:arcade.test"]
action = "block"
"""


def mac_of(host) -> str:
    with host.namespace.enter():
        import fcntl
        import socket
        import struct
        with socket.socket() as sock:
            answer = fcntl.ioctl(sock, 0x8927, struct.pack("256s", b"eth0"))  # SIOCGIFHWADDR
    return ":".join(f"{byte:02x}" for byte in answer[18:24])


def test_a_device_keeps_its_group_over_addresses(lab, fresh, family):
    sluice = fresh(POLICY.format(mac=mac_of(lab.alice)))
    name, where = "www.allowed.test", lab.origin[family]
    assert fetch(lab.alice, where, f"https://{name}/").blocked
    assert fetch(lab.alice, where, f"http://{name}/").blocked
    assert fetch(lab.alice, where, "http://files.test/").blocked
    assert fetch(lab.bob, where, f"https://{name}/").allowed
    record = sluice.wait_access(client=lab.alice[family], name=name, action="block")
    assert record["device"] == "alices tablet" and record["group"] == "pupils"


@contextlib.contextmanager
def fresh_address(host, family: str, number: int):
    """One more address, as IPv6's privacy extensions make them: the router has never heard of it."""
    address, length = (f"10.20.7.{number}", 16) if family == "v4" else (f"fd00:20::a1b2:c3d4:e5f6:{number}", 64)
    host.namespace.ip(f"addr add {address}/{length} dev eth0" + (" nodad" if family == "v6" else ""))
    try:
        yield address
    finally:
        host.namespace.ip(f"addr del {address}/{length} dev eth0")


@pytest.mark.parametrize("kind", KINDS)
def test_a_device_is_known_by_the_first_packet_of_a_new_address(lab, fresh, family, kind):
    sluice = fresh(POLICY.format(mac=mac_of(lab.alice)), network=KINDS[kind])
    name, where = "www.allowed.test", lab.origin[family]
    assert fetch(lab.alice, where, f"https://{name}/").blocked
    for number, scheme in enumerate(("http", "https") * 2):
        with fresh_address(lab.alice, family, 10 + number) as address:
            assert fetch(lab.alice, where, f"{scheme}://{name}/", source=address).blocked
            assert sluice.wait_access(client=address, action="block")["device"] == "alices tablet"
        with fresh_address(lab.alice, family, 20 + number) as address:
            assert fetch(lab.alice, where, f"{scheme}://notblocked.test/", source=address).allowed
    if sluice.lane == "kernel":
        with fresh_address(lab.alice, family, 30) as address, \
                lab.alice.namespace.socket(family_of(address), socket.SOCK_DGRAM) as sock:
            sock.bind((address, 0))
            sock.sendto(initial(crypto(hello(name, b"12345678")), b"87654321", b"12345678"), (where, 443))
            assert sluice.wait_access(client=address, proto="quic", action="block")["device"] == "alices tablet"


def test_a_new_address_on_any_port(lab, fresh, family):
    """The kernel tells of a connection before it tells whose address that is: it is looked at once more."""
    sluice = fresh(POLICY.format(mac=mac_of(lab.alice)) + '[[rule]]\nname = "no console"\nfrom = ["pupils"]\n'
                   'port = ["tcp/2222"]\naction = "block"\n')
    with Peer(lab.origin.namespace, lab.peer[family], 2222, echo):
        for number, client, ends in ((40, lab.alice, True), (41, lab.bob, False)):
            with fresh_address(client, family, number) as address:
                try:
                    with client.connect(lab.peer[family], 2222, source=address) as sock:
                        sock.settimeout(2)
                        for _ in range(20):
                            sock.sendall(b"x")
                            assert sock.recv(1) == b"x", "a reset"
                            time.sleep(0.1)
                    assert not ends
                except OSError:
                    assert ends
                if ends:
                    assert sluice.wait_access(client=address, rule="no console")["device"] == "alices tablet"


def test_interface_members(lab, fresh, family):
    sluice = fresh(POLICY.format(mac="02:00:00:00:00:01"))
    for scheme in ("http", "https"):
        assert fetch(lab.guest, lab.origin[family], f"{scheme}://arcade.test/").blocked
        assert fetch(lab.guest, lab.origin[family], f"{scheme}://www.allowed.test/").allowed
        assert fetch(lab.alice, lab.origin[family], f"{scheme}://arcade.test/").allowed
    assert sluice.wait_access(client=lab.guest[family], name="arcade.test")["group"] == "visitors"
    wanted = "staff" if family == "v6" else "default"
    assert sluice.wait_access(client=lab.alice[family], name="arcade.test")["group"] == wanted

"""Who is asking: by MAC address, IPv6 privacy addresses included; by address; by the interface they came in on."""
from client import fetch

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

    # A fresh address of the same device, from its very first connection.
    fresh_address = "10.20.7.7" if family == "v4" else "fd00:20::a1b2:c3d4:e5f6:1789"
    lab.alice.namespace.ip(f"addr add {fresh_address}/{16 if family == 'v4' else 64} dev eth0 "
                           f"{'' if family == 'v4' else 'nodad'}")
    try:
        with lab.alice.connect(where, 80, source=fresh_address) as sock:
            from client import request
            assert request(sock, name).blocked
        record = sluice.wait_access(client=fresh_address, action="block")
        assert record["device"] == "alices tablet"
        with lab.alice.connect(where, 80, source=fresh_address) as sock:
            assert request(sock, "notblocked.test").allowed
    finally:
        lab.alice.namespace.ip(f"addr del {fresh_address}/{16 if family == 'v4' else 64} dev eth0")


def test_interface_members(lab, fresh, family):
    sluice = fresh(POLICY.format(mac="02:00:00:00:00:01"))
    for scheme in ("http", "https"):
        assert fetch(lab.guest, lab.origin[family], f"{scheme}://arcade.test/").blocked
        assert fetch(lab.guest, lab.origin[family], f"{scheme}://www.allowed.test/").allowed
        assert fetch(lab.alice, lab.origin[family], f"{scheme}://arcade.test/").allowed
    assert sluice.wait_access(client=lab.guest[family], name="arcade.test")["group"] == "visitors"
    wanted = "staff" if family == "v6" else "default"
    assert sluice.wait_access(client=lab.alice[family], name="arcade.test")["group"] == wanted

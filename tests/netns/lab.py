"""The lab: one gateway, what is behind it and what is before it, in network namespaces.

       alice 10.20.0.2 --\\
       bob   10.20.0.3 ----[lan0 bridge]---+---------+
       guest 10.30.0.2 ----[guest0]--------| gateway |---[wan0]--- origin 10.99.0.2 nginx, 10.99.0.3 free for peers
       inner 10.40.0.2 ----[inner0]--------+---------+             and a second address for each

Every host has the same host number under fd00:NN:: too. The gateway's default route leaves by wan0; `inner` is a
network of the house that is not the internet; `lan0` and `guest0` are the LANs that sluice judges. The gateway
forwards by itself, so whatever a test sees blocked is sluice's doing.

Lab(hop=True) puts a second router behind the gateway, so that what leaves a client with TTL 2 passes the gateway and
dies before the origin:

       gateway 10.98.0.1 [wan0]--- 10.98.0.2 hop 10.99.0.1 --- origin
"""
from __future__ import annotations

import shutil
import socket
from pathlib import Path

from namespace import Namespace, next_serial, scratch_directory, sweep, veth
from origin import NAMES, Nginx

FAMILIES = ("v4", "v6")
FORWARDING = {"net__ipv4__ip_forward": 1, "net__ipv6__conf__all__forwarding": 1,
              "net__ipv6__conf__all__accept_dad": 0, "net__ipv6__conf__default__accept_dad": 0}
NETWORKS = {"lan": 20, "guest": 30, "inner": 40, "between": 98, "wan": 99}


def address(network: str, host: int, family: str) -> str:
    number = NETWORKS[network]
    return f"10.{number}.0.{host}" if family == "v4" else f"fd00:{number}::{host}"


def gateway_address(network: str, family: str) -> str:
    return address(network, 1, family)


class Host:
    """A namespace with one leg into the lab."""

    def __init__(self, namespace: Namespace, network: str, number: int):
        self.namespace = namespace
        self.network, self.number = network, number

    def __getitem__(self, family: str) -> str:
        return address(self.network, self.number, family)

    def connect(self, *arguments, **named):
        return self.namespace.connect(*arguments, **named)

    def run(self, *command, **named):
        return self.namespace.run(*command, **named)


class Lab:
    """lab.alice, lab.bob (on lan0), lab.guest, lab.inner, lab.origin; lab.gateway is a bare Namespace."""

    def __init__(self, clients=("alice", "bob"), guest=True, inner=True, hop=False):
        sweep()
        self._serial = next_serial()
        self._namespaces: list[Namespace] = []
        self.directory = scratch_directory()  # the daemon's unprivileged roles pass through
        self.sluices: list = []      # stopped with the lab (sluice.py)
        try:
            self._build(clients, guest, inner, hop)
        except BaseException:
            self.close()
            raise

    def _build(self, clients, guest: bool, inner: bool, hop: bool):
        self.gateway = self._namespace("gateway")
        # The bridge is a switch, not a firewall of its own: what every router sets (docs: br_netfilter).
        self.gateway.sysctl(**FORWARDING, **{"net__bridge__bridge-nf-call-iptables": 0,
                                             "net__bridge__bridge-nf-call-ip6tables": 0})
        self.gateway.ip("link add lan0 type bridge forward_delay 0", "link set lan0 up",
                        *_addresses("lan0", "lan", 1))
        for number, name in enumerate(clients, start=2):
            host = self._host(name, "lan", number, f"port{number}")
            self.gateway.ip(f"link set port{number} master lan0")
            setattr(self, name, host)
        if guest:
            self.guest = self._host("guest", "guest", 2, "guest0")
            self.gateway.ip(*_addresses("guest0", "guest", 1))
        if inner:
            self.inner = self._host("inner", "inner", 2, "inner0")
            self.gateway.ip(*_addresses("inner0", "inner", 1))
            self.inner_nginx = Nginx(self.inner.namespace, [self.inner[f] for f in FAMILIES],
                                     self.directory / "inner")
        if hop:
            self.hop = self._namespace("hop")
            self.hop.sysctl(**FORWARDING)
            self.origin = self._host("origin", "wan", 2, "wan0", behind=self.hop)
            veth(self.gateway, "wan0", self.hop, "eth0")
            self.hop.ip(*_addresses("wan0", "wan", 1), *_addresses("eth0", "between", 2),
                        *_default_by("between", 1))
            self.gateway.ip(*_addresses("wan0", "between", 1), *_default_by("between", 2))
        else:
            self.origin = self._host("origin", "wan", 2, "wan0")
            self.gateway.ip(*_addresses("wan0", "wan", 1), *_default_by("wan", 2))
        self.origin.namespace.ip(*_addresses("eth0", "wan", 3))
        self.peer = Host(self.origin.namespace, "wan", 3)
        self.nginx = Nginx(self.origin.namespace, [self.origin[f] for f in FAMILIES], self.directory / "origin")

    def _namespace(self, role: str) -> Namespace:
        namespace = Namespace(role, self._serial)
        self._namespaces.append(namespace)
        return namespace

    def _host(self, name: str, network: str, number: int, port: str, behind: Namespace | None = None) -> Host:
        namespace = self._namespace(name)
        namespace.sysctl(net__ipv6__conf__all__accept_dad=0, net__ipv6__conf__default__accept_dad=0)
        veth(behind or self.gateway, port, namespace, "eth0")
        namespace.ip(*_addresses("eth0", network, number), *_default_by(network, 1))
        # What `ip netns exec NAME curl https://www.allowed.test/` resolves by.
        directory = Path("/etc/netns") / namespace.name
        directory.mkdir(parents=True)
        # (Its own name, too: libraries look it up, and there is no resolver.)
        (directory / "hosts").write_text(f"127.0.0.1 localhost {socket.gethostname()}\n" + "".join(
            f"{address('wan', 2, family)} {' '.join(NAMES)}\n" for family in FAMILIES))
        return Host(namespace, network, number)

    def close(self):
        for sluice in self.sluices:
            sluice.close()
        for namespace in reversed(self._namespaces):
            namespace.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _addresses(interface: str, network: str, number: int) -> list[str]:
    return [f"addr add {address(network, number, 'v4')}/16 dev {interface}",
            f"addr add {address(network, number, 'v6')}/64 dev {interface} nodad"]


def _default_by(network: str, number: int) -> list[str]:
    return [f"route add default via {address(network, number, family)}" for family in FAMILIES]

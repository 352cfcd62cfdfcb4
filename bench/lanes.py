"""The lanes that are compared: the same client and origin, with a different thing in between.

    direct    nothing: client and origin on one cable
    forward   the gateway's kernel forwards
    haproxy   HAProxy in the gateway by TPROXY, doing sluice's job: it reads the SNI or the Host, refuses one name, and
              connects with the client's address
    sluice    sluiced

Every lane is a pair or triple of namespaces of its own, so that all of them can be up at once and take turns.
"""
from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "netns"))

from namespace import Namespace, next_serial, scratch_directory, veth, wait_until  # noqa: E402
from sluice import Sluice, descendants  # noqa: E402

ORIGIN = "10.99.0.2"
CLIENT = "10.20.0.2"


class Lane:
    """The gateway forwards and does nothing else."""
    name = "forward"

    def __init__(self):
        self._serial = next_serial()
        self._namespaces: list[Namespace] = []
        self.sluices: list = []
        self.directory = scratch_directory()
        try:
            self.client, self.origin = self._namespace("client"), self._namespace("origin")
            self._connect()
            for end in (self.client, self.origin):
                end.sysctl(net__ipv4__ip_local_port_range="1024 65535")
            self._start()
        except BaseException:
            self.close()
            raise

    def _namespace(self, role: str) -> Namespace:
        self._namespaces.append(Namespace(f"{self.name}-{role}", self._serial))
        return self._namespaces[-1]

    def _connect(self):
        self.gateway = self._namespace("gateway")
        self.gateway.sysctl(net__ipv4__ip_forward=1, net__ipv4__ip_local_port_range="1024 65535")
        veth(self.gateway, "lan0", self.client, "eth0")
        veth(self.gateway, "wan0", self.origin, "eth0")
        self.gateway.ip("addr add 10.20.0.1/16 dev lan0", "addr add 10.99.0.1/16 dev wan0",
                        f"route add default via {ORIGIN}")
        self.client.ip(f"addr add {CLIENT}/16 dev eth0", "route add default via 10.20.0.1")
        self.origin.ip(f"addr add {ORIGIN}/16 dev eth0", "route add default via 10.99.0.1")
        # What a home router has anyway: connection tracking.
        self.gateway.nft("table inet router { chain forward { type filter hook forward priority filter; "
                         "ct state established,related accept; }; }")

    def _start(self):
        pass

    def pids(self) -> list[int]:
        """The gateway's processes."""
        return []

    def close(self):
        for sluice in self.sluices:
            sluice.close()
        for namespace in reversed(self._namespaces):
            namespace.close()


class Direct(Lane):
    name = "direct"

    def _connect(self):
        veth(self.client, "eth0", self.origin, "eth0")
        self.client.ip("addr add 10.99.0.9/16 dev eth0")
        self.origin.ip(f"addr add {ORIGIN}/16 dev eth0")


HAPROXY = """
global
    maxconn 6000
    maxpipes 500
defaults
    timeout connect 5s
    timeout client 300s
    timeout server 300s
    option splice-request
    option splice-response
frontend tls
    mode tcp
    bind 0.0.0.0:3443 transparent
    tcp-request inspect-delay 5s
    tcp-request content reject if { req.ssl_sni -i -m end blocked.test }
    tcp-request content accept if { req.ssl_hello_type 1 }
    default_backend tls
backend tls
    mode tcp
    source 0.0.0.0 usesrc clientip
    server origin 0.0.0.0
frontend http
    mode http
    bind 0.0.0.0:3080 transparent
    http-request deny if { hdr(host) -i -m end blocked.test }
    default_backend http
backend http
    mode http
    source 0.0.0.0 usesrc clientip
    server origin 0.0.0.0
"""


class HAProxy(Lane):
    name = "haproxy"

    def _start(self):
        self.gateway.ip("rule add fwmark 1 lookup 100", "route add local default dev lo table 100")
        self.gateway.nft("""
table inet divert { chain pre { type filter hook prerouting priority mangle;
  tcp flags & (syn | ack) != syn meta l4proto tcp socket transparent 1 meta mark set 1 accept
  iifname "lan0" tcp dport 443 tproxy ip to 127.0.0.1:3443 meta mark set 1 accept
  iifname "lan0" tcp dport 80 tproxy ip to 127.0.0.1:3080 meta mark set 1 accept; }; }""")
        (self.directory / "haproxy.cfg").write_text(HAPROXY)
        self._process = self.gateway.popen("haproxy", "-db", "-f", str(self.directory / "haproxy.cfg"))
        wait_until(lambda: _accepts(self.gateway, 3080), 5, "haproxy listens")

    def pids(self):
        return [self._process.pid, *descendants(self._process.pid)]


class SluiceLane(Lane):
    name = "sluice"

    def _start(self):
        self._sluice = Sluice(self, network={"lan": ["lan0"]}, log={"access": "off"},
                              limits={"connections_per_client": 20000})

    def pids(self):
        return [self._sluice.supervisor, *descendants(self._sluice.supervisor)]


LANES = {lane.name: lane for lane in (Direct, Lane, HAProxy, SluiceLane)}


def _accepts(namespace: Namespace, port: int) -> bool:
    try:
        namespace.connect("127.0.0.1", port, timeout=1).close()
        return True
    except OSError:
        return False

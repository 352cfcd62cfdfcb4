"""The lanes of the interception benchmark (tls.py): lanes.py's namespaces, with an origin that speaks TLS.

    direct      nothing: client and origin on one cable
    sluice      sluiced, its default group inspected
    squid       squid-openssl by TPROXY: peeks at the hello, then bumps all
    sslsplit    sslsplit by TPROXY, `https`: reads each connection's first request and ends it after the answer
    sslsplit-ssl  the same with `ssl`: relays the bytes, whatever they are; for h1 and idle
    e2guardian  e2guardian by REDIRECT, its transparent HTTPS port; its usual checks, with the lists Debian ships

All sign with P-256 keys (squid uses its CA's for the leafs too), all are told to verify the origin, and none keeps an
access log. Caches are as the programs have them by default.
"""
from __future__ import annotations

import http.client
import os
import ssl
import subprocess
import time
from pathlib import Path

import lanes
from lanes import ORIGIN
from namespace import wait_until
from sluice import Sluice
from tls_world import KNOWN, MISNAMED, UNTRUSTED, Origin, World, name_of

POLICY = """
zone = "UTC"
[group.default]
tls = "inspect"
not_enrolled = "inspect"
"""


class TlsLane:
    """Before a class of lanes.py. A lane that does not decrypt, or hands out pages of an origin that cannot be trusted,
    does another job."""
    authority = "gateway-ca.crt"   # whose certificates the client must see
    lacks: set[str] = set()        # figures

    def __init__(self, world: World):
        self.world = world
        self.checks: dict[str, bool] = {}
        super().__init__()

    def _connect(self):
        super()._connect()
        self.server = Origin(self.origin, self.world, self.directory)

    def trusted(self) -> str:
        return self.world.path(self.authority)

    def ask(self, name: str, alpn=("http/1.1",), verify=True) -> tuple[bytes, str, str | None]:
        """The answer to GET /1k, the version of TLS and the protocol inside."""
        context = ssl.create_default_context(cafile=self.trusted())
        context.set_alpn_protocols(list(alpn))
        if not verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with self.client.connect(ORIGIN, 443, timeout=5) as raw, context.wrap_socket(raw, server_hostname=name) as tls:
            version, protocol = tls.version(), tls.selected_alpn_protocol()
            if protocol == "h2":
                return b"", version, protocol
            tls.sendall(f"GET /1k HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while more := tls.recv(65536):
                answer += more
        return answer, version, protocol

    def _twice(self) -> bool:
        """Whether a second request in one connection is answered."""
        connection = http.client.HTTPSConnection(name_of(KNOWN), context=ssl.create_default_context(cafile=self.trusted()))
        with self.client.connect(ORIGIN, 443) as raw:
            connection.sock = connection._context.wrap_socket(raw, server_hostname=name_of(KNOWN))
            connection.auto_open = 0  # it would dial again, and not here
            try:
                for _ in range(2):
                    connection.request("GET", "/1k")
                    if len(connection.getresponse().read()) != 1024:
                        return False
            except (OSError, http.client.HTTPException):
                return False
            finally:
                connection.close()
        return True

    def _prove(self):
        answer, self.version, _ = self.ask(name_of(KNOWN))
        assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"p" * 1024), f"{self.name}: {answer[:200]!r}"
        _, _, protocol = self.ask(name_of(KNOWN), alpn=("h2", "http/1.1"))
        self.speaks_h2 = protocol == "h2"
        self.keeps_alive = self._twice()
        if not self.speaks_h2:
            self.lacks = self.lacks | {"h2"}
        if not self.keeps_alive:
            self.lacks = self.lacks | {"idle"}
        for what, name in (("chain", UNTRUSTED), ("name", MISNAMED)):
            try:
                answer = self.ask(name, verify=False)[0]
            except OSError:  # the ssl module's errors too
                answer = b""
            self.checks[what] = b"p" * 1024 not in answer
        assert self.checks["chain"] or self.name == "direct", f"{self.name}: serves an origin of an unknown CA"


class Direct(TlsLane, lanes.Direct):
    authority = "origin-ca.crt"


class SluiceLane(TlsLane, lanes.Lane):
    name = "sluice"

    def _start(self):
        self._sluice = Sluice(self, POLICY, network={"lan": ["lan0"]}, log={"access": "off"},  # `sluicectl ca init` too
                              limits={"connections_per_client": 20000},
                              tls_intercept={"trust": self.world.path("origin-ca.crt")})

    def trusted(self):
        return str(self._sluice.ca_pem)

    def pids(self):
        return [self._sluice.supervisor, *lanes.descendants(self._sluice.supervisor)]


class Squid(TlsLane, lanes.Squid):
    CONFIG = """
workers {workers}
max_filedescriptors 65536
http_port 127.0.0.1:3128
http_port 0.0.0.0:3080 tproxy
https_port 0.0.0.0:3443 tproxy ssl-bump tls-cert={directory}/squid.pem generate-host-certificates=on
sslcrtd_program /usr/lib/squid/security_file_certgen -s {directory}/ssl_db -M 4MB
tls_outgoing_options cafile={trust} default-ca=off
acl hello at_step SslBump1
ssl_bump peek hello
ssl_bump bump all
http_access allow all
hosts_file none
dns_nameservers {origin}
cache deny all
cache_mem 8 MB
memory_cache_shared off
access_log none
cache_store_log none
cache_log {directory}/cache.log
pid_filename {directory}/squid.pid
coredump_dir {directory}
pinger_enable off
shutdown_lifetime 0 seconds
client_idle_pconn_timeout 600 seconds
server_idle_pconn_timeout 600 seconds
"""

    def _launch(self):
        trust = self._file("trust.pem", Path(self.world.path("origin-ca.crt")).read_text())
        self._file("squid.pem", "".join(Path(self.world.path(f"gateway-ca.{kind}")).read_text() for kind in ("crt", "key")))
        subprocess.run(["/usr/lib/squid/security_file_certgen", "-c", "-s", f"{self.directory}/ssl_db", "-M", "4MB"],
                       check=True, capture_output=True)
        subprocess.run(["chown", "-R", "proxy:proxy", f"{self.directory}/ssl_db"], check=True)
        return self._run_squid(self.CONFIG.format(workers=os.cpu_count(), directory=self.directory, origin=ORIGIN,
                                                  trust=trust))


class SslSplit(TlsLane, lanes.Proxy):
    name = "sslsplit"
    kind = "https"
    CONFIG = """
CACert {world}/gateway-ca.crt
CAKey {world}/gateway-ca.key
LeafKey {world}/gateway-leaf.key
VerifyPeer yes
NATEngine tproxy
User root
ProxySpec {kind} 0.0.0.0 3443
"""

    def _launch(self):
        config = self._file("sslsplit.conf", self.CONFIG.format(world=self.world.directory, kind=self.kind))
        log = open(self.directory / "sslsplit.log", "wb")
        with log:
            process = self.gateway.popen("sslsplit", "-f", config, stdout=log, stderr=log,
                                         env=os.environ | {"SSL_CERT_FILE": self.world.path("origin-ca.crt")})
        wait_until(lambda: _listens(self, 3443), 10, "sslsplit listens")
        return process


class SslSplitRaw(SslSplit):
    """Does not look at what is inside, and so does not end a connection after one answer."""
    name = "sslsplit-ssl"
    kind = "ssl"
    lacks = {"known", "resumed", "first", "wildcard", "bulk"}


class E2guardian(TlsLane, lanes.Proxy):
    name = "e2guardian"

    def _start(self):
        # It knows REDIRECT, no TPROXY: it asks conntrack where a client went.
        self.gateway.nft('table ip divert { chain pre { type nat hook prerouting priority dstnat; '
                         'iifname "lan0" tcp dport 443 redirect to :8443; }; }')
        self._process = self._launch()

    def _launch(self):
        resolver = Path("/etc/netns") / self.gateway.name  # `ip netns exec` lays it over /etc
        resolver.mkdir(parents=True)
        (resolver / "resolv.conf").write_text(f"nameserver {ORIGIN}\n")
        place = self.directory / "e2guardian"
        for name in ("generated", "trust"):
            (place / name).mkdir(parents=True)
        (place / "trust" / "origin.pem").write_bytes(Path(self.world.path("origin-ca.crt")).read_bytes())
        subprocess.run(["openssl", "rehash", str(place / "trust")], check=True, capture_output=True)
        settings = {
            "enablessl": "on", "transparenthttpsport": "8443", "filterports": "8080", "nodaemon": "on",
            "daemonuser": "'root'", "daemongroup": "'root'", "nologger": "on",
            "loglevel": "0", "cacertificatepath": f"'{self.world.path('gateway-ca.crt')}'",
            "caprivatekeypath": f"'{self.world.path('gateway-ca.key')}'",
            "certprivatekeypath": f"'{self.world.path('gateway-leaf.key')}'",
            "generatedcertpath": f"'{place}/generated/'",
            "sslcertificatepath": f"'{place}/trust/'", "ipcfilename": f"'{place}/ipc'", "pidfilename": f"'{place}/pid'",
            "loglocation": f"'{place}/access.log'", "filecachedir": f"'{place}'", "generatedcertstart": str(int(time.time()) - 86400)}
        group = self._edited("e2guardianf1.conf", {"sslmitm": "on", "mitmcheckcert": "on"})
        main = self._edited("e2guardian.conf", settings)
        # The group's file is found by its number beside the main one.
        assert Path(group).parent == Path(main).parent
        log = open(place / "log", "wb")
        with log:
            process = self.gateway.popen("e2guardian", "-N", "-c", main, stdout=log, stderr=log)
        wait_until(lambda: _listens(self, 8443) or process.poll() is not None, 30, "e2guardian listens")
        assert process.poll() is None, f"e2guardian: {(place / 'log').read_text(errors='replace')[-300:]}"
        return process

    def _edited(self, name: str, settings: dict[str, str]) -> str:
        """Debian's file with some values changed."""
        left, kept = dict(settings), []
        for line in Path("/etc/e2guardian", name).read_text().splitlines():
            key = line.lstrip("#").partition("=")[0].strip()
            if key in left and not line.startswith("# "):
                line = f"{key} = {left.pop(key)}"
            elif key in settings:
                continue
            kept.append(line)
        return self._file(name, "\n".join(kept + [f"{key} = {value}" for key, value in left.items()]) + "\n")


LANES = {lane.name: lane for lane in (Direct, SluiceLane, Squid, SslSplit, SslSplitRaw, E2guardian)}


def _listens(lane, port: int) -> bool:
    return bool(lane.gateway.run("ss", "-Htln", f"( sport = :{port} )").stdout)

"""The lanes that are compared: the same client and origin, with a different thing in between.

    direct        nothing: client and origin on one cable
    forward       the gateway's kernel forwards
    haproxy       HAProxy in the gateway by TPROXY, doing sluice's job: it reads the SNI or the Host, refuses one name,
                  and connects with the client's address
    nginx-stream  nginx's stream module, likewise, by the SNI only
    squid         squid, likewise: peeks at the hello, then splices
    sluice        sluiced
    sluice-proxy  sluiced without its kernel lane

Every lane is a pair or triple of namespaces of its own, so that all of them can be up at once and take turns. None
writes an access log; each runs as many threads or processes as the machine has processors.
"""
from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "netns"))

from client import hello_for  # noqa: E402
from namespace import Namespace, next_serial, scratch_directory, veth, wait_until  # noqa: E402
from sluice import Sluice, descendants  # noqa: E402

ORIGIN = "10.99.0.2"
CLIENT = "10.20.0.2"
ALLOWED, BLOCKED = "www.allowed.test", "www.blocked.test"


class Lane:
    """The gateway forwards and does nothing else."""
    name = "forward"
    refuses = False              # blocked.test; or else the origin has to
    lacks: set[str] = set()      # figures that this lane has no part in
    client_address = CLIENT
    complaint = ""               # why this lane is not what it says it is

    def __init__(self):
        self._serial = next_serial()
        self._namespaces: list[Namespace] = []
        self.sluices: list = []
        self.directory = scratch_directory()
        self.quic_port = 1024    # the next source port that no QUIC flow has used
        self.settled: int | None = None  # what the processes took before their first idle connection
        try:
            self.client, self.origin = self._namespace("client"), self._namespace("origin")
            self._connect()
            for end in (self.client, self.origin):
                end.sysctl(net__ipv4__ip_local_port_range="1024 65535")
            self._start()
            try:
                self._prove()
            except OSError as error:  # a time-out: nobody was told anything
                raise AssertionError(f"{self.name} does not do its job: {error}") from error
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

    def _prove(self):
        """The lane does its job, or there is nothing to measure: an allowed hello arrives whole and from the client's
        address; a refused one does not arrive, and its client is told."""
        with self.origin.listen(ORIGIN, 443) as listener:
            listener.settimeout(5)
            hello = hello_for(ALLOWED)
            with self.client.connect(ORIGIN, 443) as sock:
                sock.sendall(hello)
                accepted, (address, _) = listener.accept()
                with accepted:
                    accepted.settimeout(5)
                    assert address == self.client_address, f"{self.name}: the origin sees {address}"
                    assert accepted.recv(65536) == hello, f"{self.name}: the hello arrives changed"
                    self._look()
            if self.refuses:
                with self.client.connect(ORIGIN, 443) as sock:
                    sock.sendall(hello_for(BLOCKED))
                    try:
                        told = sock.recv(65536)  # a time-out is a failure: the client hangs
                    except ConnectionResetError:
                        told = b""
                    assert told[:1] in (b"", b"\x15"), f"{self.name}: the answer to a blocked hello is {told!r}"
                listener.settimeout(0.1)
                try:
                    accepted, _ = listener.accept()
                except TimeoutError:
                    return
                with accepted:
                    accepted.settimeout(5)
                    try:
                        came = accepted.recv(65536)
                    except ConnectionResetError:
                        came = b""
                    assert not came, f"{self.name}: a blocked hello reached the origin"

    def _look(self):
        """Called while an allowed connection is open."""

    def pids(self) -> list[int]:
        """The gateway's processes."""
        return []

    def close(self):
        for sluice in self.sluices:
            sluice.close()
        for namespace in reversed(self._namespaces):
            namespace.close()
        shutil.rmtree(self.directory, ignore_errors=True)


class Direct(Lane):
    name = "direct"
    client_address = "10.99.0.9"

    def _connect(self):
        veth(self.client, "eth0", self.origin, "eth0")
        self.client.ip(f"addr add {self.client_address}/16 dev eth0")
        self.origin.ip(f"addr add {ORIGIN}/16 dev eth0")


class Proxy(Lane):
    """What TPROXY hands to another program on 3443 and 3080. Subclasses write its configuration and start it."""
    refuses = True
    lacks = {"quic"}

    def _start(self):
        self.gateway.ip("rule add fwmark 1 lookup 100", "route add local default dev lo table 100")
        self.gateway.nft("""
table inet divert { chain pre { type filter hook prerouting priority mangle;
  tcp flags & (syn | ack) != syn meta l4proto tcp socket transparent 1 meta mark set 1 accept
  iifname "lan0" tcp dport 443 tproxy ip to 127.0.0.1:3443 meta mark set 1 accept
  iifname "lan0" tcp dport 80 tproxy ip to 127.0.0.1:3080 meta mark set 1 accept; }; }""")
        self._process = self._launch()

    def _launch(self) -> subprocess.Popen:
        raise NotImplementedError

    def _file(self, name: str, text: str) -> str:
        (self.directory / name).write_text(text)
        return str(self.directory / name)

    def pids(self):
        return [self._process.pid, *descendants(self._process.pid)]


class HAProxy(Proxy):
    name = "haproxy"
    CONFIG = """
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

    def _launch(self):
        process = self.gateway.popen("haproxy", "-db", "-f", self._file("haproxy.cfg", self.CONFIG))
        wait_until(lambda: _accepts(self.gateway, 3080), 5, "haproxy listens")
        return process


class NginxStream(Proxy):
    name = "nginx-stream"
    lacks = {"http", "quic"}
    # An upstream without a name is nginx's cheapest no: it ends the connection without having dialled.
    CONFIG = """
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
user root;
daemon off; pid {directory}/nginx.pid; error_log /dev/null crit;
worker_processes auto; worker_rlimit_nofile {files};
events {{ worker_connections 32768; }}
stream {{
  map $ssl_preread_server_name $upstream {{
    hostnames;
    .blocked.test "";
    default $server_addr:$server_port;
  }}
  server {{
    listen 0.0.0.0:3443;
    ssl_preread on; preread_timeout 5s;
    proxy_connect_timeout 5s; proxy_timeout 300s;
    proxy_bind $remote_addr transparent;
    proxy_pass $upstream;
  }}
}}
"""

    def _launch(self):
        # nginx cannot make a listener transparent; it takes over one that is, as in an upgrade of its binary.
        listener = self.gateway.socket(socket.AF_INET)
        with listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_IP, 19, 1)  # IP_TRANSPARENT
            listener.bind(("0.0.0.0", 3443))
            listener.listen(4096)
            listener.setblocking(False)  # nginx does that only to listeners it has made
            config = self._file("nginx.conf", self.CONFIG.format(directory=self.directory, files=65536))
            process = self.gateway.popen("nginx", "-c", config, "-e", "/dev/null", pass_fds=[listener.fileno()],
                                         env=os.environ | {"NGINX": f"{listener.fileno()};"})
        wait_until(lambda: len(descendants(process.pid)) >= os.cpu_count(), 5, "nginx has its workers")
        return process


class Squid(Proxy):
    name = "squid"
    # It resolves the client's name itself and, if the client went elsewhere, calls that a forgery: hence the hosts file.
    CONFIG = """
workers {workers}
max_filedescriptors 65536
http_port 127.0.0.1:3128
http_port 0.0.0.0:3080 tproxy
https_port 0.0.0.0:3443 tproxy ssl-bump tls-cert={directory}/squid.pem generate-host-certificates=off
acl hello at_step SslBump1
acl blocked_sni ssl::server_name .blocked.test
acl blocked_host dstdomain .blocked.test
ssl_bump peek hello
ssl_bump terminate blocked_sni
ssl_bump splice all
http_access deny blocked_host
http_access allow all
hosts_file {directory}/hosts
dns_nameservers 127.0.0.1
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
client_idle_pconn_timeout 300 seconds
"""

    def _launch(self):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-subj", "/CN=bench", "-keyout", "squid.key", "-out", "squid.crt"],
                       cwd=self.directory, check=True, capture_output=True)
        self._file("squid.pem", (self.directory / "squid.crt").read_text() + (self.directory / "squid.key").read_text())
        self._file("hosts", f"{ORIGIN} {ALLOWED} {BLOCKED}\n")
        return self._run_squid(self.CONFIG.format(workers=os.cpu_count(), directory=self.directory))

    def _run_squid(self, text: str) -> subprocess.Popen:
        self.directory.chmod(0o777)  # squid writes there as its own user
        config = self._file("squid.conf", text)
        # Its workers meet at fixed places, so it gets places of its own. (`ip netns exec` has made a mount namespace.)
        process = self.gateway.popen("sh", "-c", "mount -t tmpfs tmpfs /dev/shm && mount -t tmpfs tmpfs /run && "
                                     f"mkdir -m 777 /run/squid && exec squid --foreground -f {config}",
                                     stderr=subprocess.DEVNULL)
        log = self.directory / "cache.log"
        wait_until(lambda: log.exists() and log.read_text(errors="replace").count("Accepting") >= 3 * os.cpu_count(),
                   15, "every worker of squid accepts on its three ports")
        return process


class SluiceLane(Lane):
    name = "sluice"
    refuses = True
    kernel_lane = "auto"

    def _start(self):
        self._sluice = Sluice(self, network={"lan": ["lan0"], "kernel_lane": self.kernel_lane}, log={"access": "off"},
                              limits={"connections_per_client": 20000})

    def _look(self):
        if self.kernel_lane == "auto" and \
                self.gateway.run("ss", "-Htn", "state", "established", "( sport = :443 or dport = :443 )").stdout:
            self.complaint = "the kernel lane is not in use: an allowed connection ends in the gateway"

    def pids(self):
        return [self._sluice.supervisor, *descendants(self._sluice.supervisor)]


class SluiceProxy(SluiceLane):
    name = "sluice-proxy"
    lacks = {"quic"}
    kernel_lane = "off"


LANES = {lane.name: lane for lane in (Direct, Lane, HAProxy, NginxStream, Squid, SluiceLane, SluiceProxy)}


def _accepts(namespace: Namespace, port: int) -> bool:
    try:
        namespace.connect("127.0.0.1", port, timeout=1).close()
        return True
    except OSError:
        return False

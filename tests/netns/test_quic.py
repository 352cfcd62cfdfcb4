"""QUIC on UDP 443, judged by the name in its hello: real HTTP/3 servers and clients, and datagrams made by hand.

Everything is played three times: with no filter, where all of it must work (the control run), and through sluice on
both backends. What happens to a datagram, seen from its sender:
    answered   by the origin
    refused    by ICMP, at once
    silent     neither, for SILENCE
"""
import base64
import collections
import concurrent.futures
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading
from pathlib import Path

import pytest

from lab import FAMILIES, Lab, address
from namespace import family_of, running, wait_until
from origin import authority
from quic_packets import (HANDSHAKE, RESERVED, UNKNOWN, V1, V2, V2_DRAFT, ZERO_RTT, crypto, hello, initial, is_answer_to,
                          other_long, short, version_of)
from sluice import Sluice

# A kernel tells one host of six refusals at once and then of one a second; here they come in dozens.
UNLIMITED = {"net__ipv4__icmp_ratelimit": 0, "net__ipv6__icmp__ratelimit": 0}
SILENCE = 5                      # seconds; every answer here comes within milliseconds
WITHIN = 6.0                     # from a daemon's death to the state that POLICY promises within 3: a busy machine
CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpora" / "pcap"
POLICY = """
zone = "UTC"
[list.bad]
format = "domains"
path = "bad.txt"
match = "subdomains"
[group.closed]
members = ["10.20.0.3", "fd00:20::3"]
if_down = "closed"
[group.none]
members = ["10.20.0.4", "fd00:20::4"]
quic = "block"
[group.any]
members = ["10.20.0.5", "fd00:20::5"]
quic = "allow"
[group.inspected]
members = ["10.20.0.6", "fd00:20::6"]
tls = "inspect"
[[rule]]
name = "not these"
to = ["list:bad"]
action = "block"
"""
BACKENDS = ("nftables", "iptables")
BROWSER = "chromium-headless-shell"  # Chromium, in its old headless mode: starts in half the time
CLIENTS = ("alice", "bob", "nora", "anna", "ines")  # of: default, closed, none, any, inspected
ALLOWED, BLOCKED = "www.allowed.test", "www.blocked.test"


def needs(program: str, package: str):
    return pytest.mark.skipif(not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin"),
                              reason=f"{program} is not installed (package {package})")


# --- the site ------------------------------------------------------------------------------------------------------------


class Echo:
    """A UDP peer that sends every datagram back, and remembers it."""

    def __init__(self, lab, where: str):
        self.where, self.seen = where, []
        self._sock = lab.origin.namespace.socket(family_of(where), socket.SOCK_DGRAM)
        self._sock.bind((where, 443))
        self._sock.settimeout(0.2)  # so that a thread which waits sees close()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                datagram, sender = self._sock.recvfrom(65536)
            except TimeoutError:
                continue
            except OSError:
                return
            self.seen.append(datagram)
            self._sock.sendto(datagram, sender)

    def close(self):
        self._sock.close()


class Site:
    """site.http3[family] is ngtcp2's server, site.retry[family] the same with address validation, site.caddy[family]
    Caddy, and site.echo[family] an Echo."""

    def __init__(self, lab: Lab):
        self.lab = lab
        lab.gateway.sysctl(**UNLIMITED)
        self.http3, self.retry, self.caddy = ({family: self._address(family, number) for family in FAMILIES}
                                              for number in (20, 21, 22))
        self.echo = {family: Echo(lab, self._address(family, 23)) for family in FAMILIES}
        root = lab.directory / "http3"
        root.mkdir()
        (root / "index.html").write_text("the page\n")
        key, certificate = (str(authority() / f"origin.{end}") for end in ("key", "crt"))
        for family in FAMILIES:
            for where, options in ((self.http3[family], ()), (self.retry[family], ("-V",))):
                if shutil.which("gtlsserver", path="/usr/sbin:/usr/bin"):
                    self._serve("gtlsserver", "-q", "-d", str(root), *options, where, "443", key, certificate)
        if shutil.which("caddy"):
            self._serve_caddy(key, certificate)
        if shutil.which("gtlsserver", path="/usr/sbin:/usr/bin"):
            for where in (*self.http3.values(), *self.retry.values()):
                wait_until(lambda where=where: re.search(re.escape(where) + r"\]?:443\s", lab.origin.run("ss", "-uln").stdout),
                           10, f"a server at {where}")

    def _address(self, family: str, number: int) -> str:
        where = address("wan", number, family)
        self.lab.origin.namespace.ip(f"addr add {where}/{'16' if family == 'v4' else '64 nodad'} dev eth0")
        return where

    def _serve(self, *command: str, **more):
        self.lab.origin.namespace.popen(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)

    def _serve_caddy(self, key: str, certificate: str):
        home = self.lab.directory / "caddy"
        home.mkdir()
        (home / "Caddyfile").write_text(f"""
{{
  admin off
  auto_https off
  storage file_system {home}
}}
https:// {{
  bind {self.caddy['v4']} {self.caddy['v6']}
  tls {certificate} {key}
  header X-Origin lab
  header Content-Type text/html
  respond /many `{MANY}`
  respond "proto={{http.request.proto}} host={{http.request.host}}"
}}
""")
        self._serve("env", f"HOME={home}", "caddy", "run", "--config", str(home / "Caddyfile"), "--adapter", "caddyfile")
        wait_until(lambda: self.lab.origin.run("ss", "-uln").stdout.count(self.caddy["v4"]), 10, "caddy listens")

    def close(self):
        for echo in self.echo.values():
            echo.close()


# Asks for one small page again and again, by whatever protocol the browser then prefers.
MANY = """<title>asking</title><pre id=log></pre><script>
(async () => { let seen = [];
  for (let i = 0; i < 12 || (i < 100 && !seen.includes('proto=HTTP/3.0')); i++) {
    try { seen.push((await (await fetch('/proto?' + i, {cache: 'no-store'})).text()).split(' ')[0]); }
    catch (error) { seen.push('failed'); }
    await new Promise(resolve => setTimeout(resolve, 100)); }
  document.getElementById('log').textContent = seen.join(' '); document.title = 'done'; })()
</script>"""


@pytest.fixture(scope="module")
def site():
    with Lab(clients=CLIENTS, guest=False, inner=False) as lab:
        site = Site(lab)
        yield site
        site.close()


@pytest.fixture(scope="module", params=["no filter", *BACKENDS])
def gate(request, site):
    """None in the control run, else a Sluice."""
    if request.param == "no filter":
        yield None
        return
    request.getfixturevalue("built")
    lists = {"bad.txt": "\n".join(["blocked.test", *(flow.name for flow in browser_flows() if flow.blocked)]) + "\n"}
    with Sluice(site.lab, POLICY, lists=lists, network={"firewall": request.param, "lan": ["lan0"]}) as sluice:
        yield sluice
        sluice.stop()
        sluice.ctl("down")


def refused_by(gate) -> str:
    """What a datagram gets that must not pass."""
    return "refused" if gate else "answered"


# --- hand-made datagrams ---------------------------------------------------------------------------------------------------


class Sender:
    """One UDP flow from a client; each connection in it calls itself by another source id."""

    def __init__(self, host, where: str):
        self._sock = host.namespace.socket(family_of(where), socket.SOCK_DGRAM)
        self._sock.settimeout(SILENCE)
        self._sock.connect((where, 443))

    @property
    def patience(self) -> float:
        return self._sock.gettimeout()

    @patience.setter
    def patience(self, seconds: float):
        self._sock.settimeout(seconds)

    def send(self, *datagrams: bytes, source: bytes | None = None) -> str:
        """How these datagrams end: answered with a long header to `source`, or with anything."""
        try:
            for datagram in datagrams:
                self._sock.send(datagram)
            while True:
                answer = self._sock.recv(65536)
                if source is None or is_answer_to(answer, source):
                    self.answer = answer
                    return "answered"
        except ConnectionRefusedError:
            return "refused"
        except TimeoutError:
            return "silent"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._sock.close()

    def ask(self, name: str, **how) -> str:
        """A new connection by one Initial."""
        destination, source = os.urandom(8), os.urandom(8)
        return self.send(initial(crypto(hello(name, source)), destination, source, **how), source=source)


def ask(host, where: str, name: str, **how) -> str:
    with Sender(host, where) as sender:
        return sender.ask(name, **how)


@pytest.mark.parametrize("version", [V1, V2], ids=["v1", "v2"])
def test_a_name_in_one_initial(gate, site, family, version):
    """Debian's server does not speak version 2 and says so, which is an answer as well."""
    where = site.http3[family]
    assert ask(site.lab.alice, where, ALLOWED, version=version) == "answered"
    assert ask(site.lab.alice, where, BLOCKED, version=version) == refused_by(gate)


def test_each_is_logged_with_its_name(gate, site, family):
    """What is allowed, at its end: conntrack is told to forget it, which else takes minutes."""
    if not gate:
        pytest.skip("nobody logs")
    alice = site.lab.alice
    for name, action in ((f"log-{family}.{ALLOWED}", "allow"), (f"log-{family}.{BLOCKED}", "block")):
        ask(alice, site.http3[family], name)
        site.lab.gateway.run("conntrack", "-f", "ipv4" if family == "v4" else "ipv6", "-D", "-p", "udp", "-s", alice[family],
                             check=False)
        assert gate.wait_access(name=name, action=action, proto="quic")["client"] == alice[family]


def one_byte_frames(message: bytes) -> bytes:
    return b"".join(crypto(message, at, at + 1) for at in range(100)) + crypto(message, 100)


def shuffled(message: bytes) -> bytes:
    return crypto(message, 300) + b"\x01" + crypto(message, 80, 300) + b"\0\0" + crypto(message, 0, 80)


def overlapping(message: bytes) -> bytes:
    return crypto(message, 0, 200) + crypto(message, 50, 300) + crypto(message, 300)


@pytest.mark.parametrize("cut", [one_byte_frames, shuffled, overlapping])
def test_frames_cut_and_shuffled(gate, site, family, cut):
    for name, end in ((ALLOWED, "answered"), (BLOCKED, refused_by(gate))):
        destination, source = os.urandom(8), os.urandom(8)
        with Sender(site.lab.alice, site.http3[family]) as sender:
            datagram = initial(cut(hello(name, source)), destination, source, number=7)
            assert sender.send(datagram, source=source) == end, name


def in_two(name: str) -> list[bytes]:
    """A hello over two datagrams, its name in the later one."""
    destination, source = os.urandom(8), os.urandom(8)
    message = hello(name, source, filler=1500)
    return [initial(crypto(message, 0, 1000), destination, source, number=5),
            initial(crypto(message, 1000), destination, source, number=6)]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["in order", "tail first"])
def test_a_hello_over_two_datagrams(gate, site, family, order):
    for name, end in ((ALLOWED, "answered"), (BLOCKED, refused_by(gate))):
        halves = in_two(name)
        with Sender(site.lab.alice, site.echo[family].where) as sender:
            assert sender.send(halves[order[0]]) == "answered"  # it passes, and nothing is held
            assert sender.send(halves[order[1]]) == end, name


def test_a_hello_that_says_two_things(gate, site, family):
    """The same bytes of the stream, told twice and differently: whom the server believes cannot be known."""
    for first, second in ((ALLOWED, BLOCKED), (BLOCKED, ALLOWED)):
        destination, source = os.urandom(8), os.urandom(8)
        one, other = hello(first, source), hello(second, source)
        begin = one.index(first.encode())
        frames = crypto(one, begin, begin + 20) + crypto(other, begin, begin + 20) + crypto(one, begin + 20) \
            + crypto(one, 0, begin)
        with Sender(site.lab.alice, site.echo[family].where) as sender:
            assert sender.send(initial(frames, destination, source)) == refused_by(gate), first


def test_another_connection_on_the_same_flow(gate, site, family):
    """An allowed flow stays watched: every Initial of a client is judged."""
    with Sender(site.lab.alice, site.http3[family]) as sender:
        assert sender.ask(ALLOWED) == "answered"
        assert sender.ask("other.allowed.test") == "answered"
        assert sender.ask(BLOCKED) == refused_by(gate)


def test_another_connection_in_two_datagrams_on_the_same_flow(gate, site, family):
    with Sender(site.lab.alice, site.echo[family].where) as sender:
        assert ask_echo(sender, ALLOWED) == "answered"
        head, tail = in_two(BLOCKED)
        assert sender.send(head) == "answered"
        assert sender.send(tail) == refused_by(gate)


def test_behind_an_allowed_initial_in_the_same_datagram(gate, site, family):
    """A server drops what is for another connection (RFC 9000, 12.2), but not every one does."""
    echo, one, other = site.echo[family], os.urandom(8), os.urandom(8)
    datagram = initial(crypto(hello(ALLOWED, one)), os.urandom(8), one, smallest=0) \
        + initial(crypto(hello(BLOCKED, other)), os.urandom(8), other)
    with Sender(site.lab.alice, echo.where) as sender:
        assert sender.send(datagram) == refused_by(gate)


def test_version_negotiation(gate, site, family):
    """A reserved version asks for the versions that the server has; the next Initial is judged."""
    for name, end in ((ALLOWED, "answered"), (BLOCKED, refused_by(gate))):
        with Sender(site.lab.alice, site.http3[family]) as sender:
            assert sender.ask(name, version=RESERVED) == "answered"
            assert version_of(sender.answer) == 0
            assert sender.ask(name) == end, name


@pytest.mark.parametrize("version", [UNKNOWN, V2_DRAFT, 0], ids=["Q050", "v2 draft", "0"])
def test_an_unknown_version_is_refused(gate, site, family, version):
    with Sender(site.lab.alice, site.echo[family].where) as sender:
        destination, source = os.urandom(8), os.urandom(8)
        assert sender.send(initial(crypto(hello(ALLOWED, source)), destination, source, version=version)) == refused_by(gate)


OTHER_BEGINNINGS = {"short header": short(bytes(8)), "Handshake": other_long(HANDSHAKE, bytes(8), bytes(8)),
                    "0-RTT": other_long(ZERO_RTT, bytes(8), bytes(8)), "DTLS": b"\x16\xfe\xff" + bytes(60),
                    "one byte": b"\x01"}


@pytest.mark.parametrize("what", OTHER_BEGINNINGS)
def test_a_flow_that_does_not_begin_with_an_initial(gate, site, family, what):
    """0-RTT may overtake its Initial, and is sent again: it may be dropped in silence."""
    with Sender(site.lab.alice, site.echo[family].where) as sender:
        if gate and what == "0-RTT":
            sender.patience = 1.5
        end = sender.send(OTHER_BEGINNINGS[what])
        assert end == refused_by(gate) or (gate and what == "0-RTT" and end == "silent"), end


def test_the_rest_of_an_allowed_flow_passes(gate, site, family):
    with Sender(site.lab.alice, site.echo[family].where) as sender:
        destination, source = os.urandom(8), os.urandom(8)
        first = initial(crypto(hello(ALLOWED, source)), destination, source)
        for datagram in (first, first, other_long(ZERO_RTT, destination, source), other_long(HANDSHAKE, source, source),
                         initial(b"\x01", source, source, number=3, keys_from=destination), short(source), short(source, 1400)):
            assert sender.send(datagram) == "answered"


def test_a_flow_that_was_refused_may_try_again(gate, site, family):
    with Sender(site.lab.alice, site.echo[family].where) as sender:
        for _ in range(2):
            assert ask_echo(sender, BLOCKED) == refused_by(gate)
        assert sender.send(short(bytes(8))) == refused_by(gate)


def ask_echo(sender: Sender, name: str) -> str:
    source = os.urandom(8)
    return sender.send(initial(crypto(hello(name, source)), os.urandom(8), source))


# --- by group ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who, allowed, blocked", [
    ("alice", "answered", "refused"), ("bob", "answered", "refused"), ("nora", "refused", "refused"),
    ("anna", "answered", "answered"), ("ines", "refused", "refused")])
def test_what_a_group_says(gate, site, family, who, allowed, blocked):
    client = getattr(site.lab, who)
    for name, end in ((ALLOWED, allowed), (BLOCKED, blocked)):
        assert ask(client, site.http3[family], name) == (end if gate else "answered"), name
    with Sender(client, site.echo[family].where) as sender:
        assert sender.send(b"not QUIC") == ("answered" if not gate or who == "anna" else "refused")


# --- datagrams of browsers -----------------------------------------------------------------------------------------------------


Flow = collections.namedtuple("Flow", "name datagrams blocked")


def browser_flows(most: int = 6) -> list[Flow]:
    """First flights of Chromium and Firefox, every other name of which is blocked."""
    flows = []
    for capture in ("local/chromium156_quic.pcap", "local/firefox153_quic_tls.pcap"):
        if not (CORPUS / capture).exists():
            continue
        wanted = [line.split("\t") for line in (CORPUS / "expected_sni.tsv").read_text().splitlines()
                  if line.startswith(f"{capture}\tudp\t") and "\trequired\t" in line]
        sent = datagrams_of(CORPUS / capture)
        for row in wanted[:most]:
            flows.append(Flow(row[7], sent[int(row[3])][:2], len(flows) % 2 == 1))
    names = [flow.name for flow in flows if flow.blocked]
    return [flow._replace(blocked=flow.name in names) for flow in flows]


def datagrams_of(capture: Path) -> dict[int, list[bytes]]:
    """UDP payloads to port 443, by source port (classic pcap, Ethernet, IPv4)."""
    data, at, sent = capture.read_bytes(), 24, collections.defaultdict(list)
    while at < len(data):
        length = struct.unpack_from("<I", data, at + 8)[0]
        frame = data[at + 16:at + 16 + length]
        at += 16 + length
        ip = frame[14:]
        if frame[12:14] == b"\x08\x00" and ip[9] == 17:
            udp = ip[(ip[0] & 15) * 4:]
            source, to, size = struct.unpack_from("!HHH", udp)
            if to == 443:
                sent[source].append(udp[8:size])
    return sent


@pytest.mark.skipif(not browser_flows(), reason="../shared/corpora is not there")
def test_first_flights_of_browsers(gate, site, family):
    for flow in browser_flows():
        with Sender(site.lab.alice, site.echo[family].where) as sender:
            assert sender.send(flow.datagrams[0]) == "answered"
            assert sender.send(flow.datagrams[1]) == (refused_by(gate) if flow.blocked else "answered"), flow.name


# --- a real client -------------------------------------------------------------------------------------------------------------


def http3(host, where: str, name: str = ALLOWED, *options: str, path: str = "/", timeout: str = "10s") -> str:
    """What ngtcp2's client says; the page came if it says `:status: 200`. It takes the name for its hello from the host that
    it connects to, and from nothing else."""
    Path(f"/etc/netns/{host.namespace.name}/hosts").write_text(f"{where} {name}\n")
    done = host.run("gtlsclient", "--no-quic-dump", "--no-http-dump", "--exit-on-all-streams-close",
                    f"--timeout={timeout}", f"--handshake-timeout={timeout}", *options, name, "443",
                    f"https://{name}{path}", check=False, timeout=30)
    return done.stdout + done.stderr


def got_page(said: str) -> bool:
    return ":status: 200" in said


@needs("gtlsclient", "ngtcp2-client")
@needs("gtlsserver", "ngtcp2-server")
class TestRealClient:
    @pytest.mark.parametrize("server", ["http3", "retry", "caddy"])
    def test_a_page_over_http3(self, gate, site, family, server):
        if server == "caddy" and not shutil.which("caddy"):
            pytest.skip("caddy is not installed (package caddy)")
        where = getattr(site, server)[family]
        assert got_page(http3(site.lab.alice, where))
        assert got_page(http3(site.lab.alice, where, BLOCKED, timeout="1s" if gate else "10s")) == (gate is None)

    def test_retry_really_happens(self, gate, site, family):
        assert "type=Retry" in http3(site.lab.alice, site.retry[family])

    def test_a_large_answer(self, gate, site, family, tmp_path):
        http3(site.lab.alice, site.http3[family], ALLOWED, f"--download={tmp_path}", path="/3000000")
        assert (tmp_path / "3000000").stat().st_size == 3_000_000

    def test_early_data(self, gate, site, family, tmp_path):
        remembers = [f"--{what}-file={tmp_path}/{what}" for what in ("session", "tp", "token")]
        assert got_page(http3(site.lab.alice, site.http3[family], ALLOWED, *remembers))
        again = http3(site.lab.alice, site.http3[family], ALLOWED, *remembers)
        assert got_page(again) and "type=0RTT" in again
        for name, gets in (("other.blocked.test", gate is None), ("other.allowed.test", True)):
            assert got_page(http3(site.lab.alice, site.http3[family], name, *remembers,
                                  timeout="10s" if gets else "1s")) == gets, name

    @pytest.mark.parametrize("ids", [("--scid=",), ("--dcid=0102030405060708",), ("--dcid=" + "ab" * 18,)],
                             ids=["none of its own", "short", "long"])
    def test_connection_ids(self, gate, site, family, ids):
        assert got_page(http3(site.lab.alice, site.http3[family], ALLOWED, *ids))

    def test_version_negotiation(self, gate, site, family):
        for name, gets in ((ALLOWED, True), (BLOCKED, gate is None)):
            said = http3(site.lab.alice, site.http3[family], name, f"--version={RESERVED:#x}", "--preferred-versions=v1",
                         timeout="10s" if gets else "1s")
            assert got_page(said) == gets, name

    @pytest.mark.parametrize("how", [(), ("--nat-rebinding",)], ids=["migrates", "is rebound"])
    def test_a_client_that_moves_must_shake_hands_again(self, gate, site, family, how):
        """A new tuple whose first packet has a short header tells nothing."""
        moved = http3(site.lab.alice, site.http3[family], ALLOWED, "--change-local-addr=50ms", "--delay-stream=200ms", *how,
                      timeout="1s" if gate else "10s")
        assert got_page(moved) == (gate is None)
        assert got_page(http3(site.lab.alice, site.http3[family]))


# --- a real browser ------------------------------------------------------------------------------------------------------------


def key_hash() -> str:
    """What --ignore-certificate-errors-spki-list takes; Chromium believes no other private root over QUIC."""
    spki = subprocess.run("openssl x509 -pubkey -noout -in origin.crt | openssl pkey -pubin -outform der"
                          " | openssl dgst -sha256 -binary", shell=True, cwd=authority(), check=True, capture_output=True)
    return base64.b64encode(spki.stdout).decode()


def browse(site, host, family: str, url: str, *options: str) -> str:
    """The page as a new Chromium shows it."""
    profile = site.lab.directory / f"chromium-{os.urandom(4).hex()}"
    where = site.caddy[family] if family == "v4" else f"[{site.caddy[family]}]"
    try:
        return host.run("timeout", "--kill-after=2", "100", BROWSER, "--no-sandbox", "--disable-gpu", "--no-first-run",
                        "--disable-background-networking", "--disable-component-update", "--disable-sync",
                        "--disable-extensions", f"--user-data-dir={profile}", f"--host-resolver-rules=MAP * {where}",
                        f"--ignore-certificate-errors-spki-list={key_hash()}", *options, "--dump-dom", url, check=False,
                        timeout=110).stdout
    finally:
        shutil.rmtree(profile, ignore_errors=True)


def protocols(site, host, family: str) -> list[str]:
    """Which HTTP carried the answers to a page's requests, one after the other, on a site that offers HTTP/3 by Alt-Svc.
    That another port of this host is forced to QUIC lets Chromium believe our certificate there."""
    page = browse(site, host, family, f"https://{ALLOWED}/many", "--virtual-time-budget=20000",
                  f"--origin-to-force-quic-on={ALLOWED}:4433")
    return page.partition('<pre id="log">')[2].partition("<")[0].split()


@pytest.fixture(scope="module")
def browsed(gate, site):
    """A browser takes seconds of both cores: both families without a filter, then one on each backend."""
    families = FAMILIES if gate is None else ("v4",) if gate.sections["network"]["firewall"] == "nftables" else ("v6",)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        runs = {}
        for family in families:
            runs["alice", family] = pool.submit(protocols, site, site.lab.alice, family)
            runs["blocked", family] = pool.submit(browse, site, site.lab.alice, family, f"https://{BLOCKED}/",
                                                  f"--origin-to-force-quic-on={BLOCKED}:443")
            if gate:
                runs["nora", family] = pool.submit(protocols, site, site.lab.nora, family)
    return {key: run.result() for key, run in runs.items()}


@pytest.mark.skipif(not shutil.which(BROWSER), reason=f"{BROWSER} is not installed (the package has its name)")
@needs("caddy", "caddy")
class TestChromium:
    def test_it_goes_over_to_http3(self, browsed):
        for (who, _), seen in browsed.items():
            if who == "alice":
                assert "proto=HTTP/3.0" in seen and "failed" not in seen, seen

    def test_it_stays_with_tcp_where_quic_is_blocked(self, gate, browsed):
        for (who, _), seen in browsed.items():
            if who == "nora":
                assert set(seen) == {"proto=HTTP/2.0"}, seen

    def test_a_blocked_page(self, gate, browsed):
        for (who, _), page in browsed.items():
            if who == "blocked":
                assert (f"host={BLOCKED}" in page) == (gate is None), page


# --- a dead daemon -------------------------------------------------------------------------------------------------------------


def kill_supervisor(sluice):
    roles = [sluice.role("gateway"), sluice.role("keeper")]
    sluice.signal("supervisor", signal.SIGKILL)
    wait_until(lambda: not any(map(running, roles)), WITHIN, "gateway and keeper go with their supervisor")


def restart(sluice):
    sluice.stop()
    sluice.start()


# What happens, and what new flows get within WITHIN: for the allowed and the blocked name, in an open group and a closed one.
JUDGED, PASSES, REFUSED = ("answered", "refused"), ("answered", "answered"), ("refused", "refused")
EVENTS = {
    "kill -9 gateway": (lambda sluice: sluice.signal("gateway", signal.SIGKILL), JUDGED, JUDGED),
    "SIGSTOP gateway": (lambda sluice: sluice.signal("gateway", signal.SIGSTOP), PASSES, REFUSED),
    "kill -9 supervisor": (kill_supervisor, PASSES, REFUSED),
    "clean stop": (lambda sluice: sluice.stop(), PASSES, REFUSED),
    "restart": (restart, JUDGED, JUDGED),
}


def play(event: str, backend: str):
    """Fails where the table is not kept. Flows that were allowed live on through all of it."""
    act, *wanted = EVENTS[event]
    with Lab(guest=False, inner=False) as lab:
        lab.gateway.sysctl(**UNLIMITED)
        echo = {family: Echo(lab, lab.peer[family]) for family in FAMILIES}
        sluice = Sluice(lab, POLICY, network={"firewall": backend, "lan": ["lan0"]})
        cells = [(client, family, new) for client, new in zip((lab.alice, lab.bob), wanted) for family in FAMILIES]
        flows = [Sender(client, echo[family].where) for client, family, _ in cells]

        def all_live():
            return [flow.send(short(bytes(8))) for flow in flows] == ["answered"] * len(flows)

        for flow in flows:
            assert ask_echo(flow, ALLOWED) == "answered"
        assert all_live(), "before"
        act(sluice)
        assert all_live(), "at once"


        def looks() -> list:
            return [tuple(ask_anew(client, echo[family], name) for name in (ALLOWED, BLOCKED)) for client, family, _ in cells]

        wait_until(lambda: looks() == [new for *_, new in cells], WITHIN, f"{event}: {wanted}")
        assert all_live(), "later"
        if wanted[-1] is JUDGED:
            for flow in flows:
                assert ask_echo(flow, BLOCKED) == "refused", "an allowed flow is watched again"
        for end in (*flows, *echo.values()):
            end.close()


def ask_anew(client, echo: Echo, name: str) -> str:
    """Asked again and again while things change: a look must not outlast what it looks for."""
    with Sender(client, echo.where) as sender:
        sender.patience = 0.3
        return ask_echo(sender, name)


@pytest.fixture(scope="module")
def scenarios(built):
    """All side by side, because most of what they do is wait."""
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        return {(event, backend): pool.submit(play, event, backend) for backend in BACKENDS for event in EVENTS}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("event", EVENTS)
def test_a_dead_or_hung_daemon(scenarios, event, backend):
    scenarios[event, backend].result()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_new_policy_ends_what_it_blocks(built, backend):
    with Lab(guest=False, inner=False) as lab, Sluice(lab, POLICY, network={"firewall": backend, "lan": ["lan0"]}) as sluice:
        lab.gateway.sysctl(**UNLIMITED)
        echo = {family: Echo(lab, lab.peer[family]) for family in FAMILIES}
        flows = [Sender(lab.alice, echo[family].where) for family in FAMILIES]
        for flow in flows:
            assert ask_echo(flow, ALLOWED) == "answered" and flow.send(short(bytes(8))) == "answered"
        (sluice.config / "lists" / "bad.txt").write_text("allowed.test\n")
        sluice.reload()
        for flow in flows:
            wait_until(lambda: flow.send(short(bytes(8))) != "answered", WITHIN, "the flow has ended")
        for end in (*flows, *echo.values()):
            end.close()

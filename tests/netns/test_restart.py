"""A restart in place (SIGUSR2, `sluicectl restart`): nobody passes unjudged meanwhile, and nobody is cut off.

Asked by clients of an open and of a closed group, over IPv4 and IPv6, without a pause while the daemon is replaced: each
blocked name is refused, each allowed one answers. What was running runs on: proxied connections in the old gateway, which
has `[daemon] drain` for them, those of the kernel lane in the kernel.
"""
import contextlib
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest

import sluice as programs
from backends import KINDS
from client import fetch, request, trusting
from lab import FAMILIES
from namespace import wait_until
from sluice import POLICY, descendants
from wire import carried

BACKENDS = ("nftables", "iptables")


def gateways(sluice) -> list[int]:
    """The one in charge comes last."""
    found = []
    for pid in descendants(sluice.supervisor):
        with contextlib.suppress(OSError):  # it has just ended
            if Path(f"/proc/{pid}/comm").read_text().strip() == "sluice-gateway":
                began = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
                found.append((int(began), pid))
    return [pid for _, pid in sorted(found)]


def restart(sluice):
    done = sluice.ctl("restart", timeout=60)
    assert done.returncode == 0 and "restarted: sluice" in done.stdout, done.stdout + done.stderr


class Asker(threading.Thread):
    """Asks for one URL again and again; `wrong` is each answer that was not to be. HTTPS once more after a reset, as a browser does:
    a hello that takes more than a second to follow its SYN (a busy machine) finds another gateway, which does not know it."""

    def __init__(self, client, where: str, url: str, good, stop: threading.Event):
        super().__init__()
        self.client, self.where, self.url, self.good, self.stop = client, where, url, good, stop
        self.asked, self.again, self.wrong = 0, 0, []

    def run(self):
        while not self.stop.is_set():
            reply = fetch(self.client, self.where, self.url, timeout=10)
            if reply.kind == "reset" and reply.scheme == "https" and not self.good(reply):
                self.again += 1
                reply = fetch(self.client, self.where, self.url, timeout=10)
            self.asked += 1
            if not self.good(reply):
                self.wrong.append(f"{self.client['v4']}: {self.url} from {self.where}: {reply.kind} {reply.status}")
            time.sleep(0.05)  # sixteen ask at once; a machine that is drowned has hung workers, and if_down holds


def ask_meanwhile(lab, act) -> list[Asker]:
    stop, askers = threading.Event(), []
    for client in (lab.alice, lab.bob):
        for family in FAMILIES:
            for scheme in ("http", "https"):
                askers.append(Asker(client, lab.origin[family], f"{scheme}://www.allowed.test/",
                                    lambda reply: reply.allowed, stop))
                askers.append(Asker(client, lab.origin[family], f"{scheme}://www.blocked.test/",
                                    lambda reply: reply.blocked, stop))
    for asker in askers:
        asker.start()
    try:
        wait_until(lambda: all(asker.asked >= 2 for asker in askers), 20, "everybody asks")
        act()
        now = [asker.asked for asker in askers]
        wait_until(lambda: all(asker.asked >= before + 2 for asker, before in zip(askers, now)), 20,
                   "everybody asks the successor too")
    finally:
        stop.set()
        for asker in askers:
            asker.join()
    return askers


@pytest.mark.parametrize("root", [True, False], ids=["root", "unprivileged"])
@pytest.mark.parametrize("kind", KINDS)
def test_nobody_passes_unjudged_and_nobody_is_refused(lab, fresh, kind, root):
    sluice = fresh(POLICY, network=KINDS[kind], root=root)
    supervisor = sluice.supervisor

    def three_times():
        for _ in range(3):
            restart(sluice)

    askers = ask_meanwhile(lab, three_times)
    passed = [asker for asker in askers if "blocked" in asker.url]
    slips = [wrong for asker in passed for wrong in asker.wrong]
    assert slips == [], "\n".join([*slips[:20], f"{len(slips)} of them", sluice.log_text])
    failed = [wrong for asker in askers if asker not in passed for wrong in asker.wrong]
    assert failed == []
    assert sum(asker.again for asker in askers) <= 12
    assert sluice.supervisor == supervisor and sluice.process.poll() is None


def answered_after(sock) -> bool:
    reply = request(sock, "www.allowed.test")
    sock.close()
    return reply.allowed


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_handshake_that_runs_meanwhile(lab, fresh, workers):
    """The client's ACK is held back while the gateway is replaced, by one with as many, fewer or more workers: on its way to an
    origin, or to the gateway's own page."""
    sluice = fresh(POLICY, daemon={"workers": 2}, portal={"http": 80})
    hold = "add table inet hold; add chain inet hold out { type filter hook output priority 0; }; " \
           "add rule inet hold out tcp dport 80 tcp flags & (syn | ack) == ack drop"
    sluice.write(daemon={"workers": workers})
    socks, pages = [], []
    for client in (lab.alice, lab.bob):
        client.namespace.nft(hold)
        pages += [client.connect(address, 80, timeout=30) for address in ("10.20.0.1", "fd00:20::1")]
        socks += [client.connect(lab.origin[family], 80, timeout=30) for family in FAMILIES for _ in range(8)]
    restart(sluice)
    wait_until(lambda: len(gateways(sluice)) == 1, 20, "the old gateway ends: it has no connection to stay for")
    for client in (lab.alice, lab.bob):
        client.namespace.nft("delete table inet hold")
    assert [answered_after(sock) for sock in socks] == [True] * len(socks)
    for sock in pages:
        assert request(sock, "sluice.lan").status == 200
        sock.close()


@pytest.fixture(params=BACKENDS)
def sluice(request, fresh):
    return fresh(POLICY, network=KINDS[request.param], daemon={"drain": "1m"})


@pytest.mark.parametrize("how", ["verb", "signal"])
def test_running_connections_run_on(lab, sluice, how):
    proxied = {(c, f): c.connect(lab.origin[f], 80) for c in (lab.alice, lab.bob) for f in FAMILIES}
    kernel = {key: trusting().wrap_socket(key[0].connect(lab.origin[key[1]], 443), server_hostname="www.allowed.test")
              for key in proxied}
    flows = list(proxied.values()) + list(kernel.values())
    for sock in flows:
        assert request(sock, "www.allowed.test").allowed
    before = gateways(sluice)
    if how == "verb":
        restart(sluice)
    else:
        sluice.signal("supervisor", signal.SIGUSR2)
        wait_until(lambda: len(gateways(sluice)) == 2, 20, "two gateways")
        wait_until(lambda: sluice.ctl("status").returncode == 0, 20, "it answers")
    assert gateways(sluice)[:1] == before and len(gateways(sluice)) == 2
    for sock in flows:
        assert request(sock, "www.allowed.test").allowed
    for sock in proxied.values():  # still judged, where they are read
        assert request(sock, "www.blocked.test").blocked
    for sock in flows:
        sock.close()
    # Its last lines come to the log by the new keeper, and then it ends.
    wait_until(lambda: len(gateways(sluice)) == 1, 20, "the old gateway ends once its connections have")
    lines = wait_until(lambda: len(found := sluice.access(name="www.blocked.test", action="block", proto="http")) >= len(proxied)
                       and found, 5, "its last lines")
    assert len(lines) == len(proxied)


def test_after_the_drain_what_is_left_is_cut(lab, fresh):
    sluice = fresh(POLICY, daemon={"drain": "1s"})
    sock = lab.alice.connect(lab.origin["v4"], 80, timeout=30)
    assert request(sock, "www.allowed.test").allowed
    restart(sluice)
    wait_until(lambda: len(gateways(sluice)) == 1, 20, "the old gateway does not stay for an idle connection")


def test_a_bad_file_changes_nothing(lab, sluice):
    pids = gateways(sluice)
    good = (sluice.config / "policy.toml").read_text()
    (sluice.config / "policy.toml").write_text(good + '[[rule]]\nname = "x"\nto = ["host:a.test"]\naction = "blok"\n')
    done = sluice.ctl("restart", timeout=60)
    assert done.returncode == 2 and "policy.toml:" in done.stderr and "nothing was changed" in done.stderr
    (sluice.config / "policy.toml").write_text(good)
    assert gateways(sluice) == pids
    assert fetch(lab.alice, lab.origin["v4"], "http://www.blocked.test/").blocked


def test_the_program_at_its_path_takes_over(lab, fresh, monkeypatch):
    """As an upgrade lays it there: beside the old one, then renamed."""
    folder = lab.directory / "programs" / "bin"
    folder.mkdir(parents=True)
    shutil.copytree(programs.BINARIES.parent / "share", folder.parent / "share")
    program = folder / "sluiced"
    shutil.copy(programs.SLUICED, program)
    monkeypatch.setattr(programs, "SLUICED", str(program))
    sluice = fresh(POLICY)

    def upgrade(text: bytes | None = None):
        new = folder / "sluiced.new"
        shutil.copy(programs.BINARIES / "sluiced", new)
        if text is not None:
            new.write_bytes(text)
        new.rename(program)

    first = os.stat(f"/proc/{sluice.supervisor}/exe").st_ino
    upgrade(b"no program at all\n")
    done = sluice.ctl("restart", timeout=60)
    assert done.returncode == 2 and "cannot be run" in done.stderr, done.stderr
    assert os.stat(f"/proc/{sluice.supervisor}/exe").st_ino == first
    assert fetch(lab.alice, lab.origin["v4"], "http://www.blocked.test/").blocked
    sluice.signal("gateway", signal.SIGKILL)  # roles are the supervisor's own program, whatever lies at its path
    wait_until(lambda: fetch(lab.alice, lab.origin["v4"], "http://www.blocked.test/").blocked, 20, "judged again")
    upgrade()
    restart(sluice)
    assert os.stat(f"/proc/{sluice.supervisor}/exe").st_ino == os.stat(program).st_ino
    assert os.stat(f"/proc/{gateways(sluice)[-1]}/exe").st_ino == os.stat(program).st_ino


@pytest.mark.parametrize("fault", ["a user that is not there", "a secret that others may read"])
def test_what_a_start_would_refuse_is_no_reason_to_restart(lab, fresh, fault):
    secret = lab.directory / f"restart-{fault[:6].strip()}.secret"
    secret.write_text("a secret of sixteen\n")
    secret.chmod(0o600)
    sluice = fresh(POLICY, **{"identity.radius": {"listen": "127.0.0.1:1813"},
                              'identity.radius.clients."10.40.0.2"': {"secret_file": str(secret)}})
    gateway = gateways(sluice)
    if fault.startswith("a secret"):
        secret.chmod(0o644)
    else:
        sluice.write(daemon={"user": "nobody-of-that-name"})
    done = sluice.ctl("restart", timeout=60)
    assert done.returncode == 2 and "nothing was changed" in done.stderr, done
    assert (str(secret) if fault.startswith("a secret") else "nobody-of-that-name") in done.stderr, done
    assert gateways(sluice) == gateway
    assert fetch(lab.alice, lab.origin["v4"], "http://www.blocked.test/").blocked


def test_keys_that_need_a_restart(lab, fresh):
    sluice = fresh(POLICY, network={"lan": ["lan0"], "firewall": "nftables"})
    assert fetch(lab.guest, lab.origin["v4"], "http://www.blocked.test/").allowed  # not a LAN of ours yet
    sluice.write(network={"lan": ["guest0", "lan0"], "firewall": "iptables"}, daemon={"workers": 1})
    refused = sluice.ctl("reload")
    assert refused.returncode == 2 and "needs restart: network.lan" in refused.stderr
    restart(sluice)
    for client in (lab.guest, lab.alice):
        assert fetch(client, lab.origin["v4"], "http://www.blocked.test/").blocked
    assert "sluice" not in lab.gateway.run("nft", "list", "tables").stdout.replace("sluicelab", "")
    assert "sluice" in lab.gateway.run("iptables-save").stdout
    sluice.wait_access(name="www.blocked.test", client=lab.guest["v4"])


def test_bytes_are_counted_once(lab, fresh):
    """Downloads that begin before a restart and end after it: the sum is what their own interfaces carried."""
    sluice = fresh(POLICY, accounting={"interval": "1s", "flush": "1s"})
    began = {client: carried(client) for client in (lab.alice, lab.bob)}
    files = []

    def download(client, scheme):
        files.append(len(fetch(client, lab.origin["v4"], f"{scheme}://www.allowed.test/slow", timeout=60).body))

    downloads = [threading.Thread(target=download, args=(client, scheme))
                 for client in began for scheme in ("http", "https")]
    for thread in downloads:
        thread.start()
    wait_until(lambda: carried(lab.alice).both - began[lab.alice].both > 300_000, 30, "something has flowed")
    restart(sluice)
    for thread in downloads:
        thread.join()
    assert files == [1 << 20] * 4

    wanted = sum((carried(client) - before).both for client, before in began.items())

    def counted() -> int:
        return sluice.ctl_json("usage", "--by", "client", "--since", "1h")["total"]["bytes"]

    settled = wait_until(lambda: counted() >= wanted * 0.99 and counted(), 30, f"{wanted} bytes are counted")
    assert settled < wanted * 1.01


def test_two_restarts_at_once_are_one_after_the_other(lab, fresh):
    sluice = fresh(POLICY, daemon={"drain": "10m"})
    sock = lab.alice.connect(lab.origin["v4"], 80)
    assert request(sock, "www.allowed.test").allowed
    for _ in range(3):
        newest = gateways(sluice)[-1]
        for _ in range(3):
            sluice.signal("supervisor", signal.SIGUSR2)
        restart(sluice)
        assert gateways(sluice)[-1] != newest
    assert request(sock, "www.allowed.test").allowed
    assert fetch(lab.alice, lab.origin["v4"], "http://www.blocked.test/").blocked
    sock.close()
    wait_until(lambda: len(gateways(sluice)) == 1, 30, "only one is left")

"""Who trusts the local CA and who does not: the page that tells, what happens to devices that do not, and names that a device
refuses to have decrypted."""
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import time

import pytest
from cryptography.hazmat.primitives import serialization

from certificates import DAY, Signer, pem
from client import fetch
from namespace import wait_until
from origin import authority
from test_devices import mac_of
from test_intercept import curl, decision

POLICY = """
zone = "UTC"
[group.default]
tls = "inspect"
log = "url"
[group.refused]
members = ["10.20.0.3"]
tls = "inspect"
not_enrolled = "refuse"
[[rule]]
name = "no games"
to = ["host:arcade.test"]
action = "block"
[[rule]]
name = "no films"
to = ["url:files.test/films/"]
action = "block"
"""
EAGER = POLICY.replace('log = "url"', 'log = "url"\nnot_enrolled = "inspect"')
LAB_CA = authority() / "ca.crt"


def portal(host, path: str, address="10.20.0.1", **headers) -> subprocess.CompletedProcess:
    fields = [x for key, value in headers.items() for x in ("-H", f"{key}: {value}")]
    return host.run("curl", "-s", "-i", "--max-time", "5", *fields, f"http://{address}{path}", check=False)


def enrol(sluice, host):
    """As the page's picture does in a browser that trusts the CA."""
    host.run("curl", "-s", "--fail", "--max-time", "5", "--cacert", str(sluice.ca_pem), "-o", "/dev/null",
             "https://10.20.0.1:8443/check?1")


def refuse(sluice, host, name: str, times: int = 1, trust=LAB_CA):
    for _ in range(times):
        got = curl(sluice, host, f"https://{name}/", ca=trust)
        assert got.code == 60, got  # its certificate is not what this client trusts
    assert sluice.ctl_json("status")["complete"]  # answered by each worker, behind what clients have told it


@pytest.fixture
def sluice(lab, fresh):
    return fresh(POLICY)


def test_a_device_without_the_ca_keeps_working(sluice, lab):
    got = curl(sluice, lab.alice, "https://www.allowed.test/", ca=LAB_CA)
    assert got.status == 200 and "sluice lab CA" in got.issuer, got
    assert sluice.wait_access(name="www.allowed.test", spared="not_enrolled")["tls"] == "spliced"
    assert fetch(lab.alice, lab.origin["v4"], "https://arcade.test/").kind == "alert"  # and is judged by name
    assert fetch(lab.bob, lab.origin["v4"], "https://www.allowed.test/").kind == "alert"  # not_enrolled = "refuse"
    assert sluice.wait_access(group="refused")["reason"] == "not_enrolled"


def test_the_page_and_the_check(sluice, lab):
    page = portal(lab.alice, "/", **{"User-Agent": "Mozilla/5.0 (Linux; Android 14) Chrome/126"})
    assert "200 OK" in page.stdout and "is not known yet" in page.stdout
    assert page.stdout.index("Android") < page.stdout.index("iPhone") and "https://10.20.0.1:8443/check" in page.stdout
    apple = portal(lab.alice, "/", **{"User-Agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X)"})
    assert apple.stdout.index("iPhone and iPad") < apple.stdout.index("Android")
    assert portal(lab.alice, "/ca.crt").stdout.endswith(sluice.ca_pem.read_text().replace("\n", "\n"))
    assert "com.apple.security.root" in portal(lab.alice, "/ca.mobileconfig").stdout
    assert "404" in portal(lab.alice, "/etc/passwd").stdout.splitlines()[0]
    assert "405" in lab.alice.run("curl", "-si", "-d", "x", "http://10.20.0.1/").stdout.splitlines()[0]
    by_name = lab.alice.run("curl", "-s", "--resolve", "sluice.lan:80:10.20.0.1", "http://sluice.lan/").stdout
    assert "https://sluice.lan:8443/check" in by_name

    before = curl(sluice, lab.alice, "https://www.allowed.test/", ca=LAB_CA)
    assert "sluice lab CA" in before.issuer
    failed = lab.alice.run("curl", "-s", "--cacert", str(LAB_CA), "https://10.20.0.1:8443/check", check=False)
    assert failed.returncode == 60
    assert "not known yet" in portal(lab.alice, "/").stdout  # a check that fails enrols nobody
    enrol(sluice, lab.alice)
    assert "trusts the certificate already" in portal(lab.alice, "/").stdout
    after = curl(sluice, lab.alice, "https://files.test/films/1")
    assert after.status == 403 and "no films" in after.body, after
    named = curl(sluice, lab.alice, "https://arcade.test/")
    assert named.status == 403 and "no games" in named.body, named


def test_the_page_is_not_on_the_wan(sluice, lab):
    done = lab.origin.run("curl", "-s", "--max-time", "20", "http://10.99.0.1/", check=False)
    assert done.returncode == 7


def test_enrolment_outlives_a_restart_and_ends_when_the_ca_is_gone(sluice, lab):
    enrol(sluice, lab.alice)
    wait_until(lambda: mac_of(lab.alice) in json.dumps(sluice.ctl_json("bypass", "list")), 5, "kept")
    sluice.stop()
    sluice.start()
    assert curl(sluice, lab.alice, "https://www.allowed.test/").status == 200
    names = ["www.allowed.test", "allowed.test", "files.test", "notblocked.test", "ws.test"]
    for name in names:
        refuse(sluice, lab.alice, name)
    got = curl(sluice, lab.alice, "https://www.allowed.test/", ca=LAB_CA)
    assert got.status == 200 and "sluice lab CA" in got.issuer, got
    wait_until(lambda: sluice.ctl_json("bypass", "list")["enrolled"] == [], 5, "forgotten")


def test_a_name_that_is_refused_again_and_again_is_bypassed_for_that_device_alone(sluice, lab):
    for host in (lab.alice, lab.guest):
        enrol_at = "10.20.0.1" if host is lab.alice else "10.30.0.1"
        host.run("curl", "-s", "--fail", "--cacert", str(sluice.ca_pem), "-o", "/dev/null", f"https://{enrol_at}:8443/check")
    refuse(sluice, lab.alice, "ws.test", 3)
    spared = curl(sluice, lab.alice, "https://ws.test/", ca=LAB_CA)
    assert spared.status == 200 and "sluice lab CA" in spared.issuer, spared
    assert sluice.wait_access(name="ws.test", spared="bypass")["tls"] == "spliced"
    assert "sluice local CA" in curl(sluice, lab.guest, "https://ws.test/").issuer
    assert "sluice local CA" in curl(sluice, lab.alice, "https://files.test/").issuer
    bypass, = sluice.ctl_json("bypass", "list")["bypasses"]
    assert (bypass["name"], bypass["device"]) == ("ws.test", mac_of(lab.alice))
    # It never unblocks, and it can be taken back.
    sluice.reload(POLICY + '[[rule]]\nname = "no chat"\nto = ["host:ws.test"]\naction = "block"\n')
    assert curl(sluice, lab.alice, "https://ws.test/", ca=LAB_CA).status == 0
    sluice.reload(POLICY)
    assert sluice.ctl("bypass", "revoke", "ws.test").returncode == 0
    assert sluice.ctl("bypass", "revoke", "ws.test").returncode == 1
    assert "sluice local CA" in curl(sluice, lab.alice, "https://ws.test/").issuer


def test_a_bad_network_teaches_nothing(fresh, lab):
    """Resets, and connections that go away in the middle of the handshake or after it, without a word."""
    sluice = fresh(EAGER)
    enrol(sluice, lab.alice)
    context = ssl.create_default_context(cafile=str(sluice.ca_pem))
    hard = b"\x01\0\0\0\0\0\0\0"
    for i in range(12):
        sock = lab.alice.connect(lab.origin["v4"], 443)
        if i % 2:
            sock = context.wrap_socket(sock, server_hostname="ws.test")
        else:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(incoming, outgoing, server_hostname="ws.test")
            with pytest.raises(ssl.SSLWantReadError):
                tls.do_handshake()
            sock.sendall(outgoing.read())
            time.sleep(0.05)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, hard)
        sock.close()
    assert sluice.ctl_json("bypass", "list")["bypasses"] == []
    assert "sluice local CA" in curl(sluice, lab.alice, "https://ws.test/").issuer


@pytest.mark.unsanitized
def test_clients_that_reject_in_a_loop_leak_nothing(fresh, lab):
    sluice = fresh(EAGER)
    pid = sluice.role("gateway")
    context = ssl.create_default_context(cafile=str(LAB_CA))

    def reject(times):
        for _ in range(times):
            with lab.alice.connect(lab.origin["v4"], 443) as sock, pytest.raises(ssl.SSLCertVerificationError):
                context.wrap_socket(sock, server_hostname="www.allowed.test")

    def held():
        with open(f"/proc/{pid}/status") as status:
            memory = int(re.search(r"VmRSS:\s+(\d+)", status.read())[1])
        return memory, len(os.listdir(f"/proc/{pid}/fd"))

    reject(200)
    wait_until(lambda: sluice.open() == 0, 10, "all closed")
    memory, descriptors = held()
    reject(800)
    wait_until(lambda: sluice.open() == 0, 10, "all closed")
    wait_until(lambda: held()[1] <= descriptors, 5, "as many descriptors as before")
    assert held()[0] - memory < 4096, (memory, held())


def test_a_signer_that_dies_blocks_and_comes_back(fresh, lab):
    sluice = fresh(EAGER)
    assert curl(sluice, lab.alice, "https://www.allowed.test/").status == 200
    signer = sluice.role("signer")
    os.kill(signer, signal.SIGSTOP)
    hung = curl(sluice, lab.alice, "https://files.test/", timeout=20)
    assert hung.code == 35, hung  # blocked, not stalled
    assert sluice.wait_access(name="files.test")["reason"] == "no_signer"
    assert curl(sluice, lab.alice, "https://www.allowed.test/").status == 200  # what it signed is still here
    os.kill(signer, signal.SIGKILL)
    wait_until(lambda: sluice.role("signer") not in (None, signer), 5, "another signer")
    assert wait_until(lambda: curl(sluice, lab.alice, "https://files.test/").status == 200, 5, "it signs")


def test_the_signer_can_do_nothing_else(fresh, lab):
    sluice = fresh(EAGER)
    status = open(f"/proc/{sluice.role('signer')}/status").read()
    assert re.search(r"Seccomp:\s+2", status) and re.search(r"CapEff:\s+0{16}", status)
    assert re.search(r"NoNewPrivs:\s+1", status) and not re.search(r"Uid:\s+0\s", status)
    links = [os.readlink(f"/proc/{sluice.role('signer')}/fd/{fd}") for fd in os.listdir(f"/proc/{sluice.role('signer')}/fd")]
    assert not [link for link in links if link.startswith("/") and "stderr" not in link and link != "/dev/null"], links


@pytest.mark.unsanitized  # 20 TiB of it
def test_the_key_is_in_nobody_elses_memory(fresh, lab):
    sluice = fresh(EAGER)
    for role in ("gateway", "keeper", "helper"):
        memory = _strings_of(sluice.role(role))
        assert sluice.ca_pem.with_suffix(".key").read_text().splitlines()[1] not in memory


def _strings_of(pid: int) -> str:
    found = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            first, last, mode = re.match(r"(\w+)-(\w+) (\S+)", line).groups()
            if mode.startswith("rw") and "[v" not in line:
                memory.seek(int(first, 16))
                try:
                    found.append(memory.read(int(last, 16) - int(first, 16)).decode("latin-1"))
                except OSError:
                    pass
    return "".join(found)


def test_a_key_that_others_can_read_is_refused(fresh, lab):
    sluice = fresh(EAGER, start=False)
    key = sluice.ca_pem.with_suffix(".key")
    key.chmod(0o644)
    with pytest.raises(AssertionError, match=f"run: chmod 600 {key}"):
        sluice.start()
    key.chmod(0o600)
    sluice.start()
    key.chmod(0o640)
    done = sluice.ctl("reload")
    assert done.returncode == 2 and f"chmod 600 {key}" in done.stdout + done.stderr
    assert curl(sluice, lab.alice, "https://www.allowed.test/").status == 200  # what was in force stays


def test_without_a_ca_the_fix_is_said(fresh, lab):
    sluice = fresh(EAGER, start=False)
    sluice.ca_pem.unlink()
    sluice.ca_pem.with_suffix(".key").unlink()
    with pytest.raises(AssertionError, match="make one with: sluicectl ca init"):
        sluice.start()


def test_what_is_no_ca_is_refused_at_start_and_reload(fresh, lab):
    sluice = fresh(EAGER)
    good = sluice.ca_pem.read_bytes()
    for bad in (b"rubbish\n", (authority() / "origin.crt").read_bytes()):
        sluice.ca_pem.write_bytes(bad)
        done = sluice.ctl("reload")
        assert done.returncode == 2 and "is no CA's certificate" in done.stdout + done.stderr, done
        assert curl(sluice, lab.alice, "https://www.allowed.test/", ca=_kept(sluice, good)).status == 200
    key = serialization.load_pem_private_key(sluice.ca_pem.with_suffix(".key").read_bytes(), None)
    sluice.ca_pem.write_bytes(pem(Signer("late", end=-DAY, key=key).certificate))
    done = sluice.ctl("reload")
    assert done.returncode == 2 and "has expired on" in done.stdout + done.stderr, done
    sluice.stop()
    with pytest.raises(AssertionError, match="has expired on"):
        sluice.start()


def _kept(sluice, pem: bytes):
    path = sluice.directory / "kept.crt"
    path.write_bytes(pem)
    return path


def test_rotation(fresh, lab):
    sluice = fresh(EAGER)
    old = sluice.directory / "old.crt"
    old.write_bytes(sluice.ca_pem.read_bytes())
    assert sluice.ca("rotate").returncode == 1  # there is no next one
    assert sluice.ca("init").returncode == 1    # and the current one is never overwritten
    assert sluice.ca("init", "--next", "--key", "rsa", "--permit", "allowed.test").returncode == 0
    coming = sluice.ca("export", "--next").stdout
    sluice.reload(EAGER + "\n")
    assert coming.strip() in portal(lab.alice, "/ca.crt").stdout.replace("\r", "")  # devices get the next one already
    assert curl(sluice, lab.alice, "https://www.allowed.test/", ca=old).status == 200
    assert sluice.ca("rotate").returncode == 0
    sluice.reload(EAGER)
    wait_until(lambda: curl(sluice, lab.alice, "https://www.allowed.test/").status == 200, 5, "the next CA signs")
    assert curl(sluice, lab.alice, "https://www.allowed.test/", ca=old).code == 60
    outside = curl(sluice, lab.alice, "https://files.test/")
    assert outside.code == 60 and "permitted" in outside.stderr, outside  # its name constraints hold
    shown = json.loads(sluice.ca("show", "--json").stdout)
    assert shown["current"]["key"] == "RSA-3072" and "previous" in shown and "next" not in shown
    assert "allowed.test" in shown["current"]["permitted"]


def test_pages_for_groups_that_are_judged_by_name(fresh, lab):
    """block_page = "https": enrolled devices get a page for a blocked name, everything else of theirs is their own."""
    sluice = fresh('[group.default]\nblock_page = "https"\n[[rule]]\nname = "no games"\nto = ["host:arcade.test"]\n'
                   'action = "block"\n')
    assert fetch(lab.alice, lab.origin["v4"], "https://arcade.test/").kind == "alert"
    enrol(sluice, lab.alice)
    page = curl(sluice, lab.alice, "https://arcade.test/x")
    assert page.status == 403 and "no games" in page.body, page
    record = sluice.wait_access(id=decision(page))
    assert (record["name"], record["rule"], record["tls"]) == ("arcade.test", "no games", "inspected")
    other = curl(sluice, lab.alice, "https://www.allowed.test/", ca=LAB_CA)
    assert other.status == 200 and "sluice lab CA" in other.issuer, other


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_warnings_are_clicked_away_over_https(fresh, lab, version):
    sluice = fresh(EAGER + '[[rule]]\nname = "think twice"\nto = ["host:files.test"]\naction = "warn"\n'
                   '[[rule]]\nname = "think here"\nto = ["url:www.allowed.test/there"]\naction = "warn"\n')
    for url in ("https://files.test/paper", "https://www.allowed.test/there"):
        page = curl(sluice, lab.alice, url, version)
        assert page.status == 403 and "think " in page.body, page
        fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.body)
        form = [x for key, value in fields for x in ("--data-urlencode", f"{key}={value}")]
        clicked = curl(sluice, lab.alice, url.rpartition("/")[0] + "/.well-known/sluice/proceed", version, *form)
        assert clicked.status == 303, clicked
        assert wait_until(lambda: curl(sluice, lab.alice, url, version).status == 200, 5, "let past")


def test_explain_and_status_know_it(sluice, lab):
    def told(url):
        return sluice.ctl_json("explain", "--client", "10.20.0.2", url, code=1)

    def decrypted(url, code=0):
        return sluice.ctl_json("explain", "--client", "10.20.0.2", url, code=code)["decrypted"]

    assert not decrypted("https://files.test/films/1")  # so the path cannot be seen
    enrol(sluice, lab.alice)
    assert decrypted("https://files.test/films/1", 1)
    assert told("https://files.test/films/1")["https"]["rule"] == "no films"
    assert "trusts the local CA" in sluice.ctl("explain", "--client", "10.20.0.2", "https://files.test/x").stdout
    refuse(sluice, lab.alice, "ws.test", 3)
    assert not decrypted("https://ws.test/")
    status = sluice.ctl_json("status")["interception"]
    assert status["enrolled"] == [mac_of(lab.alice)] and status["bypasses"] == 1 and status["leaves_minted"] >= 1
    assert "1 devices trust the local CA" in sluice.ctl("status").stdout

"""sluicectl replay: captures of others against what other tools read in them, and a capture of ours against the log."""
import collections
import csv
import gzip
import ipaddress
import json
import socket
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

from client import fetch
from namespace import wait_until
from sluice import POLICY, SLUICECTL

CORPORA = Path(__file__).resolve().parents[2] / ".." / "shared" / "corpora" / "pcap"
needs_corpora = pytest.mark.skipif(not CORPORA.exists(), reason="the captures are not beside the source tree")


def replay(capture: Path, *arguments: str) -> list[dict]:
    done = subprocess.run([SLUICECTL, "replay", str(capture), *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{capture}: exit {done.returncode}: {done.stderr}"
    return [json.loads(line) for line in done.stdout.splitlines()]


def table(name: str) -> list[dict]:
    with open(CORPORA / name, newline="") as file:
        return list(csv.DictReader((line.lstrip("#") for line in file), delimiter="\t", quoting=csv.QUOTE_NONE))


def endpoint(address: str, port: str) -> str:
    address = str(ipaddress.ip_address(address))  # RFC 5952
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def flows_of(capture: str, cache={}) -> list[dict]:
    if capture not in cache:
        path = CORPORA / capture
        if path.suffix != ".gz":
            cache[capture] = replay(path)
        else:
            with tempfile.NamedTemporaryFile() as plain:
                plain.write(gzip.decompress(path.read_bytes()))
                plain.flush()
                cache[capture] = replay(plain.name)
    return cache[capture]


@needs_corpora
def test_every_capture_is_survived():
    seen = 0
    for capture in sorted(CORPORA.rglob("*.pcap*")):
        done = subprocess.run([SLUICECTL, "replay", str(capture)], capture_output=True, text=True, timeout=120)
        # 2: a link type that is not read, or no capture at all; never a crash.
        assert done.returncode in (0, 2), f"{capture}: {done.returncode} {done.stderr}"
        assert done.returncode == 0 or "link type" in done.stderr or "cannot read" in done.stderr
        for line in done.stdout.splitlines():
            json.loads(line)
        seen += done.returncode == 0
    assert seen > 500


@needs_corpora
@pytest.mark.parametrize("kind", ["tls", "quic"])
def test_names_are_those_that_others_read(kind):
    wrong, right = [], 0
    for row in table("expected_sni.tsv"):
        if row["scope"] != "required" or row["kind"] != kind:
            continue
        # The gateway reads no drafts of QUIC, and refuses a name that is none ("server4:443").
        if row["quic_versions"].startswith("0xff0000") or ":" in row["sni"]:
            continue
        ends = endpoint(row["client"], row["cport"]), endpoint(row["server"], row["sport"])
        found = [flow for flow in flows_of(row["pcap"]) if (flow["client"], flow["origin"]) == ends
                 and flow["proto"] == kind]
        name = row["sni"].lower() or None
        if any(flow["name"] == name and flow["alpn"] == [a for a in row["alpn"].split(",") if a] for flow in found):
            right += 1
        else:
            wrong.append((row["pcap"], ends, name, found))
    assert not wrong, f"{len(wrong)} of {len(wrong) + right}: {wrong[:5]}"
    assert right > (300 if kind == "tls" else 60)


@needs_corpora
def test_queries_are_those_that_others_read():
    asked = collections.defaultdict(list)
    for row in table("expected_dns.tsv"):
        if any(tunnel in row["pcap"] for tunnel in ("erspan", "gre", "geneve")):  # are not looked into
            continue
        if row["response"] == "0" and not row["malformed"] and row["dport"] == "53":
            asked[row["pcap"], endpoint(row["src"], row["sport"]), endpoint(row["dst"], row["dport"])].append(row)
    wrong, right = [], 0
    for (capture, client, origin), rows in asked.items():
        names = {name for row in rows for name in row["qname"].lower().split("|")}
        found = {flow["name"] for flow in flows_of(capture) if (flow["client"], flow["origin"]) == (client, origin)}
        if found & names or (names <= {"", "<Root>".lower(), "<root>"} and found):
            right += 1
        else:
            wrong.append((capture, client, names, found))
    assert right > 150
    assert len(wrong) <= right // 100, f"{len(wrong)} of {len(wrong) + right}: {wrong[:8]}"


@needs_corpora
def test_requests_are_among_those_that_others_read():
    expected = collections.defaultdict(list)
    for row in table("expected_http.tsv"):
        if row["version"] == "http1" and row["l4"] == "tcp":
            expected[row["pcap"], endpoint(row["client"], row["cport"]), endpoint(row["server"], row["sport"])].append(row)
    read, all_of_them = 0, 0
    for (capture, client, origin), rows in expected.items():
        hosts = {row["host"].lower().split(":")[0] for row in rows} | {host for row in rows for host in
                                                                       row["host"].lower().split("|")}
        found = [flow for flow in flows_of(capture) if (flow["client"], flow["origin"]) == (client, origin)]
        all_of_them += len(rows)
        for flow in found:
            read += len(flow["urls"])
            if flow["name"] and all(row["host"] for row in rows) and not rows[0]["uri"].startswith("http"):
                assert flow["name"] in hosts or flow["name"].split(":")[0] in hosts, (capture, client, flow, hosts)
    assert read > all_of_them * 0.6, f"{read} of {all_of_them}"


# --- our own traffic

SO_RCVBUFFORCE = 33


class Capture:
    """Every frame that passes one interface of a namespace, as a pcap file."""

    def __init__(self, namespace, interface: str, path: Path):
        with namespace.enter():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self.socket.bind((interface, 0))
        self.socket.settimeout(0.1)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        self.path, self.stopping, self.frames = path, False, []
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        while True:
            try:
                self.frames.append((time.time(), self.socket.recv(65535)))
            except TimeoutError:
                if self.stopping:
                    return

    def stop(self):
        time.sleep(0.3)
        self.stopping = True
        self.thread.join()
        self.socket.close()
        with open(self.path, "wb") as file:
            file.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
            for at, frame in self.frames:
                file.write(struct.pack("<IIII", int(at), int(at % 1 * 1e6), len(frame), len(frame)) + frame)


def test_says_what_the_gateway_said(lab, fresh, family, tmp_path):
    sluice = fresh(POLICY)
    interface = next(i["ifname"] for i in json.loads(lab.alice.run("ip", "-j", "link").stdout) if i["ifname"] != "lo")
    capture = Capture(lab.alice.namespace, interface, tmp_path / "ours.pcap")
    urls = ["http://www.allowed.test/", "http://www.blocked.test/x", "http://arcade.test/maths/1", "http://arcade.test/",
            "https://www.allowed.test/", "https://www.blocked.test/", "https://www.arcade.test/"]
    outcomes = {url: fetch(lab.alice, lab.origin[family], url).allowed for url in urls}
    capture.stop()
    flows = [flow for flow in replay(capture.path, "--config", str(sluice.config)) if flow["proto"] in ("tls", "http")]
    said = {(flow["urls"][0] if flow["urls"] else f"https://{flow['name']}/"): flow for flow in flows}
    assert set(said) == set(urls)
    for url, allowed in outcomes.items():
        assert (said[url]["verdict"] == "allow") == allowed, said[url]
    assert said["https://www.blocked.test/"]["rule"] == "no games"
    wait_until(lambda: len(sluice.access()) >= len(urls), 5, "all are in the log")

    # What the log has would be judged as it was, and otherwise once the rules are others.
    def log(*more: str):
        return subprocess.run([SLUICECTL, "replay", "--log", str(sluice.access_log), "--config", str(sluice.config)],
                              capture_output=True, text=True)
    assert log().returncode == 0 and log().stdout == "", log().stdout
    assert "depend on a URL" in log().stderr
    sluice.write(POLICY.replace('"host:arcade.test", "list:bad"', '"host:www.allowed.test"'))
    flips = [json.loads(line) for line in log().stdout.splitlines()]
    by_host = {flip["host"]: flip for flip in flips}
    assert by_host["www.allowed.test"]["now"] == "block" and by_host["www.blocked.test"]["now"] == "allow"
    assert by_host["www.allowed.test"]["count"] == 2 and by_host["www.allowed.test"]["rule_now"] == "no games"
    with open(sluice.access_log, "a") as file:
        file.write("not a record\n")
    assert "1 lines are no records" in log().stderr


def test_what_is_no_capture_is_said(tmp_path):
    def run(*arguments):
        return subprocess.run([SLUICECTL, "replay", *map(str, arguments)], capture_output=True, text=True)
    (tmp_path / "x").write_text("hello")
    assert run(tmp_path / "x").returncode == 2 and "cannot read the capture" in run(tmp_path / "x").stderr
    assert run(tmp_path / "absent").returncode == 2
    assert run().returncode == 2
    header = struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1)
    (tmp_path / "cut").write_bytes(header + struct.pack("<IIII", 1, 1, 100, 100) + b"short")
    assert run(tmp_path / "cut").returncode == 0 and "damaged" in run(tmp_path / "cut").stderr
    (tmp_path / "wifi").write_bytes(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 105))
    assert run(tmp_path / "wifi").returncode == 2 and "link type" in run(tmp_path / "wifi").stderr

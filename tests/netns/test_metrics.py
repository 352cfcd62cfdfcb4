"""Prometheus: what the real daemon serves at /metrics, and what strangers can do to whoever serves it."""
import concurrent.futures
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from client import fetch
from namespace import descriptors_of, wait_until
from sluice import POLICY, Sluice

PORT = 9733
CONTRIB = Path(__file__).resolve().parents[2] / "contrib"


@pytest.fixture(scope="module")
def sluice(lab, built):
    with Sluice(lab, POLICY, metrics={"listen": f"127.0.0.1:{PORT}"}) as sluice:
        wait_until(lambda: "metrics at http://" in sluice.log_text, 5, "the endpoint listens")
        yield sluice


def scrape(sluice, address=f"127.0.0.1:{PORT}", path="/metrics", *more) -> subprocess.CompletedProcess:
    return sluice.lab.gateway.run("curl", "-sSf", "-g", "-m", "8", *more, f"http://{address}{path}", check=False)


def values(text: str) -> dict[str, float]:
    """{'sluice_up': 1.0, 'sluice_flows_total{lane="proxy",outcome="accepted"}': 3.0}"""
    samples = [line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    found = {name: float(value) for name, _, value in samples}
    assert len(found) == len(samples), "a series comes twice"
    return found


def whole(sluice, where: str = f"127.0.0.1:{PORT}") -> dict[str, float]:
    """With the gateway's part: it has a second and a half to answer."""
    return wait_until(lambda: (seen := values(scrape(sluice, where).stdout)).get("sluice_up") == 1 and seen, 5,
                      "gateway and keeper have answered")


def ask(sluice, raw: bytes, timeout: float = 8) -> bytes:
    with sluice.lab.gateway.connect("127.0.0.1", PORT, timeout=timeout) as sock:
        sock.sendall(raw)
        answer = b""
        while more := sock.recv(65536):
            answer += more
        return answer


def test_promtool_likes_it(sluice, lab):
    whole(sluice)
    done = scrape(sluice)
    assert done.returncode == 0, done.stderr
    checked = subprocess.run(["promtool", "check", "metrics"], input=done.stdout, text=True, capture_output=True)
    assert checked.returncode == 0 and not checked.stderr, checked.stdout + checked.stderr + done.stdout
    seen = values(done.stdout)
    assert seen["sluice_up"] == 1 and seen['sluice_build_info{version="0.1.0"}'] == 1
    assert seen["sluice_heartbeat_ok"] == 1 and seen["sluice_list_entries"] > 0
    assert seen['sluice_log_lines_lost_total{process="gateway"}'] == 0
    assert seen["sluice_store_trouble"] == 0 and seen["sluice_conntrack_dumps_total"] >= 0
    assert not re.search(r"client=|host=|domain=|url=", done.stdout)


def test_it_counts_what_happens(sluice, lab, family):
    def now():
        return whole(sluice)

    before = now()
    assert fetch(lab.alice, lab.origin[family], "http://www.allowed.test/").allowed
    assert fetch(lab.alice, lab.origin[family], "http://arcade.test/").blocked
    assert fetch(lab.alice, lab.origin[family], "https://www.blocked.test/").blocked
    grown = {'sluice_access_records_total{action="allow"}': 1, 'sluice_access_records_total{action="block"}': 2,
             'sluice_flows_total{lane="proxy",outcome="accepted"}': 2,
             f'sluice_flows_total{{lane="{sluice.lane}",outcome="{"blocked" if sluice.lane == "kernel" else "accepted"}"}}':
                 1 if sluice.lane == "kernel" else 3}
    wait_until(lambda: all(now()[name] >= before[name] + by for name, by in grown.items()), 5, f"{grown} in {now()}")
    after = now()
    for direction in ("up", "down"):
        name = f'sluice_proxied_bytes_total{{direction="{direction}"}}'
        assert after[name] > before[name]
    assert {name: after[name] - before[name] for name in grown} == grown


def test_alerts_and_dashboard_ask_for_what_there_is():
    rules = CONTRIB / "prometheus" / "sluice.rules.yml"
    for command in (["check", "rules", rules], ["test", "rules", rules.with_name("sluice.rules.test.yml")]):
        done = subprocess.run(["promtool", *command], text=True, capture_output=True)
        assert done.returncode == 0, done.stdout + done.stderr
    dashboard = json.loads((CONTRIB / "grafana" / "sluice.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked += re.findall(r"expr: (.*)", rules.read_text())
    there = set(re.findall(r'"(sluice_\w+)"', (CONTRIB.parent / "control" / "metrics.cpp").read_text()))
    assert len(asked) > 20 and len(there) > 30
    assert not {name for expression in asked for name in re.findall(r"\bsluice_\w+", expression)} - there


def test_http_as_prometheus_expects_it(sluice):
    done = scrape(sluice, f"127.0.0.1:{PORT}", "/metrics", "-i")
    head = done.stdout.partition("\r\n\r\n")[0].lower()
    assert "200 ok" in head and "connection: close" in head, head
    assert "content-type: text/plain; version=0.0.4; charset=utf-8" in head, head
    alone = ask(sluice, b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert alone.startswith(b"HTTP/1.1 200 ") and alone.endswith(b"\r\n\r\n")
    assert int(re.search(rb"Content-Length: (\d+)", alone)[1]) > 1000
    assert ask(sluice, b"GET /metrics?name=sluice_up HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("raw, status", [
    (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    (b"GET /metricsx HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    (b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 405),
    (b"DELETE /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    (b"GET /metrics HTTP/1.1\r\n\r\n", 400),  # no Host
    (b"GET  /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    (b"\x16\x03\x01\x02\x00\x01\x00", 400),
    (b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20000 + b"\r\n\r\n", 431),
])
def test_bad_requests(sluice, raw, status):
    assert ask(sluice, raw).startswith(f"HTTP/1.1 {status} ".encode()), raw[:60]
    assert scrape(sluice).returncode == 0


def test_fifty_at_once(sluice):
    def one(_):
        for _ in range(5):  # who says nothing for half a second while others wait is let go
            with contextlib.suppress(OSError):
                if answer := ask(sluice, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"):
                    return answer
        return b""

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(one, range(50)))
    assert all(a.startswith(b"HTTP/1.1 200 ") and b"\nsluice_up 1\n" in a for a in answers)


def test_slow_ones_hold_nobody_up(sluice, lab):
    """Forty connections that never finish their request: others are served meanwhile, and the forty are let go."""
    helper = sluice.role("helper")
    before = descriptors_of(helper)
    slow = [lab.gateway.connect("127.0.0.1", PORT) for _ in range(40)]
    for sock in slow:
        sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    assert scrape(sluice).returncode == 0  # in 8 s; if nobody waited, each batch of sixteen would have five
    assert descriptors_of(helper) <= before + 17
    trickle_until = time.monotonic() + 20
    alive = list(slow)
    while time.monotonic() < trickle_until and alive:
        for sock in list(alive):
            try:
                sock.sendall(b"a")
            except OSError:
                alive.remove(sock)
        time.sleep(0.2)
    assert not alive, f"{len(alive)} of 40 still there after their time"
    for sock in slow:
        sock.close()
    wait_until(lambda: descriptors_of(helper) <= before, 5, "their descriptors are given back")


def test_a_reader_that_does_not_read_is_let_go(sluice, lab):
    helper = sluice.role("helper")
    before = descriptors_of(helper)
    sock = lab.gateway.socket(socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sock.connect(("127.0.0.1", PORT))
    sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_until(lambda: descriptors_of(helper) > before, 3, "it is accepted")
    wait_until(lambda: descriptors_of(helper) <= before, 8, "it is closed")
    sock.close()


def test_it_answers_only_where_it_was_told_to(sluice, lab, family):
    own = {"v4": "10.20.0.1", "v6": "fd00:20::1"}[family]
    assert fetch(lab.alice, own, f"http://x:{PORT}/metrics").refused
    listening = lab.gateway.run("ss", "-Hltn", f"sport = :{PORT}").stdout.split()
    assert [word for word in listening if word.endswith(f":{PORT}")] == [f"127.0.0.1:{PORT}"]


def test_a_gateway_that_hangs_is_told_so(sluice):
    hung = sluice.signal("gateway", signal.SIGSTOP)
    try:
        seen = wait_until(lambda: (seen := values(scrape(sluice).stdout)).get("sluice_up") == 0 and seen, 5, "it is told so")
        assert 'sluice_log_lines_lost_total{process="keeper"}' in seen
        assert not any("flows" in name or "bytes" in name for name in seen), seen  # a gap, not a reset to 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(hung, signal.SIGCONT)
    wait_until(lambda: values(scrape(sluice).stdout).get("sluice_up") == 1, 10, "it is up again")


def test_another_address_needs_a_restart(sluice):
    assert "needs restart: metrics.listen" in _reload_refused(sluice, listen="127.0.0.1:9734")
    sluice.reload(metrics={"listen": f"127.0.0.1:{PORT}"})
    assert scrape(sluice).returncode == 0


def _reload_refused(sluice, **metrics) -> str:
    sluice.write(metrics=metrics)
    done = sluice.ctl("reload")
    assert done.returncode == 2
    return done.stdout + done.stderr

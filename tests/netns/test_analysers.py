"""The squid-format access log, read by the analysers that people have: sarg, calamaris, goaccess. Their counts are
compared with the log's own lines, which the real daemon wrote about real traffic."""
import json
import re
import subprocess
import time

import pytest

from client import fetch, trusting
from namespace import wait_until
from origin import Peer, hold
from sluice import POLICY, Sluice
from test_devices import mac_of

DEVICE = "Mia's tablet"
ENCODED = "Mia's%20tablet"
LONG = "x" * 6000  # goaccess takes what is beyond 4096 bytes of a line for another line


@pytest.fixture(scope="module")
def log(lab, built):
    """The lines of a log about every kind of flow, its file, and how many of each kind were made."""
    policy = POLICY + f"""
[device]
"{DEVICE}" = {{ mac = ["{mac_of(lab.alice)}"] }}
[group.default]
log = "url"
"""
    with Sluice(lab, policy, log={"format": "squid"}) as sluice:
        for family in ("v4", "v6"):
            origin = lab.origin[family]
            for path in ("a", "b?x=1&y=%20z", "c%20d", LONG):
                assert fetch(lab.alice, origin, f"http://www.allowed.test/{path}").allowed
            assert fetch(lab.bob, origin, "http://www.allowed.test/302").status == 302
            assert fetch(lab.bob, origin, "http://www.allowed.test/none").status == 204
            assert fetch(lab.bob, origin, "http://www.allowed.test/big", method="HEAD").status == 200
            assert fetch(lab.alice, origin, "http://arcade.test/shooter").blocked
            assert fetch(lab.alice, origin, "https://www.blocked.test/").blocked
            assert fetch(lab.bob, origin, "https://arcade.test/").blocked
            assert fetch(lab.alice, origin, "https://www.allowed.test/").allowed
            # One that lasts, and one that the client ends before the answer.
            with trusting().wrap_socket(lab.bob.connect(origin, 443), server_hostname="files.test"):
                time.sleep(1.2)
            with Peer(lab.origin.namespace, lab.peer[family], 80, hold):
                sock = lab.alice.connect(lab.peer[family], 80)
                sock.sendall(b"GET /never HTTP/1.1\r\nHost: silent.test\r\n\r\n")
                time.sleep(0.3)
                sock.close()
            fetch(lab.alice, lab.peer[family], "http://nobody.test/")  # no server there

        def lines():
            return sluice.access_log.read_text().splitlines() if sluice.access_log.exists() else []
        made = 2 * 14
        wait_until(lambda: len(lines()) >= made, 20, f"{made} lines in the log: {lines()}")
        time.sleep(0.5)
        assert len(lines()) == made, "\n".join(lines())
        kept = lab.directory / "analysed.log"
        kept.write_text(sluice.access_log.read_text())
        yield kept


def fields(log) -> list[list[str]]:
    return [line.split() for line in log.read_text().splitlines()]


def test_the_lines_themselves(log, lab):
    lines = fields(log)
    assert all(len(line) == 10 and len(line[0]) == len("1774785906.007") for line in lines), log.read_text()
    codes = [line[3] for line in lines]
    assert {code: codes.count(code) for code in set(codes)} == {
        "TCP_MISS/200": 10, "TCP_MISS/302": 2, "TCP_MISS/204": 2, "TCP_DENIED/403": 6, "TCP_TUNNEL/200": 4,
        "TCP_MISS_ABORTED/499": 4}
    assert {line[2] for line in lines} == {host[f] for host in (lab.alice, lab.bob) for f in ("v4", "v6")}
    assert {line[7] for line in lines} == {ENCODED, "-"}
    lasting = [line for line in lines if line[6] == "files.test:443"]
    assert len(lasting) == 2 and all(int(line[1]) >= 1200 and int(line[4]) > 500 for line in lasting)
    # A line has the time of its end, as squid's do: what lasted is not earlier than what began after it.
    began = {line[6]: float(line[0]) - int(line[1]) / 1000 for line in lines}
    assert all(float(line[0]) >= began["http://www.allowed.test/a"] for line in lasting)


def test_sarg(log, tmp_path):
    done = subprocess.run(["sarg", "-x", "-l", log, "-o", tmp_path], text=True, capture_output=True)
    count = len(fields(log))
    said = done.stdout + done.stderr
    assert done.returncode == 0 and f"Records read: {count}, written: {count}, excluded: 0" in said, said
    report = next(path for path in tmp_path.glob("20*") if path.is_dir())
    total = (report / "sarg-general").read_text().split("\t")
    denied = (report / "denied.html").read_text()
    users = (report / "index.html").read_text()
    assert total[0] == "TOTAL" and int(total[1]) == count, total
    assert int(total[2]) == sum(int(line[4]) for line in fields(log))
    for user in (ENCODED, "10.20.0.3", "fd00:20::3"):  # whoever has no name has an address
        assert f">{user.replace(chr(39), '&#39;')}<" in users or f">{user}<" in users, users
    assert denied.count("http://arcade.test/shooter<") >= 2 and denied.count("www.blocked.test:443<") >= 2, denied


def test_calamaris(log):
    done = subprocess.run(["calamaris", "-a", "-n"], stdin=open(log), text=True, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr

    def row(title: str) -> list[str]:
        found = re.search(rf"^\s*{re.escape(title)}\s+(.*)$", done.stdout, re.M)
        assert found, f"no row '{title}' in:\n{done.stdout}"
        return found[1].split()

    lines = fields(log)
    assert row("lines parsed:")[-1] == str(len(lines)) and row("invalid lines:")[-1] == "0"
    assert row("Total amount:")[-1] == str(len(lines))
    for code in ("TCP_MISS", "TCP_TUNNEL", "TCP_DENIED", "TCP_MISS_ABORTED"):
        assert row(code)[0] == str(sum(line[3].startswith(code + "/") for line in lines)), code
    for client in {line[2] for line in lines}:
        assert row(client)[0] == str(sum(line[2] == client for line in lines)), client


def test_goaccess(log, tmp_path):
    report = tmp_path / "report.json"
    done = subprocess.run(["goaccess", log, "--no-global-config", "--log-format=%x.%^ %~%L %h %^/%s %b %m %U %e %^",
                           "--date-format=%s", "--time-format=%s", "-o", report], stdin=subprocess.DEVNULL,
                          text=True, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    seen = json.loads(report.read_text())
    lines = fields(log)
    assert seen["general"]["valid_requests"] == len(lines) and seen["general"]["failed_requests"] == 0, seen["general"]
    assert seen["general"]["bandwidth"] == sum(int(line[4]) for line in lines)
    users = {each["data"]: each["hits"]["count"] for each in seen["remote_user"]["data"]}
    assert users == {user: sum(line[7] == user for line in lines) for user in (ENCODED, "-")}
    statuses = {item["data"][:3]: item["hits"]["count"] for each in seen["status_codes"]["data"] for item in each["items"]}
    assert statuses["403"] == 6 and statuses["499"] == 4 and "000" not in statuses
    assert {each["data"] for each in seen["hosts"]["data"]} == {line[2] for line in lines}

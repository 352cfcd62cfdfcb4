#!/usr/bin/python3
"""sluice shown at work: real clients (curl), a real origin (nginx), and the gateway between them, in network namespaces.

    ./dev demo          plays through, checks every answer, and ends with exit code 1 if any was not as expected
    ./dev demo --stay   leaves everything up afterwards, and says how to play with it
"""
from __future__ import annotations

import argparse
import datetime
import html
import os
import re
import shutil
import signal
import sys
import textwrap
import time

from lab import FAMILIES, Lab
from namespace import wait_until
from origin import authority
from sluice import SLUICECTL, SLUICED, Sluice
from wire import carried

POLICY = """\
zone = "UTC"

[list.bad]
format = "domains"
path = "bad.txt"
match = "subdomains"

[device]
"bobs tablet" = {{ mac = ["{mac}"] }}

[group.pupils]
members = ["device:bobs tablet"]
if_down = "closed"

[schedule]
lesson = ["{start:%Y-%m-%d %H:%M} - {end:%Y-%m-%d %H:%M}"]

[[rule]]
name = "maths is homework"
to = ["url:arcade.test/maths/"]
action = "allow"

[[rule]]
name = "no games"
to = ["host:arcade.test", "list:bad"]
action = "block"

[[rule]]
name = "no films"
to = ["url:files.test/films/"]
action = "block"

[[rule]]
name = "think twice"
to = ["host:warned.test"]
action = "warn"

[[rule]]
name = "not during the lesson"
from = ["pupils"]
to = ["host:www.allowed.test"]
when = ["lesson"]
action = "block"
"""

PICTURE = """\
  alice  10.20.0.2  fd00:20::2 ──┐
                                 ├── gateway: sluiced ──── origin  10.99.0.2  fd00:99::2  (nginx)
  bob    10.20.0.3  fd00:20::3 ──┘
"""

ALLOWED, BLOCKED = "allowed", "blocked"


WARNED = "https://warned.test/"
PAGE = "http://10.20.0.1/"


def paint(code: str, text: str) -> str:
    return f"\033[{code}m{text}\033[0m" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else text


def bold(text):
    return paint("1", text)


def dim(text):
    return paint("2", text)


def say(text: str = ""):
    print(text, flush=True)


class Demo:
    def __init__(self, lab: Lab, sluice: Sluice):
        self.lab, self.sluice = lab, sluice
        self.checks = self.wrong = 0
        self._scene = 0

    def scene(self, title: str):
        self._scene += 1
        say()
        say(bold(f"{self._scene}. {title}"))

    def check(self, good: bool, text: str):
        self.checks += 1
        self.wrong += not good
        say("   " + (paint("32", "✓ ") if good else paint("1;31", "✗ ")) + text)

    def curl(self, who: str, family: str, url: str, expected: str, rule: str | None = None, seen: bool = False,
             action: str | None = None):
        """One real curl: the command as one would type it, what came back, and sluice's reason from its log."""
        host = getattr(self.lab, who)
        already = len(self.sluice.access())
        done = host.run("curl", "-sS", "--max-time", "8", "-w", "\n%{http_code}", f"-{family[1]}", url, check=False,
                        env=os.environ | {"CURL_CA_BUNDLE": str(authority() / "ca.crt")})
        body, _, status = done.stdout.rpartition("\n")
        if done.returncode:
            answer = re.sub(r"^curl: \(\d+\) ", "", done.stderr.strip().splitlines()[-1])
            outcome = BLOCKED if "reset by peer" in answer or "alert" in answer else "failed"
        else:
            page = "origin's page" if body.startswith("client=") else "sluice's page" if status == "403" else "a page"
            answer = f"{status}, the {page}"
            outcome = {"200": ALLOWED, "403": BLOCKED}.get(status, "failed")
        record = self._record(already, host[family])
        why = f"rule \"{record['rule']}\"" if record.get("rule") else record.get("reason", "?")
        good = outcome == expected and record.get("rule") == rule and record.get("action") == \
            (action or {ALLOWED: "allow", BLOCKED: "block"}[expected])
        self.check(good, f"{who}$ curl -{family[1]} {url}")
        say(f"       {answer}")
        say(dim(f"       {record.get('action', 'nothing in the log')}: {why}   (decision {record.get('id', '-')})"))
        if not good:
            say(paint("31", f"       expected: {expected}" + (f" by \"{rule}\"" if rule else "")))
        if seen:
            at_origin = dict(part.split("=", 1) for part in body.split()).get("client", "?") if body else "?"
            self.check(at_origin == host[family], f"the origin saw {at_origin}: {who}'s own address")

    def _record(self, already: int, client: str) -> dict:
        try:
            # What the kernel forwards gets its line when it is noticed to have ended.
            return wait_until(lambda: [r for r in self.sluice.access()[already:] if r["client"] == client], 12,
                              "a record in the access log")[-1]
        except AssertionError:
            return {}


def mac_address(host) -> str:
    return re.search(r"link/ether (\S+)", host.run("ip", "link", "show", "eth0").stdout)[1]


def next_minute(at_least: float) -> datetime.datetime:
    now = datetime.datetime.now(datetime.timezone.utc)
    edge = now.replace(second=0, microsecond=0) + datetime.timedelta(minutes=1)
    return edge if (edge - now).total_seconds() >= at_least else edge + datetime.timedelta(minutes=1)


def wait_for(edge: datetime.datetime):
    while (left := (edge - datetime.datetime.now(datetime.timezone.utc)).total_seconds()) > 0:
        if sys.stdout.isatty():
            print(dim(f"\r   the lesson ends in {left:2.0f} s ..."), end="", flush=True)
        time.sleep(min(1, left))
    if sys.stdout.isatty():
        print("\r".ljust(40) + "\r", end="")
    time.sleep(1)  # the edge is promised within a second


def play(demo: Demo, lesson_ends: datetime.datetime):
    scene, curl = demo.scene, demo.curl

    scene("Allowed pages, by HTTP and HTTPS, over IPv4 and IPv6")
    for family in FAMILIES:
        for scheme in ("http", "https"):
            curl("alice", family, f"{scheme}://www.allowed.test/", ALLOWED, seen=True)

    scene("A blocked domain: by the Host header, and by the name in the TLS ClientHello")
    say(dim("   HTTP gets a page that says why. TLS is not decrypted: the kernel forwards it, and a blocked name gets a reset."))
    for family in FAMILIES:
        for scheme in ("http", "https"):
            curl("alice", family, f"{scheme}://www.blocked.test/", BLOCKED, "no games")

    scene("Part of a site: one path blocked, the rest not, and an exception above a blocked host")
    curl("alice", "v4", "http://files.test/books/1", ALLOWED)
    curl("alice", "v4", "http://files.test/films/1", BLOCKED, "no films")
    curl("alice", "v6", "http://arcade.test/shooter", BLOCKED, "no games")
    curl("alice", "v6", "http://arcade.test/maths/1", ALLOWED, "maths is homework")

    scene("Why? sluicectl explain tells it before anybody asks for the page")
    command = ["explain", "--client", demo.lab.alice["v4"], "https://www.blocked.test/"]
    done = demo.sluice.ctl(*command)
    demo.check(done.returncode == 1 and "no games" in done.stdout, f"gateway$ sluicectl {' '.join(command)}")
    say(textwrap.indent(done.stdout.rstrip() or done.stderr.rstrip(), "       "))
    say(dim(f"       exit code {done.returncode} (1: blocked)"))

    scene("HTTPS that is not decrypted can show no page: the gateway's own tells what was refused, and takes the click")
    curl("alice", "v4", WARNED, BLOCKED, "think twice", action="warn")
    page = demo.lab.alice.run("curl", "-sS", "--max-time", "8", PAGE).stdout
    refused = re.findall(r"<li><b>(.*?)</b>.*?Blocked by the rule &#39;(.*?)&#39;", page)
    demo.check(refused == [("warned.test", "think twice"), ("www.blocked.test", "no games")], f"alice$ curl {PAGE}")
    for name, rule in refused:
        say(f"       {name}: blocked by the rule '{rule}'")
    form = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page)
    fields = [part for key, value in form for part in ("--data-urlencode", f"{key}={html.unescape(value)}")]
    clicked = demo.lab.alice.run("curl", "-sS", "--max-time", "8", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", *fields,
                                 f"{PAGE}.well-known/sluice/proceed").stdout
    demo.check(clicked == f"303 {WARNED}", "alice clicks \"Go on\" there")
    curl("alice", "v4", WARNED, ALLOWED, "think twice")

    scene("A schedule: bob's tablet is known by its MAC address, and a lesson is on")
    curl("alice", "v4", "https://www.allowed.test/", ALLOWED)
    curl("bob", "v4", "https://www.allowed.test/", BLOCKED, "not during the lesson")
    curl("bob", "v6", "http://www.allowed.test/", BLOCKED, "not during the lesson")
    say(f"   The lesson ends at {lesson_ends:%H:%M:%S} UTC. Nobody reloads anything:")
    wait_for(lesson_ends)
    curl("bob", "v4", "https://www.allowed.test/", ALLOWED, seen=True)
    curl("bob", "v6", "http://www.allowed.test/", ALLOWED, seen=True)

    scene("The daemon is killed: alice's group is `open`, bob's is `closed`")
    demo.sluice.signal("supervisor", signal.SIGKILL)
    time.sleep(3)
    for who, expected in (("alice", True), ("bob", False)):
        done = getattr(demo.lab, who).run("curl", "-sS", "--max-time", "3", "http://www.allowed.test/", check=False)
        demo.check((done.returncode == 0) == expected, f"{who}$ curl http://www.allowed.test/")
        say("       " + (done.stdout or done.stderr).strip())
    demo.sluice.process.wait()
    demo.sluice.start()
    say("   ... and started again:")
    curl("bob", "v4", "http://www.allowed.test/", ALLOWED)
    curl("bob", "v4", "http://www.blocked.test/", BLOCKED, "no games")

    scene("Bytes per person: alice logs in, and every kind of traffic counts once")
    done = demo.sluice.ctl("login", "--client", demo.lab.alice["v4"], "--user", "alice")
    demo.check(done.returncode == 0, "sluicectl login --client 10.20.0.2 --user alice")
    before = carried(demo.lab.alice)
    for url in ("http://www.allowed.test/big", "https://www.allowed.test/big"):
        for family in FAMILIES:
            demo.lab.alice.run("curl", "-sSk", f"-{family[1]}", "-r", "0-999999", "-o", "/dev/null", url)
    demo.lab.alice.run("ping", "-c", "3", "-i", "0.2", demo.lab.origin["v4"])
    wire = carried(demo.lab.alice) - before
    time.sleep(2.5)
    say("$ sluicectl usage --by user")
    say("       " + demo.sluice.ctl("usage", "--by", "user").stdout.strip().replace("\n", "\n       "))
    rows = {row["key"]: row for row in demo.sluice.ctl_json("usage", "--by", "user")["rows"]}
    counted = rows.get("alice", {}).get("bytes", 0)
    demo.check(abs(counted - wire.both) < wire.both / 100,
               f"alice's bytes are what her own interface has carried: {counted:,} and {wire.both:,}")
    say("$ sluicectl usage --by device")
    say("       " + demo.sluice.ctl("usage", "--by", "device").stdout.strip().replace("\n", "\n       "))
    devices = {row["key"]: row for row in demo.sluice.ctl_json("usage", "--by", "device")["rows"]}
    demo.check(devices.get("bobs tablet", {}).get("bytes", 0) > 1000, "bob's tablet is there by its name")


def stay(lab: Lab, sluice: Sluice):
    gateway, where = lab.gateway.name, f"--run {sluice.directory}/run"
    ca = authority() / "ca.crt"
    say(f"""
{bold('Everything is still up.')} In another terminal, as root:

  alice asks     ip netns exec {lab.alice.namespace.name} curl -v --cacert {ca} https://www.allowed.test/
  bob asks       ip netns exec {lab.bob.namespace.name} curl -v http://arcade.test/shooter
  why            ip netns exec {gateway} {SLUICECTL} explain --client 10.20.0.3 https://arcade.test/ {where}
  now            ip netns exec {gateway} {SLUICECTL} connections {where}
  the policy     $EDITOR {sluice.config}/policy.toml
  make it live   ip netns exec {gateway} {SLUICECTL} reload {where}
  the log        tail -f {sluice.access_log}
  the rules      ip netns exec {gateway} nft list table inet sluice

Ctrl-C takes it all down.""")
    try:
        signal.pause()
    except KeyboardInterrupt:
        say()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stay", action="store_true", help="leave it up until Ctrl-C")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("demo: makes network namespaces; run it as root")
    missing = [tool for tool in (SLUICED, "nginx", "curl", "nft") if not shutil.which(tool)]
    if missing:
        sys.exit(f"demo: not there: {' '.join(missing)} (./dev demo sees to it)")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

    with Lab(guest=False, inner=False) as lab:
        lesson_ends = next_minute(at_least=30)
        policy = POLICY.format(mac=mac_address(lab.bob), start=lesson_ends - datetime.timedelta(hours=1),
                               end=lesson_ends)
        say(bold("sluice: a gateway that filters real traffic, in three kinds of network namespace"))
        say()
        say(PICTURE)
        say(bold("The policy") + dim("  (plus a list `bad` that holds blocked.test)"))
        say(textwrap.indent(policy.rstrip(), "   " + dim("│ ")))
        with Sluice(lab, policy, network={"lan": ["lan0"], "firewall": "auto"},
                    accounting={"interval": "1s", "flush": "1s"}) as sluice:
            demo = Demo(lab, sluice)
            play(demo, lesson_ends)
            say()
            if demo.wrong:
                say(paint("1;31", f"{demo.wrong} of {demo.checks} checks were not as expected."))
            else:
                say(paint("1;32", f"All {demo.checks} checks were as expected."))
            if options.stay:
                stay(lab, sluice)
    return 1 if demo.wrong else 0


if __name__ == "__main__":
    sys.exit(main())

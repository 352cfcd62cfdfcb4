#!/usr/bin/python3
"""What does decrypting cost? sluice beside squid, sslsplit and e2guardian, in one interleaved run.

    bench/tls.py [--quick] [--rounds N] [--lanes direct,sluice,...] [--figures known,first,...] [--out FILE]

    known     CPU-microseconds per connection  full handshake, GET 1 KiB, close; one name again and again
    resumed   the same                         the client offers the ticket it got last
    first     the same                         every connection another name, each with a certificate of its own
    wildcard  the same                         every connection another name, all under one certificate of the origin
    h1, h2    CPU-microseconds per request     keep-alive GETs of 1 KiB, 20 connections; h2: ten streams in each
    bulk      CPU-seconds per GiB              one connection, bytes down
    idle      KiB per connection               open connections after one request each
    names     KiB per name                     what `first` and `wildcard` leave behind in the processes

How CPU time is measured and read: run.py and the README. `idle` comes after all rounds, so that what the names have left
is seen alone. The whole is written to results/INTERCEPT.md and intercept.json, if --quick does not say otherwise.
"""
from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from lanes import ORIGIN  # noqa: E402  (first: it makes tests/netns importable)
from meter import Meter, finish, pss, slab  # noqa: E402
from namespace import sweep  # noqa: E402
from report import load_average, machine, medians_of, table, told  # noqa: E402
from run import tell  # noqa: E402
from tls_lanes import LANES  # noqa: E402
from tls_world import KNOWN, WILDCARD, World  # noqa: E402

LOAD = str(HERE.parent / "build" / "bench" / "bin" / "bench_tls")
AT_ONCE = 20
FULL = {"known": 500, "resumed": 500, "first": 2250, "wildcard": 250, "h1": 5000, "h2": 5000, "bulk": 1 << 30,
        "idle": 2000}  # in four rounds 10,000 new names
TAKEN = {"bulk": 3}  # rounds of a figure that takes long and hardly varies
QUICK = {"known": 150, "resumed": 150, "first": 150, "wildcard": 50, "h1": 1000, "h2": 1000, "bulk": 1 << 26, "idle": 100}
ROWS = tuple((name, name, "total", "process", unit, decimals) for name, unit, decimals in (
    ("known", "us/connection", 0), ("resumed", "us/connection", 0), ("first", "us/connection", 0),
    ("wildcard", "us/connection", 0), ("h1", "us/request", 1), ("h2", "us/request", 1), ("bulk", "CPU-s/GiB", 2),
    ("idle", "KiB/connection", 1)))


OURS = ("direct", "sluice")  # where nothing may fail; others may lose some, and it is told


class LaneFailed(Exception):
    pass


def loaded(lane, *command: str) -> tuple[Meter, str]:
    before = lane.server.cpu()
    with Meter(lane) as meter:
        client = lane.client.popen("timeout", "120", *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        output, complaints = client.stdout.read(), client.stderr.read()
        code, meter.client = finish(client)
        meter.server = lane.server.cpu() - before
    client.stdout.close()
    client.stderr.close()
    if code != 0:
        raise LaneFailed(f"{' '.join(command)}: exit {code}: {complaints.strip()[-200:]}")
    return meter, output


def sample(meter: Meter, units: float, seconds: float, **more) -> dict:
    return {"total": meter.total / units, "process": meter.process / units, "kernel": meter.kernel / units,
            "client": meter.client / units, "server": meter.server / units,
            "rate": units / seconds, "seconds": seconds} | more


def connections(mode: str, lane, count: int, first: int, names: int) -> dict:
    before = pss(lane.pids())
    meter, output = loaded(lane, LOAD, mode, ORIGIN, "443", *map(str, (count, AT_ONCE, first, names)))
    said = json.loads(output)
    if said["failed"] and lane.name in OURS:
        raise LaneFailed(f"{said['failed']} connections failed")
    return sample(meter, count / 1e6, said["seconds"], resumed=said["resumed"] / count, failed=said["failed"],
                  version=said["version"], cipher=said["cipher"], before=before, after=pss(lane.pids()), count=count)


def known(lane, count: int, number: int) -> dict:
    return connections("full", lane, count, KNOWN, 1)


def resumed(lane, count: int, number: int) -> dict:
    return connections("resumed", lane, count, KNOWN, 1)


def first(lane, count: int, number: int) -> dict:
    return connections("full", lane, count, 1 + (number - 1) * count, count)


def wildcard(lane, count: int, number: int) -> dict:
    return connections("full", lane, count, WILDCARD + (number - 1) * count, count)


def requests(lane, count: int, *options: str) -> dict:
    meter, output = loaded(lane, "h2load", f"--connect-to={ORIGIN}:443", "-n", str(count), "-c", str(AT_ONCE), *options,
                           "https://n0.bench.test/1k")
    found = {key: re.search(pattern, output) for key, pattern in (
        ("seconds", r"finished in ([\d.]+)(ms|s|us)"), ("good", r"status codes: (\d+) 2xx"),
        ("protocol", r"Application protocol: (\S+)"), ("tls", r"TLS Protocol: (\S+)"),
        ("bytes", r"\((\d+)\) data"))}
    if not all(found.values()) or int(found["good"][1]) != count or int(found["bytes"][1]) != count * 1024:
        raise LaneFailed("h2load: " + "".join(line for line in output.splitlines() if line.startswith("requests:")))
    seconds = float(found["seconds"][1]) * {"s": 1, "ms": 1e-3, "us": 1e-6}[found["seconds"][2]]
    return sample(meter, count / 1e6, seconds, protocol=found["protocol"][1], version=found["tls"][1])


def h1(lane, count: int, number: int) -> dict:
    # Where each request costs a connection, a tenth of them tells as much.
    return requests(lane, count if lane.keeps_alive else count // 10, "--h1")


def h2(lane, count: int, number: int) -> dict:
    made = requests(lane, count, "-m", "10", "--npn-list=h2")
    if made["protocol"] != "h2":
        raise LaneFailed(f"h2load: spoke {made['protocol']}")
    return made


def bulk(lane, count: int, number: int) -> dict:
    meter, output = loaded(lane, LOAD, "bulk", ORIGIN, "443", str(count))
    said = json.loads(output)
    return sample(meter, count / 2**30, said["seconds"], version=said["version"], cipher=said["cipher"])


def idle(lane, count: int, number: int) -> dict:
    lane.settled = pss(lane.pids()) if lane.settled is None else lane.settled
    before = slab()
    client = lane.client.popen("timeout", "120", LOAD, "hold", ORIGIN, "443", str(count), stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    begun = time.monotonic()
    try:
        reached = client.stdout.readline() == "ready\n"
        time.sleep(0.5)
        after, kernel = pss(lane.pids()), slab()
    finally:
        client.stdin.close()
        code = client.wait(130)
        client.stdout.close()
    if not reached or code != 0:
        raise LaneFailed("an idle connection did not last" if reached else f"{count} idle connections were not reached")
    return {"process": (after - lane.settled) / count, "total": (kernel - before) / count,
            "seconds": time.monotonic() - begun}


FIGURES = {function.__name__: function for function in (known, resumed, first, wildcard, h1, h2, bulk, idle)}


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smaller load and two rounds: a smoke test, not a result")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--lanes", default=",".join(LANES))
    parser.add_argument("--figures", default=",".join(FIGURES))
    parser.add_argument("--out", type=Path, default=HERE / "results" / "INTERCEPT.md")
    options = parser.parse_args()
    options.lanes, options.figures = options.lanes.split(","), options.figures.split(",")
    for given, names in ((options.lanes, LANES), (options.figures, FIGURES)):
        for name in given:
            if name not in names:
                parser.error(f"{name}: not one of {', '.join(names)}")
    options.rounds = options.rounds or (2 if options.quick else 4)
    return options


class Run:
    """Samples, what went wrong, and what the lanes turned out to be."""

    def __init__(self, options: argparse.Namespace, size: dict):
        self.samples: dict = {name: {} for name in options.lanes}
        self.failures: dict = {}
        self.incidents: list[str] = []
        self.facts: dict = {}
        self._options, self._size, self._order = options, size, random.Random(1)

    def fail(self, lane: str, figure: str, error):
        self.failures[lane, figure] = f"{lane}: {figure}: {error}"
        print(f"bench: {self.failures[lane, figure]}", file=sys.stderr)

    def measure(self):
        with contextlib.ExitStack() as stack:
            world = World(self._options.rounds * self._size["first"], self._size["bulk"])
            stack.callback(shutil.rmtree, world.directory, True)
            made: dict = {}
            for name in self._options.lanes:
                tell(f"starting {name}")
                try:
                    made[name] = LANES[name](world)
                except (AssertionError, OSError, subprocess.CalledProcessError) as error:
                    self.fail(name, "start", error)
                    continue
                stack.callback(made[name].close)
                self.facts[name] = {"tls": made[name].version, "h2": made[name].speaks_h2,
                                    "keeps": made[name].keeps_alive, "refuses": made[name].checks,
                                    "started": pss(made[name].pids())}
            for number in range(1, self._options.rounds + 1):
                for figure in self._options.figures:
                    if figure != "idle" and number <= TAKEN.get(figure, number):
                        self._turn(made, figure, number)
            if "idle" in self._options.figures:
                time.sleep(2)
                self._turn(made, "idle", 1)
            tell("")

    def _turn(self, made: dict, figure: str, number: int):
        for name in self._order.sample(list(made), len(made)):
            if figure in made[name].lacks or (name, figure) in self.failures:
                continue
            tell(f"{number}/{self._options.rounds}: {figure} by {name}")
            try:
                taken = FIGURES[figure](made[name], self._size[figure], number)
                self.samples[name].setdefault(figure, []).append(taken)
            except (LaneFailed, AssertionError, subprocess.TimeoutExpired) as error:
                # Others may stumble once a figure, and it is told; ours may not.
                said = f"{name}: {figure}: round {number}: {error}"
                if name in OURS or any(each.startswith(f"{name}: {figure}:") for each in self.incidents):
                    self.fail(name, figure, f"round {number}: {error}")
                else:
                    self.incidents.append(said)
                    print(f"bench: {said}", file=sys.stderr)


def memory(run: Run) -> str:
    """What names leave behind, and what the daemons hold at all. MiB of the processes' PSS."""
    lines = ["| lane | at the start | after all names | names | grown by names, KiB a name |",
             "|---|---|---|---|---|"]
    for name, of_lane in run.samples.items():
        seen = [each for figure in ("first", "wildcard") for each in of_lane.get(figure, [])]
        if name == "direct" or not seen:
            continue
        count = sum(each["count"] for each in seen)
        grown = sum(each["after"] - each["before"] for each in seen)
        lines.append(f"| {name} | {run.facts[name]['started'] / 1024:.1f} | {seen[-1]['after'] / 1024:.1f} | {count} | "
                     f"{grown / count:.2f} |")
    return "\n".join(lines)


def jobs(run: Run) -> str:
    lines = ["| lane | TLS with the client | h2 | keeps alive | refuses an unknown CA | refuses another's name | "
             "share resumed | failed connections |", "|---|---|---|---|---|---|---|---|"]
    for name, facts in run.facts.items():
        taken = run.samples[name].get("resumed", [])
        share = f"{100 * statistics.median(each['resumed'] for each in taken):.0f} %" if taken else "-"
        tried = [each for samples in run.samples[name].values() for each in samples if "failed" in each]
        failed = f"{sum(each['failed'] for each in tried)} of {sum(each['count'] for each in tried)}" if tried else "-"
        yes = [{True: "yes", False: "no"}[value] for value in (facts["h2"], facts["keeps"], *facts["refuses"].values())]
        lines.append(f"| {name} | {facts['tls']} | {' | '.join(yes)} | {share} | {failed} |")
    return "\n".join(lines)


PAGE = """# Interception, beside squid, sslsplit and e2guardian

`./dev bench --tls` (`bench/tls.py`, which writes this file and {json}), {date}: {rounds} rounds, lanes in turns, {seconds} s.
{machine}; sluice at commit {commit}.

CPU time as in the [README](../README.md): *process* is the gateway's own processes, *whole lane* adds the load client, the
origin (nginx, dnsmasq) and kernel threads, *gateway* is the whole lane less that of `direct`. Medians of the rounds.

```
{table}
```
{failures}
known: {known} connections a round, {at_once} at a time, full handshakes, GET of 1 KiB, closed by the client. resumed:
{resumed}, the client offers its last ticket. first: {first} names never seen before, a certificate of the origin for each.
wildcard: {wildcard} new names under one certificate. h1, h2: {h1} requests (h2load, {at_once} connections; h2 has 10 streams in each; a
tenth of that where a lane ends the connection after each answer: there h1 is the price of a connection). bulk: {gib:.2f} GiB
in one connection, {bulks} rounds. idle, once: {idle} connections after one request each; process is growth of PSS, whole lane growth of the
kernel's slab, which is the machine's: neighbours make it smaller or larger than it is.

What each lane was seen to do before anything was measured, and how many of `resumed` were:

{jobs}

Memory (PSS, MiB):

{memory}

The client offers TLS 1.3 with X25519 and, in all but h2, HTTP/1.1. Keys are P-256 everywhere: the origin's, the gateways'
CAs', their leafs'. squid: {cpus} workers, `security_file_certgen -M 4MB` and 4 MB of certificates in memory, as documented.
sslsplit: two threads a processor, its default; `https`, and as a lane of its own `ssl`, which does not read what it
relays. e2guardian: Debian's configuration with interception on: its lists, its filters of content, 500 threads. sluice: its
defaults, and a policy without rules that inspects everybody. squid and sluice connect with the client's address, the
others with the gateway's. No lane keeps an access log. A lane that ends each connection after one answer has no part in
idle. The failed connections are those of known, resumed, first and wildcard; with sluice one would fail the run.
"""


def commit() -> str:
    """The last one that touches what is measured."""
    done = subprocess.run(["git", "log", "-1", "--format=%h", "--", ".", ":!bench", ":!dev"], cwd=HERE.parent, text=True,
                          capture_output=True)
    return done.stdout.strip() or "unknown"


def page(run: Run, options, size: dict, described: dict, medians: dict, seconds: float) -> str:
    failures = "".join(f"\nNo sample from {incident}\n" for incident in run.incidents)
    failures += "".join(f"\nFAILED: {failure}\n" for failure in run.failures.values())
    return PAGE.format(json="intercept.json", date=time.strftime("%Y-%m-%d"), rounds=options.rounds,
                       seconds=round(seconds), machine=told(described), commit=commit(), table=table(medians, ROWS), failures=failures, jobs=jobs(run),
                       memory=memory(run), at_once=AT_ONCE,
                       bulks=min(options.rounds, TAKEN["bulk"]), gib=size["bulk"] / 2**30, cpus=os.cpu_count(),
                       **{key: value for key, value in size.items() if key not in ("bulk", "h2")})


def main() -> int:
    options = parsed()
    if os.geteuid() != 0:
        sys.exit("bench: makes network namespaces; run it as root")
    if not Path(LOAD).exists():
        sys.exit(f"bench: {LOAD} is not there: ./dev bench --tls builds it")
    size = QUICK if options.quick else FULL
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # inherited by the gateways and the load
    sweep()
    described, begun = machine(options.lanes), time.monotonic()
    described["load"] = {"start": load_average()}
    run = Run(options, size)
    run.measure()
    described["load"]["end"] = load_average()
    seconds = time.monotonic() - begun
    medians = medians_of(run.samples, options.lanes, ROWS)
    text = page(run, options, size, described, medians, seconds)
    print(text)
    if not options.quick:
        options.out.write_text(text)
        options.out.with_name(options.out.stem.lower() + ".json").write_text(json.dumps(
            {"machine": described, "rounds": options.rounds, "size": size, "seconds": round(seconds), "facts": run.facts,
             "failures": list(run.failures.values()), "incidents": run.incidents, "medians": medians,
             "samples": run.samples}, indent=1) + "\n")
    return 1 if run.failures else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
"""The data-path benchmark: what does the gateway cost, beside kernel forwarding and beside HAProxy?

    bench/run.py [--quick] [--rounds N] [--lanes direct,forward,haproxy,sluice]

Four figures for each lane, all of them CPU time or memory, because throughput on a shared machine says little:

    bulk    CPU-seconds per GiB             one TLS-looking connection, bytes down
    short   CPU-microseconds per connection real hello, 1 KiB back, closed
    http    CPU-microseconds per request    keep-alive, 1 KiB back
    idle    KiB per connection              process (PSS) and kernel (slab)

"gateway" is the whole lane (load client, load server, the gateway's processes, and the kernel threads that do softirq
work) minus the same for `direct`. That is the only fair figure: the kernel bills the forwarding path's softirq work to
whoever happens to run. "process" is the gateway's processes alone. Lanes take turns within a round, so that a busy
moment of the machine hits all of them; the table shows medians over rounds, and the JSON keeps every sample.
"""
from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from lanes import LANES, ORIGIN, Lane  # noqa: E402
from client import hello_for  # noqa: E402  (tests/netns, by way of lanes)
from sluice import SLUICED  # noqa: E402

LOAD = os.environ.get("SLUICE_LOAD") or str(HERE.parent / "build" / "bench" / "bin" / "bench_load")


def cpu_of(pid: int) -> float:
    """Seconds on a CPU, all threads, at the scheduler's own precision."""
    total = 0
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def kernel_threads() -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if (entry / "comm").read_text().startswith(("ksoftirqd", "kworker")):
                    found.append(int(entry.name))
    return found


def machine_busy() -> float:
    """Busy seconds of all CPUs: everything but idle and iowait."""
    fields = list(map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]))
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


class Meter:
    """CPU of one lane during a `with` block. The load client and server add themselves (wait4)."""

    def __init__(self, lane: Lane):
        self._lane = lane
        self.client = self.server = self.process = self.kernel = self.busy = self.seconds = 0.0

    def __enter__(self):
        self._pids, self._threads = self._lane.pids(), kernel_threads()
        self._before = self._read()
        return self

    def _read(self):
        return (sum(map(cpu_of, self._pids)), sum(map(cpu_of, self._threads)), machine_busy(), time.monotonic())

    def __exit__(self, *_):
        self.process, self.kernel, self.busy, self.seconds = (
            after - before for before, after in zip(self._before, self._read()))

    @property
    def total(self) -> float:
        return self.client + self.server + self.process + self.kernel


def finish(child: subprocess.Popen) -> tuple[int, float]:
    """Waits; the exit code and the CPU seconds of a child."""
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return child.returncode, used.ru_utime + used.ru_stime


@contextlib.contextmanager
def server(lane: Lane, *arguments: str):
    child = lane.origin.popen(LOAD, "serve", *arguments, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "ready\n", "the load server did not start"
        yield child
    finally:
        if child.returncode is None:
            child.kill()
            child.wait()
        child.stdout.close()


def run_load(lane: Lane, serve: list[str], load: list[str], timeout: float) -> tuple[Meter, dict]:
    with server(lane, *serve) as origin:
        origin_before = cpu_of(origin.pid)  # its start (filling the memory file) is not the lane's work
        with Meter(lane) as meter:
            client = lane.client.popen("timeout", str(timeout), LOAD, *load, stdout=subprocess.PIPE, text=True)
            output = client.stdout.read()
            code, meter.client = finish(client)
            meter.server = cpu_of(origin.pid) - origin_before
        client.stdout.close()
    if code != 0:
        raise SystemExit(f"bench: {lane.name}: {' '.join(load)}: exit {code}")
    return meter, json.loads(output)


def bulk(lane: Lane, hello: str, size: dict) -> dict:
    count = size["bulk"]
    meter, told = run_load(lane, ["bulk", ORIGIN, "443", str(count)], ["bulk", ORIGIN, "443", hello, str(count)], 120)
    return per(meter, told, count / 2**30)


def short(lane: Lane, hello: str, size: dict) -> dict:
    count = size["short"]
    meter, told = run_load(lane, ["short", ORIGIN, "443"], ["short", ORIGIN, "443", hello, str(count), "40"], 120)
    return per(meter, told, count / 1e6)


def http(lane: Lane, hello: str, size: dict) -> dict:
    count = size["http"]
    meter, told = run_load(lane, ["http", ORIGIN, "80"], ["http", ORIGIN, "80", str(count), "40"], 120)
    return per(meter, told, count / 1e6)


def per(meter: Meter, told: dict, units: float) -> dict:
    return {"total": meter.total / units, "process": meter.process / units, "busy": meter.busy / units,
            "rate": units / told["seconds"]}


def pss(pids: list[int]) -> int:
    total = 0
    for pid in pids:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += int(next(line.split()[1] for line in text.splitlines() if line.startswith("Pss:")))
    return total


def slab() -> int:
    return int(next(line.split()[1] for line in Path("/proc/meminfo").read_text().splitlines()
                    if line.startswith("Slab:")))


def idle(lane: Lane, hello: str, size: dict) -> dict:
    count = size["idle"]
    with server(lane, "hold", ORIGIN, "443"):
        time.sleep(0.5)
        before = pss(lane.pids()), slab()
        client = lane.client.popen(LOAD, "hold", ORIGIN, "443", hello, str(count), stdout=subprocess.PIPE, text=True,
                                   stdin=subprocess.PIPE)
        if client.stdout.readline() != "ready\n":
            raise SystemExit(f"bench: {lane.name}: {count} idle connections were not reached")
        time.sleep(0.5)
        after = pss(lane.pids()), slab()
        client.stdin.close()
        code = client.wait(30)
        client.stdout.close()
        if code != 0:
            raise SystemExit(f"bench: {lane.name}: an idle connection did not last")
    return {"process": (after[0] - before[0]) / count, "total": (after[1] - before[1]) / count}


FIGURES = {  # name: (what runs, unit, decimals)
    "bulk": (bulk, "CPU-s/GiB", 2),
    "short": (short, "us/connection", 0),
    "http": (http, "us/request", 1),
    "idle": (idle, "KiB/connection", 1),
}


def table(samples: dict, lanes: list[str]) -> tuple[str, dict]:
    """Medians as text and as a value. `gateway` = total - direct's total (for idle: slab)."""
    medians: dict = {}
    rows = []
    for figure, (_, unit, decimals) in FIGURES.items():
        def median(lane, key):
            values = [sample[key] for sample in samples[lane].get(figure, [])]
            return statistics.median(values) if values else None

        base = median("direct", "total") if "direct" in lanes else None
        for lane in lanes:
            total, process = median(lane, "total"), median(lane, "process")
            if total is None:
                continue
            gateway = total - base if base is not None else None
            if figure == "idle" and gateway is not None:
                gateway += process  # memory: what the kernel holds and what the process holds
            values = [sample["total"] for sample in samples[lane][figure]]
            medians.setdefault(figure, {})[lane] = {
                "unit": unit, "gateway": gateway, "process": process, "total": total,
                "spread": max(values) - min(values), "rate": median(lane, "rate") if figure != "idle" else None}
            rows.append((figure, lane, "-" if lane == "direct" or gateway is None else f"{gateway:.{decimals}f}",
                         f"{process:.{decimals}f}", f"{total:.{decimals}f}",
                         f"{max(values) - min(values):.{decimals}f}", unit))
    head = ("figure", "lane", "gateway", "process", "whole lane", "spread", "unit")
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = []
    for row in [head, *rows]:
        if lines and row[0] != lines[-1].split()[0]:
            lines.append("")
        lines.append("  ".join(cell.ljust(w) if i in (0, 1, 6) else cell.rjust(w)
                               for i, (cell, w) in enumerate(zip(row, widths))).rstrip())
    return "\n".join(lines), medians


def tell(text: str):
    """What is going on, on one line of a terminal."""
    if sys.stderr.isatty():
        print(f"\r{text:50}\r", end="", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smaller load and two rounds: a smoke test, not a result")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--lanes", default=",".join(LANES))
    parser.add_argument("--figures", default=",".join(FIGURES))
    options = parser.parse_args()
    lanes, figures = options.lanes.split(","), options.figures.split(",")
    if os.geteuid() != 0:
        sys.exit("bench: makes network namespaces; run it as root")
    for needed in [LOAD] + ([SLUICED] if "sluice" in lanes else []):
        if not Path(needed).exists():
            sys.exit(f"bench: {needed} is not there: ./dev bench builds it")
    size = {"bulk": 1 << 30, "short": 2000, "http": 10000, "idle": 1000} if options.quick else \
           {"bulk": 3 << 30, "short": 12000, "http": 60000, "idle": 5000}
    rounds = options.rounds or (2 if options.quick else 5)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # inherited by the gateways and the load

    samples: dict = {lane: {} for lane in lanes}
    with contextlib.ExitStack() as stack:
        made = {}
        for name in lanes:
            made[name] = LANES[name]()
            stack.callback(made[name].close)
        hello = made[lanes[0]].directory / "hello"
        hello.write_bytes(hello_for("www.allowed.test"))
        for number in range(1, rounds + 1):
            for figure in figures:
                for name in lanes:
                    tell(f"round {number}/{rounds}: {figure} by {name}")
                    sample = FIGURES[figure][0](made[name], str(hello), size)
                    samples[name].setdefault(figure, []).append(sample)
        tell("")

    text, medians = table(samples, lanes)
    print(text)
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    target = results / ("quick.json" if options.quick else "latest.json")
    target.write_text(json.dumps({"kernel": platform.release(), "cpus": os.cpu_count(), "rounds": rounds, "size": size,
                                  "medians": medians, "samples": samples}, indent=1) + "\n")
    print(f"\nsamples: {target.relative_to(HERE.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

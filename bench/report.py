"""What is said about a run: a table of medians, and the machine it ran on."""
from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
from pathlib import Path

from sluice import SLUICED

ROWS = (  # row, figure, key of the whole lane, key of the gateway's processes, unit, decimals
    ("bulk", "bulk", "total", "process", "CPU-s/GiB", 2),
    ("short", "short", "total", "process", "us/connection", 0),
    ("blocked", "blocked", "total", "process", "us/connection", 0),
    ("quic", "quic", "total", "process", "us/flow", 0),
    ("http", "http", "total", "process", "us/request", 1),
    ("idle", "idle", "total", "process", "KiB/connection", 1),
    ("latency", "latency", "median", None, "us, median", 0),
    ("latency-p99", "latency", "p99", None, "us, 99 %", 0),
)
HEAD = ("figure", "lane", "gateway", "process", "whole lane", "spread", "unit")


def medians_of(samples: dict, lanes: list[str], rows=ROWS) -> dict:
    """{row: {lane: medians}}. `gateway` = the whole lane less the whole of `direct`."""
    medians: dict = {}
    for row, figure, whole, own, unit, _ in rows:
        taken = {lane: samples[lane][figure] for lane in lanes if samples[lane].get(figure)}
        base = statistics.median(sample[whole] for sample in taken["direct"]) if "direct" in taken else None
        for lane, of_lane in taken.items():
            values = [sample[whole] for sample in of_lane]
            total = statistics.median(values)
            process = statistics.median(sample[own] for sample in of_lane) if own else None
            gateway = total - base if base is not None and lane != "direct" else None
            if figure == "idle" and gateway is not None:
                gateway += process  # memory: what the kernel holds and what the process holds
            rates = [sample["rate"] for sample in of_lane if "rate" in sample]
            medians.setdefault(row, {})[lane] = {
                "unit": unit, "gateway": gateway, "process": process, "total": total, "samples": len(values),
                "spread": max(values) - min(values), "rate": statistics.median(rates) if rates else None}
    return medians


def table(medians: dict, which=ROWS) -> str:
    rows = [HEAD]
    for row, _, _, _, unit, decimals in which:
        if row in medians:
            rows.append(())
        for lane, of_lane in medians.get(row, {}).items():
            cells = ("-" if of_lane[key] is None else f"{of_lane[key]:.{decimals}f}"
                     for key in ("gateway", "process", "total", "spread"))
            rows.append((row, lane, *cells, unit))
    widths = [max(len(row[i]) for row in rows if row) for i in range(len(HEAD))]
    return "\n".join("  ".join(cell.ljust(w) if i in (0, 1, 6) else cell.rjust(w)
                               for i, (cell, w) in enumerate(zip(row, widths))).rstrip() for row in rows)


def load_average() -> list[float]:
    return [round(value, 2) for value in os.getloadavg()]


def machine(lanes: list[str]) -> dict:
    """What the figures depend on. The load averages tell whether they mean anything."""
    def field(path: str, name: str) -> str:
        found = re.search(rf"^{name}\s*:\s*(.*)$", Path(path).read_text(), re.M)
        return found[1] if found else "unknown"

    def version(*command: str) -> str:
        done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.stdout.partition("\n")[0].strip()

    asked = {"haproxy": ("haproxy", "-v"), "nginx-stream": ("nginx", "-v"), "squid": ("squid", "-v"),
             "sslsplit": ("sslsplit", "-V"), "e2guardian": ("e2guardian", "-v"), "sluice": (SLUICED, "--version")}
    return {"kernel": platform.release(), "cpu": field("/proc/cpuinfo", "model name"), "cpus": os.cpu_count(),
            "memory": field("/proc/meminfo", "MemTotal"),
            "system": platform.freedesktop_os_release().get("PRETTY_NAME", "unknown"),
            "versions": {lane: version(*command) for lane, command in asked.items() if lane in lanes}}


def told(machine: dict) -> str:
    """The machine in two lines."""
    loads = " to ".join(f"{machine['load'][when][0]:.1f}" for when in ("start", "end"))
    return (f"{machine['cpus']} x {machine['cpu']}, {machine['memory']}, {machine['system']}, Linux {machine['kernel']}, "
            f"load average {loads}\n" + "; ".join(machine["versions"].values()))

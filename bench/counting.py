#!/usr/bin/env python3
"""What counting bytes costs: the gateway's processor time for reading a conntrack table of 50,000 entries every 5 s.

Run by ./dev bench --counting. The table is filled with entries of LAN clients; then the gateway's own CPU time (all its
threads, from /proc) is taken over some readings, beside the same gateway with an empty table. The difference is the
reading. Prints per cent of one core and microseconds an entry, and the memory it took.
"""
from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "netns"))
from lab import Lab  # noqa: E402
from namespace import wait_until  # noqa: E402
from sluice import Sluice  # noqa: E402


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_kib(pid: int) -> int:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1])


def fill(lab, count: int):
    path = lab.directory / "entries"
    with open(path, "w") as out:
        for i in range(count):
            out.write(f"-A -p udp -s 10.20.{1 + i % 200}.{1 + i // 200 % 250} -d 10.99.{i // 50000}.2 --sport {1024 + i % 60000} "
                      f"--dport {3000 + i % 1000} -t 600 -u SEEN_REPLY\n")
    done = lab.gateway.run("conntrack", "-R", str(path), check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-500:]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=50000)
    parser.add_argument("--readings", type=int, default=12)
    options = parser.parse_args()
    with Lab(guest=False, inner=False) as lab, \
            Sluice(lab, 'zone = "UTC"\n', network={"lan": ["lan0"]}, accounting={"interval": "5s"}) as sluice:
        pid = sluice.role("gateway")

        def over_readings() -> tuple[float, float]:
            dumps = lambda: sluice.ctl_json("status")["accounting"]["dumps"]  # noqa: E731
            first = dumps()
            wait_until(lambda: dumps() > first, 30, "a reading")
            first, cpu, began = dumps(), cpu_seconds(pid), time.monotonic()
            time.sleep(5 * options.readings)
            return cpu_seconds(pid) - cpu, (time.monotonic() - began) / 5 if dumps() > first else 0

        empty, readings = over_readings()
        before = memory_kib(pid)
        fill(lab, options.entries)
        time.sleep(6)
        there = sluice.ctl_json("status")["accounting"]["conntrack_entries"]
        full, readings = over_readings()
        cost = (full - empty) / readings
        print(f"conntrack entries        {there}")
        print(f"empty table              {empty / (5 * readings) * 100:.2f} % of a core")
        print(f"full table               {full / (5 * readings) * 100:.2f} % of a core")
        print(f"a reading                {cost * 1e3:.0f} ms, {cost / there * 1e6:.2f} us an entry, "
              f"{cost / 5 * 100:.2f} % of a core at 5 s (aim: below 5 %)")
        print(f"memory                   {(memory_kib(pid) - before) / 1024:.1f} MiB more")


if __name__ == "__main__":
    main()

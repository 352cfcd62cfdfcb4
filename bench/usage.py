#!/usr/bin/env python3
"""What a full usage store costs: questions, writes, memory, bytes a row.

    bench/usage.py [--rows 10000000] [--out bench/results/usage.json]

Needs the bench build (./dev bench builds it).
"""
import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM = Path(__file__).resolve().parents[1] / "build" / "bench" / "bin" / "bench_usage"


def run(*arguments) -> dict:
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"bench_usage {arguments}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--out")
    arguments = parser.parse_args()
    results = {"kernel": platform.release(), "cpus": os.cpu_count(), "load_before": os.getloadavg()}
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:  # a disk, where /tmp may be memory
        store = Path(scratch) / "usage.db"
        results |= run("fill", store, arguments.rows) | run("ask", store)
    results["load_after"] = os.getloadavg()
    print(f"{results['rows']:,} rows of {results['users']} users: {results['bytes'] / 1e6:.0f} MB, "
          f"{results['bytes'] / results['rows']:.1f} bytes a row; filled in {results['fill_s']:.0f} s\n")
    print("| question | cold s | warm s | rows of the answer |\n|---|---|---|---|")
    for name, each in results["questions"].items():
        print(f"| by {name}{'' if ',' in name else ', 30 days'} | {each['cold_s']:.2f} | {each['warm_s']:.2f} | "
              f"{each['rows']} |")
    print(f"\nA write of 1000 rows: {results['flush_1000_ms']:.0f} ms, {results['flush_1000_cpu_ms']:.0f} ms CPU. Peak memory: "
          f"{results['ask_peak_kib'] / 1024:.0f} MiB for the questions, {results['peak_kib'] / 1024:.0f} MiB with the writes.")
    if arguments.out:
        Path(arguments.out).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()

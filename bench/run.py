#!/usr/bin/python3
"""The data-path benchmark: what does the gateway cost, beside kernel forwarding and beside others doing the same job?

    bench/run.py [--quick] [--rounds N] [--lanes direct,forward,haproxy,...] [--figures bulk,short,...]

For each lane (lanes.py) and each figure (figures.py), CPU time, memory or time, because throughput on a shared machine
says little:

    bulk    CPU-seconds per GiB              one TLS-looking connection, bytes down
    short   CPU-microseconds per connection  real hello, 1 KiB back, closed
    blocked CPU-microseconds per connection  real hello of a refused name, both sides ended
    quic    CPU-microseconds per flow        real Initials of an allowed name over two datagrams, one datagram back
    http    CPU-microseconds per request     keep-alive, 1 KiB back
    idle    KiB per connection               process (PSS) and kernel (slab)
    latency microseconds                     connect, hello, 1 KiB back, one at a time

"gateway" is the whole lane (load client, load server, the gateway's processes, and the kernel threads that do softirq
work) minus the same for `direct`. That is the only fair figure: the kernel bills the forwarding path's softirq work to
whoever happens to run. "process" is the gateway's processes alone. Lanes take turns within a round, in another order
each time, so that a busy moment of the machine hits all of them; the table shows medians over rounds, and the JSON
keeps every sample. A lane that fails at its job gets no more samples of that figure, and the run fails.
"""
from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from lanes import LANES  # noqa: E402  (first: it makes tests/netns importable)
from figures import FIGURES, FULL, LOAD, QUICK, Inputs, LaneFailed  # noqa: E402
from namespace import sweep  # noqa: E402
from report import load_average, machine, medians_of, table, told  # noqa: E402
from sluice import SLUICED  # noqa: E402


def tell(text: str):
    """What is going on, on one line of a terminal."""
    if sys.stderr.isatty():
        print(f"\r{text:60}\r", end="", file=sys.stderr, flush=True)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smaller load and two rounds: a smoke test, not a result")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--lanes", default=",".join(LANES))
    parser.add_argument("--figures", default=",".join(FIGURES))
    options = parser.parse_args()
    options.lanes, options.figures = options.lanes.split(","), options.figures.split(",")
    for given, known in ((options.lanes, LANES), (options.figures, FIGURES)):
        for name in given:
            if name not in known:
                parser.error(f"{name}: not one of {', '.join(known)}")
    options.rounds = options.rounds or (2 if options.quick else 5)
    return options


def measure(options: argparse.Namespace, size: dict) -> tuple[dict, list[str]]:
    """{lane: {figure: [sample of each round]}}, and what went wrong."""
    samples: dict = {name: {} for name in options.lanes}
    failures: dict = {}
    order = random.Random(1)
    with contextlib.ExitStack() as stack:
        made = {}
        for name in options.lanes:
            tell(f"starting {name}")
            made[name] = LANES[name]()
            stack.callback(made[name].close)
            if made[name].complaint:
                failures[name, ""] = f"{name}: {made[name].complaint}"
        inputs = Inputs(made[options.lanes[0]].directory)
        for number in range(1, options.rounds + 1):
            for figure in options.figures:
                for name in order.sample(options.lanes, len(options.lanes)):
                    if figure in made[name].lacks or (name, figure) in failures:
                        continue
                    tell(f"round {number}/{options.rounds}: {figure} by {name}")
                    try:
                        sample = FIGURES[figure](made[name], inputs, size[figure])
                        samples[name].setdefault(figure, []).append(sample)
                    except (LaneFailed, AssertionError, subprocess.TimeoutExpired) as error:
                        failures[name, figure] = f"{name}: {figure}: {error}"
                        print(f"bench: round {number}: {failures[name, figure]}", file=sys.stderr)
        tell("")
    return samples, list(failures.values())


def main() -> int:
    options = parsed()
    if os.geteuid() != 0:
        sys.exit("bench: makes network namespaces; run it as root")
    for needed in [LOAD] + ([SLUICED] if {"sluice", "sluice-proxy"} & set(options.lanes) else []):
        if not Path(needed).exists():
            sys.exit(f"bench: {needed} is not there: ./dev bench builds it")
    size = QUICK if options.quick else FULL
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # inherited by the gateways and the load
    sweep()

    described, begun = machine(options.lanes), time.monotonic()
    described["load"] = {"start": load_average()}
    samples, failures = measure(options, size)
    described["load"]["end"] = load_average()

    medians = medians_of(samples, options.lanes)
    print(table(medians), told(described), sep="\n\n")
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    target = results / ("quick.json" if options.quick else "latest.json")
    target.write_text(json.dumps({"machine": described, "rounds": options.rounds, "size": size,
                                  "seconds": round(time.monotonic() - begun), "failures": failures,
                                  "medians": medians, "samples": samples}, indent=1) + "\n")
    print(f"samples: {target.relative_to(HERE.parent)}")
    for failure in failures:
        print(f"FAILED: {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

"""The figures: what each loads a lane with (load.cpp), and what it takes as the sample."""
from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from pathlib import Path

import initial
from lanes import ALLOWED, BLOCKED, ORIGIN, Lane
from client import hello_for  # tests/netns, by way of lanes
from meter import Meter, cpu_of, finish, pss, slab
from namespace import wait_until

LOAD = os.environ.get("SLUICE_LOAD") or str(Path(__file__).resolve().parents[1] / "build" / "bench" / "bin" / "bench_load")
AT_ONCE = "40"
FULL = {"bulk": 3 << 30, "short": 12000, "blocked": 10000, "quic": 10000, "http": 60000, "idle": 5000, "latency": 8000}
QUICK = {"bulk": 1 << 29, "short": 1000, "blocked": 500, "quic": 500, "http": 5000, "idle": 500, "latency": 300}


class LaneFailed(Exception):
    """A lane did not do its job: there is no sample, and there must be no result."""


class Inputs:
    """What the load sends, as files."""

    def __init__(self, directory: Path):
        asked, answer = initial.flow(ALLOWED)
        for name, data in (("hello", hello_for(ALLOWED)), ("refused", hello_for(BLOCKED)), ("initials", asked),
                           ("answer", answer)):
            (directory / name).write_bytes(data)
            setattr(self, name, str(directory / name))


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


def run_load(lane: Lane, serve: list[str], load: list[str]) -> tuple[Meter, dict]:
    with server(lane, *serve) as origin:
        origin_before = cpu_of(origin.pid)  # its start (filling the memory file) is not the lane's work
        with Meter(lane) as meter:
            client = lane.client.popen("timeout", "120", LOAD, *load, stdout=subprocess.PIPE, text=True)
            output = client.stdout.read()
            code, meter.client = finish(client)
            meter.server = cpu_of(origin.pid) - origin_before
        client.stdout.close()
        if code != 0:
            raise LaneFailed(f"bench_load {' '.join(load)}: exit {code}")
        if load[0] == "blocked":
            wait_until(lambda: not established(lane), 5, "the origin's side of every blocked connection has ended")
    return meter, json.loads(output)


def established(lane: Lane) -> str:
    return lane.origin.run("ss", "-Htn", "state", "established", "sport", "=", ":443").stdout


def per(meter: Meter, told: dict, units: float) -> dict:
    return {"total": meter.total / units, "process": meter.process / units, "kernel": meter.kernel / units,
            "busy": meter.busy / units, "rate": units / told["seconds"], "seconds": told["seconds"]}


def bulk(lane: Lane, inputs: Inputs, count: int) -> dict:
    return per(*run_load(lane, ["bulk", ORIGIN, "443", str(count)], ["bulk", ORIGIN, "443", inputs.hello, str(count)]),
               count / 2**30)


def short(lane: Lane, inputs: Inputs, count: int) -> dict:
    return per(*run_load(lane, ["short", ORIGIN, "443"], ["short", ORIGIN, "443", inputs.hello, str(count), AT_ONCE]),
               count / 1e6)


def blocked(lane: Lane, inputs: Inputs, count: int) -> dict:
    """Where no gateway refuses, the origin resets: that is what the two ends alone cost."""
    meter, told = run_load(lane, ["short" if lane.refuses else "refuse", ORIGIN, "443"],
                           ["blocked", ORIGIN, "443", inputs.refused, str(count), AT_ONCE])
    return per(meter, told, count / 1e6) | {key: told[key] for key in ("alert", "reset", "closed")}


def quic(lane: Lane, inputs: Inputs, count: int) -> dict:
    if lane.quic_port + count > 65536:  # after six rounds: the first ports' flows are long forgotten
        lane.quic_port = 1024
    first, lane.quic_port = lane.quic_port, lane.quic_port + count
    return per(*run_load(lane, ["quic", ORIGIN, "443", inputs.answer],
                         ["quic", ORIGIN, "443", inputs.initials, str(count), AT_ONCE, str(first)]), count / 1e6)


def http(lane: Lane, inputs: Inputs, count: int) -> dict:
    return per(*run_load(lane, ["http", ORIGIN, "80"], ["http", ORIGIN, "80", str(count), AT_ONCE]), count / 1e6)


def latency(lane: Lane, inputs: Inputs, count: int) -> dict:
    _, told = run_load(lane, ["short", ORIGIN, "443"], ["latency", ORIGIN, "443", inputs.hello, str(count)])
    return {key: told[key] for key in ("median", "p99", "seconds")}


def idle(lane: Lane, inputs: Inputs, count: int) -> dict:
    with server(lane, "hold", ORIGIN, "443"):
        time.sleep(0.5)
        # Later rounds live on memory that the program has kept; that is memory all the same.
        lane.settled = pss(lane.pids()) if lane.settled is None else lane.settled
        before, begun = (lane.settled, slab()), time.monotonic()
        client = lane.client.popen("timeout", "120", LOAD, "hold", ORIGIN, "443", inputs.hello, str(count),
                                   stdout=subprocess.PIPE, text=True, stdin=subprocess.PIPE)
        try:
            reached = client.stdout.readline() == "ready\n"
            time.sleep(0.5)
            after = pss(lane.pids()), slab()
        finally:
            client.stdin.close()
            code = client.wait(130)
            client.stdout.close()
        if not reached:
            raise LaneFailed(f"{count} idle connections were not reached")
        if code != 0:
            raise LaneFailed("an idle connection did not last")
    return {"process": (after[0] - before[0]) / count, "total": (after[1] - before[1]) / count,
            "seconds": time.monotonic() - begun}


FIGURES = {function.__name__: function for function in (bulk, short, blocked, quic, http, idle, latency)}

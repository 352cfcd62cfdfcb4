"""What a lane used: CPU time and memory, of the lane as a whole and of the gateway's processes."""
from __future__ import annotations

import contextlib
import os
import subprocess
import time
from pathlib import Path

from lanes import Lane


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
        self._pids = sorted({*self._pids, *self._lane.pids()})  # a helper that was started meanwhile is all the lane's
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


def pss(pids: list[int]) -> int:
    """KiB of the processes' own, what they share counted once."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:  # a tool that the supervisor has just run
            continue
        total += int(next(line.split()[1] for line in text.splitlines() if line.startswith("Pss:")))
    return total


def slab() -> int:
    """KiB that the kernel holds in objects."""
    return int(next(line.split()[1] for line in Path("/proc/meminfo").read_text().splitlines()
                    if line.startswith("Slab:")))

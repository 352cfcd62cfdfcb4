"""Faults for a running Sluice: small injectors that compose.

Nothing in the daemon knows of them. Disks are tmpfs mounts over the lab's own directories; tools are replaced by bind mounts
in the daemon's own mount namespace (`ip netns exec` gives it one); scarcity is prlimit(2); system calls fail by
strace's fault injection; the clock is shifted by a preloaded library, for this daemon alone.
"""
from __future__ import annotations

import contextlib
import mmap
import os
import shutil
import signal
import struct
import subprocess
import threading
from pathlib import Path

from client import fetch
from namespace import running, wait_until
from sluice import Sluice, descendants

ROLES = ("supervisor", "gateway", "keeper", "helper", "signer")
NAMES = ("www.allowed.test", "www.blocked.test")


# --- what clients see ----------------------------------------------------------------------------------------------------

def state_of(client, where, timeout: float = 2) -> str:
    """Of new connections: "judged", "passes", "refused"; else what came of each."""
    replies = {(name, scheme): fetch(client, where, f"{scheme}://{name}/", timeout=timeout)
               for name in NAMES for scheme in ("http", "https")}
    allowed = [reply for (name, _), reply in replies.items() if name == NAMES[0]]
    blocked = [reply for (name, _), reply in replies.items() if name == NAMES[1]]
    if all(r.allowed for r in allowed) and all(r.blocked for r in blocked):
        return "judged"
    if all(r.allowed for r in replies.values()):
        return "passes"
    if all(r.refused for r in replies.values()):
        return "refused"
    return "mixed: " + ", ".join(f"{name} {scheme} {r.kind} {r.status or ''}" for (name, scheme), r in replies.items())


def states(lab, family: str = "v4", timeout: float = 10) -> tuple[str, str]:
    """Of the open group and of the closed one (sluice.POLICY: bob)."""
    return state_of(lab.alice, lab.origin[family], timeout), state_of(lab.bob, lab.origin[family], timeout)


def wait_states(lab, wanted: tuple[str, str], timeout: float = 30, family: str = "v4"):
    last = None

    def there():
        nonlocal last
        last = states(lab, family, timeout=2)
        return last == wanted

    try:
        wait_until(there, timeout, f"{wanted}", pause=0.2)
    except AssertionError:
        raise AssertionError(f"not within {timeout} s: {wanted}; last: {last}") from None


def collected(request) -> list[dict]:
    """The parameters of the tests of this module that will be run, in their order: what a table has to play."""
    return [item.callspec.params for item in request.session.items
            if item.module is request.module and hasattr(item, "callspec")]


JUDGED, DOWN = ("judged", "judged"), ("passes", "refused")


class Slips:
    """Watches, from another thread, that nothing blocked is ever let through to the closed group."""

    def __init__(self, lab, family: str = "v4"):
        self._client, self._where = lab.bob, lab.origin[family]
        self._stop = threading.Event()
        self.seen, self.looks = [], 0
        self._thread = threading.Thread(target=self._watch)

    def _watch(self):
        while True:
            for scheme in ("http", "https"):
                reply = fetch(self._client, self._where, f"{scheme}://www.blocked.test/", timeout=1)
                self.looks += 1
                if reply.allowed:
                    self.seen.append(reply)
            if self._stop.wait(0.1):
                return

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, *_):
        self._stop.set()
        self._thread.join()
        if kind is None:
            assert self.looks > 0 and not self.seen, f"{len(self.seen)} of {self.looks} were let through"


# --- disks ---------------------------------------------------------------------------------------------------------------

class Disk:
    """A small file system of its own over a directory of a Sluice that has not been started."""

    def __init__(self, directory: Path, size: str = "256k", owner: str | None = None):
        self.directory = directory
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "none", directory], check=True)
        if owner:
            shutil.chown(directory, owner, "nogroup")

    def fill(self):
        with contextlib.suppress(OSError), open(self.directory / "filler", "ab", buffering=0) as filler:
            while True:
                filler.write(b"x" * 4096)

    def empty(self):
        (self.directory / "filler").unlink()

    def read_only(self, on: bool = True):
        command = ["mount", "-o", "remount,ro" if on else "remount,rw", self.directory]
        # Busy for as long as somebody writes there: what was compiled is being put away, say.
        wait_until(lambda: subprocess.run(command, capture_output=True).returncode == 0, 10, "it is mounted anew")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.directory], check=False)


# --- the system's tools --------------------------------------------------------------------------------------------------

TOOL = """#!/bin/bash
# {program}, unless the test says otherwise.
name=${{0##*/}}
mode=$(cat {mode})
case "$mode $name $*" in
  "fails "*) echo "injected: $name fails" >&2; exit 1 ;;
  "commit fails nft -f "* | "commit fails "*-restore" "*) echo "injected: $name fails" >&2; exit 1 ;;
  "hangs nft -f "* | "hangs "*-restore" "*) exec sleep 600 ;;
  "dies "*) kill -9 $$ ;;
  "v6 fails ip6tables-restore "*) echo "injected: $name fails" >&2; exit 1 ;;
  "half nft -f "*) head -c "$(($(stat -Lc %s /dev/stdin) / 2))" | "{real}" "$@"; exit ;;
esac
exec -a "$name" "{real}" "$@"
"""


class Tool:
    """`program`, as this daemon alone sees it: start(by=tool.prefix), then tool.mode = "fails" (commit fails, hangs, dies, half,
    v6 fails, missing, works). xtables' programs are one file: all of them are replaced together."""

    def __init__(self, sluice: Sluice, program: str):
        found = Path(shutil.which(program) or f"/usr/sbin/{program}").resolve()
        folder = sluice.directory / f"tool-{program}"
        folder.mkdir()
        self._mode, self._script = folder / "mode", folder / "script"
        shutil.copy(found, folder / "real")
        self._script.write_text(TOOL.format(program=program, mode=self._mode, real=folder / "real"))
        self.mode = "works"
        self.prefix = ["sh", "-c", f'mount --bind {self._script} {found} && exec "$@"', "sh"]

    @property
    def mode(self) -> str:
        return self._mode.read_text()

    @mode.setter
    def mode(self, mode: str):
        beside = self._mode.with_suffix(".new")  # a tool that is just being run reads the one or the other
        beside.write_text(mode)
        beside.rename(self._mode)
        self._script.chmod(0o644 if mode == "missing" else 0o755)


# --- scarcity ------------------------------------------------------------------------------------------------------------

def limit(pid: int, **limits: int | str):
    """limit(pid, nofile=12): the soft limit; a process started by it inherits it."""
    with open(f"/proc/{pid}/status") as status:
        ids = {line.split()[0]: line.split()[1] for line in status if line.startswith(("Uid:", "Gid:"))}
    for name, value in limits.items():  # as its own user: root in a container may not do it to others
        subprocess.run(["setpriv", f"--reuid={ids['Uid:']}", f"--regid={ids['Gid:']}", "--clear-groups",
                        "prlimit", "--pid", str(pid), f"--{name}={value}:"], check=True)


class Failing:
    """System calls of a process (all its threads, or the one of that number) fail:
    Failing(pid, "sendto:error=ENOBUFS:when=1..40")."""

    def __init__(self, pid: int, *injections: str, threads=True):
        names = ",".join(each.split(":")[0] for each in injections)
        arguments = [word for each in injections for word in ("-e", f"inject={each}")]
        self._strace = subprocess.Popen(["strace", *["-f"] * threads, "-q", "-e", f"trace={names}", *arguments, "-p", str(pid)],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=lambda: self.lines.extend(self._strace.stderr))
        self._reader.start()

        def tracer() -> int:
            with open(f"/proc/{pid}/status") as status:
                return next(int(line.split()[1]) for line in status if line.startswith("TracerPid"))

        wait_until(lambda: tracer() == self._strace.pid, 10, "strace has attached")

    @property
    def injected(self) -> int:
        return sum("(INJECTED)" in line for line in list(self.lines))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._strace.send_signal(signal.SIGINT)  # it detaches
        self._strace.wait(10)
        self._reader.join()


# --- the clock -----------------------------------------------------------------------------------------------------------

CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static volatile long *offset;  // of the wall clock, of the monotonic one; seconds
static int (*real)(clockid_t, struct timespec *);
__attribute__((constructor)) static void begin(void) {
  int file = open(getenv("CLOCK_OFFSET"), O_RDONLY);
  void *map = mmap(0, 2 * sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
  real = dlsym(RTLD_NEXT, "clock_gettime");
  if (map != MAP_FAILED) offset = map;
  close(file);
}
int clock_gettime(clockid_t clock, struct timespec *time) {
  int result = real(clock, time);
  if (offset && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) time->tv_sec += offset[0];
  if (offset && clock == CLOCK_MONOTONIC) time->tv_sec += offset[1];
  return result;
}
time_t time(time_t *out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out) *out = now.tv_sec;
  return now.tv_sec;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  struct timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  now->tv_sec = time.tv_sec, now->tv_usec = time.tv_nsec / 1000;
  return 0;
}
"""


class Clock:
    """The wall clock of one daemon: start(by=clock.prefix), then clock.offset = seconds. (libfaketime would open its file at
    each call, which roles without file system may not; a time namespace has no CLOCK_REALTIME.)"""

    def __init__(self, sluice: Sluice):
        source, library, file = (sluice.directory / name for name in ("clock.c", "clock.so", "clock.offset"))
        source.write_text(CLOCK)
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
        file.write_bytes(bytes(16))
        with open(file, "r+b") as opened:
            self._memory = mmap.mmap(opened.fileno(), 16)
        self.prefix = ["env", f"LD_PRELOAD={library}", f"CLOCK_OFFSET={file}"]

    @property
    def offset(self) -> int:
        return struct.unpack("q", self._memory[:8])[0]

    @offset.setter
    def offset(self, seconds: int):
        self._memory[:8] = struct.pack("q", seconds)

    def pass_over(self, seconds: int):
        """So much time has passed, by the monotonic clock too: for patience that no test has."""
        self._memory[8:] = struct.pack("q", struct.unpack("q", self._memory[8:])[0] + seconds)


# --- processes -----------------------------------------------------------------------------------------------------------

def processes(sluice: Sluice) -> list[int]:
    return [sluice.supervisor, *descendants(sluice.supervisor)]


def list_compiler(sluice: Sluice) -> int | None:
    """Forked from the supervisor, with no program of its own, and more confined. (A tool that is about to be run is not.)"""
    def filters(pid: int) -> int:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith("Seccomp_filters:")), 0)

    for pid in descendants(sluice.supervisor):
        with contextlib.suppress(OSError):
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
            itself = Path(f"/proc/{sluice.supervisor}/cmdline").read_bytes()
            if line == itself and filters(pid) > filters(sluice.supervisor):
                return pid
    return None


class Killer:
    """Kills a role as soon as it is started, again and again: a crash loop. `killed` are the process ids."""

    def __init__(self, sluice: Sluice, role: str):
        self._sluice, self._role = sluice, role
        self.killed: list[int] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._kill)

    def _kill(self):
        while not self._stop.wait(0.02):
            pid = self._sluice.role(self._role)
            if pid and running(pid) and pid not in self.killed:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    self.killed.append(pid)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

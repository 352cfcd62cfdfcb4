"""Network namespaces as Python objects.

A namespace belongs to the test process that made it: its name carries that process's id, so that a later run can tell
the left-overs of a crashed run from the namespaces of a run that is still going (sweep()). Nothing outside such
namespaces is ever touched.

Linux keeps the network namespace per *thread*, and a socket stays for ever in the one it was created in. So Python
peers need no helper processes: enter(), make the socket, leave, and use it from wherever.
"""
from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PREFIX = "sluicelab"
CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_serial = itertools.count()


def family_of(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


PATIENCE = 3  # whoever runs tests has a busy machine, or sanitizers in the daemon: a wait may take this many times as long


def wait_until(condition, timeout: float, what: str, pause: float = 0.05):
    """Polls until `condition` gives something true, and returns that. Fails loudly: a test never waits for ever."""
    timeout *= PATIENCE
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(pause)


class Namespace:
    def __init__(self, role: str, serial: int):
        self.name = f"{PREFIX}-{os.getpid()}-{serial}-{role}"
        self._children: list[subprocess.Popen] = []
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.ip("link set lo up")

    @contextlib.contextmanager
    def enter(self):
        """The calling thread is in this namespace inside the block."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            _setns(there)
            yield self
        finally:
            _setns(home)
            os.close(there)
            os.close(home)

    def ip(self, *commands: str):
        """Lines as ip(8) takes them: ip("link add ...", "addr add ...")."""
        subprocess.run(["ip", "-n", self.name, "-batch", "-"], input="\n".join(commands) + "\n", text=True, check=True)

    def sysctl(self, **values):
        """sysctl(net__ipv4__ip_forward=1): a double underscore stands for a slash."""
        with self.enter():
            for key, value in values.items():
                path = Path("/proc/sys") / key.replace("__", "/")
                if path.exists():
                    path.write_text(str(value))

    def run(self, *command: str, check=True, timeout=30, **more) -> subprocess.CompletedProcess:
        return subprocess.run(["ip", "netns", "exec", self.name, *command], text=True, capture_output=True,
                              check=check, timeout=timeout, **more)

    def popen(self, *command: str, stdin=subprocess.DEVNULL, **more) -> subprocess.Popen:
        child = subprocess.Popen(["ip", "netns", "exec", self.name, *command], stdin=stdin, **more)
        self._children.append(child)
        return child

    def nft(self, text: str):
        done = self.run("nft", "-f", "-", input=text + "\n", check=False)
        assert done.returncode == 0, done.stderr

    def socket(self, family: int, kind=socket.SOCK_STREAM) -> socket.socket:
        with self.enter():
            return socket.socket(family, kind)

    def connect(self, address: str, port: int, timeout: float = 5, source: str | None = None) -> socket.socket:
        sock = self.socket(family_of(address))
        try:
            sock.settimeout(timeout)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if source:
                sock.bind((source, 0))
            sock.connect((address, port))
        except BaseException:
            sock.close()
            raise
        return sock

    def listen(self, address: str, port: int, backlog: int = 1024) -> socket.socket:
        sock = self.socket(family_of(address))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        sock.listen(backlog)
        return sock

    def close(self):
        for child in self._children:
            if child.poll() is None:
                child.terminate()
        for child in self._children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(3)
        destroy(self.name)
        for child in self._children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(3)


def next_serial() -> int:
    return next(_serial)


def veth(left: Namespace, left_name: str, right: Namespace, right_name: str):
    left.ip(f"link add {left_name} type veth peer name {right_name} netns {right.name}",
            f"link set {left_name} up")
    right.ip(f"link set {right_name} up")


def destroy(name: str):
    """Ends whatever still runs in a namespace of ours, stopped processes included, and removes it."""
    pids = subprocess.run(["ip", "netns", "pids", name], text=True, capture_output=True).stdout.split()
    for pid in map(int, pids):
        if pid != os.getpid():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    subprocess.run(["ip", "netns", "del", name], capture_output=True)
    shutil.rmtree(f"/etc/netns/{name}", ignore_errors=True)


def scratch_directory() -> Path:
    """A directory of this run that everybody may enter."""
    directory = Path(tempfile.mkdtemp(prefix=f"{PREFIX}-{os.getpid()}-"))
    directory.chmod(0o755)
    return directory


def sweep():
    """Removes what earlier runs left whose process is gone."""
    def left_over(entry: Path) -> bool:
        match = re.match(rf"{PREFIX}-(\d+)-", entry.name)
        return bool(match) and not Path(f"/proc/{match[1]}").exists()

    for directory, remove in ((Path("/run/netns"), lambda entry: destroy(entry.name)),
                              (Path(tempfile.gettempdir()), lambda entry: shutil.rmtree(entry, ignore_errors=True))):
        for entry in list(directory.iterdir()) if directory.exists() else []:
            if left_over(entry):
                remove(entry)


def _setns(fd: int):
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def descriptors_of(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def running(pid: int) -> bool:
    """Exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

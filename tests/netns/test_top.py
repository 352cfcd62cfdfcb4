"""sluicectl top on a terminal: drawn, sorted, resized, and the terminal as it was afterwards. Most of it before a stand-in
for the daemon, which answers what the test says; the last one before the real daemon."""
import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import termios
import threading
import time

import pytest

from client import fetch
from namespace import wait_until
from sluice import POLICY, SLUICECTL
from test_devices import mac_of


def client(name, up, down, total, **more):
    return {"user": name, "device": "", "client": "", "group": "staff", "address_count": 1, "rate_up": up,
            "rate_down": down, "bytes_up": 0, "bytes_down": total, "connections": 2,
            "hosts": [{"name": "video.example", "rate": down}], **more}


THREE = {"interval_s": 5.0, "total": {"rate_up": 3100, "rate_down": 2001}, "unattributed": {},
         "clients": [client("alice", 100, 2000, 10), client("bob", 3000, 0, 20),
                     client("zo\u00eb\x1b[2J\u202e", 0, 1, 5_000_000)]}


class StandIn:
    """A control socket that answers every question with `data`."""

    def __init__(self, directory):
        self.data, self.asked = THREE, 0
        self.path = directory / "control.sock"
        self._listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _listen(self):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self.listener.accept()
                with peer, peer.makefile("rw") as line:
                    assert json.loads(line.readline())["verb"] == "top"
                    self.asked += 1
                    line.write(json.dumps({"exit": 0, "text": "", "data": self.data}) + "\n")

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.path.unlink(missing_ok=True)


class Terminal:
    """`sluicectl top` on a terminal of so many columns and rows; `screen()` is what stands on it."""

    def __init__(self, run_directory, columns=100, rows=12):
        self.master, slave = pty.openpty()
        self.resize(columns, rows)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen([SLUICECTL, "top", "--run", str(run_directory)], stdin=slave, stdout=slave,
                                        stderr=slave, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.output = b""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        with contextlib.suppress(OSError):
            while more := os.read(self.master, 65536):
                self.output += more

    def resize(self, columns, rows):
        self.columns, self.rows = columns, rows
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, key: str):
        os.write(self.master, key.encode())

    def screen(self) -> list[str]:
        """The lines of the last whole frame."""
        frames = self.output.decode(errors="replace").split("\x1b[H")
        whole = [frame for frame in frames[1:] if "q quit" in frame]
        return [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in whole[-1].split("\r\n")] if whole else []

    def wait(self, wanted, what: str, timeout=5):
        return wait_until(lambda: self.screen() and wanted(self.screen()), timeout, f"{what}; it shows {self.screen()}")

    def names(self) -> list[str]:
        return [line.split()[0] for line in self.screen()[2:-1] if line.strip()]

    def ended(self) -> int:
        return self.process.wait(5)

    def is_as_before(self) -> bool:
        text = self.output.decode(errors="replace")
        return (termios.tcgetattr(self.slave) == self.before and text.count("\x1b[?1049h") == text.count("\x1b[?1049l")
                and text.rstrip().endswith("\x1b[?1049l") and "\x1b[?25h" in text)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.slave)
        os.close(self.master)


@pytest.fixture
def daemon(tmp_path, built):
    stand_in = StandIn(tmp_path)
    yield stand_in
    with contextlib.suppress(OSError):
        stand_in.close()


@pytest.fixture
def terminal(daemon, tmp_path):
    terminal = Terminal(tmp_path)
    terminal.wait(lambda lines: "WHO" in lines[1], "it is drawn")
    yield terminal
    terminal.close()


def test_it_is_drawn_sorted_and_goes_on(terminal, daemon):
    drawn = time.monotonic()
    first = terminal.screen()
    assert first[0].startswith("up 3.10 kB/s, down 2.00 kB/s, 3 clients, by rate")
    assert terminal.names() == ["bob", "alice", "zo\u00eb?[2J?"]
    for key, names in (("d", ["alice", "zo\u00eb?[2J?", "bob"]), ("t", ["zo\u00eb?[2J?", "bob", "alice"]),
                       ("u", ["bob", "alice", "zo\u00eb?[2J?"])):
        terminal.press(key)
        terminal.wait(lambda _: terminal.names() == names, f"sorted by {key}", timeout=2)
    daemon.data = THREE | {"clients": [client("carol", 1, 1, 1)]}
    terminal.wait(lambda _: terminal.names() == ["carol"], "the next answer is drawn", timeout=3)
    assert 2 <= daemon.asked <= 3 + (time.monotonic() - drawn) / 2
    terminal.press("q")
    assert terminal.ended() == 0
    wait_until(terminal.is_as_before, 2, "the terminal is as it was")


def test_it_fits_the_window_when_that_changes(terminal, daemon):
    daemon.data = THREE | {"clients": [client(f"user{i:02}", 100 - i, 0, 0) for i in range(40)]}
    terminal.wait(lambda lines: "more" in " ".join(lines), "forty clients")
    for columns, rows in ((40, 8), (132, 30), (10, 3), (80, 24)):
        terminal.resize(columns, rows)
        terminal.wait(lambda lines: len(lines) <= rows and len(lines[1]) == columns, f"{columns}x{rows}", timeout=1)
        assert all(len(line) <= columns for line in terminal.screen()), terminal.screen()
    assert terminal.screen()[2].startswith("user00 ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_restores_the_terminal(terminal, number):
    if number == signal.SIGINT:
        terminal.press("\x03")  # as the terminal sends it
    else:
        terminal.process.send_signal(number)
    assert terminal.ended() == 0
    wait_until(terminal.is_as_before, 2, "the terminal is as it was")


def test_stopped_and_continued(terminal):
    terminal.press("\x1a")
    wait_until(lambda: os.waitid(os.P_PID, terminal.process.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT), 3, "it stops")
    wait_until(terminal.is_as_before, 2, "the shell has its terminal meanwhile")
    drawn = terminal.output.count(b"\x1b[H")
    terminal.process.send_signal(signal.SIGCONT)
    wait_until(lambda: terminal.output.count(b"\x1b[H") > drawn, 3, "it goes on")
    terminal.press("q")
    assert terminal.ended() == 0


def test_a_daemon_that_goes_and_comes_back(terminal, daemon):
    daemon.close()
    terminal.wait(lambda lines: "cannot be reached" in lines[0], "it is said")
    assert terminal.names()[0] == "bob"  # what was known stays
    daemon._listen()
    threading.Thread(target=daemon._serve, daemon=True).start()
    terminal.wait(lambda lines: "by rate" in lines[0], "and it goes on")


def test_once_json_and_nobody_there(daemon, tmp_path):
    def run(*arguments):
        return subprocess.run([SLUICECTL, "top", "--run", str(tmp_path), *arguments], capture_output=True, text=True,
                              timeout=15)
    once = run("--once")
    assert once.returncode == 0 and "\x1b" not in once.stdout and len(once.stdout.splitlines()) == 5, once.stdout
    assert run().stdout == once.stdout  # a pipe is no terminal
    assert json.loads(run("--json").stdout) == THREE
    daemon.close()
    assert run("--once").returncode == 3 and "cannot be reached" in run("--once").stderr


def test_on_the_real_daemon(lab, fresh):
    sluice = fresh(POLICY)
    terminal = Terminal(sluice.directory / "run")
    try:
        def shown() -> bool:
            assert fetch(lab.alice, lab.origin["v4"], "http://www.allowed.test/big", method="HEAD").status == 200
            return mac_of(lab.alice) in terminal.names()

        wait_until(shown, 20, "she is shown", pause=0.5)
        terminal.press("q")
        assert terminal.ended() == 0
    finally:
        terminal.close()

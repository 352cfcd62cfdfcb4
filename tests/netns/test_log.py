"""The access log as a file: turned over by logrotate, and in squid's format."""
import contextlib
import json
import re
import signal
import socket

from client import fetch
from namespace import wait_until
from sluice import POLICY


def test_the_log_is_reopened_on_usr1(lab, fresh):
    sluice = fresh(POLICY)
    fetch(lab.alice, lab.origin["v4"], "https://www.blocked.test/")
    sluice.wait_access(name="www.blocked.test")
    kept = sluice.access_log.rename(sluice.access_log.with_suffix(".1"))
    before = kept.read_text()
    sluice.signal("supervisor", signal.SIGUSR1)
    wait_until(sluice.access_log.exists, 3, "a new log file")
    fetch(lab.alice, lab.origin["v4"], "https://arcade.test/")
    sluice.wait_access(name="arcade.test")
    assert kept.read_text() == before


def test_squid_log_format(lab, fresh):
    """One line a request, for the analysers people have: time elapsed client code/status bytes method URL - hier type."""
    sluice = fresh(POLICY + '\n[group.default]\nlog = "url"\n', log={"format": "squid"})
    fetch(lab.alice, lab.origin["v4"], "http://www.allowed.test/page")
    fetch(lab.alice, lab.origin["v4"], "https://www.blocked.test/")
    lines = wait_until(lambda: _two_lines(sluice.access_log), 5, "two lines in the log")
    for line in lines:
        fields = line.split()
        assert len(fields) == 10 and "." in fields[0] and fields[2] == lab.alice["v4"], line
        assert fields[3].split("/")[1] != "000"
    assert any("http://www.allowed.test/page" in line and "/200 " in line for line in lines)


def mounted(sluice, setup: str):
    """The daemon starts after `setup`, in a mount namespace of its own."""
    plain = sluice.command
    sluice.command = lambda *more: ["unshare", "-m", "sh", "-c", f'{setup} && exec "$@"', "sh", *plain(*more)]


@contextlib.contextmanager
def listening(path):
    """A datagram socket that everybody may write to."""
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listener:
        listener.bind(str(path))
        path.chmod(0o666)
        listener.settimeout(10)
        yield listener


def test_syslog(lab, fresh):
    """One datagram a line to whoever listens at /dev/log, which is ours in a mount namespace of the daemon's own."""
    sluice = fresh(POLICY, start=False, log={"access": "syslog"})
    there = sluice.directory / "dev"
    there.mkdir()
    names = ["null", "zero", "random", "urandom"]
    for name in names:
        (there / name).touch()
    (there / "log").symlink_to(sluice.directory / "syslog.sock")
    mounted(sluice, " && ".join([f"mount --bind /dev/{name} {there}/{name}" for name in names] + [f"mount --rbind {there} /dev"]))
    with listening(sluice.directory / "syslog.sock") as syslogd:
        sluice.start()
        assert fetch(lab.alice, lab.origin["v6"], "http://arcade.test/").blocked
        datagram = syslogd.recv(65536).decode()
    head = re.match(r"<30>[A-Z][a-z]{2} [ 123]\d \d\d:\d\d:\d\d sluice\[\d+\]: ", datagram)
    assert head, datagram
    record = json.loads(datagram[head.end():])
    assert record["client"] == lab.alice["v6"] and record["action"] == "block"
    # Nobody listens any more: the loss is told and counted, and traffic goes on.
    assert fetch(lab.alice, lab.origin["v6"], "http://arcade.test/").blocked
    status = wait_until(lambda: (s := sluice.ctl_json("status"))["log_lines_lost"] and s, 5, "the loss is counted")
    assert status["log_lines_lost"] == 1 and "/dev/log" in status["log_trouble"]
    assert fetch(lab.alice, lab.origin["v6"], "http://www.allowed.test/").allowed


def test_the_journal_has_each_field_of_a_line(lab, fresh):
    """Under systemd. The journal is ours: in a mount namespace of the daemon's own, and standard error is said to be it."""
    sluice = fresh(POLICY, start=False, log={"access": "syslog"})
    there = sluice.directory / "run"
    (there / "journal").mkdir()
    (there / "journal" / "socket").symlink_to(sluice.directory / "journal.sock")
    mounted(sluice, "mkdir -p /run/systemd && mount -t tmpfs none /run/systemd && "
                    f"ln -s {there}/journal /run/systemd/journal && export JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2)")
    with listening(sluice.directory / "journal.sock") as journald:
        sluice.start()
        assert fetch(lab.alice, lab.origin["v6"], "http://arcade.test/").blocked
        while (entry := _entry(journald.recv(65536)))["SYSLOG_IDENTIFIER"] != "sluice":
            assert entry["SYSLOG_IDENTIFIER"] == "sluiced" and entry["SLUICE_ROLE"]
    record = json.loads(entry["MESSAGE"])
    assert (entry["SLUICE_CLIENT"], entry["SLUICE_ACTION"], entry["SLUICE_RULE"], entry["SLUICE_NAME"]) == (
        lab.alice["v6"], "block", "no games", "arcade.test")
    assert entry["SLUICE_SPORT"] == str(record["sport"]) and entry["SLUICE_ID"] == record["id"]
    assert not any(value.startswith("[") for value in entry.values())


def _entry(datagram: bytes) -> dict:
    """Of the journal's native protocol, for values without a newline."""
    return dict(line.split("=", 1) for line in datagram.decode().splitlines())


def _two_lines(path):
    lines = path.read_text().rpartition("\n")[0].splitlines() if path.exists() else []
    return lines if len(lines) >= 2 else None

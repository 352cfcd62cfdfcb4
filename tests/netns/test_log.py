"""The access log as a file: turned over by logrotate, and in squid's format."""
import signal

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


def _two_lines(path):
    lines = path.read_text().splitlines() if path.exists() else []
    return lines if len(lines) >= 2 else None

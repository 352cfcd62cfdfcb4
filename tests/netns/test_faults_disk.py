"""No room on a disk, or it became read-only: state, log and run directory, filled while it runs and before a start. Traffic
is judged throughout; what is lost is said; afterwards all goes on."""
import concurrent.futures
import contextlib
import json
from dataclasses import dataclass

import pytest

from client import fetch, request, trusting
from faults import JUDGED, Disk, Slips, states, wait_states
from lab import Lab
from namespace import wait_until
from origin import authority
from sluice import POLICY, Sluice

WITH_CODES = POLICY + """
[[rule]]
name = "with a code"
to = ["host:files.test"]
action = "code"
"""
OTHER_POLICY = WITH_CODES + """
[[rule]]
name = "one more"
to = ["host:other.test"]
action = "block"
"""
LONG_LIST = "blocked.test\n" + "".join(f"host-{i}.example\n" for i in range(60_000))


@dataclass(frozen=True)
class Fault:
    directory: str
    break_it: object
    mend: object
    said: tuple[str, ...]   # by the daemon, of all that was tried meanwhile


FULL, READ_ONLY = (Disk.fill, Disk.empty), (Disk.read_only, lambda disk: disk.read_only(False))
FAULTS = {
    "state full": Fault("state", *FULL, ("codes.json cannot be written (No space left on device)", "kept in memory only",
                                         "usage")),
    "state read-only": Fault("state", *READ_ONLY, ("codes.json cannot be written (Read-only file system)",
                                                   "kept in memory only")),
    "log full": Fault("log", *FULL, ("access.jsonl cannot be written: No space left",)),
    "log read-only": Fault("log", *READ_ONLY, ()),  # what is open for writing keeps the kernel from it (EBUSY): see below
    "run full": Fault("run", *FULL, ("no room in",)),
}
RUNNING = [name for name in FAULTS if name != "log read-only"]


def trouble(sluice) -> str:
    return sluice.ctl("status").stdout


def play(name: str):
    """A full or read-only disk under a running daemon: codes, a reload with a new list, usage, the log."""
    fault = FAULTS[name]
    with Lab(guest=False, inner=False) as lab:
        # A file that is open for writing keeps a file system from becoming read-only (by mount; an error does it anyway).
        store = {"store": "off"} if name == "state read-only" else {"flush": "1s"}
        sluice = Sluice(lab, WITH_CODES, network={"lan": ["lan0"]}, accounting={"interval": "1s"} | store, start=False)
        owner = "nobody" if fault.directory == "log" else None
        size = "64m" if fault.directory == "run" else "8m"
        with Disk(sluice.directory / fault.directory, size, owner) as disk:
            sluice.start()
            wait_states(lab, JUDGED)
            if name == "state full":  # what holds it open is the usage store alone
                wait_until((sluice.directory / "state" / "usage" / "usage.db").exists, 10, "the store is there")
            gateway = sluice.role("gateway")
            with Slips(lab):
                fault.break_it(disk)
                code = sluice.ctl("code", "new", "--rule", "with a code", "--for", "40m")
                assert code.returncode == 0, code.stdout + code.stderr  # it holds until a restart
                if fault.directory == "run":
                    more_labels_than_a_page_holds(lab)
                with lab.alice.connect(lab.origin["v4"], 80) as sock:
                    for _ in range(400 if fault.directory == "log" else 20):
                        assert request(sock, "www.allowed.test").allowed
                sluice.reload(OTHER_POLICY)
                (sluice.config / "lists" / "bad.txt").write_text(LONG_LIST)
                sluice.reload()
                assert states(lab) == JUDGED
                assert fetch(lab.alice, lab.origin["v4"], "http://other.test/").blocked
                for words in fault.said:
                    wait_until(lambda words=words: words in sluice.log_text + trouble(sluice), 20, f"said: {words}")
                assert sluice.log_text.count("cannot be written") <= 4, "said once"
                fault.mend(disk)
                wait_until(lambda: "usage_trouble" not in sluice.ctl_json("status"), 90, "the store is written again")
                assert sluice.ctl("code", "new", "--rule", "with a code", "--for", "40m").returncode == 0
                if fault.directory == "state":
                    kept = json.loads((sluice.directory / "state" / "codes" / "codes.json").read_text())
                    assert len(kept) == 2, "what was in memory is on the disk now"
                size = sluice.access_log.stat().st_size
                fetch(lab.alice, lab.origin["v4"], "https://www.blocked.test/")
                # As text: a line may be torn where the disk was full.
                wait_until(lambda: b"www.blocked.test" in sluice.access_log.read_bytes()[size:], 10, "it is logged")
            if fault.directory != "run":
                assert sluice.role("gateway") == gateway
            assert sluice.stop() == 0
            sluice.start()
            wait_states(lab, JUDGED)


def more_labels_than_a_page_holds(lab):
    with contextlib.ExitStack() as held:
        for _ in range(100):
            with contextlib.suppress(OSError):
                sock = lab.alice.connect(lab.origin["v4"], 443)
                held.enter_context(trusting().wrap_socket(sock, server_hostname="www.allowed.test"))


def start_on(name: str):
    """A start when there is no room already."""
    fault = FAULTS[name]
    with Lab(guest=False, inner=False) as lab:
        sluice = Sluice(lab, WITH_CODES, network={"lan": ["lan0"]}, accounting={"flush": "1s"}, start=False)
        with Disk(sluice.directory / fault.directory, "8m", "nobody" if fault.directory == "log" else None) as disk:
            fault.break_it(disk)
            sluice.start(timeout=20)
            with Slips(lab):
                wait_states(lab, JUDGED)
                assert fetch(lab.alice, lab.origin["v6"], "http://www.blocked.test/").blocked
                fault.mend(disk)
                assert sluice.ctl("status").returncode == 0
                assert states(lab) == JUDGED


@pytest.fixture(scope="module")
def played(built):
    authority()
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        return {(play, name): pool.submit(play, name) for name in RUNNING} | {
            (start_on, name): pool.submit(start_on, name) for name in FAULTS}


@pytest.mark.parametrize("name", RUNNING)
def test_while_it_runs(played, name):
    played[play, name].result()


# With no room for the gateway's page it is killed by SIGBUS, which is ASan's.
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.unsanitized if name == "run full" else [])
                                  for name in FAULTS])
def test_at_a_start(played, name):
    played[start_on, name].result()

"""The metrics of a daemon whose processes die, or whose address is taken."""
import signal

from client import fetch
from namespace import wait_until
from sluice import POLICY
from test_metrics import PORT, scrape, values


def test_restarts_are_counted(lab, fresh):
    sluice = fresh(POLICY, metrics={"listen": f"[::1]:{PORT}"})
    where = f"[::1]:{PORT}"
    name = 'sluice_process_restarts_total{process="%s"}'
    wait_until(lambda: "sluice_up 1" in scrape(sluice, where).stdout, 5, "it is served on IPv6")
    seen = values(scrape(sluice, where).stdout)
    assert seen[name % "gateway"] == seen[name % "helper"] == 0
    for role in ("helper", "keeper", "gateway"):
        sluice.signal(role, signal.SIGKILL)
        wait_until(lambda: values(scrape(sluice, where).stdout).get(name % role) == 1, 10, f"{role} started again")
    wait_until(lambda: values(scrape(sluice, where).stdout)["sluice_up"] == 1, 10, "all is well again")


def test_an_address_that_cannot_be_bound_is_said_and_nothing_stops(lab, fresh):
    with lab.gateway.listen("127.0.0.1", PORT):
        sluice = fresh(POLICY, metrics={"listen": f"127.0.0.1:{PORT}"})
        wait_until(lambda: f"cannot listen at 127.0.0.1:{PORT}: Address already in use" in sluice.log_text, 5, "it is said")
        assert fetch(lab.alice, lab.origin["v4"], "http://www.allowed.test/").allowed
        assert fetch(lab.alice, lab.origin["v4"], "http://arcade.test/").blocked
    wait_until(lambda: "sluice_up 1" in scrape(sluice).stdout, 15, "it listens once the address is free")
    assert sluice.log_text.count("Address already in use") == 1

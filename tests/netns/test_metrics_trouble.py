"""The metrics of a daemon whose processes die, or whose address is taken."""
import signal
import subprocess

from client import fetch
from namespace import wait_until
from sluice import POLICY
from test_devices import mac_of
from test_metrics import PORT, scrape, values, whole


def test_restarts_are_counted(lab, fresh):
    sluice = fresh(POLICY, metrics={"listen": f"[::1]:{PORT}"})
    where = f"[::1]:{PORT}"
    name = 'sluice_process_restarts_total{process="%s"}'
    seen = whole(sluice, where)
    assert seen[name % "gateway"] == seen[name % "helper"] == 0
    for role in ("helper", "keeper", "gateway"):
        sluice.signal(role, signal.SIGKILL)
        wait_until(lambda: values(scrape(sluice, where).stdout).get(name % role) == 1, 10, f"{role} started again")
    wait_until(lambda: values(scrape(sluice, where).stdout).get("sluice_up") == 1, 10, "all is well again")


def test_an_address_that_cannot_be_bound_is_said_and_nothing_stops(lab, fresh):
    with lab.gateway.listen("127.0.0.1", PORT):
        sluice = fresh(POLICY, metrics={"listen": f"127.0.0.1:{PORT}"})
        wait_until(lambda: f"cannot listen at 127.0.0.1:{PORT}: Address already in use" in sluice.log_text, 5, "it is said")
        assert fetch(lab.alice, lab.origin["v4"], "http://www.allowed.test/").allowed
        assert fetch(lab.alice, lab.origin["v4"], "http://arcade.test/").blocked
    wait_until(lambda: "sluice_up 1" in scrape(sluice).stdout, 15, "it listens once the address is free")
    assert sluice.log_text.count("Address already in use") == 1


def test_clients_where_they_are_asked_for(lab, fresh):
    sluice = fresh(POLICY, metrics={"listen": f"127.0.0.1:{PORT}", "clients": 1})

    def shown():
        assert fetch(lab.alice, lab.origin["v4"], "http://www.allowed.test/chunked").allowed
        assert fetch(lab.bob, lab.origin["v4"], "http://www.allowed.test/none").status == 204
        return {name for name in values(scrape(sluice).stdout) if "client=" in name}
    alice = {f'sluice_client_bytes_total{{client="{mac_of(lab.alice)}",group="default",direction="{direction}"}}'
             for direction in ("up", "down")}
    wait_until(lambda: shown() == alice, 20, "the client with the most bytes, and no other")
    groups = whole(sluice)
    assert groups['sluice_group_bytes_total{group="default",direction="down"}'] > 0
    assert groups['sluice_bytes_total{direction="down"}'] > 0
    checked = subprocess.run(["promtool", "check", "metrics"], input=scrape(sluice).stdout, text=True, capture_output=True)
    assert checked.returncode == 0 and not checked.stderr, checked.stdout + checked.stderr

"""The wall clock jumps, of one daemon alone: schedules, quotas, codes, grants and the usage store, and what must not care."""
import time

import pytest

from client import fetch, request
from faults import JUDGED, Clock, Slips, states, wait_states
from namespace import wait_until
from sluice import POLICY

pytestmark = pytest.mark.unsanitized  # LD_PRELOAD is ASan's
DAY, YEAR = 86400, 365 * 86400
SCHEDULED = POLICY + """
[schedule]
mornings = ["mon-sun 06:00-12:00"]
[[rule]]
name = "not in the morning"
to = ["host:other.test"]
when = ["mornings"]
action = "block"
"""


def to_hour(hour: int) -> int:
    """Seconds from now to the next time that the UTC clock shows this hour and a half."""
    return (hour * 3600 + 1800 - int(time.time())) % DAY


def blocked(lab) -> bool:
    return fetch(lab.alice, lab.origin["v4"], "http://other.test/").blocked


def start(fresh, policy, **sections):
    sluice = fresh(policy, start=False, **sections)
    clock = Clock(sluice)
    sluice.start(by=clock.prefix)
    return sluice, clock


def test_schedules_follow_the_clock_either_way(lab, fresh):
    sluice, clock = start(fresh, SCHEDULED)
    roles = [sluice.role("gateway"), sluice.role("keeper")]
    for offset, wanted in ((to_hour(8), True), (to_hour(15), False), (to_hour(8) + 3 * DAY, True), (to_hour(15), False),
                           (to_hour(8) + 20 * YEAR, True), (to_hour(15), False)):
        clock.offset = offset
        wait_until(lambda wanted=wanted: blocked(lab) == wanted, 15, f"at {offset} s blocked is {wanted}")
    assert [sluice.role("gateway"), sluice.role("keeper")] == roles
    assert "no sign of life" not in sluice.log_text


def test_a_clock_before_the_build_date_switches_schedules_off(lab, fresh):
    sluice, clock = start(fresh, SCHEDULED)
    clock.offset = to_hour(8)
    wait_until(lambda: blocked(lab), 15, "morning")
    clock.offset = -int(time.time()) + 8 * 3600 + 1800  # 1970, half past eight
    wait_until(lambda: not blocked(lab), 15, "no schedule is believed")
    assert sluice.ctl_json("status")["clock_before_build_date"] is True
    clock.offset = to_hour(8)
    wait_until(lambda: blocked(lab), 15, "the clock has been set")


def test_jumps_hurt_no_connection_and_no_heartbeat(lab, fresh):
    sluice, clock = start(fresh, POLICY)
    with lab.alice.connect(lab.origin["v4"], 80) as sock, Slips(lab):
        for offset in (3600, -3600, 30 * DAY, -30 * DAY, 10 * YEAR, 0):
            clock.offset = offset
            assert request(sock, "www.allowed.test").allowed
            for _ in range(3):  # longer than a heartbeat lasts, all in all
                assert states(lab) == JUDGED
        assert "gives no sign of life" not in sluice.log_text


def test_a_temporary_rule_ends_by_the_clock(lab, fresh):
    """Its end is a time of day: a jump over it ends it, a jump back does not bring it back."""
    sluice, clock = start(fresh, POLICY)
    done = sluice.ctl("block", "--client", lab.alice["v4"], "--for", "30m")
    assert done.returncode == 0, done.stdout + done.stderr
    wait_until(lambda: not fetch(lab.alice, lab.origin["v4"], "http://www.allowed.test/").allowed, 10, "blocked for a while")
    clock.offset = 3600
    wait_until(lambda: fetch(lab.alice, lab.origin["v4"], "http://www.allowed.test/").allowed, 10, "over")
    clock.offset = 0
    time.sleep(2)
    assert fetch(lab.alice, lab.origin["v4"], "http://www.allowed.test/").allowed


def test_the_store_takes_what_is_counted_at_any_time(lab, fresh):
    sluice, clock = start(fresh, POLICY, accounting={"flush": "1s", "interval": "1s"})

    def total() -> int:
        return sluice.ctl_json("usage", "--since", "2000-01-01")["total"]["bytes"]

    seen = 0
    for offset in (0, 400 * DAY, -400 * DAY, 0):
        clock.offset = offset
        assert fetch(lab.alice, lab.origin["v4"], "http://www.allowed.test/").allowed
        wait_until(lambda seen=seen: total() > seen, 20, f"counted at {offset}")
        time.sleep(2)  # what still comes
        seen = total()
    assert "usage_trouble" not in sluice.ctl_json("status")
    wait_states(lab, JUDGED)

"""kill -9 and SIGSTOP of each role in each state: what clients see, who comes back, and that nothing is left behind.

Throughout, nothing blocked is let through to the closed group (Slips): that is checked in every scenario.
"""
import concurrent.futures
import contextlib
import os
import signal
import threading
import time

import pytest

from client import fetch, request
from faults import (DOWN, JUDGED, ROLES, Clock, Killer, Slips, collected, list_compiler, processes, states,
                    wait_states)
from lab import Lab
from namespace import descriptors_of, running, wait_until
from origin import authority
from sluice import POLICY, Sluice

KILL, STOP = signal.SIGKILL, signal.SIGSTOP
STATES = ("starting", "idle", "traffic", "reloading", "stopping")
ALL_ROLES = POLICY + """
[group.decrypted]
members = ["10.20.0.200"]
tls = "inspect"
"""
NEW_POLICY = ALL_ROLES + """
[[rule]]
name = "one more"
to = ["host:other.test"]
action = "block"
"""
MANY_NAMES = "blocked.test\n" + "".join(f"host-{i}.example\n" for i in range(400_000))  # compiling takes a moment
HUNG = ("keeper", "helper", "signer")  # nobody waits for them: all three are stopped together, which saves a minute each

CASES = [((role,), KILL, state) for role in ROLES for state in STATES]
CASES += [((role,), STOP, state) for role in ("supervisor", "gateway") for state in STATES]
CASES += [(HUNG, STOP, state) for state in STATES]
CASES += [(("compiler",), KILL, state) for state in ("starting", "reloading")]
NAMES = [f"{'+'.join(roles)}-{signal.Signals(number).name}-{state}" for roles, number, state in CASES]


def find(sluice, role: str) -> int | None:
    if role == "supervisor":
        return sluice.supervisor if sluice.role("gateway") else None
    return list_compiler(sluice) if role == "compiler" else sluice.role(role)


def all_roles(sluice) -> bool:
    return all(sluice.role(role) for role in ROLES if role != "supervisor")


class Traffic:
    """An open-group client that asks for one page after the other."""

    def __init__(self, lab):
        self._lab, self._stop, self.allowed = lab, threading.Event(), 0
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while not self._stop.is_set():
            for scheme in ("http", "https"):
                reply = fetch(self._lab.alice, self._lab.origin["v4"], f"{scheme}://www.allowed.test/", timeout=1)
                self.allowed += reply.allowed

    def __enter__(self):
        self._thread.start()
        wait_until(lambda: self.allowed > 4, 20, "traffic")
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


class Scenario:
    def __init__(self, lab, roles, number, state):
        self.lab, self.roles, self.number, self.state = lab, roles, number, state
        self.before: dict = {}
        self.compiler = self.reload = None
        self.sluice = Sluice(lab, ALL_ROLES, network={"lan": ["lan0"]}, metrics={"listen": "127.0.0.1:9112"}, start=False)

    # --- into the state

    def reach(self, things: contextlib.ExitStack):
        sluice = self.sluice
        if self.state == "starting":
            if "compiler" in self.roles:  # there is something to compile since the boot
                (sluice.config / "lists" / "bad.txt").write_text(MANY_NAMES)
            sluice.launch()
            return
        sluice.start(timeout=30)
        wait_states(self.lab, JUDGED)
        wait_until(lambda: all_roles(sluice), 10, "all roles")
        self.descriptors = descriptors_of(sluice.supervisor)
        self.digest = sluice.ctl_json("status")["policy"]
        if self.state == "traffic":
            things.enter_context(Traffic(self.lab))
        if self.state == "reloading":
            sluice.write(NEW_POLICY)
            (sluice.config / "lists" / "bad.txt").write_text(MANY_NAMES)
            pool = concurrent.futures.ThreadPoolExecutor(1)
            things.callback(pool.shutdown)
            self.reload = pool.submit(sluice.ctl, "reload", timeout=120)
            self.stop_compiler()
        if self.state == "stopping":  # with a connection that may end: it drains
            self.held = self.lab.alice.connect(self.lab.origin["v4"], 80)
            things.callback(self.held.close)
            assert request(self.held, "www.allowed.test").allowed
            self.find_roles()
            sluice.process.terminate()
            wait_states(self.lab, DOWN)

    def stop_compiler(self):
        """So that it still compiles when something happens."""
        self.compiler = wait_until(lambda: list_compiler(self.sluice), 20, "it compiles", pause=0.002)
        os.kill(self.compiler, STOP)

    def find_roles(self):
        for role in self.roles:
            self.before[role] = wait_until(lambda role=role: find(self.sluice, role), 20, f"a {role}", pause=0.002)

    def act(self):
        if self.roles == ("compiler",):
            if not self.compiler:
                self.stop_compiler()
            self.before["compiler"] = self.compiler
        elif not self.before:
            self.find_roles()
        self.all = processes(self.sluice)
        for pid in self.before.values():
            os.kill(pid, self.number)
        if self.compiler and self.compiler not in self.before.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.compiler, signal.SIGCONT)

    # --- what comes of it

    def supervisor_is_gone(self):
        self.sluice.process.wait(10)
        wait_until(lambda: not any(map(running, self.all)), 10, "the others go with it")
        wait_states(self.lab, DOWN)
        if self.reload:
            assert self.reload.result().returncode != 0
        self.sluice.start(timeout=30)
        wait_states(self.lab, JUDGED)

    def supervisor_is_stopped(self):
        sluice = self.sluice
        if self.state == "stopping":
            time.sleep(2)
            os.kill(sluice.supervisor, signal.SIGCONT)
            return self.it_has_stopped()
        gateway = sluice.role("gateway")
        end = time.monotonic() + 9  # longer than it is patient with a gateway
        while time.monotonic() < end:
            allowed = (DOWN, JUDGED) if self.state == "starting" else (JUDGED,)
            # Rules that were on their way to the kernel still come into force: in the middle of a look, too.
            assert states(self.lab) in allowed or states(self.lab) in allowed
            time.sleep(0.5)
        os.kill(sluice.supervisor, signal.SIGCONT)
        if self.reload:
            assert self.reload.result().returncode == 0
        wait_states(self.lab, JUDGED)
        time.sleep(2)
        assert sluice.role("gateway") == gateway and "no sign of life" not in sluice.log_text

    def it_has_stopped(self):
        assert self.sluice.process.wait(40) == 0, self.sluice.log_text
        wait_until(lambda: not any(map(running, self.all)), 10, "nobody is left")
        assert states(self.lab) == DOWN

    def compiler_is_gone(self):
        sluice = self.sluice
        if self.state == "starting":
            wait_until(lambda: "could not be compiled" in sluice.log_text, 20, "it is said")
            return wait_states(self.lab, JUDGED)  # with the lists as they were compiled at the boot
        done = self.reload.result()
        assert done.returncode == 2 and "could not be compiled" in done.stdout + done.stderr, done
        assert states(self.lab) == JUDGED and sluice.ctl_json("status")["policy"] == self.digest
        sluice.reload()
        assert sluice.ctl_json("status")["policy"] != self.digest

    def role_comes_back(self):
        sluice = self.sluice
        harmless = "gateway" not in self.roles
        if harmless and self.state != "starting":
            for _ in range(4):
                assert states(self.lab) == JUDGED
        if self.roles == ("gateway",) and self.number == STOP and self.state != "starting":
            wait_states(self.lab, DOWN, 10)
        for role, pid in self.before.items():
            wait_until(lambda role=role, pid=pid: sluice.role(role) not in (None, pid), 100, f"another {role}", pause=0.2)
            assert not running(pid)
        wait_states(self.lab, JUDGED, 60)
        wait_until(lambda: sluice.ctl("status").returncode == 0, 20, "it answers")
        for role in self.roles:
            wanted = f"the {role} gives no sign of life" if self.number == STOP else f"the {role} ended"
            assert wanted in sluice.log_text, sluice.log_text
        if self.state == "starting":
            return
        if self.reload:
            code = self.reload.result().returncode
            assert code == 0 or "keeper" in self.roles, self.reload.result()
            wait_until(lambda: sluice.ctl_json("status")["policy"] != self.digest, 30, "the new policy is in force")
        wait_until(lambda: all_roles(sluice) and len(processes(sluice)) == len(ROLES), 10, "they, and nobody else")
        wait_until(lambda: descriptors_of(sluice.supervisor) <= self.descriptors, 10, "as many descriptors as before")


def play(roles, number, state):
    with Lab(guest=False, inner=False) as lab:
        scenario = Scenario(lab, roles, number, state)
        assert scenario.sluice.boot().returncode == 0
        with Slips(lab), contextlib.ExitStack() as things:
            scenario.reach(things)
            scenario.act()
            if "supervisor" in roles:
                (scenario.supervisor_is_gone if number == KILL else scenario.supervisor_is_stopped)()
            elif state == "stopping":
                scenario.it_has_stopped()
            elif "compiler" in roles:
                scenario.compiler_is_gone()
            else:
                scenario.role_comes_back()


@pytest.fixture(scope="module")
def played(built, request):
    """The longest ones first; most of each is waiting."""
    authority()
    order = sorted((each["case"] for each in collected(request) if "case" in each), key=lambda case: case[1] == KILL)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        return {case: pool.submit(play, *case) for case in order}


def is_slow(case) -> bool:
    """A minute's patience with a keeper is waited for once; the wait is the same in the other states."""
    roles, number, state = case
    return roles == HUNG and state in ("starting", "traffic", "reloading")


@pytest.mark.parametrize("case", [pytest.param(case, id=name, marks=[pytest.mark.slow] if is_slow(case) else [])
                                  for case, name in zip(CASES, NAMES)])
def test_each_role_in_each_state(played, case):
    played[case].result()


def test_a_crash_loop_backs_off_and_if_down_holds(lab, fresh):
    """0.1 s, 0.2, 0.4, ...: without a pause there would be hundreds of starts."""
    sluice = fresh(POLICY)
    with Slips(lab):
        with Killer(sluice, "gateway") as killer:
            wait_until(lambda: len(killer.killed) >= 6, 30, "a crash loop")
            begun = time.monotonic()
            wait_states(lab, DOWN, 10)
            while time.monotonic() - begun < 6:
                wait_states(lab, DOWN, 3)  # one that was killed late has given a sign of life, which holds for 2 s
                time.sleep(0.3)
            assert len(killer.killed) <= 9, killer.killed
        wait_states(lab, JUDGED)
    assert sluice.process.poll() is None


def test_down_without_an_answer_changes_nothing_while_the_daemon_lives(lab, fresh):
    """It would put its rules back, and who was told that traffic flows unfiltered would find it judged."""
    sluice = fresh(POLICY)
    keeper = sluice.signal("keeper", STOP)
    done = sluice.ctl("down")
    assert done.returncode == 3 and "Stop it first" in done.stderr, done
    assert states(lab) == JUDGED
    os.kill(keeper, KILL)
    wait_until(lambda: sluice.ctl("status").returncode == 0, 20, "it answers again")
    wait_states(lab, JUDGED)
    assert sluice.ctl("down").returncode == 0
    sluice.process.wait(30)
    assert states(lab) == ("passes", "passes")


def test_signals_do_not_end_a_start(lab, fresh):
    """logrotate and a service manager know nothing of how long lists take to compile."""
    sluice = fresh(POLICY, start=False)
    (sluice.config / "lists" / "bad.txt").write_text(MANY_NAMES)
    sluice.launch()
    wait_until(lambda: list_compiler(sluice), 20, "it compiles", pause=0.002)
    for number in (signal.SIGUSR1, signal.SIGHUP):
        os.kill(sluice.supervisor, number)
    wait_states(lab, JUDGED)
    assert sluice.process.poll() is None


@pytest.mark.unsanitized  # LD_PRELOAD is ASan's
def test_a_list_compiler_that_hangs_ends(lab, fresh):
    """It has ten minutes; then the reload fails, and the next one works."""
    sluice = fresh(POLICY, start=False)
    clock = Clock(sluice)
    sluice.start(by=clock.prefix)
    (sluice.config / "lists" / "bad.txt").write_text(MANY_NAMES)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        reload = pool.submit(sluice.ctl, "reload", timeout=60)
        pid = wait_until(lambda: list_compiler(sluice), 20, "it compiles", pause=0.002)
        os.kill(pid, STOP)
        time.sleep(2)
        assert running(pid) and not reload.done() and states(lab) == JUDGED
        clock.pass_over(700)
        done = reload.result()
    assert done.returncode == 2 and "could not be compiled" in done.stdout + done.stderr, done
    assert not running(pid)
    wait_states(lab, JUDGED)
    sluice.reload()

"""The tools that put our rules into the kernel are missing, fail, hang or die half-way; others remove what is ours."""
import concurrent.futures
import json
from dataclasses import dataclass

import pytest

from backends import KINDS
from client import fetch
from faults import DOWN, JUDGED, Slips, Tool, collected, states, wait_states
from lab import Lab
from namespace import descriptors_of, running, wait_until
from origin import authority
from sluice import POLICY, Sluice, descendants

TOOL_OF = {"nftables": "nft", "iptables": "iptables-restore"}
OTHER_POLICY = POLICY + """
[[rule]]
name = "one more"
to = ["host:other.test"]
action = "block"
[group.guests]
members = ["10.30.0.0/16", "fd00:30::/64"]
if_down = "closed"
"""


@dataclass(frozen=True)
class Fault:
    mode: str
    said: str  # by the daemon


FAULTS = {
    "missing": Fault("missing", "not installed"),
    "fails": Fault("fails", "injected"),
    "hangs": Fault("hangs", "no end after 10 s"),
    "dies": Fault("dies", "failed (137)"),
}
CASES = [(kind, name) for kind in TOOL_OF for name in FAULTS] + [("nftables", "half"), ("iptables", "v6 fails")]
FAULTS |= {"half": Fault("half", "failed (1)"), "v6 fails": Fault("v6 fails", "injected: ip6tables-restore")}


def rules_of(lab) -> str:
    """Without counters and what ages."""
    marks = lab.gateway.run("iptables-save", "-t", "mangle").stdout + lab.gateway.run("ip6tables-save", "-t", "mangle").stdout
    return "\n".join(line for line in marks.splitlines() if line.startswith("-A"))


def play(kind: str, name: str) -> dict:
    """A reload while the tool is broken; then somebody flushes our rules; then the tool works again."""
    fault, seen = FAULTS[name], {}
    with Lab(guest=False, inner=False) as lab:
        sluice = Sluice(lab, POLICY, network={"lan": ["lan0"], **KINDS[kind]}, start=False)
        tool = Tool(sluice, TOOL_OF[kind])
        sluice.start(by=tool.prefix)
        wait_states(lab, JUDGED)
        rules, descriptors = rules_of(lab), descriptors_of(sluice.supervisor)
        digest = sluice.ctl_json("status")["policy"]
        with Slips(lab):
            tool.mode = fault.mode
            sluice.write(OTHER_POLICY)
            done = sluice.ctl("reload", timeout=100)
            seen["reload"] = (done.returncode, done.stdout + done.stderr)
            seen["after the reload"] = states(lab)
            seen["policy stays"] = sluice.ctl_json("status")["policy"] == digest
        tool.mode = "works"
        wait_until(lambda: rules_of(lab) == rules, 30, "no half of the new rules is left")
        tool.mode = fault.mode
        if kind == "nftables":
            lab.gateway.run("nft", "flush", "ruleset")
        else:
            for each in ("iptables", "ip6tables"):
                lab.gateway.run(each, "-t", "mangle", "-F", "PREROUTING")
        wait_until(lambda: fault.said in sluice.log_text, 60, "it is said")
        seen["gateway"] = sluice.role("gateway")
        tool.mode = "works"
        wait_states(lab, JUDGED, 60)
        seen["gateway stayed"] = seen["gateway"] == sluice.role("gateway")
        wait_until(lambda: "as they should be again" in sluice.log_text, 10, "that it is well again is said")
        seen["said"] = sluice.log_text.count("ruleset: ")
        sluice.reload(OTHER_POLICY)
        wait_states(lab, JUDGED)
        wait_until(lambda: descriptors_of(sluice.supervisor) <= descriptors, 5, "no descriptor leaks")
        seen["tools left"] = [pid for pid in descendants(sluice.supervisor) if b"sleep" in cmdline(pid)]
    return seen


def cmdline(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


@pytest.fixture(scope="module")
def played(built, request):
    authority()
    cases = [(each["kind"], each.get("name")) for each in collected(request)]
    with concurrent.futures.ThreadPoolExecutor(len(CASES)) as pool:
        return {case: pool.submit(play, *case) for case in cases if case in CASES}


@pytest.mark.parametrize("kind,name", [
    pytest.param(*case, marks=[pytest.mark.slow] if case == ("iptables", "hangs") else []) for case in CASES])
def test_a_tool_that_does_not_do_its_work(played, kind, name):
    seen = played[kind, name].result()
    code, text = seen["reload"]
    assert code == 2 and FAULTS[name].said in text and "nothing was changed" in text, seen["reload"]
    assert seen["policy stays"] and seen["after the reload"] == JUDGED
    assert seen["gateway stayed"], "a slow tool is not the gateway's fault"
    assert seen["said"] <= 4, "said once, not at each attempt"
    assert not seen["tools left"]


@pytest.mark.parametrize("name", ["missing", "fails"])
@pytest.mark.parametrize("kind", TOOL_OF)
def test_no_start_without_the_tool_and_closed_stays_closed(lab, fresh, kind, name):
    """The service manager tries again; what a boot has put in holds."""
    sluice = fresh(POLICY, network=KINDS[kind], start=False)
    assert sluice.boot().returncode == 0
    tool = Tool(sluice, TOOL_OF[kind])
    tool.mode = name
    with Slips(lab):
        sluice.launch(by=tool.prefix)
        assert sluice.process.wait(30) == 1
        assert FAULTS[name].said in sluice.log_text
        assert states(lab) == DOWN
    tool.mode = "works"
    sluice.start(by=tool.prefix)
    wait_states(lab, JUDGED)


def test_a_tool_that_breaks_between_the_refusals_and_the_diversion(lab, fresh):
    """The first rules that divert cannot be put in: if_down holds, it is said, and tried until it works."""
    sluice = fresh(POLICY, start=False)
    tool = Tool(sluice, "nft")
    tool.mode = "works"
    sluice.launch(by=tool.prefix)
    wait_until(lambda: "sluice" in lab.gateway.run("nft", "list", "tables").stdout, 10, "the refusals are in place")
    tool.mode = "fails"
    wait_until(lambda: "if_down holds" in sluice.log_text or "diverting" in sluice.log_text, 10, "it has a policy")
    if "diverting" in sluice.log_text:
        pytest.skip("it was faster than the fault")
    with Slips(lab):
        assert states(lab) == DOWN
    assert sluice.log_text.count("injected: nft fails") == 1
    tool.mode = "works"
    wait_states(lab, JUDGED)


def test_a_tool_does_not_outlive_its_daemon(lab, fresh):
    """Else it could put old rules over those of the next daemon."""
    sluice = fresh(POLICY, start=False)
    tool = Tool(sluice, "nft")
    sluice.start(by=tool.prefix)
    tool.mode = "hangs"
    lab.gateway.run("nft", "flush", "ruleset")

    def hung():
        return [pid for pid in descendants(sluice.supervisor) if b"sleep" in cmdline(pid)]

    [child] = wait_until(hung, 10, "nft hangs")
    sluice.signal("supervisor", 9)
    wait_until(lambda: not running(child), 5, "it goes with its daemon")
    sluice.process.wait()
    tool.mode = "works"
    sluice.start(by=tool.prefix)
    wait_states(lab, JUDGED)


@pytest.mark.parametrize("kind", TOOL_OF)
def test_a_log_in_that_the_kernel_could_not_be_told_of_is_told_later(lab, fresh, kind):
    """Our rules are all there: only what they say is out of date."""
    sluice = fresh(POLICY + "[group.teachers]\nmembers = [\"user:ann\"]\ntls = \"off\"\n", network=KINDS[kind], start=False)
    tool = Tool(sluice, TOOL_OF[kind])
    sluice.start(by=tool.prefix)
    fetch(lab.alice, lab.origin["v4"], "http://www.allowed.test/")
    tool.mode = "commit fails"
    assert sluice.ctl("login", "--client", lab.alice["v4"], "--user", "ann").returncode == 0
    wait_until(lambda: "injected" in sluice.log_text, 10, "it is said")
    assert lab.alice["v4"] not in sluice.kernel_rules("v4")
    tool.mode = "works"
    wait_until(lambda: lab.alice["v4"] in sluice.kernel_rules("v4"), 30, "the rules follow")
    wait_until(lambda: "as they should be again" in sluice.log_text, 5, "that it is well again is said")
    assert "by somebody" not in sluice.log_text


def test_rules_of_ours_that_somebody_else_loads_do_not_stay(lab, fresh):
    """A firewall that loads all anew may still have read the file of a moment ago: rules that only refuse, or of other groups."""
    sluice = fresh(POLICY, start=False)
    assert sluice.boot().returncode == 0
    refusals = lab.gateway.run("nft", "list", "table", "inet", "sluice").stdout
    sluice.start()
    wait_states(lab, JUDGED)
    assert sluice.boot().returncode == 0  # beside a daemon that lives it changes nothing
    assert states(lab) == JUDGED
    for _ in range(2):
        lab.gateway.nft("delete table inet sluice\n" + refusals)
        wait_states(lab, JUDGED, 5)
    assert "replaced by somebody" in sluice.log_text


def test_our_ip_rule_is_removed(lab, fresh):
    sluice = fresh(POLICY)
    with Slips(lab):
        for version in ("-4", "-6"):
            rules = json.loads(lab.gateway.run("ip", "-j", version, "rule", "show").stdout)
            for ours in [rule for rule in rules if "fwmark" in rule]:
                lab.gateway.run("ip", version, "rule", "del", "pref", str(ours["priority"]))
        for family in ("v4", "v6"):
            wait_states(lab, JUDGED, family=family)
    assert fetch(lab.alice, lab.origin["v6"], "http://www.blocked.test/").blocked
    assert "put back" in sluice.log_text

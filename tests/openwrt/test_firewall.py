"""sluice beside a firewall like OpenWrt's fw4: a guest zone whose input rejects, and restarts that flush every table and include
ours from the file that the package links to. Real daemon, real traffic, IPv4 and IPv6."""
import os
import re
import signal

import pytest

from client import fetch
from lab import FAMILIES, Lab
from namespace import running, wait_until
from router import PACKAGE
from sluice import SLUICED, Sluice

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces: root"),
              pytest.mark.skipif(not os.path.exists(SLUICED), reason="./dev build first")]

POLICY = """
zone = "UTC"
[group.closed]
members = ["10.20.0.3", "fd00:20::3"]
if_down = "closed"
[[rule]]
name = "no games"
to = "host:arcade.test"
action = "block"
"""


def published() -> str:
    """The rule that fw4 makes of what the service script gives to procd."""
    value, mask = re.search(r"^DIVERTED_MARK=(\w+)/(\w+)$", (PACKAGE / "files/sluice.init").read_text(), re.M).groups()
    return f'meta l4proto tcp meta mark & {mask} == {value} counter accept comment "!fw4: ubus:sluice[main] rule 0"'


def fw4(rule: str = "", include: str = "") -> str:
    """The whole ruleset, as fw4 loads it: in one transaction."""
    return f"""flush ruleset
table inet fw4 {{
  chain input {{
    type filter hook input priority filter; policy drop;
    iif lo accept
    ct state vmap {{ established : accept, related : accept }}
    meta l4proto icmpv6 accept
    {rule}
    iifname "lan0" jump input_lan
    iifname "guest0" jump input_guest
  }}
  chain input_lan {{
    accept
  }}
  chain input_guest {{
    udp dport {{ 53, 67 }} accept
    meta l4proto tcp reject with tcp reset
    reject
  }}
  chain forward {{
    type filter hook forward priority filter; policy drop;
    ct state vmap {{ established : accept, related : accept }}
    meta l4proto icmpv6 accept
    iifname {{ "lan0", "guest0" }} oifname "wan0" accept
  }}
}}
{f'include "{include}"' if include else ''}
"""


@pytest.fixture
def lab():
    with Lab() as made:
        yield made


def ask(lab, client, family: str, host: str, scheme: str = "http"):
    return fetch(client, lab.origin[family], f"{scheme}://{host}/")


def judged(lab, client) -> bool:
    return all(ask(lab, client, family, "www.allowed.test").allowed and ask(lab, client, family, "arcade.test").blocked
               for family in FAMILIES)


def link(sluice, tmp_path):
    """The package's link, which fw4 resolves itself."""
    path = tmp_path / "40-sluice.nft"
    path.symlink_to(sluice.directory / "run" / "ruleset.nft")
    return str(os.path.realpath(path))


def test_guests_need_the_published_rule_and_it_is_enough(lab):
    lab.gateway.nft(fw4())
    with Sluice(lab, POLICY):
        assert ask(lab, lab.alice, "v4", "www.allowed.test").allowed
        for family in FAMILIES:
            assert not ask(lab, lab.guest, family, "www.allowed.test").allowed, "the guest zone rejects what is diverted"
        lab.gateway.nft(fw4(published()))
        wait_until(lambda: judged(lab, lab.guest), 20, "guests are judged")
        assert ask(lab, lab.guest, "v4", "www.allowed.test", "https").allowed


def test_a_restart_of_the_firewall_keeps_us_by_the_file_alone(lab, tmp_path):
    with Sluice(lab, POLICY) as sluice:
        path = link(sluice, tmp_path)
        lab.gateway.run("nft", "-c", "-f", path)
        os.kill(sluice.supervisor, signal.SIGSTOP)  # nobody puts anything back; the gateway goes on
        try:
            for _ in range(2):
                lab.gateway.nft(fw4(published(), path))
                lab.gateway.run("nft", "list", "table", "inet", "sluice")
                lab.gateway.run("nft", "-f", path)  # once more, on its own
                wait_until(lambda: judged(lab, lab.alice) and judged(lab, lab.guest), 20, "everybody is judged")
        finally:
            os.kill(sluice.supervisor, signal.SIGCONT)
        tables = lab.gateway.run("nft", "list", "tables").stdout
        assert tables.count("table inet sluice") == 1


def test_the_file_of_a_dead_daemon_says_what_if_down_says(lab, tmp_path):
    with Sluice(lab, POLICY) as sluice:
        path = link(sluice, tmp_path)
        roles = [sluice.role("gateway"), sluice.role("keeper")]
        sluice.signal("supervisor", signal.SIGKILL)
        wait_until(lambda: not any(map(running, roles)), 10, "all of it is dead")
        lab.gateway.nft(fw4(published(), path))
        for family in FAMILIES:
            wait_until(lambda f=family: ask(lab, lab.alice, f, "arcade.test").allowed, 20, "open groups pass")
            assert not ask(lab, lab.bob, family, "www.allowed.test").allowed, "closed groups are refused"


def test_the_file_is_there_while_our_rules_are(lab):
    with Sluice(lab, POLICY, start=False) as sluice:
        file = sluice.directory / "run" / "ruleset.nft"
        assert sluice.boot().returncode == 0
        assert "refuse" in file.read_text() and "tproxy" not in file.read_text()
        sluice.start()
        assert "tproxy" in file.read_text()
        sluice.reload(POLICY.replace("10.20.0.3", "10.20.0.77"))
        assert "10.20.0.77" in file.read_text()
        sluice.stop()
        assert "10.20.0.77" in file.read_text() and "tproxy" not in file.read_text(), "closed groups stay closed"
        assert sluice.ctl("down").returncode == 0
        assert not file.exists()


def test_a_stop_without_closed_groups_leaves_no_file(lab):
    with Sluice(lab, '[[rule]]\nname = "b"\nto = "host:arcade.test"\naction = "block"\n') as sluice:
        file = sluice.directory / "run" / "ruleset.nft"
        assert file.exists()
        sluice.stop()
        assert not file.exists()

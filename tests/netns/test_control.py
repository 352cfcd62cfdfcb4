"""sluicectl and the access log: the outside contract, word for word where scripts rely on it."""
import json

import pytest

from backends import KINDS
from client import fetch, request, trusting
from namespace import wait_until
from sluice import POLICY, Sluice


@pytest.fixture(scope="module", params=["nftables"])
def sluice(request, lab, built):
    with Sluice(lab, POLICY, network=KINDS[request.param]) as sluice:
        yield sluice


on_every_kind = pytest.mark.parametrize("sluice", KINDS, indirect=True, scope="module")


def offline(lab, policy, **sections) -> Sluice:
    return Sluice(lab, policy, start=False, **sections)


def test_explain_says_yes_or_no_by_its_exit_code(sluice, lab, family):
    for target, code in (("https://www.allowed.test/", 0), ("http://arcade.test/maths/1", 0), ("www.allowed.test", 0),
                         ("https://www.blocked.test/", 1), ("http://arcade.test/shooter", 1), ("arcade.test", 1)):
        done = sluice.ctl("explain", "--client", lab.alice[family], target)
        assert done.returncode == code, (target, done.stdout + done.stderr)
    told = sluice.ctl("explain", "--client", lab.bob[family], "https://www.blocked.test/").stdout
    assert "no games" in told and "closed" in told and "bad.txt:2" in told, told
    assert isinstance(sluice.ctl_json("explain", "--client", lab.bob[family], "https://www.blocked.test/", code=1), dict)


def test_explain_offline_says_the_same(sluice, lab):
    other = offline(lab, POLICY)
    for target, code in (("https://www.allowed.test/", 0), ("https://www.blocked.test/", 1)):
        done = lab.alice.run(other.command()[0].replace("sluiced", "sluicectl"), "explain", "--client", "10.20.0.2",
                             target, "--config", str(other.config), check=False)
        assert done.returncode == code, done.stdout + done.stderr


def test_explain_at_another_time(lab, built):
    other = offline(lab, """zone = "UTC"
[schedule]
lessons = ["mon-fri 08:15-12:00"]
[[rule]]
name = "lessons"
to = ["host:arcade.test"]
when = ["lessons"]
action = "block"
""")
    for time, code in (("2027-06-07 09:00", 1), ("2027-06-07 12:00", 0), ("2027-06-06 09:00", 0)):
        done = other.ctl("explain", "--client", "10.20.0.2", "--time", time, "https://arcade.test/")
        assert done.returncode == code, (time, done.stdout + done.stderr)


def test_check(lab, built):
    good = offline(lab, POLICY)
    assert good.ctl("check").returncode == 0
    assert isinstance(good.ctl_json("check"), dict)
    bad = offline(lab, POLICY + '[[rule]]\nname = "no games"\naction = "block"\n[[rule]]\nfrom = 7\naction = "shout"\n')
    done = bad.ctl("check")
    assert done.returncode == 2
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "policy.toml:" in line]
    assert len(lines) >= 3, done.stdout + done.stderr  # all at once: a name twice, a bad `from`, a bad action


def test_an_unenforced_key_is_a_warning_and_in_must_an_error(lab, built):
    warned = offline(lab, POLICY + '[[rule]]\nname = "zip"\nresponse_type = ["application/zip"]\naction = "block"\n')
    done = warned.ctl("check")
    if "response_type" in done.stdout + done.stderr:  # a later version enforces it
        assert done.returncode == 0
        must = offline(lab, '[[rule]]\nname = "zip"\ntier = "must"\nresponse_type = ["application/zip"]\n'
                            'action = "block"\n')
        assert must.ctl("check").returncode == 2


def test_status(sluice):
    assert sluice.ctl("status").returncode == 0
    status = sluice.ctl_json("status")
    assert isinstance(status, dict) and "0.1" in json.dumps(status)


@on_every_kind
def test_connections(sluice, lab, family):
    tls = trusting().wrap_socket(lab.alice.connect(lab.origin[family], 443), server_hostname="www.allowed.test")
    with tls:
        plain = lab.alice.connect(lab.origin[family], 80)
        assert request(plain, "allowed.test").allowed

        def listed():
            client = lab.alice[family] if family == "v4" else f"[{lab.alice[family]}]"
            return {each["name"]: each["lane"] for each in sluice.ctl_json("connections")["connections"]
                    if each["client"].startswith(client + ":") and each["bytes_down"] > 0 and each["group"] == "default"}
        wait_until(lambda: listed() == {"www.allowed.test": sluice.lane, "allowed.test": "proxy"}, 3, "they are listed")
        plain.close()
        assert "www.allowed.test" in sluice.ctl("connections").stdout
    wait_until(lambda: "allowed.test" not in sluice.ctl("connections").stdout, 10, "and gone when they end")


@on_every_kind
def test_access_log_fields(sluice, lab, family):
    fetch(lab.bob, lab.origin[family], "http://www.allowed.test/log?x=1")
    fetch(lab.bob, lab.origin[family], "https://www.allowed.test/")
    fetch(lab.bob, lab.origin[family], "http://arcade.test/")
    fetch(lab.bob, lab.origin[family], "https://arcade.test/")
    common = dict(client=lab.bob[family], group="closed")
    page = sluice.wait_access(**common, name="www.allowed.test", proto="http", action="allow")
    assert page["method"] == "GET" and page["status"] == 200 and page["dport"] == 80 and page["tls"] == "none"
    assert page["dst"] == lab.origin[family] and page["bytes_down"] > 100 and page["bytes_up"] > 30
    assert page["reason"] == "no_rule" and page["type"].startswith("text/plain")
    # The kernel lane's line waits until conntrack has been looked at.
    tls = sluice.wait_access(10, **common, name="www.allowed.test", proto="tls", action="allow")
    assert tls["tls"] == ("kernel" if sluice.lane == "kernel" else "spliced") and tls["name_source"] == "sni" and tls["dport"] == 443
    assert tls["bytes_down"] > 500 and tls["bytes_up"] > 300 and tls["reason"] == "no_rule"
    blocked = sluice.wait_access(**common, name="arcade.test", proto="http", action="block")
    assert blocked["rule"] == "no games" and blocked["reason"] == "rule" and blocked["status"] == 403
    cut = sluice.wait_access(**common, name="arcade.test", proto="tls", action="block")
    assert cut["rule"] == "no games" and cut["bytes_down"] < 200
    assert sluice.lane == "proxy" or (cut["tls"] == "kernel" and cut["bytes_up"] == cut["bytes_down"] == 0)
    for record in (page, tls, blocked, cut):
        assert {"time", "id", "client", "sport", "group", "identity", "duration_ms"} <= record.keys(), record
    assert len({r["id"] for r in (page, tls, blocked, cut)}) == 4


def test_usage_errors(sluice):
    assert sluice.ctl("frobnicate").returncode == 2
    assert sluice.ctl("explain").returncode == 2
    assert sluice.ctl("explain", "--client", "not an address", "x.test").returncode == 2


def test_nobody_there(lab, built):
    other = offline(lab, POLICY)
    assert other.ctl("status").returncode == 3
    assert other.ctl("reload").returncode == 3

"""From /etc/config/sluice to filtered traffic: what uci2toml makes, under the real daemon, with the jail's capabilities alone."""
import json
import os
import shutil
import subprocess

import pytest

from client import fetch
from lab import FAMILIES, Lab
from router import PACKAGE
from sluice import SLUICECTL, SLUICED, Sluice

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces: root"),
              pytest.mark.skipif(not os.path.exists(SLUICED), reason="./dev build first")]

UCI = """
config sluice 'main'
	option enabled '1'
	list network 'lan'
	list network 'guest'
	option access_log 'off'
	option store '{store}'
config group 'children'
	option if_down 'closed'
	list network 'guest'
config person 'mia'
	option group 'children'
	list ip '10.20.0.3'
	list ip 'fd00:20::3'
config rule 'games'
	list from 'children'
	list host 'arcade.test'
config bedtime 'always'
	list from 'mia'
	option begin '00:00'
	option end '24:00'
	option enabled '0'
"""


def jailed(command: list[str]) -> list[str]:
    """As the user and with the capabilities that ujail gives it."""
    sets = json.loads((PACKAGE / "files/sluice.json").read_text())
    kept = {name: "-all," + ",".join("+" + each.removeprefix("CAP_").lower() for each in each_set)
            for name, each_set in sets.items()}
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", f"--bounding-set={kept['bounding']}",
            f"--inh-caps={kept['inheritable']}", f"--ambient-caps={kept['ambient']}", "--no-new-privs", *command]


def make(sluice, uci: str):
    done = subprocess.run([SLUICECTL, "uci2toml", "--output", str(sluice.config), "--interface", "lan=lan0",
                           "--interface", "guest=guest0"], input=uci, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    path = sluice.config / "sluice.toml"
    path.write_text(path.read_text().replace("[daemon]\n", '[daemon]\nuser = "nobody"\n'))


def test_a_home_is_filtered(monkeypatch):
    with Lab() as lab, Sluice(lab, start=False) as sluice:
        uci = UCI.format(store=sluice.directory / "usage" / "usage.db")
        make(sluice, uci)
        for path in ("state", "run", "log"):  # what the service script gives it
            shutil.chown(sluice.directory / path, "nobody", "nogroup")
        (sluice.directory / "usage").mkdir()
        shutil.chown(sluice.directory / "usage", "nobody", "nogroup")
        # As the service script leaves it: lists are where the admin keeps them, and policy.d has more.
        own = sluice.directory / "own-lists"
        (sluice.config / "lists").rename(own)
        (sluice.config / "lists").symlink_to(own)
        (sluice.config / "policy.d").mkdir()
        (sluice.config / "policy.d" / "mine.toml").write_text(
            '[list.bad]\nformat = "domains"\npath = "bad.txt"\nmatch = "subdomains"\n'
            '[[rule]]\nname = "mine"\nto = "list:bad"\naction = "block"\n')
        plain = sluice.command
        monkeypatch.setattr(sluice, "command", lambda *arguments: jailed(plain(*arguments)))
        sluice.start()
        for family in FAMILIES:
            for scheme in ("http", "https"):
                def ask(client, host):
                    return fetch(client, lab.origin[family], f"{scheme}://{host}/")
                assert ask(lab.alice, "arcade.test").allowed and ask(lab.alice, "www.blocked.test").blocked
                assert ask(lab.bob, "arcade.test").blocked and ask(lab.bob, "www.allowed.test").allowed
                assert ask(lab.guest, "arcade.test").blocked and ask(lab.guest, "www.allowed.test").allowed
        make(sluice, uci.replace("\toption enabled '0'\n", ""))
        done = sluice.ctl("reload")
        assert done.returncode == 0, done.stdout + done.stderr
        assert not fetch(lab.bob, lab.origin["v4"], "https://www.allowed.test/").allowed, "it is bedtime"
        assert "permitted" not in sluice.log_text
        assert fetch(lab.alice, lab.origin["v4"], "https://www.allowed.test/").allowed
        assert sluice.stop() == 0
        assert (sluice.directory / "usage" / "usage.db").exists()


@pytest.mark.parametrize("uci, said", [
    ("config sluice 'main'\n\tlist network 'cellar'\n", "sluice.main.network: network 'cellar'"),
    ("config sluice 'main'\n\tlist network 'lan'\nconfig rule 'x'\n\tlist host 'a b'\n", "sluice.x.host: "),
    ("config sluice 'main\n", "line 1: a quote is not closed"),
])
def test_what_is_wrong_is_named_and_nothing_is_written(tmp_path, uci, said):
    done = subprocess.run([SLUICECTL, "uci2toml", "-", "--output", str(tmp_path), "--interface", "lan=lan0"], input=uci,
                          capture_output=True, text=True)
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_feeds_own_test_passes(tmp_path):
    """test.sh on this host, with the shipped configuration where it looks for it."""
    script = (PACKAGE / "test.sh").read_text().replace("/etc/config/sluice", str(PACKAGE / "files/sluice.config"))
    (tmp_path / "test.sh").write_text(script)
    version = subprocess.run([SLUICED, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    done = subprocess.run(["busybox", "ash", str(tmp_path / "test.sh"), "sluice", version], capture_output=True, text=True,
                          env={"PATH": f"{os.path.dirname(SLUICED)}:/usr/bin:/bin"}, timeout=120)
    assert done.returncode == 0 and done.stdout.endswith("ok\n"), done.stdout + done.stderr

"""The Debian package's life: installed it does nothing; configured, its units filter real traffic, through crashes, hangs,
restarts and upgrades; removed, nothing is left. The tests tell one story and run in their order."""
import json
import os
import shutil
import signal
import subprocess
import threading
import time

import pytest

from client import fetch
from debian import ROOT, Booted, new_root, repacked, run_in
from lab import FAMILIES
from namespace import wait_until
from origin import authority
from sluice import LISTS, POLICY

SETTINGS = """[network]
lan = ["lan0", "guest0"]
firewall = "nftables"
[tls_intercept]
trust = "/etc/sluice/trust.crt"
"""
INSPECTED = '[group.inspected]\nmembers = ["10.20.0.2", "fd00:20::2"]\ntls = "inspect"\n'


def nothing_of_ours(rules: str) -> bool:
    return "sluice" not in rules


@pytest.fixture(scope="module")
def root(deb, tmp_path_factory):
    folder = tmp_path_factory.mktemp("debian")
    root = new_root(folder)
    shutil.copy(deb, root / "sluice.deb")
    yield root
    subprocess.run(["rm", "-rf", "--one-file-system", folder], check=True)


@pytest.fixture(scope="module")
def machine(root, lab):
    """Booted after the package was installed, and configured nowhere yet."""
    with Booted(root, lab.gateway) as machine:
        yield machine


def allowed(client, where, path="/", scheme="http") -> bool:
    return fetch(client, where, f"{scheme}://www.allowed.test{path}").allowed


def filters(lab) -> bool:
    where = lab.origin["v4"]
    return (allowed(lab.alice, where) and allowed(lab.bob, where)
            and fetch(lab.alice, where, "http://www.blocked.test/").blocked
            and fetch(lab.bob, where, "http://www.blocked.test/").blocked)


def wait_filters(lab, what: str):
    wait_until(lambda: filters(lab), 60, what)


# --- installing


def test_installed_it_is_not_active(root):
    run_in(root, "apt-get update -qq; apt-get install -y -qq --no-install-recommends --download-only /sluice.deb", network=True)
    done = run_in(root, """
        apt-get install -y -qq --no-install-recommends /sluice.deb >/dev/null
        stat -c '%a %U %G' /etc/sluice /var/lib/sluice /var/lib/sluice/ca
        ls /etc/sluice
        echo --; nft list ruleset; ip rule | grep -v 'lookup \\(local\\|main\\|default\\)' || true""")
    about, rules = done.stdout.rsplit("--\n", 1)
    assert about.split("\n")[-5:-1] == ["2750 root sluice", "755 sluice sluice", "755 root root", "README"]
    assert rules == ""
    shutil.copy(ROOT / "debian/tests/installed", root / "installed")
    run_in(root, "sh /installed")
    (root / "installed").unlink()


def test_booted_it_is_not_active_either(machine, lab):
    assert machine.property("ActiveState") == "inactive"
    assert machine.property("ConditionResult") == machine.property("ConditionResult", "sluice-boot.service") == "no"
    assert machine.ask("systemctl is-enabled sluiced sluice-boot").split() == ["enabled", "enabled"]
    assert nothing_of_ours(machine.ask("nft list ruleset"))
    assert machine.ask("systemctl --failed --no-legend") == ""
    assert allowed(lab.bob, lab.origin["v4"])


@pytest.mark.parametrize("unit", ["sluiced.service", "sluice-boot.service"])
def test_units_are_right_where_they_are_installed(machine, unit):
    machine.run(f"systemd-analyze verify --man=no --recursive-errors=no /lib/systemd/system/{unit}")
    machine.run(f"systemd-analyze security --threshold=20 {unit}")


# --- configured


def configure(machine, policy=POLICY, settings=SETTINGS):
    etc = machine.root / "etc" / "sluice"
    (etc / "lists").mkdir(exist_ok=True)
    for name, text in LISTS.items():
        (etc / "lists" / name).write_text(text)
    shutil.copy(authority() / "ca.crt", etc / "trust.crt")
    (etc / "sluice.toml").write_text(settings)
    (etc / "policy.toml").write_text(policy)
    machine.run("chmod 644 /etc/sluice/*.* /etc/sluice/lists/*; chmod 755 /etc/sluice/lists")


def test_configured_it_filters(machine, lab):
    configure(machine)
    machine.run("systemctl start sluiced")
    for family in FAMILIES:
        for scheme in ("http", "https"):
            assert allowed(lab.alice, lab.origin[family], scheme=scheme)
            assert fetch(lab.alice, lab.origin[family], f"{scheme}://www.blocked.test/").blocked
    assert machine.property("ActiveState", "sluice-boot.service") == "active"
    assert "kernel lane" in machine.ask("sluicectl status")
    assert "cannot set" not in machine.journal("-u sluiced")
    assert json.loads(machine.ask("sluicectl status --json"))["version"]


def test_the_journal_knows_who_said_what(machine):
    """A line has its role and its priority, not as text."""
    lines = machine.ask("journalctl --no-pager -o json -u sluiced SLUICE_ROLE=supervisor")
    records = [json.loads(line) for line in lines.splitlines()]
    diverting = [record for record in records if "diverting" in record["MESSAGE"]]
    assert diverting and diverting[0]["PRIORITY"] == "6" and diverting[0]["SYSLOG_IDENTIFIER"] == "sluiced"
    assert "list entries" in machine.property("StatusText")


def test_the_journal_may_have_the_access_log(machine, lab):
    configure(machine, settings=SETTINGS + '[log]\naccess = "syslog"\n')
    machine.run("systemctl reload sluiced")
    assert fetch(lab.alice, lab.origin["v4"], "http://www.blocked.test/").blocked

    def lines():
        return machine.ask("journalctl --no-pager -o json -t sluice SLUICE_ACTION=block SLUICE_NAME=www.blocked.test").splitlines()

    record = json.loads(wait_until(lines, 5, "it is in the journal")[0])
    assert record["SLUICE_CLIENT"] == lab.alice["v4"] and record["_SYSTEMD_UNIT"] == "sluiced.service"
    configure(machine)
    machine.run("systemctl reload sluiced")


def test_a_good_and_a_bad_reload(machine, lab):
    configure(machine, POLICY + '[[rule]]\nname = "no more"\nto = "host:files.test"\naction = "block"\n')
    machine.run("systemctl reload sluiced")
    assert fetch(lab.alice, lab.origin["v4"], "http://files.test/").blocked
    configure(machine, POLICY + '[[rule]]\nname = "wrong"\nto = "host:"\n')
    assert machine.run("systemctl reload sluiced", check=False).returncode != 0
    assert "policy.toml:" in machine.journal("-u sluiced")
    assert fetch(lab.alice, lab.origin["v4"], "http://files.test/").blocked
    configure(machine)
    machine.run("systemctl reload sluiced")
    assert fetch(lab.alice, lab.origin["v4"], "http://files.test/").allowed


def test_the_log_is_rotated_without_a_restart(machine, lab):
    pid = machine.property("MainPID")
    log = machine.root / "var/log/sluice/access.jsonl"
    assert allowed(lab.alice, lab.origin["v4"], "/before")
    wait_until(lambda: "/before" in log.read_text() or "www.allowed.test" in log.read_text(), 30, "a line")
    machine.run("logrotate --force /etc/logrotate.d/sluice")
    assert fetch(lab.alice, lab.origin["v4"], "http://www.blocked.test/after").blocked
    wait_until(lambda: log.exists() and "blocked.test" in log.read_text(), 30, "a line in the new log")
    assert (log.parent / "access.jsonl.1").exists()
    assert machine.ask("stat -c '%a %U %G' /var/log/sluice/access.jsonl") == "640 sluice adm"
    assert machine.property("MainPID") == pid


# --- crashes, hangs, restarts


def test_killed_it_is_started_again(machine, lab):
    before = machine.property("MainPID")
    machine.run("systemctl kill -s KILL --kill-who=main sluiced")
    wait_until(lambda: machine.property("MainPID") not in ("0", before), 60, "another process")
    wait_filters(lab, "it filters again")
    assert int(machine.property("NRestarts")) >= 1


def test_hung_it_is_started_again(machine, lab):
    machine.run("mkdir -p /run/systemd/system/sluiced.service.d\n"
                "printf '[Service]\\nWatchdogSec=3s\\n' >/run/systemd/system/sluiced.service.d/quick.conf\n"
                "systemctl daemon-reload; systemctl restart sluiced")
    wait_filters(lab, "it filters")
    before = machine.property("MainPID")
    os.kill(machine.pid_of(), signal.SIGSTOP)
    wait_until(lambda: machine.property("MainPID") not in ("0", before), 60, "another process")
    assert "Watchdog timeout" in machine.journal("-u sluiced")
    wait_filters(lab, "it filters again")
    machine.run("rm -r /run/systemd/system/sluiced.service.d; systemctl daemon-reload; systemctl restart sluiced")


def test_stopped_closed_groups_are_refused_and_down_opens_them(machine, lab):
    machine.run("systemctl stop sluiced")
    where = lab.origin["v4"]
    assert fetch(lab.bob, where, "http://www.allowed.test/").refused
    assert fetch(lab.alice, where, "http://www.blocked.test/").allowed
    machine.run("sluicectl down")
    assert fetch(lab.bob, where, "http://www.blocked.test/").allowed
    assert nothing_of_ours(machine.ask("nft list ruleset"))
    machine.run("systemctl start sluiced")
    wait_filters(lab, "it filters")


def test_errors_in_the_files_are_not_tried_again(machine, lab):
    configure(machine, POLICY + '[[rule]]\nname = "wrong"\nto = "host:"\n')
    assert machine.run("systemctl restart sluiced", check=False).returncode != 0
    assert machine.property("ActiveState") == "failed" and machine.property("ExecMainStatus") == "2"
    assert fetch(lab.bob, lab.origin["v4"], "http://www.allowed.test/").refused  # what a stop leaves
    configure(machine)
    machine.run("systemctl start sluiced")
    wait_filters(lab, "it filters")


# --- the key that is root's


def test_the_ca_key_stays_roots(machine, lab):
    machine.run("sluicectl ca init")
    assert machine.ask("stat -c '%a %U' /var/lib/sluice/ca/ca.key") == "600 root"
    configure(machine, POLICY.replace("[group.closed]", INSPECTED + "[group.closed]", 1))
    refused = machine.run("sluicectl reload", check=False)
    assert refused.returncode == 2 and "systemctl restart sluiced" in refused.stdout + refused.stderr
    machine.run("systemctl restart sluiced")
    reply = fetch(lab.alice, lab.origin["v4"], "https://www.blocked.test/")
    assert reply.blocked
    assert json.loads(machine.ask("sluicectl status --json"))["interception"]
    assert machine.ask("stat -c '%a %U' /var/lib/sluice/ca/ca.key") == "600 root"
    machine.run("sluicectl ca init --next; sluicectl ca rotate")
    for how in ("reload", "restart"):
        refused = machine.run(f"sluicectl {how}", check=False)
        assert refused.returncode == 2 and "systemctl restart sluiced" in refused.stdout + refused.stderr
    machine.run("systemctl restart sluiced; sluicectl reload")
    configure(machine)
    machine.run("systemctl restart sluiced")


# --- an upgrade


class Trickle:
    """An origin whose answer takes until it is told to end."""

    piece = b"x" * 1000

    def __init__(self, host, address: str):
        self.may_end, self.sent = threading.Event(), 0
        self._listener = host.namespace.listen(address, 80)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        sock, _ = self._listener.accept()
        with sock:
            sock.recv(4096)
            sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
            while not self.may_end.is_set():
                sock.sendall(self.piece)
                self.sent += len(self.piece)
                time.sleep(0.02)
        self._listener.close()


def test_an_upgrade_ends_no_download_and_lets_nothing_pass(machine, lab, deb, tmp_path):
    newer = repacked(deb, tmp_path, "9.0.0")
    shutil.copy(newer, machine.root / "newer.deb")
    trickle = Trickle(lab.peer, lab.peer["v4"])
    pid, restarts = machine.property("MainPID"), machine.property("NRestarts")
    with lab.alice.connect(lab.peer["v4"], 80) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: www.allowed.test\r\n\r\n")
        sock.settimeout(20)
        got = sock.recv(65536)
        assert b"200 OK" in got
        machine.run("dpkg -i /newer.deb", timeout=300)
        # Taken over: no gateway of the old program judges new connections.
        wait_until(lambda: "deleted" not in machine.ask(f"readlink /proc/{pid}/exe"), 60, "the new program")
        wait_filters(lab, "it filters")
        for _ in range(20):
            assert fetch(lab.alice, lab.origin["v4"], "http://www.blocked.test/").blocked
        got += sock.recv(65536)
        trickle.may_end.set()
        while data := sock.recv(65536):
            got += data
    assert len(got.partition(b"\r\n\r\n")[2]) == trickle.sent
    assert (machine.property("MainPID"), machine.property("NRestarts")) == (pid, restarts)
    wait_until(lambda: machine.property("ActiveState") == "active", 60, "it is done taking over")
    assert machine.ask("dpkg-query -W -f '${Version}' sluice") == "9.0.0"
    (machine.root / "newer.deb").unlink()


# --- a boot: before the gateway runs


def test_closed_groups_are_refused_from_boot_on(machine, lab):
    machine.run("systemctl disable sluiced")
    machine.__exit__()
    lab.gateway.run("nft", "flush", "ruleset")  # a router's kernel forgets, ours is still the same
    assert fetch(lab.bob, lab.origin["v4"], "http://www.allowed.test/").allowed
    machine.__enter__()
    assert machine.property("ActiveState") == "inactive"
    assert machine.property("ActiveState", "sluice-boot.service") == "active"
    assert fetch(lab.bob, lab.origin["v4"], "http://www.allowed.test/").refused
    assert fetch(lab.alice, lab.origin["v4"], "http://www.blocked.test/").allowed
    order = machine.ask("systemctl show -P Before sluice-boot.service")
    assert "network-pre.target" in order
    machine.run("systemctl enable --now sluiced")
    wait_filters(lab, "it filters")


# --- and away


def test_removed_no_rule_is_left_whether_or_not_a_daemon_answers(machine, lab):
    machine.run("systemctl stop sluiced")
    assert fetch(lab.bob, lab.origin["v4"], "http://www.allowed.test/").refused
    machine.run("apt-get remove -y -qq sluice", timeout=300)
    assert fetch(lab.bob, lab.origin["v4"], "http://www.blocked.test/").allowed
    assert nothing_of_ours(machine.ask("nft list ruleset"))
    assert (machine.root / "etc/sluice/policy.toml").exists() and (machine.root / "var/lib/sluice/ca/ca.key").exists()

    machine.run("dpkg -i /sluice.deb", timeout=300)  # configured: it starts
    wait_filters(lab, "it filters again")
    machine.run("apt-get remove -y -qq sluice", timeout=300)
    assert machine.property("LoadState") == "not-found" and machine.ask("pgrep -c sluiced") == "0"
    assert nothing_of_ours(machine.ask("nft list ruleset; ip rule; ip route show table all"))


def test_purged_nothing_is_left(machine):
    machine.run("apt-get purge -y -qq sluice", timeout=300)
    left = machine.ask("find / -xdev \\( -path /proc -o -path /sys \\) -prune -o -iname '*sluice*' -print")
    kept = ("/sluice.deb", "/var/cache/apt/", "/var/lib/systemd/", "/var/log/journal/")
    assert not [path for path in left.splitlines() if not path.startswith(kept)]
    assert machine.ask("getent passwd sluice")  # its account stays: its number is given to nobody else

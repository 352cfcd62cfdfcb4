"""The service script: a mistake never stops a gateway that works, nothing is signalled for nothing, and what procd, ujail and the
firewall are told is what they take."""
import json
import os
import subprocess

import pytest

from router import PACKAGE, Router

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes mounts: root")

GOOD = "config rule 'arcade'\n\tlist host 'arcade.example'\n"
BAD = "config rule 'arcade'\n\tlist hots 'arcade.example'\n"


@pytest.fixture
def router():
    with Router() as made:
        yield made


def test_scripts_are_what_ash_and_dash_take():
    for script in ("files/sluice.init", "files/state.sh", "test.sh"):
        subprocess.run(["busybox", "ash", "-n", PACKAGE / script], check=True)
        subprocess.run(["shellcheck", "-s", "dash", PACKAGE / script], check=True)


def test_the_shipped_configuration_is_off_and_good(router):
    (router.file("/etc/config/sluice")).write_text((PACKAGE / "files/sluice.config").read_text())
    router.service("start")
    assert router.main is None and router.events() == []
    text = (PACKAGE / "files/sluice.config").read_text().replace("enabled '0'", "enabled '1'")
    uncommented = "".join(line[1:] if line.startswith("#") and line[1:2] in "c\to" else line
                          for line in text.splitlines(keepends=True))
    uncommented = uncommented.replace("\toption conffile", "\t#option conffile")
    assert "config quota" in uncommented
    router.file("/etc/config/sluice").write_text(uncommented)
    router.service("start")
    assert router.main, router.messages()
    assert "bedtime" in router.read("/var/etc/sluice/policy.toml")


def test_starts_with_what_was_written(router):
    router.configure(GOOD)
    router.service("boot")
    assert router.events() == ["start main"]
    main = router.main
    assert main["command"] == ["/usr/sbin/sluiced", "--config", "/var/etc/sluice", "--state", "/var/lib/sluice", "--run",
                               "/var/run/sluice"]
    assert main["respawn"] == ["3600", "5", "0"] and main["reload_signal"] == 1
    assert main["limits"]["nofile"] == "16384 16384" and main["stderr"] and main["no_new_privs"]
    assert "arcade.example" in router.read("/var/etc/sluice/policy.toml")
    assert 'lan = ["br-lan"]' in router.read("/var/etc/sluice/sluice.toml")
    assert main["file"] == ["/var/etc/sluice/policy.toml"]


def test_a_mistake_keeps_what_worked(router):
    router.configure(GOOD)
    router.service("start")
    before = router.read("/var/etc/sluice/policy.toml")
    router.events()
    router.configure(BAD)
    router.service("reload")
    assert router.main and router.events() == []
    assert router.read("/var/etc/sluice/policy.toml") == before
    assert "sluice.arcade.hots: no such option" in router.messages()
    assert "stays in force" in router.messages()


def test_a_mistake_that_only_the_check_finds_keeps_it_too(router):
    router.configure(GOOD)
    router.service("start")
    router.events()
    policy = router.file("/etc/sluice/policy.d")
    policy.mkdir()
    (policy / "mine.toml").write_text('[[rule]]\nname = "x"\naction = "destroy"\n')
    router.service("reload")
    assert router.main and router.events() == []
    assert not router.file("/var/etc/sluice/policy.d/mine.toml").exists()
    (policy / "mine.toml").write_text('[[rule]]\nname = "x"\naction = "block"\nto = "host:x.example"\n')
    router.service("reload")
    assert router.events() == ["signal 1 main"]
    assert router.file("/var/etc/sluice/policy.d/mine.toml").exists()
    (policy / "mine.toml").unlink()
    router.service("reload")
    assert not router.file("/var/etc/sluice/policy.d/mine.toml").exists()


def test_after_a_boot_with_a_mistake_the_last_good_one_is_used(router):
    router.configure(GOOD)
    router.service("start")
    router.configure(BAD)
    router.run("sh", "-c", "rm -rf /var/etc /var/run/sluice /var/lib/sluice /var/procd", check=True)  # all of tmpfs
    router.service("boot")
    assert router.main and router.events() == ["start main"]
    assert "arcade.example" in router.read("/var/etc/sluice/policy.toml")
    assert "the last good one is used" in router.messages()


def test_a_first_start_with_a_mistake_says_so(router):
    router.configure(BAD)
    router.service("start")
    assert router.main is None
    assert "nothing is filtered" in router.messages() and "hots" in router.messages()
    router.configure(GOOD)
    router.service("reload")
    assert router.events() == ["start main"]


def test_nothing_changed_signals_nothing(router):
    router.configure(GOOD)
    router.service("start")
    router.events()
    for _ in range(2):
        router.service("reload")
    assert router.events() == []


def pretend_it_runs(router):
    router.run("/usr/bin/python3", "-c", "import socket; socket.socket(socket.AF_UNIX).bind('/var/run/sluice/control.sock')",
               check=True)


def test_another_policy_is_a_reload(router):
    router.configure(GOOD)
    router.service("start")
    router.events()
    pretend_it_runs(router)
    router.configure(GOOD.replace("arcade.example", "casino.example"))
    router.service("reload")
    assert router.events() == ["signal 1 main"]


@pytest.mark.parametrize("path", ["/etc/sluice/lists/own.txt", "/etc/TZ"])
def test_another_list_or_time_zone_is_a_reload(router, path):
    router.file(path).parent.mkdir(parents=True, exist_ok=True)
    router.file(path).write_text("UTC\n")
    router.configure(GOOD)
    router.service("start")
    router.events()
    router.service("reload")
    assert router.events() == []
    router.file(path).write_text("CET-1CEST,M3.5.0,M10.5.0/3\n")
    router.service("reload")
    assert router.events() == ["signal 1 main"]


def answer_restart(router, how: str):
    """`sluicectl restart` does this instead."""
    real = router.file("/usr/bin/sluicectl")
    real.rename(router.file("/usr/bin/sluicectl.real"))
    real.write_text(f'#!/bin/sh\ncase "$*" in\n*restart) {how} ;;\n*) exec /usr/bin/sluicectl.real "$@" ;;\nesac\n')
    real.chmod(0o755)


def test_another_box_is_a_restart_in_place(router):
    router.configure(GOOD)
    router.service("start")
    router.events()
    pretend_it_runs(router)
    answer_restart(router, 'echo "$*" >>/var/restarts')
    router.configure(GOOD, workers="2")
    router.service("reload")
    assert router.read("/var/restarts") == "--run /var/run/sluice restart\n"
    assert router.events() == [], "procd notices nothing"
    assert "workers = 2" in router.read("/var/etc/sluice/sluice.toml")


def test_a_daemon_that_refuses_to_restart_goes_on(router):
    """It has looked at more than sluicectl's check can see: a start would be refused too, and nothing would filter."""
    router.configure(GOOD)
    router.service("start")
    router.events()
    pretend_it_runs(router)
    answer_restart(router, 'echo "no CA" >&2; exit 2')
    router.configure(GOOD, workers="2")
    router.service("reload")
    assert router.events() == []


def test_a_daemon_that_does_not_restart_in_place_is_stopped_and_started(router):
    router.configure(GOOD)
    router.service("start")
    router.events()
    pretend_it_runs(router)  # and answers nobody
    router.configure(GOOD, workers="2")
    router.service("reload")
    assert router.events() == ["stop main", "start main"]


def test_disabled_stops(router):
    router.configure(GOOD)
    router.service("start")
    router.events()
    router.configure(GOOD, enabled="0")
    router.service("reload")
    assert router.main is None and router.events() == ["stop main"]


def test_a_network_that_is_not_up_yet_has_its_configured_device(router):
    router.network("lan", None)
    router.file("/etc/config/network").write_text("config interface 'lan'\n\toption device 'br-home'\n")
    router.service("boot")
    assert router.main and 'lan = ["br-home"]' in router.read("/var/etc/sluice/sluice.toml")


def test_a_network_that_is_nowhere_is_named(router):
    router.configure(network=["lan", "cellar"])
    router.service("start")
    assert "network 'cellar' is not there" in router.messages()


def test_one_network_may_be_an_option(router):
    router.configure(network="lan")
    router.service("start")
    assert router.main, router.messages()
    assert "interface.*.up:lan" in router.procd["triggers"]


def test_triggers(router):
    router.service("start")
    assert router.procd["triggers"] == ["sluice", "network", "system", "interface.*.up:lan"]


def test_files_of_the_admins_own(router):
    folder = router.file("/etc/mine")
    (folder / "lists").mkdir(parents=True)
    (folder / "lists/bad.txt").write_text("bad.example\n")
    (folder / "sluice.toml").write_text('[network]\nlan = "br-lan"\n')
    (folder / "policy.toml").write_text('[list.bad]\nformat = "domains"\nmatch = "exact"\npath = "bad.txt"\n'
                                        '[[rule]]\nname = "b"\nto = "list:bad"\naction = "block"\n')
    for conffile in ("/etc/mine", "/etc/mine/sluice.toml"):
        router.configure(conffile=conffile)
        router.service("start")
        assert router.main, router.messages()
        assert "list:bad" in router.read("/var/etc/sluice/policy.toml")
        done = router.run("sluicectl", "explain", "--config", "/var/etc/sluice", "--client", "10.0.0.2", "bad.example")
        assert done.returncode == 1, done.stdout + done.stderr
    (folder / "policy.toml").write_text("[[rule]]\n")
    router.events()
    router.service("reload")
    assert router.main and router.events() == [] and "stays in force" in router.messages()


# --- jail and firewall

def test_without_ujail_there_is_no_jail(router):
    router.service("start")
    assert "jail" not in router.main and "capabilities" not in router.main and "user" not in router.main
    assert router.file("/var/run/sluice").stat().st_uid == 0


def test_with_ujail_there_is_one():
    with Router(jail=True) as router:
        router.service("start")
        main = router.main
        assert main["jail"] == {"name": "sluice", "log": True, "procfs": True, "sysfs": True}
        assert main["capabilities"] == "/etc/capabilities/sluice.json" and main["user"] == "sluice"
        for path in ("/var/run/sluice", "/var/lib/sluice", "/var/log/sluice", "/etc/sluice/keep/ca"):
            assert router.file(path).stat().st_uid == 8129, path
        assert {"/var/run/sluice", "/var/lib/sluice", "/etc/sluice/keep"} <= set(main["mounts_rw"])
        assert {"/var/etc/sluice", "/usr/sbin/nft", "/usr/share/sluice", "/etc/passwd"} <= set(main["mounts"])
        assert "/etc/shadow" not in main["mounts"] + main["mounts_rw"]
        for path in main["mounts"] + main["mounts_rw"]:
            assert router.file(path).exists() or os.path.islink(router.file(path)), f"{path} cannot be mounted"


def test_capabilities_are_what_ujail_reads():
    sets = json.loads((PACKAGE / "files/sluice.json").read_text())
    assert set(sets) == {"bounding", "effective", "ambient", "permitted", "inheritable"}
    assert all(each == ["CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW"] for each in sets.values())


def test_the_firewall_is_told(router):
    router.file("/var/fw4-input").write_text("chain input {\n}\n")
    router.service("start")
    assert router.main["data"]["firewall"] == [{"type": "rule", "src": "*", "proto": "tcp", "target": "ACCEPT",
                                                "mark": "0x10000000/0x70000000"}]
    assert router.read("/var/config-changed") == "firewall\n"
    # It has loaded the rule: nothing asks it to again.
    router.file("/var/fw4-input").write_text('chain input {\n accept comment "!fw4: ubus:sluice[main] rule 0"\n}\n')
    router.service("reload")
    assert router.read("/var/config-changed") == "firewall\n"


# --- what outlives a boot

def test_state_is_saved_and_comes_back(router):
    router.service("start")
    codes = router.file("/var/lib/sluice/codes")
    codes.mkdir(mode=0o700)
    (codes / "codes.json").write_text("{}")
    os.chown(codes / "codes.json", 8129, 8129)
    router.service("stop")
    assert router.file("/etc/sluice/keep/state.tar.gz").stat().st_mode & 0o777 == 0o600
    saved = router.file("/etc/sluice/keep/state.tar.gz").stat().st_mtime_ns
    router.run("/usr/lib/sluice/state.sh", "save", check=True)
    assert router.file("/etc/sluice/keep/state.tar.gz").stat().st_mtime_ns == saved, "flash is not written for nothing"
    router.run("sh", "-c", "rm -rf /var/lib/sluice", check=True)
    router.service("boot")
    assert (codes / "codes.json").read_text() == "{}" and (codes / "codes.json").stat().st_uid == 8129


def test_a_damaged_state_file_is_said_and_ignored(router):
    router.file("/etc/sluice/keep").mkdir(parents=True)
    router.file("/etc/sluice/keep/state.tar.gz").write_bytes(b"\x1f\x8b\x08\x00cut")
    router.service("boot")
    assert router.main and "is damaged" in router.messages()

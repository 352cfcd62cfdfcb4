"""A start with damaged files touches nothing, and a log that cannot be written costs log lines, never traffic."""
import shutil
import subprocess
import time

import pytest

from client import fetch, request
from namespace import wait_until
from sluice import POLICY
from test_bad_input import PLACE, cut_in_half


def refused_start(sluice) -> subprocess.CompletedProcess:
    return sluice.lab.gateway.run(*sluice.command(), check=False, timeout=10)


def kernel_side(lab) -> tuple[str, str, str]:
    return tuple(lab.gateway.run(*command.split()).stdout
                 for command in ("nft list ruleset", "ip rule", "ip -6 rule"))


DAMAGED = {
    "half a policy": ("policy.toml", cut_in_half(POLICY)),
    "a policy of NULs": ("policy.toml", "\0" * 100),
    "half a sluice.toml": ("sluice.toml", '[network]\nlan = ["lan0"\n'),
    "a port beyond ports": ("sluice.toml", '[network]\nlan = ["lan0"]\nports = { http = [70000] }\n'),
    "binary": ("sluice.toml", "\x00\x01"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_no_start_with_damaged_files_and_nothing_is_touched(lab, fresh, damage):
    file, text = DAMAGED[damage]
    sluice = fresh(POLICY, start=False)
    (sluice.config / file).write_text(text)
    before = kernel_side(lab)
    done = refused_start(sluice)
    assert done.returncode == 2, done
    assert any(place.endswith(file) for place, _, _ in PLACE.findall(done.stderr)), done.stderr
    assert kernel_side(lab) == before


def test_no_start_without_the_one_required_key(fresh):
    sluice = fresh(POLICY, start=False)
    (sluice.config / "sluice.toml").write_text("")
    done = refused_start(sluice)
    assert done.returncode == 2 and "lan" in done.stderr, done


@pytest.mark.parametrize("missing", ["policy.toml", "sluice.toml"])
def test_no_start_without_the_files(fresh, missing):
    """No policy allows everything: a file that got lost must not read like that."""
    sluice = fresh(POLICY, start=False)
    (sluice.config / missing).unlink()
    done = refused_start(sluice)
    assert done.returncode == 2 and missing in done.stderr, done
    shutil.rmtree(sluice.config)
    done = refused_start(sluice)
    assert done.returncode == 2 and "sluice.toml" in done.stderr, done


def test_a_log_that_cannot_be_written_does_not_hold_up_traffic(lab, fresh):
    sluice = fresh(POLICY, start=False)
    shutil.chown(sluice.directory / "log", "root", "root")
    sluice.start()
    for _ in range(5):
        assert fetch(lab.alice, lab.origin["v4"], "http://www.allowed.test/").allowed
    wait_until(lambda: "access.jsonl cannot be opened" in sluice.log_text, 3, "it is said")
    assert sluice.log_text.count("cannot be opened") == 1
    wait_until(lambda: "lost" in sluice.ctl("status").stdout, 3, "and counted")


def test_a_full_disk_costs_log_lines_only(lab, fresh):
    sluice = fresh(POLICY, start=False)
    log = sluice.directory / "log"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=777", "none", log], check=True)
    try:
        sluice.start()
        (log / "filler").write_bytes(b"x" * 53_000)  # some lines fit, then one is torn
        with lab.alice.connect(lab.origin["v4"], 80) as sock:
            for _ in range(60):
                assert request(sock, "www.allowed.test").allowed
        wait_until(lambda: "No space left" in sluice.log_text, 3, "it is said")
        for _ in range(3):
            time.sleep(0.15)
            assert fetch(lab.alice, lab.origin["v4"], "http://www.allowed.test/").allowed
        assert sluice.log_text.count("No space left") == 1
        wait_until(lambda: "lost" in sluice.ctl("status").stdout, 3, "and counted")
        (log / "filler").unlink()
        fetch(lab.alice, lab.origin["v4"], "https://www.blocked.test/")
        wait_until(lambda: "www.blocked.test" in sluice.access_log.read_text(), 5, "logging goes on")
        lines = sluice.access_log.read_text().splitlines()
        damaged = [line for line in lines if not line.endswith("}") or line.count('"time"') != 1]
        assert len(damaged) <= 1, damaged  # the torn one stands alone
    finally:
        sluice.close()
        subprocess.run(["umount", "-l", log], check=False)


def test_a_boot_with_an_error_in_the_files_refuses_who_was_closed(lab, fresh):
    """An admin's slip must not open at the next boot what was closed before."""
    sluice = fresh(POLICY)
    sluice.stop()
    lab.gateway.run("nft", "flush", "ruleset")
    assert fetch(lab.bob, lab.origin["v4"], "http://www.allowed.test/").allowed  # as after a reboot, before anything
    (sluice.config / "policy.toml").write_text("nonsense = [\n")
    done = sluice.boot()
    assert done.returncode == 2 and "policy.toml:" in done.stderr and "in force last" in done.stderr
    for family in ("v4", "v6"):
        assert fetch(lab.bob, lab.origin[family], "http://www.allowed.test/").refused
        assert fetch(lab.alice, lab.origin[family], "http://www.allowed.test/").allowed
    sluice.write(POLICY)
    sluice.start()
    assert fetch(lab.bob, lab.origin["v4"], "http://www.allowed.test/").allowed

"""Damaged and half-written files: said with file:line:column, and what was in force stays in force."""
import re
import subprocess

import pytest

from client import fetch
from sluice import POLICY, Sluice

PLACE = re.compile(r"(\S+\.(?:toml|txt|html)):(\d+):(\d+): \S")


def cut_in_half(text: str) -> str:
    return text[:text.index("arcade.test/maths/")]


# What a file may come to be, and the line on which an admin should look.
DAMAGED_POLICY = {
    "half written": (cut_in_half(POLICY), None),
    "NUL": (POLICY.replace('zone = "UTC"', 'zone = "U\0TC"'), 2),
    "not UTF-8": (POLICY.replace('zone = "UTC"', 'zone = "\udcff\udcfe"'), 2),
    "binary": ("\x7fELF\x02\x01\x01\x00\x00\x00", 1),
    "one endless line": ("x" * 500_000, 1),
    "unknown key": (POLICY + '[[rule]]\nname = "x"\naktion = "block"\n', None),
    "unknown name": (POLICY + '[[rule]]\nname = "x"\nto = ["list:nowhere"]\naction = "block"\n', None),
    "table twice": (POLICY + '[group.closed]\nmembers = ["10.0.0.0/8"]\n', None),
    "a number for a text": (POLICY.replace('"bad.txt"', "7"), 5),
    "deeply nested": ("x = " + "[" * 5000 + "]" * 5000, 1),
    "a list that is not there": (POLICY.replace('"bad.txt"', '"no-such-list.txt"'), 3),
}


def write_damaged(sluice, text: str):
    (sluice.config / "policy.toml").write_bytes(text.encode("utf-8", "surrogateescape"))


def refusal_of(done, where: str, line: int | None):
    said = done.stdout + done.stderr
    assert done.returncode == 2, (done.returncode, said[:2000])
    places = [(file.rpartition("/")[2], int(row)) for file, row, _ in PLACE.findall(said)]
    assert places, said[:2000]
    assert all(file == where for file, _ in places), said[:2000]
    if line:
        assert line in [row for _, row in places], said[:2000]
    assert len(said) < 20_000, "an endless line is quoted whole"


@pytest.fixture(scope="module")
def running(lab, built):
    with Sluice(lab) as sluice:
        yield sluice


@pytest.mark.parametrize("damage", DAMAGED_POLICY)
def test_a_damaged_policy_changes_nothing_on_reload(running, lab, damage):
    text, line = DAMAGED_POLICY[damage]
    write_damaged(running, text)
    pid = running.role("gateway")
    refusal_of(running.ctl("reload"), "policy.toml", line)
    refusal_of(running.ctl("check"), "policy.toml", line)
    assert running.role("gateway") == pid
    assert fetch(lab.alice, lab.origin["v4"], "https://www.blocked.test/").blocked
    assert fetch(lab.alice, lab.origin["v4"], "http://www.allowed.test/").allowed
    running.reload(POLICY)


def test_every_error_is_said_at_once(running):
    wrong = "".join(f'[[rule]]\nname = "wrong {i}"\nto = ["host:not a host {i}"]\naction = "perhaps"\n'
                    for i in range(100))
    write_damaged(running, POLICY + wrong)
    done = running.ctl("check")
    assert done.returncode == 2
    places = {(int(line), int(column)) for _, line, column in PLACE.findall(done.stdout + done.stderr)}
    assert len(places) >= 200, len(places)
    running.reload(POLICY)


# --- lists -----------------------------------------------------------------------------------------------------------


def refuse_list(sluice, entries: bytes, line: int):
    """A list is read whole or not at all: half of one would open what the other half closed."""
    path = sluice.config / "lists" / "bad.txt"
    path.write_bytes(entries)
    done = sluice.ctl("reload")
    said = done.stdout + done.stderr
    assert done.returncode == 2, said[:2000]
    assert ("bad.txt", line) in [(file.rpartition("/")[2], int(row)) for file, row, _ in PLACE.findall(said)], said[:2000]
    assert len(said) < 20_000


@pytest.mark.parametrize("damage, line", [
    (b"\xff\xfeb\0l\0o\0", 1), (b"blocked.test\n\0\0\0\n", 2), (b"\x1f\x8b\x08\x00gzip", 1), (bytes(100_000), 1),
], ids=["UTF-16", "NUL", "compressed", "zeros"])
def test_a_damaged_list_changes_nothing(running, lab, damage, line):
    refuse_list(running, damage, line)
    assert fetch(lab.alice, lab.origin["v4"], "https://www.blocked.test/").blocked
    (running.config / "lists" / "bad.txt").write_text("blocked.test\n")
    running.reload(POLICY)


def test_odd_lines_of_a_list_cost_only_themselves(running, lab):
    entries = b"a" * 3_000_000 + b"\nnot a host\nfilms.test\r\n\n  \n" + b"www.allowed.test"  # and no end of line
    (running.config / "lists" / "bad.txt").write_bytes(entries)
    done = running.ctl("reload")
    said = done.stdout + done.stderr
    assert done.returncode == 0 and len(said) < 20_000, said[:2000]
    assert fetch(lab.alice, lab.origin["v4"], "https://www.allowed.test/").blocked
    (running.config / "lists" / "bad.txt").write_text("blocked.test\n")
    running.reload(POLICY)
    assert fetch(lab.alice, lab.origin["v4"], "https://www.allowed.test/").allowed


@pytest.mark.parametrize("how", ["gone", "a pipe"])
def test_a_list_that_went_away_changes_nothing(running, lab, how):
    path = running.config / "lists" / "bad.txt"
    path.unlink()
    if how == "a pipe":
        subprocess.run(["mkfifo", path], check=True)  # would hold up whoever opens it
    try:
        refusal_of(running.ctl("reload"), "policy.toml", 3)
        assert fetch(lab.alice, lab.origin["v4"], "https://www.blocked.test/").blocked
    finally:
        path.unlink(missing_ok=True)
        path.write_text("blocked.test\n")
    running.reload(POLICY)

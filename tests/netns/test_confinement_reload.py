"""Confinement that goes with the configuration: what a reload brings within a role's reach, and what compiles lists."""
import os
import shutil
import signal
import time

import pytest

import inject
from client import fetch
from faults import list_compiler
from inject import Stopped
from namespace import running, wait_until
from sluice import POLICY
from test_confinement import ACCES, FORK, OK, PERM, SOCKETS, makes_socket, opens


def test_another_folder_for_the_log(lab, fresh):
    sluice = fresh()
    keeper = sluice.role("keeper")
    other = sluice.directory / "other"
    other.mkdir()
    shutil.chown(other, "nobody", "nogroup")
    sluice.reload(log={"access": str(other / "access.jsonl")})
    sluice.access_log = other / "access.jsonl"
    wait_until(lambda: sluice.role("keeper") not in (None, keeper), 15, "a keeper that reaches the new folder")
    assert fetch(lab.alice, lab.origin["v4"], "http://www.allowed.test/").allowed
    sluice.wait_access(name="www.allowed.test", timeout=15)
    assert "cannot be opened" not in sluice.log_text
    # And the folder is replaced: a log that is opened again is in the new one.
    keeper = sluice.role("keeper")
    other.rename(sluice.directory / "old")
    other.mkdir()
    shutil.chown(other, "nobody", "nogroup")
    sluice.signal("supervisor", signal.SIGUSR1)
    wait_until(lambda: sluice.role("keeper") not in (None, keeper), 15, "a keeper that reaches the new folder")
    assert fetch(lab.alice, lab.origin["v4"], "http://www.blocked.test/").blocked
    sluice.wait_access(name="www.blocked.test", timeout=15)


def test_a_link_out_of_a_list_folder_is_not_followed(lab, fresh):
    sluice = fresh(start=False)
    folder = sluice.config / "lists" / "dir" / "games"
    folder.mkdir(parents=True)
    outside = sluice.directory / "outside"
    outside.write_text("blocked.test\n")
    (folder / "domains").symlink_to(outside)
    policy = POLICY + '[list.dir]\nformat = "squidguard"\npath = "dir"\n'
    sluice.write(policy)
    done = lab.gateway.run(*sluice.command(), check=False, timeout=60)
    assert done.returncode == 2 and "Permission denied" in done.stderr, done.stderr
    (folder / "domains").unlink()
    (folder / "domains").write_text("blocked.test\n")
    sluice.start()


@pytest.mark.unsanitized  # under a sanitizer a fork has another end
@pytest.mark.skipif(not inject.SUPPORTED, reason="system calls are put in on x86-64 alone")
def test_the_list_compiler(lab, fresh):
    """It lives for as long as it compiles: a list that takes a while, and a reload after each change until it is caught."""
    sluice = fresh(lists={"bad.txt": "".join(f"name{i}.example\n" for i in range(400_000))})
    deadline = time.monotonic() + 120
    caught = None
    while caught is None and time.monotonic() < deadline:
        with open(sluice.config / "lists" / "bad.txt", "a") as bad:
            bad.write(f"more{time.monotonic_ns()}.example\n")
        sluice.signal("supervisor", signal.SIGHUP)
        until = time.monotonic() + 5
        while caught is None and time.monotonic() < until:
            caught = list_compiler(sluice)
        if caught is None:
            continue
        try:
            with Stopped(caught) as stopped:
                held = [os.readlink(f"/proc/{caught}/fd/{fd}") for fd in os.listdir(f"/proc/{caught}/fd") if int(fd) > 2]
                bad = sluice.config / "lists" / "bad.txt"
                answers = {"list": opens(stopped, bad), "write": opens(stopped, bad, os.O_WRONLY),
                           "policy": opens(stopped, sluice.config / "policy.toml"),
                           "shadow": opens(stopped, "/etc/shadow"), "passwd": opens(stopped, "/etc/passwd"),
                           "socket": makes_socket(stopped, *SOCKETS["tcp"]), "fork": stopped.call(*FORK),
                           "run": stopped.call("execve", b"/nowhere", 0, 0),
                           "signal": stopped.call("kill", sluice.role("keeper"), 0)}
        except (OSError, AssertionError):
            if running(caught):
                raise
            caught = None  # it had ended
    assert caught, "never seen"
    # Its pipes, and lists that it reads: none of the supervisor's channels, locks and keys.
    assert [link for link in held if not link.startswith("pipe:") and "/lists/" not in link] == [], held
    assert answers == {"list": OK, "write": ACCES, "policy": ACCES, "shadow": ACCES, "passwd": ACCES, "socket": PERM,
                       "fork": PERM, "run": PERM, "signal": PERM}

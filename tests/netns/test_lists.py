"""Compiled lists in the running gateway: kept over restarts, swapped under load, refused when damaged, and cited."""
import concurrent.futures
import json
import os
import random
import threading
import time
from pathlib import Path

import pytest

from backends import KINDS
from client import fetch, request, trusting
from namespace import wait_until

POLICY = """
zone = "UTC"
shipped_lists = false
[list.bad]
format = "domains"
path = "bad.txt"
match = "subdomains"
[list.big]
format = "domains"
path = "{big}"
match = "subdomains"
[[rule]]
name = "no bad"
to = ["list:bad", "list:big"]
action = "block"
"""


def rss_kib(pid: int) -> int:
    """Of the process's own memory: pages of mapped files belong to everybody."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["RssAnon"].split()[0])


def mapped_images(pid: int) -> int:
    return len({line.split()[4] for line in Path(f"/proc/{pid}/maps").read_text().splitlines() if "lists.image" in line})


@pytest.fixture
def big(lab) -> Path:
    path = lab.directory / "big.txt"
    path.write_text("".join(f"n{i}.big{i % 97}.example\n" for i in range(50_000)))
    path.chmod(0o644)
    return path


@pytest.mark.unsanitized
@pytest.mark.parametrize("kind", ["nftables", "proxy"])
def test_a_hundred_swaps_under_load(lab, fresh, big, kind):
    """No connection is lost, no answer is wrong, and the memory of two swaps is that of a hundred."""
    sluice = fresh(POLICY.format(big=big), network=KINDS[kind])
    lists = sluice.config / "lists" / "bad.txt"
    held = trusting().wrap_socket(lab.alice.connect(lab.origin["v4"], 443), server_hostname="www.allowed.test")
    assert request(held, "www.allowed.test").allowed
    stop, wrong, asked = threading.Event(), [], [0, 0, 0]

    def load(number: int):
        # blocked.test is in every version; notblocked.test and allowed.test in none.
        cases = [("http://www.blocked.test/", False), ("https://www.allowed.test/", True), ("http://notblocked.test/", True)]
        while not stop.is_set():
            for url, wanted in cases:
                reply = fetch(lab.alice, lab.origin["v4"], url)
                asked[number] += 1
                if reply.allowed != wanted or (not wanted and not reply.blocked):
                    wrong.append((url, reply))

    with concurrent.futures.ThreadPoolExecutor() as pool:
        workers = [pool.submit(load, number) for number in range(3)]
        try:
            for swap in range(100):
                lists.write_text(f"blocked.test\nfiller{swap}.example\n")
                done = sluice.ctl("reload")
                assert done.returncode == 0, done.stderr + done.stdout
                if swap == 1:
                    time.sleep(0.5)
                    after_two = rss_kib(sluice.role("gateway"))
            time.sleep(0.5)
            after_all = rss_kib(sluice.role("gateway"))
            # The meter remembers what the kernel remembers: less than half a KiB for each connection of the last two minutes.
            remembered = sluice.ctl_json("status")["accounting"]["conntrack_entries"] // 2
        finally:
            stop.set()
        for worker in workers:
            worker.result()
    assert not wrong, wrong[:3]
    assert min(asked) > 20
    assert request(held, "www.allowed.test").allowed, "a connection of before the first swap"
    assert after_all <= after_two + 4096 + remembered, \
        f"{after_two} KiB after two swaps, {after_all} after a hundred, with {remembered} for connections"
    wait_until(lambda: mapped_images(sluice.role("gateway")) == 1, 5, "the old images are let go")
    wait_until(lambda: not list((sluice.directory / "state").glob("lists.*.new.*")), 5, "nothing half-written is left")


def test_a_restart_takes_what_was_compiled(lab, fresh, big):
    sluice = fresh(POLICY.format(big=big), start=False)
    time.sleep(2.1)  # what was changed just before it was read may have changed again: it is compiled once more
    sluice.start()
    state = sluice.directory / "state"
    wait_until(lambda: (state / "lists.inputs").exists(), 5, "the image is kept")
    made = (state / "lists.image").stat().st_ino
    sluice.stop()
    sluice.start()
    assert fetch(lab.alice, lab.origin["v4"], "http://www.blocked.test/").blocked
    assert (state / "lists.image").stat().st_ino == made, "nothing has changed, nothing is compiled"
    sluice.stop()
    (sluice.config / "lists" / "bad.txt").write_text("blocked.test\narcade.test\n")
    sluice.start()
    assert fetch(lab.alice, lab.origin["v4"], "http://arcade.test/").blocked
    wait_until(lambda: (state / "lists.image").stat().st_ino != made, 5, "the new one is kept")


@pytest.mark.parametrize("damage", ["a flipped byte", "a short file", "another file", "a map of something else"])
def test_a_damaged_image_is_refused_and_made_anew(lab, fresh, big, damage):
    sluice = fresh(POLICY.format(big=big))
    state = sluice.directory / "state"
    wait_until(lambda: (state / "lists.inputs").exists(), 5, "the image is kept")
    sluice.stop()
    image = state / "lists.image"
    content = bytearray(image.read_bytes())
    if damage == "a flipped byte":
        content[len(content) // 2] ^= 1
    elif damage == "a short file":
        del content[-64:]
    elif damage == "another file":
        content = bytearray(b"no image")
    if damage == "a map of something else":
        (state / "lists.sources").write_bytes(b"x" * 100)
    else:
        image.write_bytes(content)
    sluice.start()
    assert fetch(lab.alice, lab.origin["v4"], "http://www.blocked.test/").blocked
    assert not fetch(lab.alice, lab.origin["v4"], "http://notblocked.test/").blocked
    wait_until(lambda: image.read_bytes() != bytes(content) or damage == "a map of something else", 5, "made anew")


def test_a_list_that_cannot_be_read_any_more_keeps_the_old_one(lab, fresh, big):
    sluice = fresh(POLICY.format(big=big))
    bad = sluice.config / "lists" / "bad.txt"
    wait_until(lambda: (sluice.directory / "state/lists.inputs").exists(), 5, "the image is kept")
    bad.write_bytes(b"blocked.test\n\0\0\1binary\n")
    done = sluice.ctl("reload")
    assert done.returncode == 2 and "bad.txt:2:1: error: binary data" in done.stderr + done.stdout
    assert fetch(lab.alice, lab.origin["v4"], "http://www.blocked.test/").blocked
    sluice.stop()
    sluice.start()
    assert fetch(lab.alice, lab.origin["v4"], "http://www.blocked.test/").blocked
    assert "as they were compiled last" in sluice.log_text and "as they were compiled last" in sluice.ctl("status").stdout


def test_explain_says_what_happens_and_cites_what_is_there(lab, fresh):
    """Many names, in many lists, by many clients: the live verdict is what explain says, and every line holds its entry."""
    random.seed(4)
    names = ["www.allowed.test", "allowed.test", "www.blocked.test", "blocked.test", "arcade.test", "www.arcade.test",
             "files.test", "notblocked.test", "inner.test"]
    lists = {"plain.txt": "blocked.test\n# note\nfiles.test\n", "ags.txt": "||arcade.test^\n@@||www.arcade.test^\n",
             "hosts.txt": "0.0.0.0 inner.test allowed.test\n", "urls.txt": "www.allowed.test/a/\nnotblocked.test/x\n",
             "regex.txt": "test/[0-9]+z\n"}
    policy = """
zone = "UTC"
shipped_lists = false
list.plain = { format = "domains", match = "subdomains", path = "plain.txt" }
list.ags = { format = "adguard", path = "ags.txt", category = "ads" }
list.hosts = { format = "hosts", path = "hosts.txt", category = "games" }
list.urls = { format = "urls", path = "urls.txt" }
list.regex = { format = "regex", path = "regex.txt" }
[group.pupils]
members = ["10.20.0.3", "fd00:20::3"]
[[rule]]
name = "homework"
from = ["pupils"]
to = ["url:files.test/a/"]
action = "allow"
[[rule]]
name = "pupils play not"
from = ["pupils"]
to = ["category:games", "list:plain"]
action = "block"
[[rule]]
name = "nobody"
to = ["category:ads", "list:urls", "list:regex"]
action = "block"
"""
    sluice = fresh(policy, lists=lists)
    asked = cited = 0
    samples = int(os.environ.get("SLUICE_EXPLAIN_SAMPLES", 300))
    for _ in range(samples):
        host = random.choice([lab.alice, lab.bob])
        family = random.choice(["v4", "v6"])
        url = (random.choice(["http", "https"]) + "://" + random.choice(names) +
               random.choice(["/", "/a/b", "/x", "/7z", "/b/A/"]))
        said = json.loads(sluice.ctl("explain", "--client", host[family], url, "--json").stdout)
        reply = fetch(host, lab.origin[family], url)
        refused = said["http" if url.startswith("http:") else "https"]["refused"]
        assert reply.allowed != refused, (url, host[family], said, reply)
        asked += 1
        for origin in said["lists"]:
            file, _, line = origin["at"].rpartition(":")
            text = Path(file).read_text().splitlines()[int(line) - 1]
            assert origin["entry"].rstrip("/") in text or origin["entry"] in text, (origin, text)
            cited += 1
    assert asked == samples and cited > samples // 3

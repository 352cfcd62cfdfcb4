"""`sluicectl reload` answers when every worker judges by the new policy, not before."""
import pytest

from backends import KINDS
from client import answer_to_hello, hello_for

FLIPS = 12


@pytest.mark.parametrize("kind", ["nftables", "proxy"])
def test_whoever_is_told_reloaded_may_rely_on_it(lab, fresh, kind):
    sluice = fresh(network=KINDS[kind])
    bad = sluice.config / "lists" / "bad.txt"
    hello = hello_for("www.allowed.test")
    for _ in range(FLIPS):
        # A list that takes a moment to read widens the gap that must not be there.
        bad.write_text("".join(f"x{number}.test\n" for number in range(20_000)) + "www.allowed.test\n")
        assert sluice.ctl("reload").returncode == 0
        assert answer_to_hello(lab.alice, lab.origin["v4"], hello) == sluice.refusal
        bad.write_text("blocked.test\n")
        assert sluice.ctl("reload").returncode == 0
        assert answer_to_hello(lab.alice, lab.origin["v4"], hello) == "server hello"
    assert sluice.ctl("reload").returncode == 0  # nothing changed: answered, too

"""The kinds of gateway. nftables is tested in full; what carries one of these marks runs on the others too."""
import pytest

# The last one judges TLS in the proxy lane, the others in the kernel lane.
KINDS = {"nftables": {"firewall": "nftables"}, "iptables": {"firewall": "iptables"},
         "proxy": {"firewall": "nftables", "kernel_lane": "off"}}


def _on(*kinds: str):
    return pytest.mark.parametrize("gateway", kinds, indirect=True, scope="module")


on_every_kind = _on(*KINDS)
on_both_backends = _on("nftables", "iptables")
on_both_lanes = _on("nftables", "proxy")
in_the_proxy_lane = _on("proxy")

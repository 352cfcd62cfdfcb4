"""nftables is tested in full; what carries this mark runs on iptables too."""
import pytest

on_both_backends = pytest.mark.parametrize("gateway", ["nftables", "iptables"], indirect=True, scope="module")

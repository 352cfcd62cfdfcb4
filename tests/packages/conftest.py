"""Tests of built packages. Run by ./dev deb --test; by hand as root, after ./dev deb: python3 -m pytest tests/packages."""
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "netns"))

from lab import Lab  # noqa: E402  (its folder is known only now)


def pytest_configure(config):
    if os.geteuid() != 0:
        pytest.exit("the package tests boot a system in network namespaces: run them as root", returncode=2)


@pytest.fixture(scope="session")
def deb() -> Path:
    built = sorted(Path(os.environ.get("SLUICE_DEB_DIR") or ROOT / "build" / "deb").glob("sluice_*.deb"))
    if len(built) != 1:
        pytest.exit("no package (or several) in build/deb: run ./dev deb", returncode=2)
    return built[0]


@pytest.fixture(scope="module")
def lab():
    with Lab() as lab:
        lab.gateway.sysctl(**{f"net__netfilter__nf_conntrack_{key}": 1 for key in ("acct", "events", "timestamp")})
        yield lab

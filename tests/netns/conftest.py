"""Fixtures of the namespace tests. Run by ./dev test; by hand: python3 -m pytest tests/netns (as root)."""
import os

import pytest

from lab import FAMILIES, Lab


def pytest_configure(config):
    if os.geteuid() != 0:
        pytest.exit("the namespace tests make network namespaces: run them as root", returncode=2)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def lab():
    with Lab() as lab:
        yield lab

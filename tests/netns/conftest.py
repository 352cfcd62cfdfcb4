"""Fixtures of the namespace tests. Run by ./dev test; by hand: python3 -m pytest tests/netns (as root)."""
import contextlib
import os
from pathlib import Path

import pytest

from backends import KINDS
from lab import FAMILIES, Lab
from sluice import SLUICED, Sluice


def pytest_configure(config):
    config.addinivalue_line("markers", "unsanitized: of the memory or the system calls that sanitizers add to")
    config.addinivalue_line("markers", "slow: takes minutes, and is left out by ./dev netns (-m 'not slow')")
    if os.geteuid() != 0:
        pytest.exit("the namespace tests make network namespaces: run them as root", returncode=2)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """What the daemons of a test that fails have said stands in its report: it may not fail a second time."""
    report = (yield).get_result()
    if not report.failed:
        return
    for sluice in getattr(item.funcargs.get("lab"), "sluices", []):
        report.sections.append((f"{sluice.directory.name} said", "\n".join(sluice.log_text.splitlines()[-40:])))
        with contextlib.suppress(ValueError):  # in squid's form
            report.sections.append(("and logged", "\n".join(map(str, sluice.access()[-20:]))))


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def lab():
    with Lab() as lab:
        yield lab


@pytest.fixture(scope="session")
def built():
    if not Path(SLUICED).exists():
        pytest.fail(f"{SLUICED} is not there: run ./dev build, or set SLUICE_BIN", pytrace=False)


@pytest.fixture(scope="module", params=["nftables"])
def gateway(request, lab, built):
    """sluiced under the usual policy, for tests that leave it as it was. See backends.py."""
    with Sluice(lab, network=KINDS[request.param]) as sluice:
        yield sluice


@pytest.fixture
def fresh(lab, built):
    """A maker of sluiceds that a test may reload, break and kill: fresh(policy, network={...})."""
    made = []

    def make(*arguments, **named):
        made.append(Sluice(lab, *arguments, **named))
        return made[-1]

    yield make
    for sluice in reversed(made):
        sluice.close()
        sluice.ctl("down")
        lab.sluices.remove(sluice)

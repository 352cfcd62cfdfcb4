"""The daemon as the package's unit starts it: its command line, capabilities and umask are read out of systemd/sluiced.service.
(What only systemd can do, its sandbox first of all, is tested in tests/packages.)"""
import os
import shlex
import shutil
import socket
import threading
from pathlib import Path

import pytest

import sluice as sluice_module
from client import fetch
from lab import FAMILIES
from namespace import wait_until
from origin import authority
from sluice import POLICY, Sluice

UNIT = Path(__file__).resolve().parents[2] / "systemd" / "sluiced.service"
INSPECTED = '[group.inspected]\nmembers = ["10.20.0.2", "fd00:20::2"]\ntls = "inspect"\n'


def unit() -> dict[str, str]:
    pairs = [line.split("=", 1) for line in UNIT.read_text().splitlines() if "=" in line and not line.startswith("#")]
    return dict(reversed(pairs))  # the first of its name


class Packaged(Sluice):
    """Everything the daemon writes is its account's; the CA's files and the configuration are root's."""

    def __init__(self, lab, policy: str = POLICY, environment: dict[str, str] | None = None):
        self.environment = environment or {}
        super().__init__(lab, policy, root=False, start=False, tls_intercept={"trust": str(authority() / "ca.crt")})
        self.credentials = self.directory / "credentials"
        self.credentials.mkdir()
        self.environment["CREDENTIALS_DIRECTORY"] = str(self.credentials)

    def give_away(self):
        super().give_away()
        for path in (self.directory / "state" / "ca", *(self.directory / "state" / "ca").glob("*")):
            if path.exists():
                shutil.chown(path, "root", "root")

    def load_credential(self):
        """As LoadCredential= and SetCredential= do at each start."""
        of_the_ca = self.directory / "state" / "ca" / "ca.key"
        credential = self.credentials / "ca.key"
        credential.unlink(missing_ok=True)
        credential.write_text(of_the_ca.read_text() if of_the_ca.exists() else "\n")
        credential.chmod(0o400)
        shutil.chown(credential, "nobody")

    def start(self, *arguments, **named):
        self.load_credential()
        said = unit()
        program, *options = shlex.split(said["ExecStart"])
        assert Path(program).name == "sluiced" and said["User"] == "sluice"
        kept = ",".join("+" + each.lower().removeprefix("cap_") for each in said["AmbientCapabilities"].split())
        bound = ",".join("+" + each.lower().removeprefix("cap_") for each in said["CapabilityBoundingSet"].split())
        assert said["NoNewPrivileges"] == "yes"
        self.unit_options = options
        starter = ["sh", "-c", f'umask {said["UMask"]}; exec "$@"', "sh", "env",
                   *(f"{name}={value}" for name, value in self.environment.items()),
                   "setpriv", "--reuid=nobody", "--regid=nogroup",
                   "--clear-groups", "--no-new-privs", f"--bounding-set=-all,{bound}", f"--inh-caps=-all,{kept}",
                   f"--ambient-caps=-all,{kept}"]
        before, sluice_module.UNPRIVILEGED = sluice_module.UNPRIVILEGED, starter
        try:
            return super().start(*arguments, **named)
        finally:
            sluice_module.UNPRIVILEGED = before

    def command(self, *arguments: str):
        return super().command(*getattr(self, "unit_options", []), *arguments)


@pytest.fixture
def packaged(lab, built):
    made = []

    def make(*arguments, **named):
        made.append(Packaged(lab, *arguments, **named))
        return made[-1]

    yield make
    for each in made:
        each.close()
        each.ctl("down")
        lab.sluices.remove(each)


def test_it_filters_and_reads_the_ca_key_that_is_roots(lab, packaged):
    sluice = packaged(POLICY.replace("[group.closed]", INSPECTED + "[group.closed]", 1))
    sluice.start()
    key = sluice.directory / "state" / "ca" / "ca.key"
    assert key.owner() == "root" and key.stat().st_mode & 0o777 == 0o600
    for family in FAMILIES:
        where = lab.origin[family]
        for client in (lab.alice, lab.bob):
            for scheme in ("http", "https"):
                assert fetch(client, where, f"{scheme}://www.allowed.test/").allowed
        assert fetch(lab.alice, where, "https://www.blocked.test/").blocked
        assert fetch(lab.bob, where, "https://www.blocked.test/").kind == "reset"
    assert "cannot set" not in sluice.log_text  # the tunables are as they should be, or may be written: here by nobody


def test_a_rotated_ca_needs_a_restart_and_a_reload_says_so(lab, packaged):
    sluice = packaged(POLICY.replace("[group.closed]", INSPECTED + "[group.closed]", 1))
    sluice.start()
    for arguments in (("init", "--next"), ("rotate",)):
        assert sluice.ca(*arguments).returncode == 0
    refused = sluice.ctl("reload")
    assert refused.returncode == 2 and "systemctl restart sluiced" in refused.stdout + refused.stderr
    assert fetch(lab.alice, lab.origin["v4"], "http://www.blocked.test/").blocked  # the old policy is in force
    assert sluice.stop() == 0
    sluice.start()
    assert sluice.ctl("reload").returncode == 0
    assert fetch(lab.alice, lab.origin["v4"], "https://www.allowed.test/").allowed


def test_a_first_ca_needs_a_restart_too(packaged):
    sluice = packaged()
    sluice.start()  # without a CA the credential is an empty line
    sluice.write(POLICY.replace("[group.closed]", INSPECTED + "[group.closed]", 1))
    sluice.give_away()
    refused = sluice.ctl("reload")
    assert refused.returncode == 2 and "systemctl restart sluiced" in refused.stdout + refused.stderr


def test_the_service_manager_hears_of_readiness_and_life(packaged, lab):
    path = lab.directory / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        os.chmod(path, 0o777)
        manager.settimeout(10)
        sluice = packaged(environment={"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "1000000"})
        said = []

        def listen():
            while (more := manager.recv(4096)) != b"over":
                said.append(more.decode())

        manager.settimeout(None)
        listening = threading.Thread(target=listen)  # like a service manager, whenever it speaks
        listening.start()
        try:
            sluice.start()
            wait_until(lambda: said.count("WATCHDOG=1") >= 3 and any("READY=1" in line for line in said), 30, "readiness and life")
            ready = [line for line in said if "READY=1" in line]
            assert len(ready) == 1 and "STATUS=" in ready[0]
            assert sluice.stop() == 0
            wait_until(lambda: "STOPPING=1" in said, 10, "STOPPING=1")
        finally:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
                speaker.sendto(b"over", str(path))
            listening.join()
    path.unlink()

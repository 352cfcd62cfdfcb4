"""The real sluiced in a lab's gateway: its files, its processes, its access log, and sluicectl."""
from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from namespace import PATIENCE, running, wait_until
from origin import authority

BINARIES = Path(os.environ.get("SLUICE_BIN") or Path(__file__).resolve().parents[2] / "build" / "release" / "bin")
SLUICED, SLUICECTL = str(BINARIES / "sluiced"), str(BINARIES / "sluicectl")

# What most tests live under. `closed` has the other if_down; both are judged alike.
POLICY = """
zone = "UTC"
[list.bad]
format = "domains"
path = "bad.txt"
match = "subdomains"
[group.closed]
members = ["10.20.0.3", "fd00:20::3"]
if_down = "closed"
[[rule]]
name = "this path is homework"
to = ["url:arcade.test/maths/"]
action = "allow"
[[rule]]
name = "no games"
to = ["host:arcade.test", "list:bad"]
action = "block"
[[rule]]
name = "no films"
to = ["url:files.test/films/"]
action = "block"
"""
# Started as a service manager does that gives it a user of its own and no more capabilities than it needs.
UNPRIVILEGED = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--no-new-privs",
                "--bounding-set=-all,+net_admin,+net_raw,+net_bind_service",
                "--inh-caps=-all,+net_admin,+net_raw,+net_bind_service",
                "--ambient-caps=-all,+net_admin,+net_raw,+net_bind_service"]
LISTS = {"bad.txt": "# what the tests block\nblocked.test\n"}


def toml(sections: dict[str, dict]) -> str:
    """{"network": {"lan": [...]}} as TOML. Our values read the same in JSON."""
    return "".join(f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
                   for name, keys in sections.items())


class Sluice:
    """sluiced in the gateway of `lab`. Keyword arguments are sections of sluice.toml: network={"firewall": ...}."""

    def __init__(self, lab, policy: str = POLICY, *, lists: dict[str, str] | None = None, start=True, root=True,
                 **sections):
        self.lab = lab
        self.root = root
        self.directory = Path(tempfile.mkdtemp(prefix="sluice-", dir=lab.directory))
        self.directory.chmod(0o755)
        self.config = self.directory / "config"
        for name in ("config/lists", "state", "run", "log"):
            (self.directory / name).mkdir(parents=True)
        self.access_log = self.directory / "log" / "access.jsonl"
        shutil.chown(self.directory / "log", "nobody", "nogroup")  # the keeper, which has no privilege, writes there
        self.sections = {"network": {"lan": ["lan0", "guest0"], "firewall": "nftables"}, "daemon": {"user": "nobody"},
                         "log": {"access": str(self.access_log)}}
        for name, keys in sections.items():
            self.sections.setdefault(name, {}).update(keys)
        for name, text in (LISTS | (lists or {})).items():
            (self.config / "lists" / name).write_text(text)
        self.process: subprocess.Popen | None = None
        self.ca_pem = self.directory / "state" / "ca" / "ca.crt"
        self.write(policy)
        lab.sluices.append(self)
        if start:
            self.start()

    # --- files -----------------------------------------------------------------------------------------------------

    def write(self, policy: str | None = None, **sections):
        for name, keys in sections.items():
            self.sections.setdefault(name, {}).update(keys)
        if policy is not None:
            (self.config / "policy.toml").write_text(policy)
            if ("inspect" in policy or "https" in policy) and not self.ca_pem.exists():
                self.make_ca()
        (self.config / "sluice.toml").write_text(toml(self.sections))

    def give_away(self):
        """What the daemon writes belongs to its user, as a service manager arranges it."""
        for folder in ("state", "run"):
            for path in (self.directory / folder, *(self.directory / folder).rglob("*")):
                shutil.chown(path, "nobody", "nogroup")

    def make_ca(self, *arguments: str):
        """As an admin does; origins are verified against the lab's own authority."""
        self.sections.setdefault("tls_intercept", {}).setdefault("trust", str(authority() / "ca.crt"))
        done = self.ca("init", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr

    def ca(self, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run([SLUICECTL, "ca", *arguments, "--config", str(self.config), "--state",
                               str(self.directory / "state")], capture_output=True, text=True)

    @property
    def log_text(self) -> str:
        """What the daemon said on stderr."""
        said = self.directory / "stderr"
        return said.read_text(errors="replace") if said.exists() else ""

    def access(self, **wanted) -> list[dict]:
        """The access log's records in which every given field has the given value."""
        if not self.access_log.exists():
            return []
        whole, _, _ = self.access_log.read_text().rpartition("\n")  # the last line may be half written
        records = [json.loads(line) for line in whole.splitlines()]
        return [r for r in records if all(r.get(key) == value for key, value in wanted.items())]

    def wait_access(self, timeout: float = 5, **wanted) -> dict:
        return wait_until(lambda: self.access(**wanted), timeout, f"an access record with {wanted}")[-1]

    @property
    def lane(self) -> str:
        """Where TLS on port 443 is judged."""
        return "proxy" if self.sections["network"].get("kernel_lane") == "off" else "kernel"

    @property
    def refusal(self) -> str:
        """The kind of Reply that a refused hello gets."""
        return "alert" if self.lane == "proxy" else "reset"

    def kernel_rules(self, family: str) -> str:
        """What the kernel has of ours: of the table that is told last."""
        save = {"v4": ["iptables-save"], "v6": ["ip6tables-save"]}[family] + ["-t", "mangle"]
        nft = ["nft", "list", "table", "inet", "sluice"]
        return self.lab.gateway.run(*(nft if self.sections["network"]["firewall"] == "nftables" else save)).stdout

    def counted(self) -> int:
        """What counts against the limits: proxied connections, and the kernel lane's while they are undecided."""
        return self._count("undecided")

    def open(self) -> int:
        """All that is known to be open."""
        return self._count("undecided", "running")

    def _count(self, *of_the_kernel_lane: str) -> int:
        status = self.ctl_json("status")
        lane = status["kernel_lane"] or {}
        return status["connections"] + sum(lane.get(key, 0) for key in of_the_kernel_lane)

    # --- life ------------------------------------------------------------------------------------------------------

    def command(self, *arguments: str) -> list[str]:
        return [SLUICED, "--config", str(self.config), "--state", str(self.directory / "state"),
                "--run", str(self.directory / "run"), *arguments]

    def launch(self, descriptors: int | None = None, by: list[str] | None = None):
        """Starts the daemon, by a command that becomes it (faults.py), and waits for nothing."""
        limited = ["prlimit", f"--nofile={descriptors}:{descriptors}"] if descriptors else []
        if not self.root:
            self.give_away()
            limited += UNPRIVILEGED
        with open(self.directory / "stderr", "ab") as stderr:
            self.process = self.lab.gateway.popen(*limited, *(by or []), *self.command(), stderr=stderr, stdout=stderr)

    def start(self, timeout: float = 10, descriptors: int | None = None, by: list[str] | None = None):
        """Starts the daemon, with a hard limit of open files if `descriptors` says so."""
        self.launch(descriptors, by)
        try:
            wait_until(self._ready, timeout, "sluiced is ready")
        except AssertionError as error:
            raise AssertionError(f"{error}; it said:\n{self.log_text}") from None
        if self.ctl_json("status")["interception"]:  # what is decrypted before waits for three seconds, and is blocked then
            wait_until(lambda: "signer" in self.ctl_json("status").get("confined", {}), 10, "the signer is there")
        return self

    def _ready(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"sluiced ended with {self.process.returncode}")
        return self.ctl("status").returncode == 0

    def boot(self) -> subprocess.CompletedProcess:
        """What the package's unit runs before interfaces come up."""
        return self.lab.gateway.run(*self.command("--boot"), check=False)

    def ctl(self, verb: str, *arguments: str, timeout: float = 15) -> subprocess.CompletedProcess:
        """Asks the daemon; before the first start, the files (`--config` makes `explain` work offline)."""
        where = ["--run", str(self.directory / "run"), "--state", str(self.directory / "state")]
        if self.process is None or verb == "check":
            where += ["--config", str(self.config)]
        return self.lab.gateway.run(SLUICECTL, verb, *arguments, *where, check=False, timeout=timeout * PATIENCE)

    def ctl_json(self, verb: str, *arguments: str, code: int = 0):
        done = self.ctl(verb, *arguments, "--json")
        assert done.returncode == code, f"{verb}: exit {done.returncode}, wanted {code}\n{done.stdout}{done.stderr}"
        return json.loads(done.stdout)

    def reload(self, policy: str | None = None, **sections):
        """New files go live, or this fails."""
        self.write(policy, **sections)
        done = self.ctl("reload")
        assert done.returncode == 0, done.stdout + done.stderr

    @property
    def supervisor(self) -> int:
        return self.process.pid

    def role(self, name: str) -> int | None:
        """The process id of `gateway` or `keeper`: a descendant of the supervisor that tells its role."""
        for pid in descendants(self.supervisor):
            with contextlib.suppress(OSError):
                title = Path(f"/proc/{pid}/cmdline").read_bytes() + b" " + Path(f"/proc/{pid}/comm").read_bytes()
                if name.encode() in title:
                    return pid
        return None

    def signal(self, role: str, number: int) -> int:
        """Signals a role; returns the process id it had."""
        pid = self.supervisor if role == "supervisor" else self.role(role)
        assert pid, f"no {role} process"
        os.kill(pid, number)
        return pid

    def stop(self, timeout: float = 20) -> int:
        """A clean stop; returns the exit code."""
        self.process.terminate()
        return self.process.wait(timeout * PATIENCE)

    def close(self):
        """Ends every process, whatever state a test has left it in. The rules go with the namespace."""
        if self.process is None:
            return
        pids = [self.supervisor, *descendants(self.supervisor)] if self.process.poll() is None else []
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(3)
        with contextlib.suppress(AssertionError):  # one that is slow to die still holds its queues
            wait_until(lambda: not any(map(running, pids)), 3, "they are gone", pause=0.01)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
        if self.process:
            self.ctl("down")  # else the next one's heartbeat may keep these rules alive
        self.lab.sluices.remove(self)


def descendants(pid: int) -> list[int]:
    children = set()
    for _ in range(2):  # proc(5): a child may be left out while another one ends
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                children |= set(map(int, (task / "children").read_text().split()))
    return [each for child in sorted(children) for each in (child, *descendants(child))]

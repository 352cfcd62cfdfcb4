"""A Debian to install packages into, and to boot.

The tree is made once by mmdebstrap (build/packages/bookworm.tar) and unpacked for each run. Commands run in it under
systemd-nspawn, in a network namespace of their own. Booted, it is the gateway of a lab: its systemd is pid 1 in the lab's
gateway namespace, and so the packaged units filter what the lab's hosts send each other."""
from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

from namespace import wait_until

ROOT = Path(__file__).resolve().parents[2]
TAR = ROOT / "build" / "packages" / "bookworm.tar"
PACKAGES = "systemd,systemd-sysv,dbus,ca-certificates,procps,iproute2,logrotate"
NSPAWN = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit"]


def new_root(folder: Path) -> Path:
    if not TAR.exists():
        TAR.parent.mkdir(parents=True, exist_ok=True)
        half = TAR.with_suffix(".half.tar")
        subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", "bookworm", half], check=True)
        half.rename(TAR)
    root = folder / "root"
    root.mkdir()
    subprocess.run(["tar", "xpf", TAR, "-C", root], check=True)
    return root


def run_in(root: Path, script: str, *, network=False, check=True) -> subprocess.CompletedProcess:
    """A shell script in the tree, nothing booted. Without the host's network it is alone in a namespace."""
    command = [*NSPAWN, "--pipe", "-D", root, *([] if network else ["--private-network"]),
               "--setenv=DEBIAN_FRONTEND=noninteractive", "sh", "-ec", script]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert not check or done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    return done


def repacked(deb: Path, folder: Path, version: str) -> Path:
    """The same package with another version."""
    tree, made = folder / f"tree-{version}", folder / f"sluice_{version}.deb"
    subprocess.run(["dpkg-deb", "-R", deb, tree], check=True)
    control = tree / "DEBIAN" / "control"
    control.write_text("".join(f"Version: {version}\n" if line.startswith("Version:") else line
                               for line in control.read_text().splitlines(keepends=True)))
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, made], check=True, capture_output=True)
    shutil.rmtree(tree)
    return made


class Booted:
    """`root` as a running system in a network namespace. `with Booted(...) as machine: machine.run("systemctl ...")`."""

    def __init__(self, root: Path, namespace):
        self.root, self.namespace = root, namespace

    def __enter__(self):
        self._console = open(self.root.parent / "console", "ab")
        self._nspawn = subprocess.Popen(
            [*NSPAWN, f"--network-namespace-path=/run/netns/{self.namespace.name}", "--capability=CAP_NET_ADMIN",
             "--console=pipe", "-b", "-D", self.root],
            stdin=subprocess.DEVNULL, stdout=self._console, stderr=self._console)
        try:
            self._leader = wait_until(self._find_leader, 30, "the system's first process")
            wait_until(lambda: self.run("systemctl is-system-running", check=False).stdout.strip() in ("running", "degraded"),
                       180, "the system is up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def _find_leader(self) -> int | None:
        assert self._nspawn.poll() is None, (self.root.parent / "console").read_text(errors="replace")
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
        for child in map(int, children):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{child}/comm").read_text().strip() in ("systemd", "init"):
                    return child
        return None

    def __exit__(self, *_):
        self._nspawn.send_signal(signal.SIGTERM)  # a clean shutdown
        try:
            self._nspawn.wait(60)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait()
        self._console.close()

    def run(self, script: str, *, check=True, timeout=120) -> subprocess.CompletedProcess:
        command = ["nsenter", "-t", str(self._leader), "-m", "-u", "-i", "-n", "-p", "-r", "-w", "env", "-i",
                   "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", "sh", "-ec", script]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=timeout)
        assert not check or done.returncode == 0, f"{script}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def ask(self, script: str) -> str:
        return self.run(script, check=False).stdout.strip()

    def property(self, name: str, unit="sluiced.service") -> str:
        return self.ask(f"systemctl show -P {name} {unit}")

    def journal(self, *matches: str) -> str:
        return self.ask("journalctl --no-pager -o short " + " ".join(matches))

    def pid_of(self, unit="sluiced.service") -> int:
        """As the host sees it."""
        inside = self.property("MainPID", unit)
        for status in Path("/proc").glob("[0-9]*/status"):
            with contextlib.suppress(OSError):
                text = status.read_text()
                line = next((line for line in text.splitlines() if line.startswith("NSpid:")), "").split()
                if line[2:] == [inside] and os.readlink(status.with_name("ns") / "pid") == os.readlink(
                        f"/proc/{self._leader}/ns/pid"):
                    return int(line[1])
        raise AssertionError(f"no process {inside} of {unit}")

"""A router to run the package's service script on: this host's file system under an overlay, with busybox's tools, the
package's files where its Makefile puts them, and mocks of rc.common, procd, jshn, uci and netifd that do what the real ones were
seen to do. sluicectl is the real one.
"""
from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
PACKAGE = PROJECT / "openwrt" / "sluice"
BINARIES = Path(os.environ.get("SLUICE_BIN") or PROJECT / "build" / "release" / "bin")
APPLETS = ("sh ash cat cp mv rm ln mkdir mktemp find sort cmp md5sum tar gzip sleep readlink chmod chown head sed "
           "sync touch ls true kill").split()


class Router:
    def __init__(self, jail: bool = False):
        self.directory = Path(tempfile.mkdtemp(prefix="sluice-openwrt-"))
        setup = (f"mount -t tmpfs t {self.directory} && cd {self.directory} && mkdir upper work root && "
                 f"mount -t overlay o -o lowerdir=/,upperdir=upper,workdir=work root && "
                 f"mount -t tmpfs t root/var && mount -t tmpfs t root/tmp && mount -t proc p root/proc && "
                 f"echo ready && exec sleep infinity")
        self.holder = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", setup],
                                       stdout=subprocess.PIPE, text=True)
        assert self.holder.stdout.readline() == "ready\n", "no overlay mounts here"
        self.root = Path(f"/proc/{self.holder.pid}/root{self.directory}/root")
        self._install(jail)

    def _install(self, jail: bool):
        for folder in ("etc/config", "etc/init.d", "etc/capabilities", "etc/sluice/lists", "usr/lib/sluice",
                       "usr/share/sluice", "lib/functions", "var/netifd", "var/run", "mock/bin", "mock/applets"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        files = PACKAGE / "files"
        for source, target in ((files / "sluice.init", "etc/init.d/sluice"), (files / "sluice.config", "etc/config/sluice"),
                               (files / "sluice.json", "etc/capabilities/sluice.json"),
                               (files / "state.sh", "usr/lib/sluice/state.sh"),
                               (BINARIES / "sluicectl", "usr/bin/sluicectl"), (BINARIES / "sluiced", "usr/sbin/sluiced"),
                               (HERE / "mocks/etc/rc.common", "etc/rc.common"),
                               (HERE / "mocks/lib/functions.sh", "lib/functions.sh"),
                               *((each, f"lib/functions/{each.name}") for each in (HERE / "mocks/lib/functions").iterdir()),
                               *((each, f"mock/bin/{each.name}") for each in (HERE / "mocks/bin").iterdir())):
            (self.root / target).unlink(missing_ok=True)
            shutil.copy(source, self.root / target)
        shutil.copytree(PROJECT / "rules/defaults", self.root / "usr/share/sluice/defaults", dirs_exist_ok=True)
        for applet in APPLETS:
            (self.root / "mock/applets" / applet).symlink_to(shutil.which("busybox"))
        with open(self.root / "etc/passwd", "a") as passwd, open(self.root / "etc/group", "a") as group:
            passwd.write("sluice:x:8129:8129::/:/bin/false\n")
            group.write("sluice:x:8129:\n")
        for name in ("passwd", "group"):  # one of the host's would come first
            text = (self.root / "etc" / name).read_text()
            kept = [line for line in text.splitlines() if not re.match(r"sluice:x:(?!8129:)", line)]
            (self.root / "etc" / name).write_text("\n".join(kept) + "\n")
        (self.root / "sbin/ujail").unlink(missing_ok=True)
        if jail:
            (self.root / "sbin/ujail").write_text("#!/bin/sh\n")
            (self.root / "sbin/ujail").chmod(0o755)
        self.network("lan", "br-lan")
        self.configure()

    # --- what an admin does

    def configure(self, sections: str = "", **options):
        """A main section with these options, and more sections."""
        text = "config sluice 'main'\n"
        for name, value in ({"enabled": "1", "network": ["lan"]} | options).items():
            for each in [value] if isinstance(value, str) else value:
                text += f"\t{'option' if isinstance(value, str) else 'list'} {name} '{each}'\n"
        (self.root / "etc/config/sluice").write_text(text + sections)

    def network(self, name: str, device: str | None):
        """What netifd says; None: it does not know the network."""
        path = self.root / "var/netifd" / name
        path.write_text(device) if device else path.unlink(missing_ok=True)

    def run(self, *command: str, check: bool = False) -> subprocess.CompletedProcess:
        done = subprocess.run(["nsenter", "-t", str(self.holder.pid), "-m", "chroot", str(self.directory / "root"),
                               *command], capture_output=True, text=True, timeout=300,
                              env={"PATH": "/mock/bin:/mock/applets:/usr/sbin:/usr/bin:/sbin:/bin"})
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def service(self, verb: str) -> subprocess.CompletedProcess:
        done = self.run("/mock/applets/ash", "/etc/rc.common", "/etc/init.d/sluice", verb)
        assert "not found" not in done.stderr and "syntax error" not in done.stderr, done.stderr
        return done

    # --- what became of it

    def file(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def read(self, path: str) -> str:
        file = self.file(path)
        return file.read_text() if file.exists() else ""

    @property
    def procd(self) -> dict:
        return json.loads(self.read("/var/procd/service.json"))

    @property
    def main(self) -> dict | None:
        return self.procd["instances"].get("main")

    def events(self) -> list[str]:
        """What procd has done to the daemon since the last time this was asked."""
        path = self.file("/var/procd/events")
        happened = self.read("/var/procd/events").splitlines()
        path.unlink(missing_ok=True)
        return [each for each in happened if each.endswith(" main")]

    def messages(self) -> str:
        return self.read("/var/messages")

    def close(self):
        self.holder.kill()
        self.holder.wait()
        for _ in range(50):
            try:
                return self.directory.rmdir()
            except OSError:
                time.sleep(0.1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

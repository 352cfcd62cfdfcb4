#!/usr/bin/env python3
"""What a list of domains costs: ours compiled and asked, and dnsmasq and e2guardian with the same names, in one run.

    bench/lists.py [--sizes 1000000,5000000] [--out bench/results/lists.json]

Needs the bench build (./dev bench builds it). Memory of the others is their process's PSS once they answer (e2guardian: of
its first process); their time to start is until then.
"""
import argparse
import json
import os
import platform
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = ROOT / "build" / "bench" / "bin" / "bench_lists"
PORT = 5399


def ours(*arguments) -> dict:
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"bench_lists {arguments}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout) if done.stdout else {}


def pss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait(condition, seconds: float):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def dns_answers(name: str) -> bool:
    query = struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0) + b"".join(
        bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0" + struct.pack(">HH", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.2)
        try:
            sock.sendto(query, ("127.0.0.1", PORT))
            return sock.recv(512)[3] & 15 in (0, 3)
        except OSError:
            return False


def tcp_answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
        return True
    except OSError:
        return False


def measured(child: subprocess.Popen, ready, seconds=180) -> dict:
    began = time.monotonic()
    try:
        if not wait(lambda: child.poll() is not None or ready(), seconds) or child.poll() is not None:
            return {"failed": f"exit {child.poll()}" if child.poll() is not None else "not ready in time"}
        return {"start_s": time.monotonic() - began, "cpu_s": cpu_seconds(child.pid), "pss_mib": pss_mib(child.pid)}
    finally:
        child.kill()
        child.wait()


def dnsmasq(names: Path, work: Path) -> dict:
    if not shutil.which("dnsmasq"):
        return {"failed": "not installed"}
    config = work / "dnsmasq.conf"
    with open(names) as source, open(config, "w") as out:
        for line in source:
            out.write(f"address=/{line.strip()}/\n")
        first = line.strip()
    child = subprocess.Popen(["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--bind-interfaces",
                              "--listen-address=127.0.0.1", f"--port={PORT}", f"--conf-file={config}", "--user=root",
                              "--pid-file"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return measured(child, lambda: dns_answers(first))


def e2guardian(names: Path, work: Path) -> dict:
    """Debian's own configuration with its banned site list replaced by ours."""
    if not shutil.which("e2guardian"):
        return {"failed": "not installed"}
    home = work / "e2guardian"
    shutil.copytree("/etc/e2guardian", home)
    port = 18080
    for path in home.rglob("*"):
        if path.is_file() and path.suffix in (".conf", ".story"):
            text = path.read_text(errors="replace").replace("/etc/e2guardian", str(home))
            text = "\n".join(line for line in text.splitlines()
                             if not line.strip().startswith(("filterports", "loglocation", "pidfilename", "#filterports"))
                             and "contentscanner" not in line.split("=")[0])
            if path.name == "e2guardian.conf":
                text += (f"\nfilterports = '{port}'\nloglocation = '{work}/e2.log'\npidfilename = '{work}/e2.pid'\n"
                         "daemonuser = 'root'\ndaemongroup = 'root'\n")
            path.write_text(text + "\n")
    lists = [path for path in home.rglob("bannedsitelist")]
    if not lists:
        return {"failed": "no bannedsitelist in its configuration"}
    for path in lists:
        shutil.copy(names, path)
    child = subprocess.Popen(["e2guardian", "-N", "-c", str(home / "e2guardian.conf")], stdout=subprocess.DEVNULL,
                             stderr=open(work / "e2.err", "w"))
    outcome = measured(child, lambda: tcp_answers(port))
    if "failed" in outcome:
        outcome["failed"] += ": " + (work / "e2.err").read_text()[-200:].strip()
    return outcome


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", default="1000000,5000000")
    parser.add_argument("--out")
    arguments = parser.parse_args()
    results = {"kernel": platform.release(), "cpus": os.cpu_count(), "load_before": os.getloadavg(), "sizes": {}}
    rows = []
    for size in map(int, arguments.sizes.split(",")):
        with tempfile.TemporaryDirectory() as scratch:
            work = Path(scratch)
            ours("make", size, work / "names")
            result = {"sluice": ours("build", work / "names", work / "image") | ours("ask", work / "names", work / "image"),
                      "dnsmasq": dnsmasq(work / "names.txt", work), "e2guardian": e2guardian(work / "names.txt", work)}
        results["sizes"][size] = result
        s = result["sluice"]
        rows.append((f"{size:,}", "sluice", f"{s['image_bytes'] / size:.2f}", f"{s['image_bytes'] / 2**20:.1f}",
                     f"{s['open_ms'] / 1e3:.3f}", f"build {s['build_s']:.2f} s CPU, peak {s['peak_kib'] / 1024:.0f} MiB; miss "
                     f"{s['miss_ns']:.0f} ns, 10 % hits {s['mixed_ns']:.0f} ns, hit {s['hit_ns']:.0f} ns; "
                     f"{s['checked']:,} answers checked, {s['wrong']} wrong"))
        for name in ("dnsmasq", "e2guardian"):
            r = result[name]
            if "failed" in r:
                rows.append((f"{size:,}", name, "-", "-", "-", r["failed"]))
            else:
                rows.append((f"{size:,}", name, f"{r['pss_mib'] * 2**20 / size:.0f}", f"{r['pss_mib']:.1f}",
                             f"{r['start_s']:.1f}", f"{r['cpu_s']:.1f} s CPU"))
    print("| names | program | bytes a name | MiB | ready after s | |\n|---|---|---|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    if arguments.out:
        Path(arguments.out).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""What each role cannot do, tried by the role itself: system calls are put into the running processes (inject.py).

Whether it is the confinement that refuses is told by what an ordinary process of the same user is answered
(test_without_confinement_the_same_is_allowed), and by the daemon that runs under one user id.
"""
import errno
import os
import shutil
import signal
import socket
import struct
import subprocess
from pathlib import Path

import pytest

import inject
from client import fetch
from inject import Stopped
from namespace import wait_until
from sluice import POLICY, Sluice
from test_radius import SECRET, account

pytestmark = [pytest.mark.unsanitized,  # sanitizers need calls of their own
              pytest.mark.skipif(not inject.SUPPORTED, reason="system calls are put in on x86-64 alone")]

ROLES = ("gateway", "keeper", "helper", "signer")
INSPECT = """
[group.inspected]
members = ["10.20.0.2", "fd00:20::2"]
tls = "inspect"
[list.far]
format = "domains"
match = "subdomains"
url = "http://10.99.0.2/nothing-here"
every = "24h"
[group.closed]"""
AT_FDCWD, CREATE = -100, os.O_CREAT | os.O_WRONLY
NETLINK_AUDIT, NEW_NAMESPACES = 9, 0
PERM, ACCES = -errno.EPERM, -errno.EACCES
OK = "ok"

NET_ADMIN, SYS_ADMIN, SYS_PTRACE, SYS_MODULE, SYS_BOOT, BPF = (1 << each for each in (12, 21, 19, 16, 22, 39))


@pytest.fixture(scope="module", params=["root", "one user"])
def sluice(request, lab, built):
    """Every role is there, and every one has had something to do."""
    secret = lab.directory / "confinement.secret"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)
    if request.param == "one user":
        shutil.chown(secret, "nobody", "nogroup")
    leases = lab.directory / "leases"
    leases.mkdir(exist_ok=True)
    radius = {"identity": {"leases": [str(leases / "dnsmasq.leases")]}, "identity.radius": {"listen": "0.0.0.0:1813"},
              f'identity.radius.clients."{lab.inner["v4"]}"': {"secret_file": str(secret)}}
    with Sluice(lab, POLICY.replace("[group.closed]", INSPECT, 1), root=request.param == "root",
                metrics={"listen": "127.0.0.1:9733"}, network={"upstream_source": "gateway"}, **radius) as sluice:
        sluice.leases = leases
        use(sluice, lab)
        yield sluice


def use(sluice, lab):
    for scheme in ("http", "https"):
        assert fetch(lab.alice, lab.origin["v4"], f"{scheme}://www.allowed.test/").allowed
        assert fetch(lab.bob, lab.origin["v4"], f"{scheme}://www.allowed.test/").allowed
    assert fetch(lab.alice, lab.origin["v4"], "https://www.blocked.test/").blocked
    wait_until(lambda: account(lab.inner, "Start", User_Name="alice", Framed_IP_Address=lab.alice["v4"]), 10, "RADIUS is heard")
    assert sluice.ctl("code", "list").returncode == 0
    wait_until(lambda: lab.gateway.run("curl", "-sf", "http://127.0.0.1:9733/metrics", check=False).returncode == 0, 5, "metrics")
    assert sluice.ctl("list", "stats").returncode == 0


def outcome(result: int):
    return OK if result >= 0 else result


def opens(stopped: Stopped, path, flags: int = os.O_RDONLY) -> int:
    fd = stopped.call("openat", AT_FDCWD, str(path).encode(), flags, 0o600)
    if fd >= 0:
        stopped.call("close", fd)
    return outcome(fd)


def makes_socket(stopped: Stopped, family: int, kind: int, protocol: int = 0):
    fd = stopped.call("socket", family, kind, protocol)
    if fd >= 0:
        stopped.call("close", fd)
    return outcome(fd)


SOCKETS = {"tcp": (socket.AF_INET, socket.SOCK_STREAM), "udp6": (socket.AF_INET6, socket.SOCK_DGRAM),
           "unix stream": (socket.AF_UNIX, socket.SOCK_STREAM), "unix datagram": (socket.AF_UNIX, socket.SOCK_DGRAM),
           "netlink route": (socket.AF_NETLINK, socket.SOCK_RAW, 0),
           "netlink netfilter": (socket.AF_NETLINK, socket.SOCK_RAW, 12),
           "netlink audit": (socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_AUDIT),
           "raw": (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
           "packet": (socket.AF_PACKET, socket.SOCK_RAW), "vsock": (40, socket.SOCK_STREAM)}
MAY_MAKE = {"gateway": {"tcp", "udp6", "netlink route", "netlink netfilter"}, "keeper": {"unix datagram"},
            "helper": {"tcp", "udp6"}, "signer": set()}


@pytest.mark.parametrize("role", ROLES)
def test_sockets(sluice, role):
    with Stopped(sluice.role(role)) as stopped:
        made = {name: makes_socket(stopped, *kind) for name, kind in SOCKETS.items()}
    assert made == {name: OK if name in MAY_MAKE[role] else PERM for name in SOCKETS}


def files_of(sluice) -> dict[str, Path]:
    state = sluice.directory / "state"
    # One user: the daemon's files all belong to the user that its roles have.
    return {"CA key": state / "ca" / "ca.key", "policy": sluice.config / "policy.toml", "shadow": Path("/etc/shadow"),
            "passwd": Path("/etc/passwd"), "list": sluice.config / "lists" / "bad.txt",
            "memory of the gateway": Path(f"/proc/{sluice.role('gateway')}/mem"),
            "environment of the signer": Path(f"/proc/{sluice.role('signer')}/environ"),
            "usage": next((state / "usage").glob("*.db")), "log": sluice.access_log, "lists": state / "lists"}


@pytest.mark.parametrize("role", ROLES)
def test_files(sluice, role):
    files = files_of(sluice)
    assert all(path.exists() for path in files.values()), files
    no = ACCES if role in ("keeper", "helper") else PERM  # by Landlock, or no call that opens
    may = {"keeper": {"usage"}, "helper": {"lists"}}.get(role, set())
    with Stopped(sluice.role(role)) as stopped:
        read = {name: opens(stopped, path) for name, path in files.items()}
    assert read == {name: OK if name in may else no for name in files}


def test_what_they_need_they_can(sluice):
    state, leases = sluice.directory / "state", sluice.leases / "dnsmasq.leases"
    leases.write_text("")
    with Stopped(sluice.role("keeper")) as keeper:
        assert opens(keeper, sluice.access_log, os.O_WRONLY | os.O_APPEND) == OK
        assert opens(keeper, sluice.directory / "log" / "next", CREATE | os.O_APPEND) == OK
        assert opens(keeper, state / "codes" / "x", CREATE | os.O_TRUNC) == OK
        assert keeper.call("unlink", str(state / "codes" / "x").encode()) == 0
        assert keeper.call("unlink", str(sluice.access_log).encode()) == ACCES  # it writes the log, no more
        assert opens(keeper, state / "lists" / "x", CREATE) == ACCES
        assert opens(keeper, state / "x", CREATE) == ACCES
    with Stopped(sluice.role("helper")) as helper:
        for path in (leases, "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt"):
            assert opens(helper, path) == OK, path
        assert opens(helper, leases, os.O_WRONLY) == ACCES
        for folder in ("lists", "identities"):
            assert opens(helper, state / folder / "x", CREATE) == OK
            assert helper.call("unlink", str(state / folder / "x").encode()) == 0
        assert opens(helper, state / "codes" / "x", CREATE) == ACCES


def kernel_calls(other: int) -> dict[str, tuple]:
    """With arguments that do no harm, and that an ordinary process is answered otherwise for than EPERM."""
    return {"trace another": ("ptrace", 1, other), "signal another": ("kill", other, 0),
            "read another's memory": ("process_vm_readv", other, 0, 0, 0, 0), "namespaces": ("unshare", NEW_NAMESPACES),
            "keys": ("keyctl", 0, -1, 0), "io_uring": ("io_uring_setup", 0, 0), "run": ("execve", b"/nowhere", 0, 0),
            "mount": ("mount", 0, b"/", 0, 0, 0), "bpf": ("bpf", 0, 0, 0), "perf": ("perf_event_open", 0, 0, -1, -1, 0),
            "kexec": ("kexec_load", 0, 0, 0, 0), "reboot": ("reboot", 0, 0, 0), "setns": ("setns", -1, 0),
            "module": ("init_module", 0, 0, 0), "userfaultfd": ("userfaultfd", 0xff00)}


WRITABLE_CODE = ("mmap", 0, 4096, 7, 0x22, -1, 0)
FORK = ("clone", signal.SIGCHLD, 0, 0, 0, 0)


@pytest.mark.parametrize("role", ROLES)
def test_the_kernel_and_other_processes(sluice, role):
    other = sluice.role("keeper" if role != "keeper" else "helper")
    with Stopped(sluice.role(role)) as stopped:
        answers = {name: stopped.call(*call) for name, call in kernel_calls(other).items()}
        assert set(answers.values()) == {PERM}, answers
        forked = stopped.call(*FORK)
        if forked > 0:
            os.kill(forked, signal.SIGKILL)
        assert forked == PERM
        if role != "helper":  # the name service's modules are code
            assert stopped.call(*WRITABLE_CODE) == PERM
        for name in ("kill", "tgkill"):
            arguments = (other, 0) if name == "kill" else (other, other, 0)
            assert stopped.call(name, *arguments) == PERM


def test_the_supervisor(sluice):
    with Stopped(sluice.supervisor) as stopped:
        answers = {name: stopped.call(*call) for name, call in kernel_calls(sluice.role("keeper")).items()}
        # Modules were given up with their capability, once nftables was found; a kernel may have none at all.
        assert answers.pop("module") in (PERM, -errno.ENOSYS)
        assert {name for name, answer in answers.items() if answer != PERM} == {"signal another", "run"}, answers
        assert stopped.call("clone", 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0) == PERM  # CLONE_NEWUSER
        assert opens(stopped, files_of(sluice)["CA key"]) == OK


def test_every_thread_of_the_gateway(sluice):
    gateway = sluice.role("gateway")
    tids = inject.threads(gateway)
    assert len(tids) >= 2, "a main thread and workers"
    for tid in tids:
        with Stopped(gateway, tid) as stopped:
            assert opens(stopped, sluice.config / "policy.toml") == PERM
            assert makes_socket(stopped, *SOCKETS["unix stream"]) == PERM
            assert stopped.call("unshare", 0) == PERM
            tcp = stopped.call("socket", *SOCKETS["tcp"], 0)
            assert tcp >= 0
            here = struct.pack("=HH4s8x", socket.AF_INET, socket.htons(5555), socket.inet_aton("127.0.0.1"))
            if landlock_abi() >= 4:  # with upstream_source = "gateway" that is what seccomp leaves and Landlock takes
                assert stopped.call("bind", tcp, here, 16) == ACCES
            stopped.call("close", tcp)


def landlock_abi() -> int:
    return max(0, inject._libc.syscall(444, None, 0, 1))


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


@pytest.mark.parametrize("role", ROLES + ("supervisor",))
def test_privileges(sluice, role):
    pid = sluice.supervisor if role == "supervisor" else sluice.role(role)
    for tid in inject.threads(pid):
        status = status_of(tid)
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        capabilities = {key: int(status[key], 16) for key in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb")}
        if role != "supervisor":
            kept = NET_ADMIN if role == "gateway" else 0
            assert capabilities["CapPrm"] == capabilities["CapEff"] == kept
            assert capabilities["CapInh"] == capabilities["CapAmb"] == 0
        for key in ("CapPrm", "CapEff") + (("CapBnd",) if sluice.root else ()):
            assert capabilities[key] & (SYS_ADMIN | SYS_PTRACE | SYS_MODULE | SYS_BOOT | BPF) == 0, key
    assert os.stat(f"/proc/{pid}/environ").st_uid == 0  # not dumpable: not even its own user may look


def test_status_tells(sluice):
    confined = sluice.ctl_json("status")["confined"]
    abi = landlock_abi()
    assert confined == {role: f"seccomp, landlock {abi}" if abi else "seccomp" for role in ROLES}
    assert "confined     seccomp" in sluice.ctl("status").stdout


def test_everything_still_works(sluice, lab):
    """After all those stops; and nothing that was refused is anything but what these tests tried."""
    use(sluice, lab)
    sluice.reload(POLICY.replace("[group.closed]", INSPECT, 1) +
                  '[[rule]]\nname = "no more"\nto = ["host:www.allowed.test"]\naction = "block"\n')
    assert fetch(lab.bob, lab.origin["v4"], "http://www.allowed.test/").blocked


def sleeps(pid: int) -> bool:
    """It is sleep(1), and has its libc."""
    return Path(f"/proc/{pid}/comm").read_text() == "sleep\n" and "libc.so" in Path(f"/proc/{pid}/maps").read_text()


def test_without_confinement_the_same_is_allowed(sluice, lab):
    """What the table's refusals are worth: a process of the same user, unconfined, is answered otherwise."""
    with subprocess.Popen(["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "sleep", "60"]) as plain, \
         subprocess.Popen(["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "sleep", "60"]) as other:
        try:
            for each in (plain, other):
                wait_until(lambda each=each: sleeps(each.pid), 5, "it sleeps")
            with Stopped(plain.pid) as stopped:
                for name in ("policy", "passwd", "list"):
                    assert opens(stopped, files_of(sluice)[name]) == OK, name
                assert opens(stopped, files_of(sluice)["CA key"]) == (ACCES if sluice.root else OK)
                for name in ("tcp", "unix stream", "unix datagram", "netlink netfilter"):
                    assert makes_socket(stopped, *SOCKETS[name]) == OK, name
                answers = {name: stopped.call(*call) for name, call in kernel_calls(other.pid).items()}
                for name in ("trace another", "signal another", "read another's memory", "namespaces", "run", "setns"):
                    assert answers[name] != PERM, name
                assert stopped.call(*WRITABLE_CODE) > 0
        finally:
            plain.kill()
            other.kill()

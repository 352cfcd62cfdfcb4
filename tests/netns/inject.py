"""System calls made by another process as if it had made them itself: by ptrace, as root, on x86-64.

A thread is stopped, a `syscall` instruction of its own libc is put before it, one step is taken, and everything is put
back; whatever confines the thread judges the call. Strings lie on its stack, below the red zone.
"""
from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
from pathlib import Path

NUMBERS = {"read": 0, "write": 1, "open": 2, "close": 3, "mmap": 9, "socket": 41, "connect": 42, "bind": 49, "clone": 56,
           "execve": 59, "kill": 62, "unlink": 87, "ptrace": 101, "mount": 165, "reboot": 169, "init_module": 175,
           "tgkill": 234, "kexec_load": 246, "keyctl": 250, "openat": 257, "unshare": 272, "perf_event_open": 298,
           "setns": 308, "process_vm_readv": 310, "bpf": 321, "userfaultfd": 323, "io_uring_setup": 425,
           "pidfd_getfd": 438}
SUPPORTED = platform.machine() == "x86_64"

SINGLESTEP, GETREGS, SETREGS, DETACH, SEIZE, INTERRUPT = 9, 12, 13, 17, 0x4206, 0x4207
WALL = 0x40000000
REGISTERS = ("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi",
             "orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs")
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request: int, tid: int, data=None):
    if _libc.ptrace(request, tid, None, data) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request} of {tid}")


def threads(pid: int) -> list[int]:
    return [int(each.name) for each in Path(f"/proc/{pid}/task").iterdir()]


class Stopped:
    """A thread that is stopped; call("openat", -100, b"/etc/shadow", 0) is what the kernel answers it: -errno or a value."""

    def __init__(self, pid: int, tid: int | None = None):
        self.pid, self.tid = pid, tid or pid
        self.syscall = self._find_syscall()

    def __enter__(self):
        _ptrace(SEIZE, self.tid)
        _ptrace(INTERRUPT, self.tid)
        os.waitpid(self.tid, WALL)
        self.saved = self._registers()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self._set(self.saved)
            _ptrace(DETACH, self.tid)

    def call(self, name: str, *arguments: int | bytes) -> int:
        registers = dict(self.saved)
        place = (registers["rsp"] - 4096) & ~15
        values = []
        with open(f"/proc/{self.tid}/mem", "r+b", buffering=0) as memory:
            for argument in arguments:
                if isinstance(argument, bytes):
                    memory.seek(place)
                    memory.write(argument + b"\0")
                    argument, place = place, place - 512
                values.append(argument & (2**64 - 1))
        registers |= dict(zip(("rdi", "rsi", "rdx", "r10", "r8", "r9"), values + [0] * (6 - len(values))))
        registers |= {"rax": NUMBERS[name], "orig_rax": 2**64 - 1, "rip": self.syscall}
        self._set(registers)
        _ptrace(SINGLESTEP, self.tid)
        _, status = os.waitpid(self.tid, WALL)
        assert os.WIFSTOPPED(status), f"{name} ended the process: status {status:#x}"
        result = self._registers()["rax"]
        return result - 2**64 if result >> 63 else result

    def _registers(self) -> dict[str, int]:
        buffer = ctypes.create_string_buffer(8 * len(REGISTERS))
        _ptrace(GETREGS, self.tid, buffer)
        return dict(zip(REGISTERS, struct.unpack(f"{len(REGISTERS)}Q", buffer.raw)))

    def _set(self, registers: dict[str, int]):
        _ptrace(SETREGS, self.tid, ctypes.create_string_buffer(struct.pack(f"{len(REGISTERS)}Q", *registers.values())))

    def _find_syscall(self) -> int:
        for line in Path(f"/proc/{self.pid}/maps").read_text().splitlines():
            span, rights, *rest = line.split(maxsplit=5)
            if "x" not in rights or "libc.so" not in line:
                continue
            begin, end = (int(each, 16) for each in span.split("-"))
            with open(f"/proc/{self.pid}/mem", "rb", buffering=0) as memory:
                memory.seek(begin)
                found = memory.read(end - begin).find(b"\x0f\x05")
            if found >= 0:
                return begin + found
        raise AssertionError(f"no syscall instruction in the libc of {self.pid}")

#!/usr/bin/env python3
"""The pure libraries stay pure: no socket, clock, file, thread or process call in their object code.

Reads the undefined symbols of each library (`nm -uC`). What a library may not call is listed below; a new exception
carries its reason. Usage: purity.py BUILD_DIR
"""
import pathlib
import re
import subprocess
import sys

PURE = ["base/libbase.a", "proto/libproto.a", "policy/libpolicy.a", "flow/libflow.a", "replay/libreplay.a"]

FORBIDDEN = re.compile(
    r"^(socket|bind|listen|accept4?|connect|send(to|msg)?|recv(from|msg)?|get(sock|peer)name|[gs]etsockopt|poll|epoll_\w+|select"
    r"|__(read|recv|recvfrom|poll|open)_\w+|open(at)?(64)?|f?open(64)?|read|pread(64)?|write|pwrite(64)?|close|f?stat(at)?(64)?|opendir|readdir(64)?|mmap(64)?|unlink|rename"
    r"|time|clock_gettime|gettimeofday|localtime(_r)?|mktime|tzset|nanosleep|usleep|sleep"
    r"|fork|v?fork|exec\w+|kill|waitpid|pthread_create|getrandom|rand|random|getenv|setlocale"
    r"|syscall|ioctl|fcntl(64)?|pipe2?|dup[23]?|splice|ppoll|clock_nanosleep|f?printf|f?puts|f?putc|putchar|fwrite|perror|syslog"
    r"|std::chrono::_V2::(system|steady)_clock::now\(\)|std::thread::\w+.*|std::basic_([io]?fstream|filebuf).*|std::random_device.*)$")


def main() -> int:
    build = pathlib.Path(sys.argv[1])
    faults = []
    for library in PURE:
        symbols = subprocess.run(["nm", "-uC", build / library], capture_output=True, text=True, check=True).stdout
        member = ""
        for line in symbols.splitlines():
            if line.endswith(":"):
                member = line[:-1]
            name = line.strip().removeprefix("U ").removeprefix("w ").strip()
            name = name.split("@")[0]
            if FORBIDDEN.match(name):
                faults.append(f"{library}({member}) calls {name}: a pure library may not")
    print(*faults, sep="\n", end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

"""Origins that speak TLS in ways that nginx does not: `openssl s_server` with any certificate and settings."""
from __future__ import annotations

import subprocess

from namespace import Namespace, wait_until


class TlsServer:
    """`openssl s_server -www` (or other arguments) at address:443 of a namespace."""

    def __init__(self, namespace: Namespace, address: str, leaf, *arguments: str, port: int = 443, www=True):
        where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        staple = ["-status_file", str(leaf.staple)] if leaf.staple else []
        self.process = namespace.popen(
            "openssl", "s_server", "-accept", where, "-cert", str(leaf.chain), "-cert_chain", str(leaf.chain), "-key",
            str(leaf.key), "-quiet", "-cipher", "DEFAULT:@SECLEVEL=0", *(["-www"] if www else []), *staple, *arguments, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: self._listens(namespace, address, port), 5, f"s_server at {where}")

    def _listens(self, namespace, address, port) -> bool:
        assert self.process.poll() is None, "s_server ended"
        try:
            namespace.connect(address, port, timeout=1).close()
            return True
        except OSError:
            return False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

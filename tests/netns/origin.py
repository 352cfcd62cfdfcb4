"""What stands on the far side: a certificate authority for the test names, real nginx, and small hand-made peers."""
from __future__ import annotations

import atexit
import base64
import functools
import hashlib
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from pathlib import Path

from namespace import Namespace, scratch_directory, wait_until

NAMES = ["www.allowed.test", "allowed.test", "www.blocked.test", "blocked.test", "arcade.test", "www.arcade.test",
         "files.test", "ws.test", "notblocked.test", "inner.test", "warned.test"]
BIG = 1 << 30  # bytes behind /big


@functools.cache
def authority() -> Path:
    """A directory with ca.crt, origin.crt and origin.key, made once a run."""
    directory = scratch_directory()
    atexit.register(shutil.rmtree, directory, ignore_errors=True)

    def openssl(*arguments: str):
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-days", "30", "-subj", "/CN=sluice lab CA",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    openssl("req", *key, "-keyout", "origin.key", "-out", "origin.csr", "-subj", "/CN=origin")
    (directory / "san").write_text("subjectAltName=" + ",".join(f"DNS:{name}" for name in NAMES) + "\n"
                                   "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n")
    openssl("x509", "-req", "-in", "origin.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30",
            "-extfile", "san", "-out", "origin.crt")
    return directory


@functools.cache
def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority() / "origin.crt", authority() / "origin.key")
    return context


class Nginx:
    """HTTP on 80 and HTTPS on 443. Every page tells the client's address as this server saw it."""

    def __init__(self, namespace: Namespace, addresses: list[str], directory: Path):
        directory.mkdir()
        directory.chmod(0o755)
        self.log = directory / "access.log"
        (directory / "www").mkdir()
        with open(directory / "www" / "big", "wb") as big:
            big.truncate(BIG)  # sparse
        hosts = [f"[{a}]" if ":" in a else a for a in addresses]
        listens = "\n".join(f"    listen {h}:80 backlog=4096; listen {h}:443 ssl http2 backlog=4096;" for h in hosts)
        (directory / "nginx.conf").write_text(f"""
daemon off; master_process off; pid nginx.pid; error_log error.log;
events {{ worker_connections 8192; }}
http {{
  log_format lab '$remote_addr $scheme $http_host $status $request_uri';
  access_log access.log lab;
  default_type text/plain;
  sendfile on; tcp_nodelay on;
  keepalive_timeout 300s; keepalive_requests 1000000; client_header_timeout 300s; client_max_body_size 0;
  client_body_temp_path body; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  ssl_certificate {authority()}/origin.crt;
  ssl_certificate_key {authority()}/origin.key;
  server {{
{listens}
    root {directory}/www;
    add_header X-Origin lab always;
    location / {{ return 200 "client=$remote_addr host=$http_host uri=$request_uri method=$request_method\\n"; }}
    location = /big {{ }}
    location = /chunked {{ ssi on; alias {directory}/www/chunked.txt; ssi_types text/plain; }}
    location = /none {{ return 204; }}
    location = /302 {{ return 302 /elsewhere; }}
    location = /slow {{ limit_rate 64k; alias {directory}/www/slow; }}
  }}
}}
""")
        (directory / "www" / "chunked.txt").write_text("<!--# echo var=\"remote_addr\" -->" + "x" * 5000 + "\n")
        (directory / "www" / "slow").write_bytes(b"s" * (1 << 20))
        # Thousands of connections must not be this server's problem.
        self._process = namespace.popen("sh", "-c", f"ulimit -n $(ulimit -H -n); exec nginx -p {directory} -c nginx.conf "
                                        "-e error.log", stderr=subprocess.DEVNULL)
        wait_until(lambda: _answers(namespace, addresses[0]), 5, f"nginx at {addresses[0]}")

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines()


def _answers(namespace: Namespace, address: str) -> bool:
    try:
        namespace.connect(address, 443, timeout=1).close()
        return True
    except OSError:
        return False


class Peer:
    """A server of our own on one address and port: `handler(socket)` runs in a thread for each connection."""

    def __init__(self, namespace: Namespace, address: str, port: int, handler):
        self.seen: list[tuple[str, int]] = []  # the clients' addresses
        self.sockets: list[socket.socket] = []
        self._handler = handler
        self._listener = namespace.listen(address, port)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                sock, address = self._listener.accept()
            except OSError:
                return
            self.seen.append(address[:2])
            self.sockets.append(sock)
            threading.Thread(target=self._handle, args=(sock,), daemon=True).start()

    def _handle(self, sock: socket.socket):
        try:
            sock.settimeout(60)
            self._handler(sock)
        except OSError:
            pass
        finally:
            sock.close()

    def close(self):
        # Wakes accept(); closing alone would not.
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        for sock in self.sockets:
            # A handler that waits in recv() keeps the socket open beyond close(): its peer would hear nothing of the end.
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def echo(sock: socket.socket):
    while data := sock.recv(65536):
        sock.sendall(data)


def hold(sock: socket.socket):
    """Accepts, reads, never answers."""
    while sock.recv(65536):
        pass


def keep_in(received: list[bytes]):
    """Reads, never answers; what came is in `received`."""
    def handler(sock: socket.socket):
        while data := sock.recv(65536):
            received.append(data)
    return handler


def server_first(sock: socket.socket):
    """Speaks before it is spoken to, as SSH and SMTP do; then echoes."""
    sock.sendall(b"SSH-2.0-OpenSSH_9.2p1 lab\r\n")
    echo(sock)


def after_the_end(sock: socket.socket):
    """Reads to the client's end and only then answers: shows that half-close travels."""
    total = 0
    while data := sock.recv(65536):
        total += len(data)
    sock.sendall(b"got %d" % total)


def read_head(sock: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        data = sock.recv(65536)
        if not data:
            break
        head += data
    return head


def websocket_echo(sock: socket.socket):
    """RFC 6455: answers the upgrade and echoes text frames."""
    head = read_head(sock).decode("latin-1")
    key = next(line.split(":", 1)[1].strip() for line in head.split("\r\n")
               if line.lower().startswith("sec-websocket-key:"))
    accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
    sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    while (frame := read_frame(sock)) is not None:
        sock.sendall(write_frame(frame))


def write_frame(payload: bytes, mask: bytes = b"") -> bytes:
    """One final text frame (RFC 6455, 5.2). A client masks, a server does not."""
    flag = 0x80 if mask else 0
    head = struct.pack("!BB", 0x81, flag | len(payload)) if len(payload) < 126 else \
        struct.pack("!BBH", 0x81, flag | 126, len(payload))
    if mask:
        payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    return head + mask + payload


def read_frame(sock: socket.socket) -> bytes | None:
    head = read_exactly(sock, 2)
    if len(head) < 2 or head[0] & 0x0F == 8:
        return None
    length = head[1] & 0x7F
    if length == 126:
        length = struct.unpack("!H", read_exactly(sock, 2))[0]
    mask = read_exactly(sock, 4) if head[1] & 0x80 else bytes(4)
    return bytes(byte ^ mask[i % 4] for i, byte in enumerate(read_exactly(sock, length)))


def read_exactly(sock: socket.socket, count: int) -> bytes:
    data = bytearray()  # bytes would be copied at each +=
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            break
        data += more
    return bytes(data)

"""What a client does and what it gets: requests by plain sockets and ssl, and ClientHellos cut in every awkward way."""
from __future__ import annotations

import contextlib
import dataclasses
import functools
import http.client
import os
import socket
import ssl
import struct
import time

from origin import authority


@dataclasses.dataclass
class Reply:
    """How an attempt ended. `kind`:
    page     an HTTP answer (status, headers, body)
    alert    the TLS handshake was answered by a fatal alert
    refused  no connection, and told so (RST or ICMP)
    reset    reset after the connection stood
    closed   ended in order, without an answer
    silent   nothing came within the time allowed
    """
    kind: str
    status: int = 0
    body: bytes = b""
    headers: dict = dataclasses.field(default_factory=dict)
    detail: str = ""
    scheme: str = ""

    @property
    def allowed(self) -> bool:  # the origin's own page
        return self.kind == "page" and self.status == 200 and "x-origin" in self.headers

    @property
    def blocked(self) -> bool:
        """Judged and said no: our page; for TLS an alert (proxy lane), or a reset once its hello was seen (kernel lane)."""
        if self.kind == "page":
            return self.status == 403 and "x-origin" not in self.headers
        return self.kind == "alert" or (self.kind == "reset" and self.scheme == "https")

    @property
    def refused(self) -> bool:  # at its SYN: not judged by name, not passed
        return self.kind == "refused"

    @property
    def seen(self) -> dict[str, str]:
        """What the origin saw: client, host, uri, method."""
        return dict(part.split("=", 1) for part in self.body.decode().split())


@functools.cache
def trusting(names_checked: bool = True) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority() / "ca.crt"))
    context.check_hostname = names_checked
    return context


def fetch(host, address: str, url: str, *, headers: dict | None = None, timeout: float = 5, method: str = "GET",
          sni: str | None = None, source: str | None = None) -> Reply:
    """GETs `url` from `address`, never by a resolver. `host` is who asks, `source` one of its addresses. `sni` where it differs
    from the URL's host."""
    reply = _fetch(host, address, url, headers, timeout, method, sni, source)
    return dataclasses.replace(reply, scheme=url.partition("://")[0])


def _fetch(host, address: str, url: str, headers: dict | None, timeout: float, method: str, sni: str | None,
           source: str | None) -> Reply:
    scheme, _, rest = url.partition("://")
    authority_part, slash, path = rest.partition("/")
    name, _, port = authority_part.partition(":")
    try:
        with host.connect(address, int(port or (443 if scheme == "https" else 80)), timeout=timeout, source=source) as sock:
            if scheme == "https":
                context = trusting(names_checked=False)
                with context.wrap_socket(sock, server_hostname=sni or name) as secured:
                    return request(secured, authority_part, "/" + path, method, headers)
            return request(sock, authority_part, "/" + path, method, headers)
    except Exception as error:  # noqa: BLE001  every way to fail is an answer here
        return classify(error)


def request(sock, authority_part: str, path: str = "/", method: str = "GET", headers: dict | None = None) -> Reply:
    """One request on an open connection; the connection stays usable."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {authority_part}"]
    lines += [f"{key}: {value}" for key, value in (headers or {}).items()]
    sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    return read_reply(sock, method)


def read_reply(sock, method: str = "GET") -> Reply:
    response = http.client.HTTPResponse(_Exact(sock), method=method)
    try:
        response.begin()
        body = response.read()
    except http.client.RemoteDisconnected:
        return Reply("closed")
    return Reply("page", response.status, body, {key.lower(): value for key, value in response.getheaders()})


class _Exact:
    """What http.client reads from, taking not a byte more than one answer: the next one is still in the socket."""

    def __init__(self, sock):
        self._raw = sock.makefile("rb", 0)

    def makefile(self, _mode):
        return self

    def readline(self, limit=-1):
        return self._raw.readline(limit)  # unbuffered: byte by byte

    def read(self, count=-1):
        data = bytearray()
        while count < 0 or len(data) < count:
            more = self._raw.read(65536 if count < 0 else count - len(data))
            if not more:
                break
            data += more
        return bytes(data)

    def flush(self):
        pass

    def close(self):
        self._raw.close()


def classify(error: Exception) -> Reply:
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, ssl.SSLError) and "ALERT" in str(error).upper():
        return Reply("alert", detail=text)
    if isinstance(error, (ConnectionResetError, BrokenPipeError)):
        return Reply("reset", detail=text)
    if isinstance(error, (TimeoutError, socket.timeout)):
        return Reply("silent", detail=text)
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, http.client.HTTPException)):
        return Reply("closed", detail=text)
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
        return Reply("refused", detail=text)
    raise error


def end_of(sock: socket.socket, timeout: float = 10) -> str:
    """How the other side ended this connection: "closed", "reset", or "open" if it has not within `timeout`."""
    sock.settimeout(timeout)
    try:
        while sock.recv(65536):
            pass
        return "closed"
    except (TimeoutError, socket.timeout):
        return "open"
    except OSError:
        return "reset"


TCP_CLOSED = 7  # include/net/tcp_states.h: TCP_CLOSE


def is_reset(sock: socket.socket) -> bool:
    """Whether this connection has ended out of order. (To Python's ssl a reset is an end like any other.)"""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_CLOSED


def is_reset_when_it_sends(sock: socket.socket, name: str) -> bool:
    """Whether this open connection is reset at its next request."""
    sock.settimeout(5)
    with contextlib.suppress(OSError):
        request(sock, name)
    return is_reset(sock)


# --- ClientHellos ----------------------------------------------------------------------------------------------------


class TlsClient:
    """A real TLS client whose bytes go by way of memory, so that the hello can be cut before it is sent."""

    def __init__(self, name: str | None, context: ssl.SSLContext | None = None):
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = context or trusting(names_checked=False)
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=name)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        self.hello = self._out.read()  # one record

    def finish(self, sock: socket.socket):
        """The rest of the handshake, the hello having been sent by the caller."""
        self._pump(sock, self._tls.do_handshake)

    def request(self, sock: socket.socket, name: str, path: str = "/") -> bytes:
        self._tls.write(f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        sock.sendall(self._out.read())
        return self._pump(sock, lambda: self._tls.read(65536))

    def _pump(self, sock, step):
        while True:
            try:
                result = step()
                if self._out.pending:
                    sock.sendall(self._out.read())
                return result
            except ssl.SSLWantReadError:
                if self._out.pending:
                    sock.sendall(self._out.read())
                data = sock.recv(65536)
                if not data:
                    raise ssl.SSLEOFError("the peer closed during TLS")
                self._in.write(data)


def hello_for(name: str | None) -> bytes:
    return TlsClient(name).hello


def in_records(hello: bytes, size: int) -> bytes:
    """The same handshake message in records of at most `size` bytes (RFC 8446, 5.1 allows any cut)."""
    message = hello[5:]
    return b"".join(b"\x16\x03\x01" + struct.pack("!H", len(message[i:i + size])) + message[i:i + size]
                    for i in range(0, len(message), size))


def with_filler_first(hello: bytes, size: int) -> bytes:
    """An unknown extension (private use) of `size` bytes before all others, so that the name comes late."""
    at = 5 + 4 + 2 + 32                                       # record, handshake header, version, random
    at += 1 + hello[at]                                       # session id
    at += 2 + struct.unpack_from("!H", hello, at)[0]          # cipher suites
    at += 1 + hello[at]                                       # compression methods
    extensions = hello[at + 2:]
    extensions = struct.pack("!HH", 0xFFCE, size) + bytes(size) + extensions
    body = hello[9:at] + struct.pack("!H", len(extensions)) + extensions
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return hello[:3] + struct.pack("!H", len(message)) + message


def send_in_pieces(sock: socket.socket, data: bytes, size: int, pause: float = 0):
    """One segment a piece: Nagle is off, and a pause keeps the pieces from being joined on the way."""
    for i in range(0, len(data), size):
        sock.sendall(data[i:i + size])
        if pause:
            time.sleep(pause)


def answer_to_hello(host, address: str, wire: bytes, size: int = 0, pause: float = 0, timeout: float = 5) -> str:
    """Sends a hello as bytes and says what the first record back is: "server hello", "alert", "closed", "reset",
    "silent"."""
    try:
        with host.connect(address, 443, timeout=timeout) as sock:
            send_in_pieces(sock, wire, size or len(wire), pause)
            first = sock.recv(6)
            if first[:1] == b"\x16":
                return "server hello"
            return "alert" if first[:1] == b"\x15" else "closed" if not first else f"bytes {first!r}"
    except OSError as error:
        return classify(error).kind


def rubbish(count: int = 400) -> bytes:
    """Bytes that begin neither a TLS record nor an HTTP method."""
    return b"\x00\xff\x07" + os.urandom(count)

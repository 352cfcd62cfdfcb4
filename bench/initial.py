"""QUIC v1 Initials (RFC 9000, 17.2.2) sealed as RFC 9001, 5 says: what the `quic` figure sends.

The hello is OpenSSL's, grown to the size of one with a post-quantum key share, and laid out as Chrome does: CRYPTO
frames out of order, over two datagrams of 1250 bytes.
"""
from __future__ import annotations

import ssl
import struct

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from client import TlsClient  # tests/netns

SALT = bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a")
DATAGRAM = 1250
ROOM = 1150  # of the hello, in one datagram


def _expand(secret: bytes, label: str, length: int) -> bytes:
    """HKDF-Expand-Label (RFC 8446, 7.1) with an empty context."""
    name = b"tls13 " + label.encode()
    info = struct.pack("!HB", length, len(name)) + name + b"\0"
    return HKDFExpand(hashes.SHA256(), length, info).derive(secret)


def seal(side: str, original: bytes, destination: bytes, source: bytes, number: int, frames: bytes,
         size: int = DATAGRAM) -> bytes:
    """One Initial of `size` bytes by `side` ("client" or "server"). Keys come from the client's first destination ID."""
    mac = hmac.HMAC(SALT, hashes.SHA256())
    mac.update(original)
    secret = _expand(mac.finalize(), f"{side} in", 32)
    key, iv, mask_key = (_expand(secret, f"quic {what}", n) for what, n in (("key", 16), ("iv", 12), ("hp", 16)))
    head = b"\xc3" + struct.pack("!I", 1)  # a long header, four bytes of packet number; version 1
    head += bytes([len(destination)]) + destination + bytes([len(source)]) + source + b"\0"  # no token
    length = size - len(head) - 2
    head += struct.pack("!HI", 0x4000 | length, number)
    plain = frames.ljust(length - 4 - 16, b"\0")  # PADDING
    assert len(plain) == length - 4 - 16, "the frames do not fit"
    nonce = bytes(a ^ b for a, b in zip(iv, number.to_bytes(12, "big")))
    packet = bytearray(head + AESGCM(key).encrypt(nonce, plain, head))
    at = len(head) - 4
    cipher = Cipher(algorithms.AES(mask_key), modes.ECB()).encryptor()
    mask = cipher.update(bytes(packet[at + 4:at + 20]))
    packet[0] ^= mask[0] & 0x0F
    for i in range(4):
        packet[at + i] ^= mask[1 + i]
    return bytes(packet)


def crypto(message: bytes, begin: int, end: int) -> bytes:
    return b"\x06" + struct.pack("!HH", 0x4000 | begin, 0x4000 | end - begin) + message[begin:end]


def hello(name: str, length: int = 1800) -> bytes:
    """A ClientHello for HTTP/3, grown to `length` by a reserved transport parameter (RFC 9000, 18.1)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.options &= ~ssl.OP_ENABLE_MIDDLEBOX_COMPAT  # no session ID (RFC 9001, 8.4)
    context.set_alpn_protocols(["h3"])
    message = TlsClient(name, context).hello[5:]
    at = 4 + 2 + 32
    at += 1 + message[at]                                   # session ID
    at += 2 + struct.unpack_from("!H", message, at)[0]      # cipher suites
    at += 1 + message[at]                                   # compression methods
    filler = length - len(message) - 4 - 5
    parameters = b"\x0f\x00" + struct.pack("!BH", 27, 0x4000 | filler) + bytes(filler)  # our (empty) ID; the filler
    extensions = struct.pack("!HH", 0x39, len(parameters)) + parameters + message[at + 2:]
    body = message[4:at] + struct.pack("!H", len(extensions)) + extensions
    return b"\x01" + len(body).to_bytes(3, "big") + body


def flow(name: str) -> tuple[bytes, bytes]:
    """The client's two datagrams, one behind the other, and the server's one."""
    message = hello(name)
    ids = bytes.fromhex("8394c8f03e515708"), b""
    half, rest = ROOM // 2, (ROOM + len(message)) // 2
    spread = [crypto(message, half, ROOM) + b"\x01" + crypto(message, 0, half),  # a PING between, as Chrome has it
              crypto(message, rest, len(message)) + b"\x01" + crypto(message, ROOM, rest)]
    asked = b"".join(seal("client", ids[0], *ids, number, frames) for number, frames in enumerate(spread, 1))
    acknowledged = b"\x02\x02\x00\x00\x01"  # ACK of 1 and 2
    return asked, seal("server", ids[0], b"", bytes.fromhex("f067a5502a4262b5"), 0, acknowledged)

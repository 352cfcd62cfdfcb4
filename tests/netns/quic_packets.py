"""QUIC datagrams made by hand: Initials of versions 1 and 2 (RFC 9000, 9001, 9369) around any ClientHello, cut and
ordered as the test likes. What a server answers is only looked at from outside."""
from __future__ import annotations

import os
import struct

from client import hello_for, with_filler_first

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hmac import HMAC

V1, V2 = 1, 0x6B3343CF
V2_DRAFT = 0x709A50C4          # what Debian 12's ngtcp2 calls version 2
RESERVED = 0x1A2A3A4A          # asks for a Version Negotiation (RFC 9000, 15)
UNKNOWN = 0x51303530           # Q050: no QUIC that anybody standardised
SALTS = {V1: bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a"),
         V2: bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9")}
INITIAL, ZERO_RTT, HANDSHAKE, RETRY = range(4)  # long packet types of version 1; version 2 counts from 1
SMALLEST = 1200                # a client's datagram with an Initial (RFC 9000, 14.1)


def varint(value: int) -> bytes:
    if value < 1 << 6:
        return bytes((value,))
    return struct.pack("!H", value | 0x4000) if value < 1 << 14 else struct.pack("!I", value | 0x8000_0000)


def hello(name: str, source_id: bytes, filler: int = 0) -> bytes:
    """A ClientHello that a real HTTP/3 server answers: with transport parameters, and ALPN h3. `filler` bytes before
    the name move it into a later datagram."""
    record = with_filler_first(hello_for(name), filler)
    body = record[9:]
    at = 2 + 32
    at += 1 + body[at]                                        # session id
    ciphers_end = at + 2 + struct.unpack_from("!H", body, at)[0]
    extensions = body[ciphers_end + 2 + 2:]                   # one compression method; the length
    parameters = b"".join(varint(key) + varint(len(value)) + value for key, value in (
        (0x0F, source_id), (0x04, varint(1 << 20)), (0x05, varint(1 << 18)), (0x06, varint(1 << 18)),
        (0x07, varint(1 << 18)), (0x08, varint(100)), (0x09, varint(100))))
    extensions = b"".join(struct.pack("!HH", key, len(value)) + value for key, value in _extensions(extensions)
                          if key not in (0x10, 0x15, 0x2B))   # padding, and what is said otherwise below
    for key, value in ((0x10, b"\x00\x03\x02h3"), (0x2B, b"\x02\x03\x04"), (0x39, parameters)):
        extensions += struct.pack("!HH", key, len(value)) + value
    # No session id: QUIC has no middlebox compatibility mode (RFC 9001, 8.4).
    body = body[:34] + b"\0" + body[at:ciphers_end + 2] + struct.pack("!H", len(extensions)) + extensions
    return b"\x01" + len(body).to_bytes(3, "big") + body


def _extensions(data: bytes):
    while data:
        key, length = struct.unpack_from("!HH", data)
        yield key, data[4:4 + length]
        data = data[4 + length:]


def crypto(message: bytes, begin: int = 0, end: int | None = None) -> bytes:
    """A CRYPTO frame with this part of the handshake stream."""
    part = message[begin:end]
    return b"\x06" + varint(begin) + varint(len(part)) + part


def initial(frames: bytes, destination: bytes, source: bytes, *, number: int = 0, version: int = V1, token: bytes = b"",
            keys_from: bytes | None = None, smallest: int = SMALLEST) -> bytes:
    """One sealed Initial, padded so that it fills a datagram. Its keys come from the first destination id of its
    connection, which `keys_from` names where `destination` has become another."""
    salt = SALTS.get(version, SALTS[V1])
    first = destination if keys_from is None else keys_from
    prefix = b"quicv2" if version == V2 else b"quic"
    secret = _expand(_hmac(salt, first), b"client in", 32)
    key, iv, mask_key = (_expand(secret, prefix + b" " + part, length)
                         for part, length in ((b"key", 16), (b"iv", 12), (b"hp", 16)))
    head = bytes((0xC3 | _type_bits(INITIAL, version),)) + struct.pack("!I", version) + bytes((len(destination),)) \
        + destination + bytes((len(source),)) + source + varint(len(token)) + token
    frames = frames.ljust(max(4, smallest - len(head) - 2 - 4 - 16), b"\0")
    head += struct.pack("!HI", 0x4000 | 4 + len(frames) + 16, number)
    nonce = (int.from_bytes(iv, "big") ^ number).to_bytes(12, "big")
    sealed = AESGCM(key).encrypt(nonce, frames, head)
    mask = Cipher(algorithms.AES(mask_key), modes.ECB()).encryptor().update(sealed[:16])
    at = len(head) - 4
    hidden = bytes(byte ^ bit for byte, bit in zip(head[at:], mask[1:5]))
    return bytes((head[0] ^ mask[0] & 0x0F,)) + head[1:at] + hidden + sealed


def other_long(kind: int, destination: bytes, source: bytes, version: int = V1, size: int = SMALLEST) -> bytes:
    """A packet with a long header of another type, sealed with keys that nobody knows."""
    head = bytes((0xC0 | _type_bits(kind, version),)) + struct.pack("!I", version) + bytes((len(destination),)) \
        + destination + bytes((len(source),)) + source
    rest = size - len(head) - 2
    return head + struct.pack("!H", 0x4000 | rest) + os.urandom(rest)


def short(destination: bytes, size: int = 100) -> bytes:
    return b"\x43" + destination + os.urandom(size - 1 - len(destination))


def is_answer_to(datagram: bytes, source: bytes) -> bool:
    """A long header packet for the connection that calls itself `source`."""
    return datagram[0] & 0x80 != 0 and datagram[5] == len(source) and datagram[6:6 + len(source)] == source


def version_of(datagram: bytes) -> int:
    return struct.unpack_from("!I", datagram, 1)[0]  # 0: a Version Negotiation


def _type_bits(kind: int, version: int) -> int:
    return ((kind + 1) % 4 if version == V2 else kind) << 4


def _hmac(key: bytes, data: bytes) -> bytes:
    mac = HMAC(key, hashes.SHA256())
    mac.update(data)
    return mac.finalize()


def _expand(secret: bytes, label: bytes, length: int) -> bytes:
    """HKDF-Expand-Label (RFC 8446, 7.1) of at most one hash's length."""
    label = b"tls13 " + label
    return _hmac(secret, struct.pack("!HB", length, len(label)) + label + b"\0\1")[:length]

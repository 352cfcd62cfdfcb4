// Client Initials made to measure, for tests and fuzz targets: frames -> packet -> sealed (RFC 9000 17.2.2, RFC 9001
// 5).
#pragma once

#include <openssl/evp.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "proto/quic/initial_keys.hpp"
#include "tests/unit/proto/tls/hello_builder.hpp"

namespace initial_builder {

using hello_builder::number;
using proto::quic::InitialKeys;
using proto::quic::Version;

inline std::string from_hex(std::string_view hex) {
  std::string out;
  unsigned value = 0;
  int digits = 0;
  for (char c : hex) {
    if (c == ' ' || c == '\n') continue;
    value = value << 4 | static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10);
    if (++digits % 2 == 0) out += static_cast<char>(value & 0xff);
  }
  return out;
}

// In its shortest form.
inline std::string varint(std::uint64_t value) {
  int log = value < 1 << 6 ? 0 : value < 1 << 14 ? 1 : value < 1 << 30 ? 2 : 3;
  std::string out = number(value, 1 << log);
  out[0] = static_cast<char>(static_cast<unsigned char>(out[0]) | log << 6);
  return out;
}

inline std::string crypto(std::uint64_t offset, std::string_view data) {
  return '\x06' + varint(offset) + varint(data.size()) + std::string(data);
}
inline const std::string ping = "\x01";
inline std::string padding(std::size_t count) {
  return std::string(count, '\0');
}
inline const std::string ack = std::string("\x02\x01\x00\x00\x00", 5);

struct Initial {
  Version version = Version::v1;
  std::string destination_id = "\x83\x94\xc8\xf0\x3e\x51\x57\x08";
  std::string keys_of;  // the id that the keys are made of; empty: destination_id
  std::string source_id = "me", token;
  std::uint64_t number = 1;
  int number_length = 2;
};

inline std::string header_of(const Initial& initial, std::size_t payload_size) {
  unsigned type = initial.version == Version::v1 ? 0 : 1;
  std::string header = number(0xc0 | type << 4 | static_cast<unsigned>(initial.number_length - 1), 1);
  header += number(static_cast<std::uint32_t>(initial.version), 4);
  header += hello_builder::vector_of(initial.destination_id, 1) + hello_builder::vector_of(initial.source_id, 1);
  header += varint(initial.token.size()) + initial.token;
  header += varint(static_cast<std::size_t>(initial.number_length) + payload_size + 16);
  return header + number(initial.number, initial.number_length);
}

inline unsigned char* bytes_of(std::string& text) {
  return reinterpret_cast<unsigned char*>(text.data());
}

// AES-128-GCM; the tag behind the cipher text.
inline std::string encrypt(const InitialKeys& keys, std::uint64_t packet_number, std::string header,
                           std::string plain) {
  auto nonce = keys.iv;
  for (std::size_t i = 0; i < 8; ++i) nonce[nonce.size() - 1 - i] ^= static_cast<std::uint8_t>(packet_number >> 8 * i);
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  std::string out(plain.size() + 16, '\0');
  int length = 0;
  bool done = EVP_EncryptInit_ex(context, EVP_aes_128_gcm(), nullptr, keys.key.data(), nonce.data()) &&
              EVP_EncryptUpdate(context, nullptr, &length, bytes_of(header), static_cast<int>(header.size())) &&
              EVP_EncryptUpdate(context, bytes_of(out), &length, bytes_of(plain), static_cast<int>(plain.size())) &&
              EVP_EncryptFinal_ex(context, bytes_of(out) + plain.size(), &length) &&
              EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, bytes_of(out) + plain.size());
  EVP_CIPHER_CTX_free(context);
  if (!done) std::abort();
  return out;
}

// Masks the first byte and the packet number (RFC 9001 5.4.1).
inline void protect_header(const InitialKeys& keys, std::string& packet, std::size_t number_at) {
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  unsigned char mask[16];
  int length = 0;
  bool done = EVP_EncryptInit_ex(context, EVP_aes_128_ecb(), nullptr, keys.header_protection.data(), nullptr) &&
              EVP_EncryptUpdate(context, mask, &length, bytes_of(packet) + number_at + 4, 16);
  EVP_CIPHER_CTX_free(context);
  if (!done) std::abort();
  unsigned char* bytes = bytes_of(packet);
  for (int i = 0; i <= (bytes[0] & 3); ++i) bytes[number_at + static_cast<std::size_t>(i)] ^= mask[1 + i];
  bytes[0] ^= mask[0] & 0x0f;
}

// The packet; frames too short to sample the cipher text get padding.
inline std::string seal(const Initial& initial, std::string frames) {
  if (frames.size() < 4) frames += padding(4 - frames.size());
  const std::string& id = initial.keys_of.empty() ? initial.destination_id : initial.keys_of;
  InitialKeys keys = proto::quic::client_initial_keys(initial.version, base::as_bytes(id)).value();
  std::string header = header_of(initial, frames.size());
  std::string packet = header + encrypt(keys, initial.number, header, std::move(frames));
  protect_header(keys, packet, header.size() - static_cast<std::size_t>(initial.number_length));
  return packet;
}

// A long-header packet that tells its length, of type 1 (0-RTT) or 2 (Handshake) in version 1.
inline std::string other_long_packet(unsigned type, std::string_view content = "sealed, with other keys") {
  return number(0xc0 | type << 4, 1) + number(1, 4) + hello_builder::vector_of("id", 1) +
         hello_builder::vector_of("", 1) + varint(content.size()) + std::string(content);
}

}  // namespace initial_builder

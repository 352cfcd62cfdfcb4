// Theory of operation
//
// connection id -> HKDF-Extract with the version's salt -> "client in" -> key, iv, hp, each label by HKDF-Expand-Label
// with an empty context (RFC 9001 5.1, 5.2; RFC 5869; RFC 8446 7.1).
//
// A packet is opened from the outside in: 16 bytes of its cipher text, at the place they have if the packet number
// takes 4 bytes, are encrypted with hp; the result unmasks the first byte's low bits, which tell how long the packet
// number is, and then the number (RFC 9001 5.4). The number, told in full by guessing its high bits, goes into the
// nonce (5.3); the header, unmasked, is what AES-GCM authenticates besides the payload.
//
// A wrong guess, a wrong key and a changed byte look alike: the packet does not open. Nothing is said of the reserved
// bits of the first byte, which a receiver is to look at only now (RFC 9000 17.2).
#include "proto/quic/initial_keys.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>

namespace proto::quic {
namespace {

template <auto free>
struct Freed {
  template <class Any>
  void operator()(Any* object) const {
    free(object);
  }
};
using DigestPtr = std::unique_ptr<EVP_MD, Freed<EVP_MD_free>>;
using DigestContextPtr = std::unique_ptr<EVP_MD_CTX, Freed<EVP_MD_CTX_free>>;
using CipherPtr = std::unique_ptr<EVP_CIPHER, Freed<EVP_CIPHER_free>>;
using CipherContextPtr = std::unique_ptr<EVP_CIPHER_CTX, Freed<EVP_CIPHER_CTX_free>>;

// Looked up once: a fetch by name costs more than everything else here together.
struct Algorithms {
  DigestPtr sha256{EVP_MD_fetch(nullptr, "SHA256", nullptr)};
  CipherPtr aes_gcm{EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr)};
  CipherPtr aes_ecb{EVP_CIPHER_fetch(nullptr, "AES-128-ECB", nullptr)};
};
const Algorithms& algorithms() {
  static const Algorithms fetched;
  return fetched;
}

constexpr std::size_t hash_size = 32;         // SHA-256 (RFC 9001 5.2)
constexpr std::size_t tag_size = 16;          // RFC 9001 5.3
constexpr std::size_t sample_size = 16;       // RFC 9001 5.4.2
constexpr std::size_t max_number_length = 4;  // RFC 9000 17.1

using Secret = std::array<std::uint8_t, hash_size>;

struct Scheme {
  std::array<std::uint8_t, 20> salt;
  std::string_view key, iv, header_protection;  // labels
};
constexpr Scheme v1_scheme = {  // RFC 9001 5.1, 5.2
    {0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17,
     0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a},
    "quic key",
    "quic iv",
    "quic hp"};
constexpr Scheme v2_scheme = {  // RFC 9369 3.3.1, 3.3.2
    {0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93,
     0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9},
    "quicv2 key",
    "quicv2 iv",
    "quicv2 hp"};

// RFC 2104, for keys no longer than a block. OpenSSL's EVP_KDF does the same in four times the time, and refuses the
// connection id of no bytes.
bool hmac(EVP_MD_CTX* context, base::Bytes key, base::Bytes text, Secret& out) {
  constexpr std::size_t block_size = 64;
  auto hash_behind = [&](std::uint8_t pad, base::Bytes bytes) {
    std::array<std::uint8_t, block_size> block;
    block.fill(pad);
    for (std::size_t i = 0; i < key.size(); ++i) block[i] ^= key[i];
    return EVP_DigestInit_ex2(context, algorithms().sha256.get(), nullptr) == 1 &&
           EVP_DigestUpdate(context, block.data(), block.size()) == 1 &&
           EVP_DigestUpdate(context, bytes.data(), bytes.size()) == 1 &&
           EVP_DigestFinal_ex(context, out.data(), nullptr) == 1;
  };
  return hash_behind(0x36, text) && hash_behind(0x5c, out);
}

// HKDF-Expand-Label (RFC 8446 7.1) of up to one hash's length, which HKDF-Expand makes in one round (RFC 5869 2.3).
bool expand_label(EVP_MD_CTX* context, const Secret& secret, std::string_view label, std::span<std::uint8_t> out) {
  constexpr std::string_view prefix = "tls13 ";
  std::array<std::uint8_t, 32> info{};  // the longest, "tls13 quicv2 key", takes 21
  info[1] = static_cast<std::uint8_t>(out.size());
  info[2] = static_cast<std::uint8_t>(prefix.size() + label.size());
  auto end = std::copy(prefix.begin(), prefix.end(), info.begin() + 3);
  end = std::copy(label.begin(), label.end(), end);
  *++end = 1;  // behind a context of no bytes: the number of the round
  Secret round;
  if (!hmac(context, secret, {info.begin(), end + 1}, round)) return false;
  std::copy_n(round.begin(), out.size(), out.begin());
  return true;
}

using Block = std::array<std::uint8_t, 16>;

std::optional<Block> encrypt_block(const std::array<std::uint8_t, 16>& key, base::Bytes block) {
  Block out;
  int length = 0;
  CipherContextPtr context{EVP_CIPHER_CTX_new()};
  bool done = context && EVP_EncryptInit_ex2(context.get(), algorithms().aes_ecb.get(), key.data(), nullptr, nullptr) &&
              EVP_EncryptUpdate(context.get(), out.data(), &length, block.data(), static_cast<int>(block.size()));
  return done && length == static_cast<int>(out.size()) ? std::optional(out) : std::nullopt;
}

// A header with its protection off: the first byte, the bytes that had none, the packet number.
struct Header {
  std::uint8_t first_byte = 0;
  base::Bytes middle;
  std::array<std::uint8_t, max_number_length> number_bytes{};
  std::size_t number_length = 0;
  std::uint64_t truncated_number = 0;
};

// RFC 9001 5.4.1
std::optional<Header> unmask_header(const Packet& packet, const InitialKeys& keys) {
  std::size_t sample_at = packet.number_at + max_number_length;
  if (packet.bytes.size() < sample_at + sample_size) return std::nullopt;
  auto mask = encrypt_block(keys.header_protection, packet.bytes.subspan(sample_at, sample_size));
  if (!mask) return std::nullopt;
  Header header;
  header.first_byte = packet.bytes[0] ^ ((*mask)[0] & 0x0f);
  header.middle = packet.bytes.subspan(1, packet.number_at - 1);
  header.number_length = (header.first_byte & 3) + std::size_t{1};
  for (std::size_t i = 0; i < header.number_length; ++i) {
    header.number_bytes[i] = packet.bytes[packet.number_at + i] ^ (*mask)[1 + i];
    header.truncated_number = header.truncated_number << 8 | header.number_bytes[i];
  }
  return header;
}

// RFC 9001 5.3
std::array<std::uint8_t, 12> nonce_of(const InitialKeys& keys, std::uint64_t number) {
  auto nonce = keys.iv;
  for (std::size_t i = 0; i < 8; ++i) nonce[nonce.size() - 1 - i] ^= static_cast<std::uint8_t>(number >> 8 * i);
  return nonce;
}

bool authenticate(EVP_CIPHER_CTX* context, base::Bytes bytes) {
  int length = 0;
  return EVP_DecryptUpdate(context, nullptr, &length, bytes.data(), static_cast<int>(bytes.size())) == 1;
}

// `sealed` ends in the tag. OpenSSL does not change the tag that it is given, though its parameter is not const.
bool decrypt(EVP_CIPHER_CTX* context, base::Bytes sealed, std::vector<std::uint8_t>& plain) {
  base::Bytes tag = sealed.last(tag_size);
  plain.resize(sealed.size() - tag_size);
  int length = 0, rest = 0;
  return EVP_DecryptUpdate(context, plain.data(), &length, sealed.data(), static_cast<int>(plain.size())) == 1 &&
         EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, tag_size, const_cast<std::uint8_t*>(tag.data())) == 1 &&
         EVP_DecryptFinal_ex(context, plain.data() + length, &rest) == 1;
}

}  // namespace

bool load_initial_algorithms() {
  return client_initial_keys(Version::v1, {}) && algorithms().aes_gcm && algorithms().aes_ecb;
}

std::optional<InitialKeys> client_initial_keys(Version version, base::Bytes destination_id) {
  const Scheme& scheme = version == Version::v1 ? v1_scheme : v2_scheme;
  DigestContextPtr context{EVP_MD_CTX_new()};
  Secret initial, client;
  InitialKeys keys;
  bool derived = context && hmac(context.get(), scheme.salt, destination_id, initial) &&  // HKDF-Extract
                 expand_label(context.get(), initial, "client in", client) &&
                 expand_label(context.get(), client, scheme.key, keys.key) &&
                 expand_label(context.get(), client, scheme.iv, keys.iv) &&
                 expand_label(context.get(), client, scheme.header_protection, keys.header_protection);
  return derived ? std::optional(keys) : std::nullopt;
}

std::uint64_t decode_packet_number(std::uint64_t largest, std::uint64_t truncated, unsigned bits) {
  constexpr std::uint64_t number_limit = std::uint64_t{1} << 62;  // RFC 9000 12.3
  std::uint64_t expected = largest + 1, window = std::uint64_t{1} << bits, half = window / 2;
  std::uint64_t candidate = (expected & ~(window - 1)) | truncated;
  if (candidate + half <= expected && candidate < number_limit - window) return candidate + window;
  if (candidate > expected + half && candidate >= window) return candidate - window;
  return candidate;
}

std::optional<OpenedPacket> open_initial(const Packet& packet, const InitialKeys& keys, std::uint64_t largest) {
  std::optional<Header> header = unmask_header(packet, keys);
  if (!header) return std::nullopt;
  base::Bytes sealed = packet.bytes.subspan(packet.number_at + header->number_length);
  if (sealed.size() <= tag_size) return std::nullopt;  // a packet without frames is none (RFC 9000 12.4)

  OpenedPacket opened;
  opened.number =
      decode_packet_number(largest, header->truncated_number, static_cast<unsigned>(header->number_length) * 8);
  auto nonce = nonce_of(keys, opened.number);
  CipherContextPtr context{EVP_CIPHER_CTX_new()};
  bool authentic =
      context &&
      EVP_DecryptInit_ex2(context.get(), algorithms().aes_gcm.get(), keys.key.data(), nonce.data(), nullptr) == 1 &&
      authenticate(context.get(), {&header->first_byte, 1}) && authenticate(context.get(), header->middle) &&
      authenticate(context.get(), base::Bytes(header->number_bytes).first(header->number_length)) &&
      decrypt(context.get(), sealed, opened.payload);
  return authentic ? std::optional(std::move(opened)) : std::nullopt;
}

}  // namespace proto::quic

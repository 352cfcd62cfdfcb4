// An Initial that opens under two connections' keys. AES-GCM does not commit to its key: for two of them, one block of
// the cipher text can be chosen so that one tag is right for both (the tag is linear in each block; "invisible
// salamanders", Dodis et al. 2018). Header protection is a guess away.
#pragma once

#include <random>

#include "tests/unit/proto/quic/initial_builder.hpp"

namespace two_keys {

using initial_builder::bytes_of;
using proto::quic::InitialKeys;

using Element = unsigned __int128;  // of GF(2^128), most significant bit first (NIST SP 800-38D 6.3)

inline Element multiply(Element a, Element b) {
  Element product = 0;
  for (int bit = 127; bit >= 0; --bit) {
    if (a >> bit & 1) product ^= b;
    b = b & 1 ? b >> 1 ^ Element { 0xe1 } << 120 : b >> 1;
  }
  return product;
}
inline Element power(Element base, Element exponent) {
  Element result = Element{1} << 127;  // one
  for (; exponent > 0; exponent >>= 1, base = multiply(base, base))
    if (exponent & 1) result = multiply(result, base);
  return result;
}

inline Element load(std::string_view block) {
  Element value = 0;
  for (std::size_t i = 0; i < 16; ++i)
    value = value << 8 | (i < block.size() ? static_cast<unsigned char>(block[i]) : 0);
  return value;
}
inline std::string store(Element value) {
  return initial_builder::number(static_cast<std::uint64_t>(value >> 64), 8) +
         initial_builder::number(static_cast<std::uint64_t>(value), 8);
}

inline std::string encrypt_block(const std::array<std::uint8_t, 16>& key, std::string block) {
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  std::string out(16, '\0');
  int length = 0;
  if (!EVP_EncryptInit_ex(context, EVP_aes_128_ecb(), nullptr, key.data(), nullptr) ||
      !EVP_EncryptUpdate(context, bytes_of(out), &length, bytes_of(block), 16))
    std::abort();
  EVP_CIPHER_CTX_free(context);
  return out;
}

// One of the two readers: what it makes of the header, and the tag that it computes.
struct Reader {
  InitialKeys keys;
  std::string mask, header;

  Element hash_key() const { return load(encrypt_block(keys.key, std::string(16, '\0'))); }
  Element tag(const std::string& text) const {
    Element hash = 0, key = hash_key();
    for (std::string_view part : {std::string_view(header), std::string_view(text)})
      for (; !part.empty(); part.remove_prefix(std::min<std::size_t>(16, part.size())))
        hash = multiply(hash ^ load(part), key);
    hash = multiply(hash ^ (Element{header.size() * 8} << 64 | text.size() * 8), key);
    auto nonce = keys.iv;
    for (std::size_t i = 0; i < 4; ++i) nonce[8 + i] ^= static_cast<std::uint8_t>(header[header.size() - 4 + i]);
    return hash ^ load(encrypt_block(keys.key, std::string(nonce.begin(), nonce.end()) + std::string("\0\0\0\1", 4)));
  }
};

// Sent to `id`; it opens under the keys of `id` and under those of `other_id`.
inline std::string packet(const std::string& id, const std::string& other_id) {
  auto keys_of = [](const std::string& of) {
    return proto::quic::client_initial_keys(proto::quic::Version::v1, base::as_bytes(of)).value();
  };
  Reader one{.keys = keys_of(id), .mask = {}, .header = {}}, two{.keys = keys_of(other_id), .mask = {}, .header = {}};
  constexpr std::size_t blocks = 8, free_block = 3;
  std::mt19937 random(1);
  std::string text(16 * blocks, '\0');
  do {  // until both read a number of four bytes; the sample is the first block (RFC 9001 5.4.2)
    for (std::size_t i = 0; i < 16; ++i) text[i] = static_cast<char>(random());
    one.mask = encrypt_block(one.keys.header_protection, text.substr(0, 16));
    two.mask = encrypt_block(two.keys.header_protection, text.substr(0, 16));
  } while (((one.mask[0] ^ two.mask[0]) & 3) != 0);

  std::string sent = initial_builder::header_of({.destination_id = id, .number_length = 4}, text.size());
  sent[0] = static_cast<char>(sent[0] ^ (one.mask[0] & 3));
  for (Reader* reader : {&one, &two}) {
    reader->header = sent;
    reader->header[0] = static_cast<char>(sent[0] ^ (reader->mask[0] & 0x0f));
    for (std::size_t i = 0, at = sent.size() - 4; i < 4; ++i)
      reader->header[at + i] = static_cast<char>(sent[at + i] ^ reader->mask[1 + i]);
  }
  Element exponent = blocks - free_block + 1;  // the blocks from it on, and the lengths
  Element sum = power(one.hash_key(), exponent) ^ power(two.hash_key(), exponent);
  Element inverse = power(sum, ~Element{1});  // a to the 2^128 - 2
  text.replace(16 * free_block, 16, store(multiply(one.tag(text) ^ two.tag(text), inverse)));
  return sent + text + store(one.tag(text));
}

}  // namespace two_keys

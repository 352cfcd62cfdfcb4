// Theory of operation
//
// An Accounting-Request is signed by its own authenticator: MD5 over the packet with sixteen zeros in the authenticator's
// place, then the secret (RFC 2866 3). Status-Server has a random authenticator and is signed by Message-Authenticator,
// HMAC-MD5 over the packet with zeros in that attribute's place (RFC 5997 3). An Accounting-Request that has one is
// signed inside out: first the HMAC, with zeros for the authenticator, then the authenticator over both, as FreeRADIUS
// does and its peers with it. A response is signed over the request's authenticator (RFC 2866 3).
#include "proto/radius/packet.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <initializer_list>
#include <memory>
#include <optional>

#include "base/byte_reader.hpp"

namespace proto::radius {
namespace {

constexpr std::uint8_t proxy_state = 33, message_authenticator = 80;
constexpr std::size_t authenticator_at = 4;

template <auto free>
struct Freed {
  template <class Any>
  void operator()(Any* object) const {
    free(object);
  }
};
using DigestPtr = std::unique_ptr<EVP_MD, Freed<EVP_MD_free>>;
using ContextPtr = std::unique_ptr<EVP_MD_CTX, Freed<EVP_MD_CTX_free>>;

// Once: a fetch by name costs more than a digest.
const EVP_MD* md5() {
  static const DigestPtr fetched{EVP_MD_fetch(nullptr, "MD5", nullptr)};
  return fetched.get();
}

std::optional<Authenticator> digest(std::initializer_list<base::Bytes> parts) {
  ContextPtr context{EVP_MD_CTX_new()};
  Authenticator out;
  if (!context || md5() == nullptr || EVP_DigestInit_ex2(context.get(), md5(), nullptr) != 1) return std::nullopt;
  for (base::Bytes part : parts)
    if (EVP_DigestUpdate(context.get(), part.data(), part.size()) != 1) return std::nullopt;
  if (EVP_DigestFinal_ex(context.get(), out.data(), nullptr) != 1) return std::nullopt;
  return out;
}

// RFC 2104.
std::optional<Authenticator> hmac(base::Bytes key, base::Bytes text) {
  constexpr std::size_t block_size = 64;
  std::optional<Authenticator> short_key;
  if (key.size() > block_size) {
    short_key = digest({key});
    if (!short_key) return std::nullopt;
    key = *short_key;
  }
  std::array<std::uint8_t, block_size> inner, outer;
  inner.fill(0x36);
  outer.fill(0x5c);
  for (std::size_t i = 0; i < key.size(); ++i) {
    inner[i] ^= key[i];
    outer[i] ^= key[i];
  }
  auto once = digest({inner, text});
  return once ? digest({outer, *once}) : std::nullopt;
}

bool same(base::Bytes a, base::Bytes b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;  // tells nothing by its time
}

void put(std::string& packet, std::size_t at, base::Bytes bytes) {
  std::copy(bytes.begin(), bytes.end(), packet.begin() + static_cast<std::ptrdiff_t>(at));
}

constexpr Authenticator zeros{};

// What is signed: `packet` with another authenticator, and zeros in Message-Authenticator.
std::string with_authenticator(base::Bytes packet, const Authenticator& authenticator) {
  std::string copy(base::as_text(packet));
  put(copy, authenticator_at, authenticator);
  return copy;
}

// Of Message-Authenticator's value in the packet; nullopt: there is none. More than one, or of another size: 0.
std::optional<std::size_t> message_authenticator_at(const Packet& packet) {
  std::optional<std::size_t> at;
  for (const Attribute& attribute : packet.attributes) {
    if (attribute.type != message_authenticator) continue;
    bool fine = !at && attribute.value.size() == sizeof(Authenticator);
    at = fine ? static_cast<std::size_t>(attribute.value.data() - packet.bytes.data()) : 0;
  }
  return at;
}

bool message_is_authentic(const Packet& packet, std::size_t at, const Authenticator& authenticator,
                          std::string_view secret) {
  if (at == 0) return false;
  std::string text = with_authenticator(packet.bytes, authenticator);
  put(text, at, zeros);
  auto wanted = hmac(base::as_bytes(secret), base::as_bytes(text));
  return wanted && same(*wanted, packet.bytes.subspan(at, wanted->size()));
}

std::string header(std::uint8_t code, std::uint8_t id, std::size_t attributes) {
  std::size_t length = header_size + attributes;
  std::string text(header_size, '\0');
  text[0] = static_cast<char>(code);
  text[1] = static_cast<char>(id);
  text[2] = static_cast<char>(length >> 8);
  text[3] = static_cast<char>(length & 0xff);
  return text;
}

}  // namespace

Parse<Packet> parse_packet(base::Bytes datagram) {
  base::ByteReader head(datagram);
  Packet packet;
  packet.code = head.u8();
  packet.id = head.u8();
  std::size_t length = head.u16();
  base::Bytes authenticator = head.take(sizeof(Authenticator));
  if (!head.ok()) return Malformed{"radius: shorter than its header"};
  if (length < header_size || length > longest_packet) return Malformed{"radius: a length out of 20 to 4096"};
  if (length > datagram.size()) return Malformed{"radius: shorter than it says"};
  std::copy(authenticator.begin(), authenticator.end(), packet.authenticator.begin());
  packet.bytes = datagram.first(length);
  base::ByteReader rest(packet.bytes.subspan(header_size));
  while (!rest.at_end()) {
    std::uint8_t type = rest.u8(), size = rest.u8();
    if (!rest.ok() || size < 2) return Malformed{"radius: an attribute shorter than its own head"};  // RFC 2865 5
    base::Bytes value = rest.take(size - std::size_t{2});
    if (!rest.ok()) return Malformed{"radius: an attribute that leaves its packet"};
    packet.attributes.push_back({type, value});
  }
  return packet;
}

bool is_authentic(const Packet& request, std::string_view secret) {
  auto message_at = message_authenticator_at(request);
  if (request.code == status_server)
    return message_at && message_is_authentic(request, *message_at, request.authenticator, secret);
  if (request.code != accounting_request) return false;
  std::string text = with_authenticator(request.bytes, zeros);
  auto wanted = digest({base::as_bytes(text), base::as_bytes(secret)});
  if (!wanted || !same(*wanted, request.authenticator)) return false;
  return !message_at || message_is_authentic(request, *message_at, zeros, secret);
}

std::string make_response(const Packet& request, std::string_view secret) {
  std::string attributes;
  bool signs_message = false;
  for (const Attribute& attribute : request.attributes) {
    signs_message |= attribute.type == message_authenticator;
    if (attribute.type != proxy_state) continue;
    attributes += static_cast<char>(attribute.type);
    attributes += static_cast<char>(attribute.value.size() + 2);
    attributes += base::as_text(attribute.value);
  }
  if (signs_message) attributes.insert(0, std::string("\x50\x12", 2) + std::string(sizeof(Authenticator), '\0'));
  if (header_size + attributes.size() > longest_packet) return {};
  std::string response = header(accounting_response, request.id, attributes.size()) + attributes;
  put(response, authenticator_at, request.authenticator);
  if (signs_message) {
    auto code = hmac(base::as_bytes(secret), base::as_bytes(response));
    if (!code) return {};
    put(response, header_size + 2, *code);
  }
  auto signature = digest({base::as_bytes(response), base::as_bytes(secret)});
  if (!signature) return {};
  put(response, authenticator_at, *signature);
  return response;
}

std::string make_request(std::uint8_t code, std::uint8_t id, std::string_view attributes, std::string_view secret) {
  std::string text = header(code, id, attributes.size()) + std::string(attributes);
  auto parsed = parse_packet(base::as_bytes(text));
  auto* packet = std::get_if<Packet>(&parsed);
  if (packet == nullptr) return {};
  if (auto at = message_authenticator_at(*packet); at && *at != 0) {
    std::string unsigned_text = text;
    put(unsigned_text, *at, zeros);
    auto code_of_message = hmac(base::as_bytes(secret), base::as_bytes(unsigned_text));
    if (!code_of_message) return {};
    put(text, *at, *code_of_message);
  }
  if (code == status_server) return text;
  auto signature = digest({base::as_bytes(text), base::as_bytes(secret)});
  if (!signature) return {};
  put(text, authenticator_at, *signature);
  return text;
}

}  // namespace proto::radius

// RADIUS as an accounting server meets it (RFC 2865, RFC 2866; Status-Server: RFC 5997). Bytes and values, no socket.
//
// Order of trust: parse_packet reads nothing but lengths; is_authentic tells whether whoever knows the secret has sent
// these bytes; only then read_accounting looks into attributes (accounting.hpp). MD5 is what the RFCs have: RADIUS
// belongs on a management network, and the secret should be long (32 random characters).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "proto/parse.hpp"

namespace proto::radius {

using Authenticator = std::array<std::uint8_t, 16>;

inline constexpr std::uint8_t accounting_request = 4, accounting_response = 5, status_server = 12;
inline constexpr std::size_t header_size = 20, longest_packet = 4096;  // RFC 2865 3

struct Attribute {
  std::uint8_t type = 0;
  base::Bytes value;  // of the datagram
};

struct Packet {
  std::uint8_t code = 0;
  std::uint8_t id = 0;
  Authenticator authenticator{};
  std::vector<Attribute> attributes;
  base::Bytes bytes;  // the packet itself: what follows in the datagram is padding (RFC 2865 3)
};

// Views into `datagram`. Malformed: shorter than it says, a length out of 20 to 4096, attributes that do not fill it.
Parse<Packet> parse_packet(base::Bytes datagram);

// Accounting-Request: the Request Authenticator (RFC 2866 3), and Message-Authenticator if there is one. Status-Server:
// Message-Authenticator, which it must have (RFC 5997 3). Other codes: never.
bool is_authentic(const Packet& request, std::string_view secret);

// What acknowledges `request`, signed: Accounting-Response, with its Proxy-State attributes as they came (RFC 2866 5),
// and with a Message-Authenticator if it had one. Empty if it would not fit, or there is no MD5 (FIPS).
std::string make_response(const Packet& request, std::string_view secret);

// For tests and tools: a packet of `code` with `attributes` (encoded), signed as is_authentic wants it.
std::string make_request(std::uint8_t code, std::uint8_t id, std::string_view attributes, std::string_view secret);

}  // namespace proto::radius

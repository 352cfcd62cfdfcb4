// The TLS ClientHello at the start of a TCP stream, read without consuming it (RFC 8446 4.1.2, RFC 6066 3).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/domain_name.hpp"
#include "proto/parse.hpp"

namespace proto::tls {

// Above this a hello is refused: the largest seen in the wild is 11.4 KB.
inline constexpr std::size_t hello_limit = 64 * 1024;  // bytes of the stream, record headers included

struct ClientHello {
  std::optional<base::DomainName> server_name;  // nullopt: no server_name extension, or an address in it
  std::vector<std::string> alpn;                // as offered, GREASE left out
  bool ech_offered = false;                     // extension 0xfe0d; browsers send it as GREASE too (FACTS 2.1)
  std::uint16_t version = 0;                    // highest offered; GREASE and drafts left out
  std::size_t stream_length = 0;                // bytes of the stream that the hello took, record headers included
};

// `stream` is everything the client has sent so far, from its first byte. Records are reassembled across any number of
// segments, the message across any number of records. Malformed: not a ClientHello, contradicts itself (an extension
// twice, two host names, lengths that do not add up), an SNI that is neither a host name nor an address, or over
// hello_limit. NeedMore: `at_least` is what the shortest hello with this beginning would take, never more.
Parse<ClientHello> parse_client_hello(base::Bytes stream);

// The same for a handshake message without records, as QUIC carries it (RFC 9001 4.1.3). `stream_length` is the
// message's length with its header; what follows it (a second hello after a HelloRetryRequest) is not looked at.
Parse<ClientHello> parse_client_hello_message(base::Bytes message);

}  // namespace proto::tls

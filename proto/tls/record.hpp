// The record layer of a TLS stream before any key exists (RFC 8446 5.1): the first handshake message, out of its
// records.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/bytes.hpp"
#include "proto/parse.hpp"

namespace proto::tls {

inline constexpr std::size_t record_header_size = 5;   // type, version, length
inline constexpr std::size_t message_header_size = 4;  // type, 24-bit length
// RFC 8446 5.1: "the length MUST NOT exceed 2^14 bytes". The slack of 256 (2048 in TLS 1.2) is for encrypted records.
inline constexpr std::size_t max_fragment_size = 1 << 14;

inline constexpr std::uint8_t client_hello_type = 1;  // RFC 8446 4

struct FirstMessage {
  std::vector<std::uint8_t> bytes;  // with its header
  std::size_t stream_length = 0;    // bytes of the stream that it took, record headers included
};

// `stream` begins with the first byte that the client sent. Malformed as soon as the bytes so far cannot begin a
// ClientHello, or when the message cannot end within `limit` bytes of the stream. Only headers are walked until the
// message is complete, so that asking again for each byte that arrives is cheap.
Parse<FirstMessage> read_client_hello_message(base::Bytes stream, std::size_t limit);

}  // namespace proto::tls

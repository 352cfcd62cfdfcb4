// What an origin says first after a ClientHello: does it ask for another one?
#pragma once

#include <cstddef>

#include "base/bytes.hpp"
#include "proto/parse.hpp"

namespace proto::tls {

enum class ServerAnswer {
  hello_retry_request,  // RFC 8446 4.1.4: another ClientHello follows, in the clear
  other,                // a ServerHello, an alert that ends the connection, or no TLS at all
};

// Nobody needs this many bytes to say which: 38 bytes of a message in one-byte records are 228 of the stream.
inline constexpr std::size_t server_answer_limit = 1024;

// `stream` begins with the first byte that the origin sent after the hello; the message may be cut over any number of
// records. An answer is never taken back by more bytes. Malformed: none within server_answer_limit.
Parse<ServerAnswer> read_server_answer(base::Bytes stream);

}  // namespace proto::tls

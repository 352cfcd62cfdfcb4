// Theory of operation
//
// A HelloRetryRequest is a ServerHello whose random is a fixed value (RFC 8446 4.1.3). So the answer is there with the
// first byte that differs from it (a random that begins like it by chance: one more byte), or with the last of its 38
// bytes: type, length, version, random. Length and version may be anything: to take a broken HelloRetryRequest for one
// means to look at what the client says next, to miss one means not to look.
//
// Warning alerts are stepped over, as clients do: some servers send unrecognized_name before the ServerHello (RFC 6066
// 3). Anything else than a handshake record may not come first and is `other`: a client would not go on with it.
#include "proto/tls/server_answer.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

#include "proto/tls/record.hpp"

namespace proto::tls {
namespace {

constexpr std::uint8_t alert_record = 21, handshake_record = 22;  // RFC 8446 5.1
constexpr std::uint8_t major_version = 3;
constexpr std::uint8_t warning_level = 1;      // RFC 8446 6
constexpr std::uint8_t server_hello_type = 2;  // RFC 8446 4

// SHA-256 of "HelloRetryRequest", RFC 8446 4.1.3
constexpr std::array<std::uint8_t, 32> retry_random = {0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c,
                                                       0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb,
                                                       0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c};
constexpr std::size_t random_begin = message_header_size + 2;  // behind legacy_version
constexpr std::size_t random_end = random_begin + retry_random.size();

bool may_begin_record(base::Bytes bytes) {
  if (!bytes.empty() && bytes[0] != handshake_record && bytes[0] != alert_record) return false;
  return bytes.size() < 2 || bytes[1] == major_version;
}

// Whether a HelloRetryRequest may have this byte at this place.
bool fits(std::size_t place, std::uint8_t byte) {
  if (place == 0) return byte == server_hello_type;
  return place < random_begin || byte == retry_random[place - random_begin];
}

Parse<ServerAnswer> need_more(base::Bytes stream) {
  if (stream.size() >= server_answer_limit) return Malformed{"no answer to a hello within its limit"};
  return NeedMore{stream.size() + 1};
}

}  // namespace

Parse<ServerAnswer> read_server_answer(base::Bytes stream) {
  std::size_t gathered = 0;  // of the message
  for (base::Bytes rest = stream;;) {
    if (!may_begin_record(rest)) return ServerAnswer::other;
    if (rest.size() < record_header_size) return need_more(stream);
    std::size_t length = std::size_t{rest[3]} << 8 | rest[4];
    bool is_alert = rest[0] == alert_record;
    rest = rest.subspan(record_header_size);
    base::Bytes fragment = rest.first(std::min(rest.size(), length));
    if (is_alert) {
      if (!fragment.empty() && fragment[0] != warning_level) return ServerAnswer::other;
    } else {
      for (std::uint8_t byte : fragment) {
        if (!fits(gathered++, byte)) return ServerAnswer::other;
        if (gathered == random_end) return ServerAnswer::hello_retry_request;
      }
    }
    if (fragment.size() < length) return need_more(stream);
    rest = rest.subspan(length);
  }
}

}  // namespace proto::tls

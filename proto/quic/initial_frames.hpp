// The frames of an Initial packet (RFC 9000 17.2.2, 19).
#pragma once

#include <cstdint>
#include <variant>
#include <vector>

#include "base/bytes.hpp"
#include "proto/parse.hpp"

namespace proto::quic {

struct CryptoFrame {
  std::uint64_t offset = 0;
  base::Bytes data;  // points into the payload
};

// The CRYPTO frames, in their order. PADDING, PING, ACK and CONNECTION_CLOSE are stepped over; any other frame is
// refused, as it must be by a server.
std::variant<std::vector<CryptoFrame>, Malformed> read_initial_frames(base::Bytes payload);

}  // namespace proto::quic

// QUIC's numbers of variable length (RFC 9000 16): the two high bits of the first byte say how many bytes there are.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "base/byte_reader.hpp"

namespace proto::quic {

inline std::uint64_t read_varint(base::ByteReader& reader) {
  std::uint8_t first = reader.u8();
  std::uint64_t value = first & 0x3f;
  for (std::uint8_t byte : reader.take((std::size_t{1} << (first >> 6)) - 1)) value = value << 8 | byte;
  return reader.ok() ? value : 0;
}

// A length that is more than a machine can address is as much as it can, not what is left of it.
inline std::size_t read_length(base::ByteReader& reader) {
  constexpr std::uint64_t most = std::numeric_limits<std::size_t>::max();
  return static_cast<std::size_t>(std::min(read_varint(reader), most));
}

}  // namespace proto::quic

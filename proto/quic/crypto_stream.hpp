// The bytes that a client has sent in the CRYPTO frames of one connection's Initials (RFC 9000 7.5, 19.6), gathered in
// any order. One value per position: two receivers that disagree about which of two overlapping frames counts (RFC 9000
// 2.2 leaves it to them) could read two hellos.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.hpp"

namespace proto::quic {

class CryptoStream {
 public:
  // The largest hello seen in the wild takes 11.4 KB; RFC 9000 7.5 has servers hold 4 KiB at least.
  static constexpr std::size_t limit = 16 * 1024;

  enum class Added {
    yes,       // or known already, with the same value
    conflict,  // another value at a known position; what is known stays
    too_long,  // beyond the limit
  };
  [[nodiscard]] Added add(std::uint64_t offset, base::Bytes data);

  base::Bytes prefix() const { return base::Bytes(bytes_).first(prefix_); }  // from position 0 to the first gap
  std::size_t end() const { return bytes_.size(); }                          // behind the last position that is known

 private:
  std::vector<std::uint8_t> bytes_;
  std::vector<bool> known_;  // of each byte. Not ranges: frames of one byte each would make thousands of them
  std::size_t prefix_ = 0;
};

}  // namespace proto::quic

// A binary fuse filter with 8-bit fingerprints (Graf & Lemire, "Binary Fuse Filters: Fast and Smaller Than Xor
// Filters", 2022): three table look-ups say "certainly not a member" for 255 of 256 keys that are none. rules/ builds
// it (fuse_builder.hpp); both take the arithmetic from here.
//
// The table is cut into segments of a power of two; the three positions of a key lie in neighbouring segments. A member
// has the exclusive or of its three bytes equal to its fingerprint.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/bytes.hpp"

namespace policy {

struct FuseShape {
  std::uint64_t seed = 0;
  std::uint32_t segment_length = 0;  // a power of two
  std::uint32_t segment_count = 0;   // where a key's first position may be; the table has two more segments

  std::uint64_t table_size() const { return (std::uint64_t{segment_count} + 2) * segment_length; }

  // Of a key that is a good hash already: remixed, so that the filter errs independently of the table behind it
  // (the finalizer of MurmurHash3).
  std::uint64_t hash(std::uint64_t key) const {
    std::uint64_t h = key + seed;
    h = (h ^ (h >> 33)) * 0xff51afd7ed558ccdULL;
    h = (h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53ULL;
    return h ^ (h >> 33);
  }
  static std::uint8_t fingerprint(std::uint64_t hash) { return static_cast<std::uint8_t>(hash ^ (hash >> 32)); }

  std::array<std::uint32_t, 3> positions(std::uint64_t hash) const {
    // The upper half spread over the first positions. Tables are far below 2^32, so no 128-bit product is needed.
    std::uint64_t reach = std::uint64_t{segment_count} * segment_length;
    auto first = static_cast<std::uint32_t>((hash >> 32) * reach >> 32);
    std::uint32_t mask = segment_length - 1;
    std::uint32_t second = (first + segment_length) ^ (static_cast<std::uint32_t>(hash >> 18) & mask);
    std::uint32_t third = (first + 2 * segment_length) ^ (static_cast<std::uint32_t>(hash) & mask);
    return {first, second, third};
  }
};

class FuseFilter {
 public:
  FuseFilter() = default;  // lets everything pass
  // `table` is shape.table_size() bytes; nullopt if it is not.
  static std::optional<FuseFilter> over(const FuseShape& shape, base::Bytes table) {
    bool power_of_two = shape.segment_length != 0 && (shape.segment_length & (shape.segment_length - 1)) == 0;
    if (!power_of_two || shape.segment_count == 0 || shape.table_size() != table.size() || table.size() > 0xffffffff)
      return std::nullopt;
    FuseFilter filter;
    filter.shape_ = shape;
    filter.table_ = table.data();
    return filter;
  }
  bool is_empty() const { return table_ == nullptr; }

  // What may_contain will read, on its way into the cache.
  std::uint64_t prefetch(std::uint64_t key) const {
    if (is_empty()) return 0;
    std::uint64_t hash = shape_.hash(key);
    for (std::uint32_t position : shape_.positions(hash)) __builtin_prefetch(table_ + position);
    return hash;
  }
  // `hash` from prefetch().
  bool may_contain(std::uint64_t hash) const {
    if (is_empty()) return true;
    auto [a, b, c] = shape_.positions(hash);
    return FuseShape::fingerprint(hash) == (table_[a] ^ table_[b] ^ table_[c]);
  }

 private:
  FuseShape shape_;
  const std::uint8_t* table_ = nullptr;
};

}  // namespace policy

// The only way untrusted bytes are read: a cursor that cannot overrun.
//
// A read past the end sets a failure that stays set and returns zero (or an empty view), so that a parser may read a
// run of fields and ask ok() once. A length-prefixed field is read with sub(), which gives a reader of its own that
// the caller checks with at_end(): "decoded, and nothing left over". Numbers are in network byte order.
#pragma once

#include "base/bytes.hpp"

namespace base {

class ByteReader {
 public:
  explicit ByteReader(Bytes bytes) : rest_(bytes) {}

  bool ok() const { return ok_; }
  bool at_end() const { return ok_ && rest_.empty(); }
  std::size_t remaining() const { return rest_.size(); }
  Bytes rest() const { return rest_; }

  std::uint8_t u8() { return static_cast<std::uint8_t>(number(1)); }
  std::uint16_t u16() { return static_cast<std::uint16_t>(number(2)); }
  std::uint32_t u24() { return static_cast<std::uint32_t>(number(3)); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(number(4)); }
  std::uint64_t u64() { return number(8); }

  Bytes take(std::size_t count) {
    if (!ok_ || count > rest_.size()) return fail(), Bytes{};
    Bytes taken = rest_.first(count);
    rest_ = rest_.subspan(count);
    return taken;
  }
  void skip(std::size_t count) { take(count); }

  // A reader over the next `count` bytes; failed from the start if they are not there.
  ByteReader sub(std::size_t count) {
    bool enough = ok_ && count <= rest_.size();
    ByteReader inner{take(count)};
    inner.ok_ = enough;
    return inner;
  }
  ByteReader sub_u8() { return sub(u8()); }
  ByteReader sub_u16() { return sub(u16()); }

  void fail() {
    ok_ = false;
    rest_ = {};
  }

 private:
  std::uint64_t number(std::size_t width) {
    std::uint64_t value = 0;
    for (std::uint8_t byte : take(width)) value = value << 8 | byte;
    return value;
  }

  Bytes rest_;
  bool ok_ = true;
};

}  // namespace base

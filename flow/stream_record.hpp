// Theory: stream_record.cpp. What is known of the first bytes of one direction of a TCP stream: one value a position.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/bytes.hpp"

namespace flow {

class StreamRecord {
 public:
  // `anchor` is the sequence number of the stream's first byte; positions from anchor + `cap` on are never recorded.
  StreamRecord(std::uint32_t anchor, std::size_t cap) : anchor_(anchor), cap_(cap) {}

  enum class Added {
    nothing,   // no byte at or behind the anchor
    known,     // each byte was known, with the same value
    recorded,  // some were new, and are known now
    conflict,  // another value for a position that is known: nothing was recorded
    full,      // it reaches beyond the cap, or would leave too many gaps: nothing was recorded
  };
  // Bytes below the anchor are left out.
  Added add(std::uint32_t sequence, base::Bytes bytes);

  // The stream so far: everything from the anchor to the first gap. Valid until the next add().
  base::Bytes prefix() const;
  bool empty() const { return pieces_.empty(); }
  std::uint32_t anchor() const { return anchor_; }
  // How many bytes from `sequence` on stay within the cap.
  std::size_t room(std::uint32_t sequence) const;

  // Pieces between gaps. Segments of 1,460 bytes, each second one lost, leave 23 pieces in 64 KiB.
  static constexpr std::size_t piece_limit = 64;

 private:
  struct Piece {
    std::size_t begin = 0;  // position, counted from the anchor
    std::vector<std::uint8_t> bytes;
    std::size_t end() const { return begin + bytes.size(); }
  };
  using Pieces = std::vector<Piece>;

  std::int64_t position(std::uint32_t sequence) const;
  void merge(Pieces::iterator first, Pieces::iterator last, std::size_t begin, base::Bytes bytes);

  std::uint32_t anchor_;
  std::size_t cap_;
  Pieces pieces_;  // sorted, with a gap between any two
};

}  // namespace flow

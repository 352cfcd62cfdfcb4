// One direction of a TCP stream in order: segments may come out of order, twice, and overlapping. Of two values for one
// byte the first stays, as most receivers have it.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "base/bytes.hpp"

namespace replay {

class Reassembly {
 public:
  // What waits behind a gap; beyond it the stream is given up (a capture that has lost a packet never fills it).
  static constexpr std::size_t limit = 1 << 20;

  explicit Reassembly(std::uint32_t first_sequence) : next_(first_sequence) {}
  void add(std::uint32_t sequence, base::Bytes bytes);
  // What is in order and was not consumed yet. Valid until the next call.
  base::Bytes ready() const { return base::Bytes(ready_).subspan(consumed_); }
  void consume(std::size_t count);
  bool given_up() const { return given_up_; }
  void give_up();
  std::size_t memory() const { return ready_.size() + waiting_bytes_; }

 private:
  void append(base::Bytes bytes);

  std::uint32_t next_;          // sequence number behind ready_
  std::uint64_t position_ = 0;  // of next_, counted from the first byte
  std::vector<std::uint8_t> ready_;
  std::size_t consumed_ = 0;
  std::map<std::uint64_t, std::vector<std::uint8_t>> waiting_;  // by position; no two overlap
  std::size_t waiting_bytes_ = 0;
  bool given_up_ = false;
};

}  // namespace replay

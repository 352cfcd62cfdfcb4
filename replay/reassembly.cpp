#include "replay/reassembly.hpp"

#include <algorithm>

namespace replay {

void Reassembly::add(std::uint32_t sequence, base::Bytes bytes) {
  if (given_up_ || bytes.empty()) return;
  auto ahead = static_cast<std::int32_t>(sequence - next_);
  if (ahead < 0) {  // sent again, perhaps with more behind it
    auto known = static_cast<std::size_t>(-static_cast<std::int64_t>(ahead));
    if (known >= bytes.size()) return;
    bytes = bytes.subspan(known);
    ahead = 0;
  }
  std::uint64_t begin = position_ + static_cast<std::uint64_t>(ahead), end = begin + bytes.size();
  // Only what no earlier segment has said.
  for (std::uint64_t at = begin; at < end;) {
    auto next = waiting_.upper_bound(at);
    if (next != waiting_.begin()) {
      auto before = std::prev(next);
      std::uint64_t covered = before->first + before->second.size();
      if (covered > at) {
        at = covered;
        continue;
      }
    }
    std::uint64_t stop = next == waiting_.end() ? end : std::min(end, next->first);
    base::Bytes part = bytes.subspan(static_cast<std::size_t>(at - begin), static_cast<std::size_t>(stop - at));
    waiting_.emplace(at, std::vector<std::uint8_t>(part.begin(), part.end()));
    waiting_bytes_ += part.size();
    at = stop;
  }
  for (auto first = waiting_.begin(); first != waiting_.end() && first->first == position_;
       first = waiting_.erase(first)) {
    waiting_bytes_ -= first->second.size();
    append(first->second);
  }
  if (memory() > limit) give_up();
}

void Reassembly::append(base::Bytes bytes) {
  ready_.insert(ready_.end(), bytes.begin(), bytes.end());
  next_ += static_cast<std::uint32_t>(bytes.size());
  position_ += bytes.size();
}

void Reassembly::consume(std::size_t count) {
  consumed_ += count;
  if (consumed_ == ready_.size()) {
    ready_.clear();
    consumed_ = 0;
  } else if (consumed_ > 64 * 1024) {
    ready_.erase(ready_.begin(), ready_.begin() + static_cast<std::ptrdiff_t>(consumed_));
    consumed_ = 0;
  }
}

void Reassembly::give_up() {
  given_up_ = true;
  ready_ = {};
  consumed_ = 0;
  waiting_ = {};
  waiting_bytes_ = 0;
}

}  // namespace replay

// Theory of operation
//
// Sequence numbers are counted modulo 2^32 (RFC 9293 3.4) and become positions by their distance from the anchor: up to
// 2^31 - 1 ahead of it, or up to 2^31 behind. No window reaches further than 2^30 (RFC 7323 2.3), so whatever is behind
// is old to the receiver, too.
//
// What is known lies in pieces with a gap between any two; a piece that begins at the anchor is the prefix. A segment
// is compared with each piece that it overlaps, and those that it overlaps or touches become one piece with it. Adding
// is all or nothing: the packet it came in passes as a whole or not at all, and nothing may be known that did not pass.
//
// Memory is what was sent, not where: an idle connection holds no bytes, and one far byte costs one piece. The number
// of pieces is bounded because each costs more than its bytes: every second byte alone would make 32,768 of them. A
// segment for which there is no piece is `full`, as one beyond the cap is. Its sender gets on all the same: what it
// sends again first is the byte behind the prefix, and that makes no new piece.
#include "flow/stream_record.hpp"

#include <algorithm>

namespace flow {

std::int64_t StreamRecord::position(std::uint32_t sequence) const {
  return static_cast<std::int32_t>(sequence - anchor_);
}

StreamRecord::Added StreamRecord::add(std::uint32_t sequence, base::Bytes bytes) {
  const std::int64_t place = position(sequence);
  if (place < 0) bytes = bytes.subspan(std::min(bytes.size(), static_cast<std::size_t>(-place)));
  if (bytes.empty()) return Added::nothing;
  const std::size_t begin = place < 0 ? 0 : static_cast<std::size_t>(place), end = begin + bytes.size();

  auto first = std::lower_bound(pieces_.begin(), pieces_.end(), begin,
                                [](const Piece& piece, std::size_t at) { return piece.end() < at; });
  auto last = first;
  std::size_t known = 0;
  for (; last != pieces_.end() && last->begin <= end; ++last) {
    std::size_t from = std::max(begin, last->begin), to = std::min(end, last->end());
    base::Bytes there = base::Bytes(last->bytes).subspan(from - last->begin, to - from);
    if (!std::ranges::equal(there, bytes.subspan(from - begin, to - from))) return Added::conflict;
    known += to - from;
  }
  if (known == bytes.size()) return Added::known;
  if (end > cap_ || (first == last && pieces_.size() == piece_limit)) return Added::full;
  merge(first, last, begin, bytes);
  return Added::recorded;
}

// The pieces from `first` to `last` overlap or touch the bytes.
void StreamRecord::merge(Pieces::iterator first, Pieces::iterator last, std::size_t begin, base::Bytes bytes) {
  if (first == last) {
    pieces_.insert(first, Piece{begin, {bytes.begin(), bytes.end()}});
    return;
  }
  if (begin < first->begin) {
    first->bytes.insert(first->bytes.begin(), first->begin - begin, 0);
    first->begin = begin;
  }
  first->bytes.resize(std::max(begin + bytes.size(), (last - 1)->end()) - first->begin);
  for (auto piece = first + 1; piece != last; ++piece)
    std::copy(piece->bytes.begin(), piece->bytes.end(), first->bytes.data() + (piece->begin - first->begin));
  std::copy(bytes.begin(), bytes.end(), first->bytes.data() + (begin - first->begin));
  pieces_.erase(first + 1, last);
}

base::Bytes StreamRecord::prefix() const {
  if (pieces_.empty() || pieces_.front().begin > 0) return {};
  return pieces_.front().bytes;
}

std::size_t StreamRecord::room(std::uint32_t sequence) const {
  return static_cast<std::size_t>(std::max<std::int64_t>(0, static_cast<std::int64_t>(cap_) - position(sequence)));
}

}  // namespace flow

#include "flow/body.hpp"

#include <algorithm>

#include "flow/command.hpp"
#include "flow/limits.hpp"

namespace flow {

using Kind = proto::http::Framing::Kind;

Body::Body(const proto::http::Framing& framing)
    : kind_(framing.kind), count_(framing.kind == Kind::length ? framing.length : 0) {}

Body::Step Body::take(base::Bytes available, std::optional<std::uint64_t> cut_at) {
  switch (kind_) {
    case Kind::none:
      return {State::complete};
    case Kind::length: {
      std::size_t count = static_cast<std::size_t>(std::min<std::uint64_t>(count_, available.size()));
      if (count_ - count >= splice_threshold) return {State::splice, 0, count_};
      count_ -= count;
      return {count_ == 0 ? State::complete : State::more, count};
    }
    case Kind::until_close: {
      if (!cut_at) return {State::splice, 0, Splice::unlimited};
      std::size_t count =
          static_cast<std::size_t>(std::min<std::uint64_t>(*cut_at - std::min(*cut_at, count_), available.size()));
      count_ += count;
      return {count < available.size() ? State::cut : State::more, count};
    }
    case Kind::chunked:
      return take_chunked(available, cut_at);
  }
  return {State::malformed};
}

Body::Step Body::take_chunked(base::Bytes available, std::optional<std::uint64_t> cut_at) {
  Step step;
  while (step.forward < available.size()) {
    base::Bytes piece = available.subspan(step.forward);
    // n bytes of input hold at most n bytes of data: pieces no longer than what may still pass cannot overshoot, and
    // single bytes find the first one beyond the limit.
    if (cut_at) {
      std::uint64_t room = *cut_at - std::min(*cut_at, chunks_.body_bytes());
      piece = piece.first(
          static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), std::max<std::uint64_t>(room, 1))));
    }
    auto progress = chunks_.feed(piece);
    if (cut_at && chunks_.body_bytes() > *cut_at) {
      step.state = State::cut;
      return step;
    }
    step.forward += progress.consumed;
    if (progress.complete) {
      step.state = State::complete;
      return step;
    }
    if (progress.malformed || progress.consumed < piece.size()) {
      step.state = State::malformed;
      return step;
    }
  }
  return step;
}

}  // namespace flow

// Follows one message body through the relay and says, piece by piece, how much of what has arrived belongs to it.
// Nothing is changed and nothing is held back. A body of known length with much of it left, and one that lasts until
// the close, need no look: they are handed to Splice.
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.hpp"
#include "proto/http/h1.hpp"

namespace flow {

class Body {
 public:
  Body() = default;
  explicit Body(const proto::http::Framing& framing);

  enum class State {
    more,       // wait for bytes
    splice,     // let Splice move `splice` bytes (Splice::unlimited: until the end), unconsumed ones included
    complete,   // the last byte is among those to forward
    malformed,  // the framing breaks after those to forward
    cut,        // larger than the limit: what may still pass is among those to forward
  };
  struct Step {
    State state = State::more;
    std::size_t forward = 0;
    std::uint64_t splice = 0;
  };
  // `available` is what has arrived and was not forwarded yet. `cut_at`: most bytes of data that may pass; it is asked
  // only for bodies whose length was not declared (a declared one is judged before it begins).
  Step take(base::Bytes available, std::optional<std::uint64_t> cut_at = {});

  bool lasts_until_close() const { return kind_ == proto::http::Framing::Kind::until_close; }

 private:
  Step take_chunked(base::Bytes available, std::optional<std::uint64_t> cut_at);

  proto::http::Framing::Kind kind_ = proto::http::Framing::Kind::none;
  std::uint64_t count_ = 0;  // length: bytes left; until_close: bytes passed
  proto::http::ChunkedBody chunks_;
};

}  // namespace flow

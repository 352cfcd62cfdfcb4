// What a client may say behind an allowed hello while it is not known what its origin makes of that one: records that
// are no hello, whole or as they come. Another plaintext handshake record is one, or is to be refused.
#pragma once

#include <cstddef>

#include "base/bytes.hpp"

namespace flow {

class BehindHello {
 public:
  // The stream begins with a hello that took so much of it, and was allowed.
  explicit BehindHello(std::size_t hello_length) : passing_(hello_length) {}

  // `bytes` follow those that have passed. How many of them may pass, too; the others are to be shown again.
  std::size_t take(base::Bytes bytes);
  // Whether what take() has left (never none) begins with what must not pass. Else a record's header is not there yet.
  static bool stops_at(base::Bytes left);

 private:
  std::size_t passing_;  // bytes to come of the hello, or of a record that may pass
};

}  // namespace flow

// What a parser of a growing buffer returns besides its value: "not enough yet" is a result, not an error.
#pragma once

#include <cstddef>
#include <string>
#include <variant>

namespace proto {

// The buffer so far is a valid beginning. Nothing can be decided before it holds `at_least` bytes in all.
struct NeedMore {
  std::size_t at_least = 0;
};
// The bytes break their format; `reason` is for the log and names the rule that was broken.
struct Malformed {
  std::string reason;
};

template <class Value>
using Parse = std::variant<Value, NeedMore, Malformed>;

}  // namespace proto

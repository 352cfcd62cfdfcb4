// Patterns tried together over one text, in linear time (RE2). Copyable: the compiled set is shared and immutable.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace policy {

class RegexSet {
 public:
  RegexSet() = default;
  // Case-insensitive, unanchored. Malformed: names the pattern and RE2's reason.
  static base::Result<RegexSet> compile(const std::vector<std::string>& patterns);
  bool empty() const { return !compiled_; }
  bool matches(std::string_view text) const;
  // Which patterns match, as written; for explain.
  std::vector<std::string> matching(std::string_view text) const;

 private:
  struct Compiled;
  std::shared_ptr<const Compiled> compiled_;
};

}  // namespace policy

// In place of regex_set.cpp where sluice is built without RE2 (SLUICE_REGEX=OFF, for small routers): patterns are an error, so
// that no rule and no list is believed to hold that does not.
#include "policy/regex_set.hpp"

namespace policy {

struct RegexSet::Compiled {};

base::Result<RegexSet> RegexSet::compile(const std::vector<std::string>& patterns) {
  if (patterns.empty()) return RegexSet();
  return base::malformed("regex '" + patterns.front() + "': this sluice was built without regular expressions (RE2)");
}

bool RegexSet::matches(std::string_view) const {
  return false;
}

std::vector<std::string> RegexSet::matching(std::string_view) const {
  return {};
}

}  // namespace policy

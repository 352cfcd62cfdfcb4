// "did you mean": names near to one that is not known.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rules {

// ", did you mean 'x'?" or ", did you mean 'x', 'y' or 'z'?", at most three and nearest first; empty: nothing is near.
std::string did_you_mean(std::string_view wrong, const std::vector<std::string>& known);

// "a, b or c".
std::string one_of(const std::vector<std::string>& values);

}  // namespace rules

// A batch on its way between roles, as JSON.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "accounting/usage.hpp"

namespace accounting {

std::string to_text(const Batch& batch);
std::optional<Batch> parse_batch(std::string_view text);  // nullopt: not as to_text() writes it

}  // namespace accounting

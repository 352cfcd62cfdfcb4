// JSON of our own making, as it comes back: from the state folder, or from another role, which may have been taken over.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

namespace base {

// Numbers in it are whole and within this; a time in seconds is then one in milliseconds, too. (To convert a larger one, which
// is read as one with a fraction, to an integer is undefined behaviour.)
inline constexpr std::int64_t json_number_limit = std::int64_t{1} << 53;

// Text that is no JSON, or has another number, gives a value that is_discarded(): at() and get() of it throw
// nlohmann::json::exception.
nlohmann::json parse_json(std::string_view text);

}  // namespace base

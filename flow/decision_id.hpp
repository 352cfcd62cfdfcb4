// Short names for decisions: on the block page, in the log, and read out over the telephone.
#pragma once

#include <cstdint>
#include <string>

namespace flow {

// 13 characters of Crockford's base32 (no i, l, o, u). Different numbers under one seed never give the same name, and
// names do not tell how many there were.
std::string decision_id(std::uint64_t seed, std::uint64_t number);

}  // namespace flow

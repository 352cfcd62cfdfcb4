// Builds the table of a policy::FuseFilter.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "policy/fuse_filter.hpp"

namespace rules {

struct FuseTable {
  policy::FuseShape shape;
  std::vector<std::uint8_t> table;
};

// `key(i)` gives `count` different keys. About 1.13 bytes a key; while it works about 25 more. Fails for one in many
// millions of sets by bad luck; then nullopt, and the table behind does without a filter.
std::optional<FuseTable> build_fuse(std::size_t count, std::uint64_t seed,
                                    const std::function<std::uint64_t(std::size_t)>& key);

}  // namespace rules

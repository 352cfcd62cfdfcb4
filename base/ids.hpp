// Numbers that cannot be mixed up: an index into one table is not an index into another.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace base {

template <class Tag>
struct StrongId {
  std::uint32_t value = 0;
  auto operator<=>(const StrongId&) const = default;
};

}  // namespace base

template <class Tag>
struct std::hash<base::StrongId<Tag>> {
  std::size_t operator()(base::StrongId<Tag> id) const noexcept { return id.value; }
};

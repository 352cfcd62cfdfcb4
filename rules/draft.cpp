#include "rules/draft.hpp"

#include "rules/near_match.hpp"

namespace rules {

std::optional<std::uint32_t> find_name(const Draft& draft, const NameTable& table, std::string_view name,
                                       const Place& place, Diagnostics& diagnostics) {
  auto found = table.index.find(name);
  if (found != table.index.end()) return found->second;
  if (draft.policy_whole)
    error(diagnostics, place,
          "unknown " + std::string(table.kind) + " '" + std::string(name) + "'" + did_you_mean(name, table.names()));
  return std::nullopt;
}

}  // namespace rules

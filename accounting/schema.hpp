// The tables of the store, version by version. A file says by `PRAGMA user_version` which one it is; the steps that it
// lacks are run in one transaction when it is opened.
#pragma once

#include <optional>
#include <span>

#include "accounting/database.hpp"

namespace accounting {

inline constexpr std::int64_t application_id = 0x736c7563;  // "sluc": `file` can tell, and so can we

extern const std::span<const char* const> schema_steps;  // step n makes version n+1

// nullopt: the file has the newest tables now.
std::optional<StoreError> migrate(Database& database, std::span<const char* const> steps = schema_steps);

}  // namespace accounting

// What the keeper needs to know for the usage store, on its way from the supervisor.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "accounting/store.hpp"
#include "policy/schedule.hpp"
#include "rules/settings.hpp"

namespace sluiced {

struct AccountingSettings {
  accounting::StoreSettings store;  // path empty: there is none
  std::chrono::seconds flush{60};
  policy::Zone zone;  // days are its days
};

AccountingSettings accounting_settings(const rules::Settings& settings, const policy::Zone& zone,
                                       const std::string& state);
std::string to_text(const AccountingSettings& settings);
std::optional<AccountingSettings> parse_accounting_settings(const std::string& text);

// Where the store lies. SQLite makes files beside it, so its folder must belong to the keeper's account, which the state
// folder does not: "STATE/usage.db" means STATE/usage/usage.db.
std::string store_path(const std::string& path, const std::string& state);

}  // namespace sluiced

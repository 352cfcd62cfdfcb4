// sluice.toml's tree -> Settings. Every value is checked, those that this build cannot use yet too.
#pragma once

#include "rules/settings.hpp"
#include "rules/table_reader.hpp"

namespace rules {

struct SettingsRead {
  Settings settings;
  std::optional<Text> unknown_mac;  // names a group: checked when the groups are known
};
SettingsRead read_settings(const Node& root, Diagnostics& diagnostics);

}  // namespace rules

// policy.toml and policy.d/*.toml as one tree: what every file holds, in reading order, every name once.
#pragma once

#include <vector>

#include "rules/table_reader.hpp"
#include "rules/toml_tree.hpp"

namespace rules {

struct PolicyTree {
  std::vector<TomlFile> files;  // own the nodes below
  std::optional<Text> zone;
  bool shipped_lists = true;  // false: the shipped categories are left out
  std::vector<const Member*> lists, devices, groups, schedules;
  std::vector<const Node*> rules, temporary_rules;  // tables
  bool whole = true;  // false: a file did not parse, so that a name that is missing may stand in it
};

PolicyTree gather_policy(const ConfigText& config, Diagnostics& diagnostics);

}  // namespace rules

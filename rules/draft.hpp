// A snapshot while it is being put together, with what its parts call each other. Each reader below takes its part of
// the tree and leaves the snapshot richer; all of them report and go on.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "policy/snapshot.hpp"
#include "rules/policy_tree.hpp"
#include "rules/settings.hpp"

namespace rules {

// Names of one kind and the index behind each.
struct NameTable {
  const char* kind;  // "group", as errors say it
  std::map<std::string, std::uint32_t, std::less<>> index;

  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& [name, id] : index) all.push_back(name);
    return all;
  }
};

struct Draft {
  Settings settings;
  bool settings_whole = true;  // false: sluice.toml did not parse, [network] is not known
  bool policy_whole = true;    // false: a name that is missing may stand in a file that did not parse
  policy::Snapshot snapshot;
  NameTable groups{"group", {}}, devices{"device", {}}, schedules{"schedule", {}}, lists{"list", {}};
  NameTable categories{"category", {}};   // as the image has them: the index is the TagId
  std::vector<std::string> lists_by_url;  // declared and not fetched yet: what categories they have is not known

  // Per group, what the snapshot does not keep and rules must be checked against.
  std::vector<bool> tls_off;  // by GroupId
};

// The index of a name; reports an unknown one with its near matches.
std::optional<std::uint32_t> find_name(const Draft& draft, const NameTable& table, std::string_view name,
                                       const Place& place, Diagnostics& diagnostics);

// One [list.NAME] with what loading must remember of it.
struct DeclaredList {
  ListDeclaration declaration;
  Place place;
};
// Where lists lie: the admin's own, and those that are fetched.
struct ListFolders {
  std::string own, fetched;
};
std::vector<DeclaredList> read_lists(const PolicyTree& tree, const ListFolders& folders, Diagnostics& diagnostics);

void read_schedules(const PolicyTree& tree, Draft& draft, Diagnostics& diagnostics);
void read_devices(const PolicyTree& tree, Draft& draft, Diagnostics& diagnostics);
void read_groups(const PolicyTree& tree, Draft& draft, Diagnostics& diagnostics);
void read_rules(const PolicyTree& tree, Draft& draft, Diagnostics& diagnostics);

// A slot of [schedule]: "mon-fri 08:15-12:00" or "2027-06-07 08:00 - 2027-06-18 13:00".
base::Result<std::variant<policy::WeeklySlot, policy::DatedSlot>> parse_slot(std::string_view text);

}  // namespace rules

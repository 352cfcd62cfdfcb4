// Whether an update of a fetched list may go live: what it holds is compared with what the list held before.
//
// Publishers have shipped empty files, error pages, half files, and names that everybody needs (UT1's phishing category
// went from 603,955 bytes to none on 2020-03-12). An update that is refused leaves the old copy in force.
//
//   always      an update without any entry; more than half of its lines are no entries (the wrong format, a page);
//               a category of 100 entries or more that is empty now
//   max_shrink  a category that lost more than so many per cent of its entries
//   max_grow    a category that gained more than so many per cent
//   never       a host that is now in a category (or the list) that a rule refuses, and was not before
//
// `--force` takes what the limits refuse (an update that really is that much smaller), never what is damaged or holds
// nothing, and no canary.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "policy/domain_index.hpp"
#include "rules/load.hpp"

namespace rules {

// What one version of a list holds, as far as the next one is compared with it.
struct ListContent {
  std::map<std::string, std::uint64_t> categories;           // entries of each; "" for a list without categories
  std::uint64_t kept = 0, ignored = 0;                       // lines of all files
  std::map<std::string, std::vector<std::string>> canaries;  // what holds each `never` host: "category:games"
};
ListContent content_of(const ListUpdate& update, const std::vector<ListReport>& reports,
                       const policy::DomainIndex& index);

// "category:x" and "list:x" of every rule that does not simply allow.
std::vector<std::string> refused_targets(const ConfigText& config);

// Why the update is not taken; nullopt: it is. `before`: the version in force, if there is one.
std::optional<std::string> why_not(const ListUpdate& update, const ListContent& now, const ListContent* before,
                                   const std::vector<std::string>& refused, bool force);

}  // namespace rules

// Who is in which group, as nftables maps from each kind of membership to a verdict. Pure.
#pragma once

#include <string>
#include <vector>

#include "netfilter/divert_plan.hpp"

namespace netfilter {

// "name" in nft's own quotes. Names are plain words: rules/ has seen to that.
std::string quoted(const std::string& name);

// A set or map of the table; nothing if it would be empty. `what`: "set exclude4"; `type`: "ipv4_addr; flags interval".
std::string nftables_set(const std::string& what, const std::string& type, const std::vector<std::string>& elements);

// `name` tells the maps of one question ("tls", "refuse") from those of another; `verdicts` has one for each group of the
// plan; without groups there is nothing to ask. A member's verdict is listed even if it is default's: it must hide the weaker kinds.
class NftablesMembers {
 public:
  NftablesMembers(const DivertPlan& plan, const std::string& name, const std::vector<std::string>& verdicts);

  const std::string& maps() const { return maps_; }                 // for the table
  const std::vector<std::string>& rules() const { return rules_; }  // for the end of a chain: exactly one verdict holds

 private:
  // A map, and the rule that asks it for `key`.
  void ask(const std::string& key, const std::string& map, const std::string& type,
           const std::vector<std::string>& elements);
  void ask_for_people(const DivertPlan& plan, const std::string& name, const std::vector<std::string>& verdicts);
  void ask_for_addresses(const DivertPlan& plan, const std::string& name, const std::vector<std::string>& verdicts);

  std::string maps_;
  std::vector<std::string> rules_;
};

}  // namespace netfilter

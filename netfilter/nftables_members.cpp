#include "netfilter/nftables_members.hpp"

#include <cstdint>
#include <map>
#include <set>

#include "netfilter/prefix_ranges.hpp"

namespace netfilter {
namespace {

using Texts = std::vector<std::string>;

Texts elements(const std::map<std::string, std::string>& verdicts) {
  Texts made;
  for (const auto& [key, verdict] : verdicts) made.push_back(key + " : " + verdict);
  return made;
}

}  // namespace

std::string quoted(const std::string& name) {
  return '"' + name + '"';
}

std::string nftables_set(const std::string& what, const std::string& type, const Texts& elements) {
  if (elements.empty()) return {};
  std::string text = "  " + what + " {\n    type " + type + ";\n    elements = {\n";
  for (const std::string& element : elements) text += "      " + element + ",\n";
  return text + "    }\n  }\n";
}

NftablesMembers::NftablesMembers(const DivertPlan& plan, const std::string& name, const Texts& verdicts) {
  if (verdicts.empty()) return;
  // From the strongest kind to the weakest.
  if (std::set<std::string>(verdicts.begin(), verdicts.end()).size() > 1) {  // else membership does not matter
    ask_for_people(plan, name, verdicts);
    std::map<std::string, std::string> macs, interfaces;  // the first of a kind wins
    for (const auto& member : plan.macs) macs.emplace(member.mac.to_string(), verdicts.at(member.group));
    for (const auto& member : plan.interfaces) interfaces.emplace(quoted(member.interface), verdicts.at(member.group));
    ask("ether saddr", name + "_by_mac", "ether_addr : verdict", elements(macs));
    ask_for_addresses(plan, name, verdicts);
    ask("iifname", name + "_by_interface", "ifname : verdict", elements(interfaces));
  }
  rules_.push_back(verdicts.at(plan.rest));
}

void NftablesMembers::ask(const std::string& key, const std::string& map, const std::string& type,
                          const Texts& elements) {
  if (elements.empty()) return;
  maps_ += nftables_set("map " + map, type, elements);
  rules_.push_back(key + " vmap @" + map);
}

void NftablesMembers::ask_for_people(const DivertPlan& plan, const std::string& name, const Texts& verdicts) {
  Texts v4, v6;
  for (const auto& member : plan.people)
    (member.address.is_v6() ? v6 : v4).push_back(member.address.to_string() + " : " + verdicts.at(member.group));
  ask("ip saddr", name + "_by_person4", "ipv4_addr : verdict", v4);
  ask("ip6 saddr", name + "_by_person6", "ipv6_addr : verdict", v6);
}

void NftablesMembers::ask_for_addresses(const DivertPlan& plan, const std::string& name, const Texts& verdicts) {
  std::map<std::string, std::uint32_t> numbers;  // equal verdicts join neighbouring ranges
  for (const std::string& verdict : verdicts) numbers.emplace(verdict, static_cast<std::uint32_t>(numbers.size()));
  Texts by_number(numbers.size());
  for (const auto& [verdict, number] : numbers) by_number[number] = verdict;
  std::vector<PrefixValue> prefixes;
  for (const auto& member : plan.prefixes) prefixes.push_back({member.prefix, numbers.at(verdicts.at(member.group))});
  Texts v4, v6;
  for (const AddressRange& range : flatten(prefixes))
    (range.v6 ? v6 : v4).push_back(to_string(range) + " : " + by_number[range.value]);
  ask("ip saddr", name + "_by_ip4", "ipv4_addr : verdict; flags interval", v4);
  ask("ip6 saddr", name + "_by_ip6", "ipv6_addr : verdict; flags interval", v6);
}

}  // namespace netfilter

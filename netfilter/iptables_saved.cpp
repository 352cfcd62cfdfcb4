#include "netfilter/iptables_saved.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "base/text.hpp"

namespace netfilter {
namespace {

constexpr std::string_view queue_hook = "SLUICE_FWD";  // all that the nftables backend needs here

// What one table of `iptables-save` holds of ours.
struct SavedTable {
  std::vector<std::string_view> hooks;  // "-A FORWARD -j SLUICE_FWD", once for each time
  std::set<std::string_view> chains;
  std::map<std::string_view, int> rules;  // how many rules a chain of ours has
};

bool jumps_to_us(std::string_view rule) {
  return rule.find(" -j SLUICE_") != rule.npos || rule.find(" -g SLUICE_") != rule.npos;
}

std::map<std::string_view, SavedTable> read_saved(std::string_view saved) {
  std::map<std::string_view, SavedTable> tables;
  SavedTable* table = nullptr;
  for (std::string_view line : base::split(saved, '\n')) {
    if (line.starts_with('*')) table = &tables[base::trim(line.substr(1))];
    if (table == nullptr) continue;
    if (line.starts_with(':') && line.substr(1).starts_with(iptables_prefix))
      table->chains.insert(line.substr(1, line.find(' ') - 1));
    if (!line.starts_with("-A ")) continue;
    std::string_view chain = line.substr(3, line.find(' ', 3) - 3);
    if (chain.starts_with(iptables_prefix))
      table->rules[chain]++;
    else if (jumps_to_us(line))
      table->hooks.push_back(line);
  }
  return tables;
}

}  // namespace

std::string replace_iptables(std::string_view saved, std::string_view rendered) {
  std::map<std::string_view, SavedTable> old = read_saved(saved);
  std::map<std::string_view, std::vector<std::string_view>> fresh;  // the lines between "*table" and "COMMIT"
  std::vector<std::string_view> order;
  for (std::string_view line : base::split(rendered, '\n')) {
    if (line.starts_with('*')) order.push_back(line.substr(1));
    if (!order.empty() && !line.empty() && !line.starts_with('*') && line != "COMMIT")
      fresh[order.back()].push_back(line);
  }
  for (const auto& [name, table] : old)
    if (!fresh.contains(name) && (!table.hooks.empty() || !table.chains.empty())) order.push_back(name);

  std::string out;
  for (std::string_view name : order) {
    out += '*' + std::string(name) + '\n';
    const SavedTable& table = old[name];
    for (std::string_view hook : table.hooks) out += "-D" + std::string(hook.substr(2)) + '\n';
    std::set<std::string_view> defined;
    for (std::string_view line : fresh[name])
      if (line.starts_with(':')) defined.insert(line.substr(1, line.find(' ') - 1));
    for (std::string_view chain : table.chains) out += "-F " + std::string(chain) + '\n';
    for (std::string_view chain : table.chains)
      if (!defined.contains(chain)) out += "-X " + std::string(chain) + '\n';
    for (std::string_view line : fresh[name]) out += std::string(line) + '\n';
    out += "COMMIT\n";
  }
  return out;
}

bool iptables_in_place(std::string_view saved, bool queue_only) {
  std::map<std::string_view, SavedTable> tables = read_saved(saved);
  for (const IptablesHook& hook : iptables_hooks) {
    if (queue_only && hook.chain != queue_hook) continue;
    std::string line = "-A " + std::string(hook.builtin) + " -j " + std::string(hook.chain);
    const std::vector<std::string_view>& found = tables[hook.table].hooks;
    if (std::count(found.begin(), found.end(), line) != 1) return false;
  }
  return tables["filter"].rules["SLUICE_FWD"] > 0;  // every ruleset has a rule there
}

}  // namespace netfilter

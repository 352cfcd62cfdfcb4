#include "netfilter/foreign_rules.hpp"

#include <algorithm>
#include <charconv>
#include <set>

#include "base/text.hpp"

namespace netfilter {
namespace {

bool has(std::string_view line, std::string_view part) {
  return line.find(part) != line.npos;
}

// The number behind `option` ("--ctmask 0xff"); all bits where it is not there.
std::uint32_t mask_behind(std::string_view line, std::string_view option) {
  std::size_t at = line.find(option);
  if (at == line.npos) return ~std::uint32_t{0};
  std::string_view rest = base::trim(line.substr(at + option.size()));
  if (rest.starts_with("0x")) rest.remove_prefix(2);
  std::uint32_t mask = 0;
  std::from_chars(rest.data(), rest.data() + rest.size(), mask, 16);
  return mask;
}

}  // namespace

bool offloads_undecided(std::string_view rules) {
  for (std::string_view line : base::split(rules, '\n')) {
    line = base::trim(line);
    bool nft = has(line, "flow add @") && !line.starts_with('#');
    bool xt = line.starts_with("-A ") && has(line, " -j FLOWOFFLOAD");
    if ((nft && !has(line, "ct mark")) || (xt && !has(line, "-m connmark"))) return true;
  }
  return false;
}

bool offload_hides_bytes(std::string_view rules) {
  std::set<std::string_view> used, counting, hardware;  // names of flowtables
  std::string_view flowtable;                           // the one that is being told of
  for (std::string_view line : base::split(rules, '\n')) {
    line = base::trim(line);
    if (line.starts_with("-A ") && has(line, " -j FLOWOFFLOAD")) return true;
    if (line.starts_with("flowtable ")) flowtable = base::trim(line.substr(10, line.find('{') - 10));
    if (line == "}") flowtable = {};
    if (!flowtable.empty() && line.starts_with("counter")) counting.insert(flowtable);
    if (!flowtable.empty() && line.starts_with("flags offload")) hardware.insert(flowtable);
    if (std::size_t at = line.find("flow add @"); at != line.npos && !line.starts_with('#')) {
      std::string_view name = line.substr(at + 10);
      used.insert(name.substr(0, name.find_first_of(" ;")));
    }
  }
  return std::any_of(used.begin(), used.end(),
                     [&](std::string_view name) { return !counting.contains(name) || hardware.contains(name); });
}

bool overwrites_marks(std::string_view rules, std::uint32_t mark_mask) {
  for (std::string_view line : base::split(rules, '\n')) {
    line = base::trim(line);
    if (has(line, "ct mark set meta mark") || has(line, "ct mark set mark")) return true;  // nft has no masked form
    bool saves = line.starts_with("-A ") && has(line, " -j CONNMARK --save-mark");
    if (saves && (mask_behind(line, "--ctmask") & mark_mask) != 0) return true;
  }
  return false;
}

}  // namespace netfilter

// The ruleset for iptables and ip6tables; what it means and why stands at the top of nftables_text.cpp. It differs in:
//
// - Which way a packet will leave cannot be asked before the routing decision (nft has `fib daddr oifname`; xtables has
//   no such match: rpfilter looks at the source, addrtype's --limit-iface-out and devgroup's --dst-group work only
//   after routing, realm is IPv4 only and needs marked routes). So the plan carries the inner prefixes, taken from the
//   main routing table, and destinations in them are not diverted. This is a copy: until the daemon renders anew after
//   a routing change (RouteWatch), and where the admin routes by source or mark instead of by destination, the copy may
//   be wrong. Both errors are safe: a flow wrongly diverted is reset at its upstream SYN (chain SLUICE_UP: it leaves by
//   no WAN), one wrongly left alone meets the forward hook, which knows the real interface and refuses it for closed
//   groups.
// - TPROXY without a listener drops the packet instead of passing it on. Between the death of the gateway and the end
//   of its heartbeat (2 s) SYNs are lost for open groups too; the client's next SYN passes.
// - TPROXY ends the mangle table's PREROUTING chain for the packet: rules that the admin has there do not see diverted
//   SYNs.
// - The sign of life is an xt_recent entry instead of a set element; it survives a replacement of the rules by itself.
// - Membership is a list walked from the top (MACs, prefixes longest first, interfaces), not a map: fine for hundreds.
// - Two tables a family, hence two transactions. The refusals are committed first.
// - REJECT lives in the filter table only, so the upstream check has its own chain there.
//
// Chains are ours alone and hooked in first. A rule before ours by another tool, inserted later, still comes first.
#include "netfilter/iptables_text.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <vector>

#include "base/text.hpp"
#include "netfilter/prefix_ranges.hpp"
#include "netfilter/treatment.hpp"

namespace netfilter {
namespace {

struct Hook {
  std::string_view table, builtin, chain;
};
constexpr std::array<Hook, 4> hooks = {{{"filter", "FORWARD", "SLUICE_FWD"},
                                        {"filter", "OUTPUT", "SLUICE_UP"},
                                        {"mangle", "PREROUTING", "SLUICE_PRE"},
                                        {"mangle", "OUTPUT", "SLUICE_OUT"}}};
constexpr std::string_view our_prefix = "SLUICE_";
constexpr std::size_t multiport_limit = 15;  // ports in one -m multiport

class Renderer {
 public:
  Renderer(const DivertPlan& plan, RulesetState state, bool v6)
      : plan_(plan), running_(state == RulesetState::running), v6_(v6), treatments_(treatments(plan, state)) {}

  std::string text() {
    way_round();
    upstream_check();
    commit("filter");
    way_in();
    output();
    commit("mangle");
    return std::move(out_);
  }

 private:
  void chain(const std::string& name) {
    chain_ = "SLUICE_" + name;
    chains_ += ':' + chain_ + " - [0:0]\n";
  }
  void rule(const std::string& text) { rules_ += "-A " + chain_ + ' ' + text + '\n'; }
  void commit(std::string_view table) {
    out_ += '*' + std::string(table) + '\n' + chains_;
    for (const Hook& hook : hooks)
      if (hook.table == table) out_ += "-I " + std::string(hook.builtin) + " -j " + std::string(hook.chain) + '\n';
    out_ += rules_ + "COMMIT\n";
    chains_.clear();
    rules_.clear();
  }
  void rule_on_ports(const std::string& match, const Ports& ports, const std::string& verdict) {
    Ports sorted = ports + Ports{};
    for (std::size_t start = 0; start < sorted.size(); start += multiport_limit) {
      std::string list;
      for (std::size_t i = start; i < std::min(sorted.size(), start + multiport_limit); i++)
        list += (list.empty() ? "" : ",") + std::to_string(sorted[i]);
      rule(match + " -m multiport --dports " + list + ' ' + verdict);
    }
  }

  std::string masked(Mark mark) const { return hex(mark_value(mark, plan_.mark_mask)) + '/' + hex(plan_.mark_mask); }
  std::string recent(const std::string& operation) const {
    return "-m recent " + operation + " --name sluice --mask " + (v6_ ? "::" : "0.0.0.0") + " --rsource";
  }
  std::string alive() const { return recent("--rcheck --seconds 2"); }

  void way_in() {
    chain("PRE");
    if (!running_) return;
    rule("-p tcp -m tcp ! --tcp-flags SYN,ACK SYN -g SLUICE_MIDDLE");
    for (const DivertPlan::Lan& lan : plan_.lan)
      rule("-i " + lan.interface + " -p tcp " + alive() + " -g SLUICE_OPENING");

    chain("MIDDLE");
    std::string set_divert = "-j MARK --set-xmark " + masked(Mark::divert);
    rule("-p tcp -m socket --transparent " + set_divert);
    rule("-m conntrack --ctdir REPLY -m connmark --mark " + masked(Mark::upstream) + ' ' + set_divert);

    chain("OPENING");
    rule("-p tcp -m socket --transparent -g SLUICE_TAKE");
    rule("-m addrtype --dst-type LOCAL -j RETURN");
    skip(plan_.exclude);
    skip(plan_.inner);
    rule_on_ports("-p tcp", plan_.http, "-g SLUICE_TAKE");
    bool some_tls_off =
        std::any_of(plan_.groups.begin(), plan_.groups.end(), [](auto& group) { return !group.divert_tls; });
    rule_on_ports("-p tcp", plan_.tls, some_tls_off ? "-g SLUICE_TLS" : "-g SLUICE_TAKE");

    if (some_tls_off) {
      chain("TLS");
      std::vector<std::string> verdicts;
      for (const DivertPlan::Group& group : plan_.groups)
        verdicts.push_back(group.divert_tls ? "-g SLUICE_TAKE" : "-j RETURN");
      dispatch(verdicts);
    }

    chain("TAKE");
    for (const DivertPlan::Lan& lan : plan_.lan)
      rule("-i " + lan.interface + " -p tcp -j TPROXY --on-ip " + (v6_ ? "::1" : "127.0.0.1") + " --on-port " +
           std::to_string(lan.listener_port) + " --tproxy-mark " + masked(Mark::divert));
  }

  void output() {
    chain("OUT");
    if (!running_) return;
    std::string beat = "-o lo -p udp -m mark --mark ";
    rule(beat + hex(alive_mark) + ' ' + recent("--set") + " -j DROP");
    rule(beat + hex(gone_mark) + ' ' + recent("--remove") + " -j DROP");
    rule(beat + hex(gone_mark) + " -j DROP");  // nothing to remove: --remove does not match
    rule("-p tcp -m mark --mark " + masked(Mark::upstream) + " -m conntrack --ctstate NEW -j CONNMARK --set-xmark " +
         masked(Mark::upstream));
  }

  void upstream_check() {
    chain("UP");
    if (!running_) return;
    std::string ours = "-p tcp -m mark --mark " + masked(Mark::upstream);
    if (plan_.wan.empty()) {
      for (const DivertPlan::Lan& lan : plan_.lan)
        rule("-o " + lan.interface + ' ' + ours + " -j REJECT --reject-with tcp-reset");
      return;
    }
    for (const std::string& wan : plan_.wan) rule("-o " + wan + " -j RETURN");
    rule(ours + " -j REJECT --reject-with tcp-reset");
  }

  void way_round() {
    std::vector<std::string> verdicts;
    for (const Treatment& treatment : treatments_)
      verdicts.push_back(treatment.refuses_something() ? "-g " + chain_of(treatment) : "-j RETURN");
    std::set<Treatment> used(treatments_.begin(), treatments_.end());
    used.erase(Treatment{});

    chain("FWD");
    rule("-m conntrack --ctstate UNTRACKED -m comment --comment \"keeps reassembly on\"");
    if (used.empty()) return;
    for (const DivertPlan::Lan& lan : plan_.lan) rule("-i " + lan.interface + " -g SLUICE_LAN");

    chain("LAN");
    if (plan_.wan.empty()) {
      for (const DivertPlan::Lan& lan : plan_.lan) rule("-o " + lan.interface + " -j RETURN");
      rule("-g SLUICE_WAN");
    }
    for (const std::string& wan : plan_.wan) rule("-o " + wan + " -g SLUICE_WAN");

    chain("WAN");
    skip(plan_.exclude);
    dispatch(verdicts);

    for (const Treatment& treatment : used) refusals(treatment);
    chain("REFUSE");
    rule("-p tcp -j REJECT --reject-with tcp-reset");
    rule(std::string("-j REJECT --reject-with ") + (v6_ ? "icmp6-port-unreachable" : "icmp-port-unreachable"));
  }

  static std::string chain_of(const Treatment& treatment) {
    std::string name = treatment.name();
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
    return "SLUICE_" + name;
  }

  void refusals(const Treatment& treatment) {
    chain(chain_of(treatment).substr(our_prefix.size()));
    const std::string refuse = "-g SLUICE_REFUSE";
    Ports proxied = treatment.tls_off ? plan_.http : plan_.http + plan_.tls;
    if (treatment.closed) {
      rule_on_ports("-p tcp", proxied, refuse);
      if (treatment.quic_blocked) rule_on_ports("-p udp", plan_.quic, refuse);
      if (running_) rule(alive() + " -j RETURN");
      if (treatment.tls_off) rule_on_ports("-p tcp", plan_.tls, refuse);
      if (!treatment.quic_blocked) rule_on_ports("-p udp", plan_.quic, refuse);
      rule_on_ports("-p tcp", plan_.dns, refuse);
      rule_on_ports("-p udp", plan_.dns, refuse);
    } else if (treatment.quic_blocked) {
      rule_on_ports("-p udp " + alive(), plan_.quic, refuse);
    }
  }

  // As the prefixes of their union: shorter lists, and none twice.
  void skip(const std::vector<base::IpPrefix>& destinations) {
    std::vector<PrefixValue> prefixes;
    for (const base::IpPrefix& prefix : destinations)
      if (prefix.address().is_v6() == v6_) prefixes.push_back({prefix, 0});
    for (const AddressRange& range : flatten(prefixes))
      for (const base::IpPrefix& prefix : to_prefixes(range)) rule("-d " + prefix.to_string() + " -j RETURN");
  }

  void dispatch(const std::vector<std::string>& verdicts) {
    bool membership_matters = std::set<std::string>(verdicts.begin(), verdicts.end()).size() > 1;
    if (membership_matters) {
      for (const auto& member : plan_.macs)
        rule("-m mac --mac-source " + member.mac.to_string() + ' ' + verdicts.at(member.group));
      std::vector<DivertPlan::PrefixMember> prefixes = plan_.prefixes;
      std::stable_sort(prefixes.begin(), prefixes.end(),
                       [](auto& a, auto& b) { return a.prefix.length() > b.prefix.length(); });
      for (const auto& member : prefixes)
        if (member.prefix.address().is_v6() == v6_)
          rule("-s " + member.prefix.to_string() + ' ' + verdicts.at(member.group));
      for (const auto& member : plan_.interfaces) rule("-i " + member.interface + ' ' + verdicts.at(member.group));
    }
    rule(verdicts.front());
  }

  const DivertPlan& plan_;
  bool running_, v6_;
  std::vector<Treatment> treatments_;
  std::string out_, chain_, chains_, rules_;
};

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
    if (line.starts_with(':') && line.substr(1).starts_with(our_prefix))
      table->chains.insert(line.substr(1, line.find(' ') - 1));
    if (!line.starts_with("-A ")) continue;
    std::string_view chain = line.substr(3, line.find(' ', 3) - 3);
    if (chain.starts_with(our_prefix))
      table->rules[chain]++;
    else if (jumps_to_us(line))
      table->hooks.push_back(line);
  }
  return tables;
}

}  // namespace

IptablesText render_iptables(const DivertPlan& plan, RulesetState state) {
  return {Renderer(plan, state, false).text(), Renderer(plan, state, true).text()};
}

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

bool iptables_in_place(std::string_view saved) {
  std::map<std::string_view, SavedTable> tables = read_saved(saved);
  for (const Hook& hook : hooks) {
    std::string line = "-A " + std::string(hook.builtin) + " -j " + std::string(hook.chain);
    const std::vector<std::string_view>& found = tables[hook.table].hooks;
    if (std::count(found.begin(), found.end(), line) != 1) return false;
  }
  return tables["filter"].rules["SLUICE_FWD"] > 0;  // every ruleset has a rule there
}

}  // namespace netfilter

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
// - Whether a packet has payload is worked out by a BPF program (has_payload_*) from the lengths in its headers.
//
// The queue of the kernel lane lives in the filter table's FORWARD chain on both backends: SLUICE_QUEUE shows the gate
// what was marked "look", SLUICE_JUDGED takes its answer (NF_REPEAT walks the whole FORWARD chain again). On an nftables
// backend whose kernel has no nft `queue` they are all there is (render_iptables_queue).
//
// Chains are ours alone and hooked in first. A rule before ours by another tool, inserted later, still comes first.
#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "base/text.hpp"
#include "netfilter/iptables_saved.hpp"
#include "netfilter/prefix_ranges.hpp"
#include "netfilter/treatment.hpp"

namespace netfilter {
namespace {

constexpr std::size_t multiport_limit = 15;  // ports in one -m multiport

// For -m bpf: at least one byte behind the TCP header. Total length - IP header - TCP header != 0; a total length of 0 is a
// segment too big for it (kernel Documentation/networking/segmentation-offloads.rst) and has some.
constexpr std::string_view has_payload_v4 =
    "12,177 0 0 0,80 0 0 12,116 0 0 4,100 0 0 2,12 0 0 0,2 0 0 0,40 0 0 2,97 0 0 0,28 0 0 0,21 1 0 0,6 0 0 4294967295,"
    "6 0 0 0";
// The same; with extension headers, behind which this does not look, it may have some: the gate will see.
constexpr std::string_view has_payload_v6 =
    "11,48 0 0 6,21 0 7 6,48 0 0 52,116 0 0 4,100 0 0 2,7 0 0 0,40 0 0 4,28 0 0 0,21 1 0 0,6 0 0 4294967295,6 0 0 0";
// The same for the first bit of a UDP datagram: QUIC's header form (RFC 9000 17.2, 17.3). IPv6 with extension headers
// counts as long, so that the gate sees it, and never as short.
constexpr std::string_view long_header_v4 = "5,177 0 0 0,80 0 0 8,69 0 1 128,6 0 0 4294967295,6 0 0 0";
constexpr std::string_view short_header_v4 = "5,177 0 0 0,80 0 0 8,69 1 0 128,6 0 0 4294967295,6 0 0 0";
constexpr std::string_view long_header_v6 = "6,48 0 0 6,21 0 2 17,48 0 0 48,69 0 1 128,6 0 0 4294967295,6 0 0 0";
constexpr std::string_view short_header_v6 = "6,48 0 0 6,21 0 3 17,48 0 0 48,69 1 0 128,6 0 0 4294967295,6 0 0 0";

class Renderer {
 public:
  Renderer(const DivertPlan& plan, RulesetState state, bool v6)
      : plan_(plan),
        running_(state == RulesetState::running),
        gated_(plan.queues.count > 0),
        v6_(v6),
        treatments_(treatments(plan, state)) {}

  // What the nftables backend needs besides.
  std::string queue_text() {
    chain("FWD");
    rule(gate_mark("mark") + " -g SLUICE_JUDGED");
    rule("-m mark --mark " + masked(Mark::look) + " -g SLUICE_QUEUE");
    queue();
    refuse();
    commit("filter");
    return std::move(out_);
  }

  std::string text() {
    way_round();
    upstream_check();
    commit("filter");
    way_in();
    clean();
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
    for (const IptablesHook& hook : iptables_hooks)
      if (hook.table == table && chains_.find(':' + std::string(hook.chain) + ' ') != chains_.npos)
        out_ += "-I " + std::string(hook.builtin) + " -j " + std::string(hook.chain) + '\n';
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

  // Of the kernel lane: marks 4 to 7 of the packet ("mark") or the connection ("connmark").
  std::string gate_mark(const std::string& which) const {
    std::string bit = hex(gate_bit(plan_.mark_mask));
    return "-m " + which + " --mark " + bit + '/' + bit;
  }
  std::string set_mark(Mark mark) const { return "-j MARK --set-xmark " + masked(mark); }
  std::string set_connmark(Mark mark) const { return "-j CONNMARK --set-xmark " + masked(mark); }
  std::string is_connmark(Mark mark) const { return "-m connmark --mark " + masked(mark); }
  std::string not_connmark(Mark mark) const { return "-m connmark ! --mark " + masked(mark); }
  static std::string bpf(std::string_view program) { return "-m bpf --bytecode \"" + std::string(program) + "\" "; }
  std::string has_payload() const { return "-p tcp " + bpf(v6_ ? has_payload_v6 : has_payload_v4); }
  std::string long_header() const { return bpf(v6_ ? long_header_v6 : long_header_v4); }
  std::string short_header() const { return bpf(v6_ ? short_header_v6 : short_header_v4); }

  std::string masked(Mark mark) const { return hex(mark_value(mark, plan_.mark_mask)) + '/' + hex(plan_.mark_mask); }
  std::string recent(const std::string& operation) const {
    return "-m recent " + operation + " --name sluice --mask " + (v6_ ? "::" : "0.0.0.0") + " --rsource";
  }
  std::string alive() const { return recent("--rcheck --seconds 2"); }

  void way_in() {
    chain("PRE");
    if (!running_) return;
    rule("-p tcp -m tcp ! --tcp-flags SYN,ACK SYN -g SLUICE_MIDDLE");
    if (gated_)
      for (const DivertPlan::Lan& lan : plan_.lan)
        rule_on_ports("-i " + lan.interface + " -p tcp " + gate_mark("connmark"), plan_.tls, set_connmark(Mark::none));
    for (const DivertPlan::Lan& lan : plan_.lan)
      rule("-i " + lan.interface + " -p tcp " + alive() + " -g SLUICE_OPENING");

    chain("MIDDLE");
    if (gated_) rule(gate_mark("connmark") + " -j RETURN");
    std::string set_divert = set_mark(Mark::divert);
    rule("-p tcp -m socket --transparent " + set_divert);
    rule("-m conntrack --ctdir REPLY -m connmark --mark " + masked(Mark::upstream) + ' ' + set_divert);

    chain("OPENING");
    rule("-p tcp -m socket --transparent -g SLUICE_TAKE");
    rule("-m addrtype --dst-type LOCAL -j RETURN");
    skip(plan_.exclude);
    skip(plan_.inner);
    rule_on_ports("-p tcp", plan_.http, "-g SLUICE_TAKE");
    bool all_taken = std::all_of(plan_.groups.begin(), plan_.groups.end(),
                                 [](auto& group) { return group.tls == DivertPlan::Tls::proxy; });
    rule_on_ports("-p tcp", plan_.tls, all_taken ? "-g SLUICE_TAKE" : "-g SLUICE_TLS");

    if (!all_taken) {
      chain("TLS");
      std::vector<std::string> verdicts;
      for (const DivertPlan::Group& group : plan_.groups)
        verdicts.push_back(group.tls == DivertPlan::Tls::proxy  ? "-g SLUICE_TAKE"
                           : group.tls == DivertPlan::Tls::gate ? set_connmark(Mark::collecting)
                                                                : "-j RETURN");
      dispatch(verdicts);
    }

    chain("TAKE");
    for (const DivertPlan::Lan& lan : plan_.lan)
      rule("-i " + lan.interface + " -p tcp -j TPROXY --on-ip " + (v6_ ? "::1" : "127.0.0.1") + " --on-port " +
           std::to_string(lan.listener_port) + " --tproxy-mark " + masked(Mark::divert));
  }

  // A mark of the gate's on a packet that was not in the queue yet is none: somebody restores whole connection marks.
  void clean() {
    chain("CLEAN");
    if (gated_ && running_) rule(gate_mark("mark") + ' ' + set_mark(Mark::none));
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
      verdicts.push_back(treatment.does_something() ? "-g " + chain_of(treatment) : "-j RETURN");
    std::set<Treatment> used(treatments_.begin(), treatments_.end());
    std::erase_if(used, [](const Treatment& treatment) { return !treatment.does_something(); });

    chain("FWD");
    rule("-m conntrack --ctstate UNTRACKED -m comment --comment \"keeps reassembly on\"");
    if (running_ && !gated_) rule(is_connmark(Mark::blocked) + " -g SLUICE_REFUSE");
    if (used.empty() && !gated_) return running_ ? refuse() : void();
    if (gated_) {
      if (running_) rule(gate_mark("mark") + " -g SLUICE_JUDGED");
      rule("-p tcp " + is_connmark(Mark::done) + " -m tcp ! --tcp-flags SYN,ACK SYN -j RETURN");
      rule(is_connmark(Mark::blocked) + " -g SLUICE_REFUSE");
    }
    for (const DivertPlan::Lan& lan : plan_.lan) rule("-i " + lan.interface + " -g SLUICE_LAN");
    if (gated_ && running_) answers();

    chain("LAN");
    if (plan_.wan.empty()) {
      for (const DivertPlan::Lan& lan : plan_.lan) rule("-o " + lan.interface + " -j RETURN");
      rule("-g SLUICE_WAN");
    }
    for (const std::string& wan : plan_.wan) rule("-o " + wan + " -g SLUICE_WAN");

    chain("WAN");
    if (gated_ && running_)
      rule_on_ports("-p tcp " + is_connmark(Mark::collecting) + ' ' + alive(), plan_.tls, "-g SLUICE_UNDECIDED");
    skip(plan_.exclude);
    dispatch(verdicts);

    for (const Treatment& treatment : used) treat(treatment);
    if (gated_ && running_) gate();
    refuse();
  }

  void refuse() {
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

  void treat(const Treatment& treatment) {
    chain(chain_of(treatment).substr(iptables_prefix.size()));
    const std::string refuse = "-g SLUICE_REFUSE", if_down = treatment.closed ? "CLOSED" : "OPEN";
    bool tls_gate = treatment.tls == DivertPlan::Tls::gate, quic_gate = treatment.quic == DivertPlan::Quic::gate;
    if (tls_gate) rule_on_ports("-p tcp", plan_.tls, "-g SLUICE_TLS_" + if_down);
    if (quic_gate) rule_on_ports("-p udp", plan_.quic, "-g SLUICE_QUIC_" + if_down);
    bool refuses_quic = treatment.quic == DivertPlan::Quic::refuse;
    if (treatment.closed) {
      rule_on_ports("-p tcp", treatment.tls == DivertPlan::Tls::proxy ? plan_.http + plan_.tls : plan_.http, refuse);
      if (refuses_quic) rule_on_ports("-p udp", plan_.quic, refuse);
      if (running_) rule(alive() + " -j RETURN");
      if (treatment.tls == DivertPlan::Tls::off) rule_on_ports("-p tcp", plan_.tls, refuse);
      if (!refuses_quic && !quic_gate) {
        // Without a daemon: what it has allowed is the kernel's.
        if (gated_ && !running_)
          rule_on_ports("-p udp " + short_header() + is_connmark(Mark::done), plan_.quic, "-j RETURN");
        rule_on_ports("-p udp", plan_.quic, refuse);
      }
      rule_on_ports("-p tcp", plan_.dns, refuse);
      rule_on_ports("-p udp", plan_.dns, refuse);
    } else if (refuses_quic) {
      rule_on_ports("-p udp " + alive(), plan_.quic, refuse);
    }
  }

  // --- the kernel lane: theory at the top of nftables_text.cpp

  // Of the origins.
  void answers() {
    if (plan_.wan.empty()) rule("-g SLUICE_ANSWERS");
    for (const std::string& wan : plan_.wan) rule("-i " + wan + " -g SLUICE_ANSWERS");
    chain("ANSWERS");
    rule(not_connmark(Mark::collecting) + " -j RETURN");
    for (const std::string& match : {has_payload(), std::string("-p tcp -m tcp ! --tcp-flags FIN,RST NONE ")})
      for (std::size_t start = 0; start < plan_.tls.size(); start += multiport_limit) {
        std::string ports;
        for (std::size_t i = start; i < std::min(plan_.tls.size(), start + multiport_limit); i++)
          ports += (ports.empty() ? "" : ",") + std::to_string(plan_.tls[i]);
        rule(match + alive() + " -m multiport --sports " + ports + " -g SLUICE_LOOK");
      }
  }

  void gate() {
    queue();
    chain("LOOK");
    rule(set_mark(Mark::look));
    rule("-g SLUICE_QUEUE");
    chain("UNDECIDED");
    rule("-m conntrack --ctstate INVALID -j DROP");
    rule("-p tcp -m tcp --tcp-flags SYN,ACK SYN -g SLUICE_LOOK");
    rule("-m conntrack --ctstate NEW -g SLUICE_REFUSE");
    rule("-p tcp -m tcp ! --tcp-flags FIN,RST,URG NONE -g SLUICE_LOOK");
    rule(has_payload() + "-g SLUICE_LOOK");
    for (bool closed : {false, true}) {
      auto used = [&](auto wants) {
        return std::any_of(treatments_.begin(), treatments_.end(),
                           [&](const Treatment& one) { return one.closed == closed && wants(one); });
      };
      if (used([](auto& one) { return one.tls == DivertPlan::Tls::gate; })) tls_gate(closed);
      if (used([](auto& one) { return one.quic == DivertPlan::Quic::gate; })) quic_gate(closed);
    }
  }

  // Both backends: to the gate, and what it answers.
  void queue() {
    chain("QUEUE");
    rule("-p udp " + numbers(plan_.queues.of_quic()));
    for (const DivertPlan::Lan& lan : plan_.lan)
      rule("-i " + lan.interface + " -p tcp " + numbers(plan_.queues.of_clients()));
    rule("-p tcp " + numbers(plan_.queues.of_origins()));

    chain("JUDGED");
    rule("-m mark --mark " + masked(Mark::passed) + " -g SLUICE_ON");
    for (Mark verdict : {Mark::collecting, Mark::done})
      rule("-m mark --mark " + masked(verdict) + ' ' + not_connmark(Mark::blocked) + ' ' + set_connmark(verdict));
    rule("-m mark ! --mark " + masked(Mark::blocked) + " -g SLUICE_ON");
    rule(set_connmark(Mark::blocked));
    rule(set_mark(Mark::none));
    rule("-g SLUICE_REFUSE");
    chain("ON");
    rule(set_mark(Mark::none));
  }
  std::string numbers(std::uint16_t first) const {
    std::string last = std::to_string(first + plan_.queues.count - 1);
    return plan_.queues.count > 1 ? "-j NFQUEUE --queue-balance " + std::to_string(first) + ':' + last
                                  : "-j NFQUEUE --queue-num " + last;
  }

  void tls_gate(bool closed) {
    const std::string if_down = closed ? "CLOSED" : "OPEN";
    chain("TLS_" + if_down);
    rule(alive() + " -g SLUICE_LOOK_TLS_" + if_down);
    dead(closed);
    chain("LOOK_TLS_" + if_down);
    rule("-p tcp -m tcp ! --tcp-flags SYN,ACK SYN -m conntrack --ctstate ESTABLISHED,RELATED " +
         is_connmark(Mark::none) + (closed ? " -g SLUICE_REFUSE" : " -j RETURN"));
    rule("-g SLUICE_UNDECIDED");
  }

  void quic_gate(bool closed) {
    const std::string if_down = closed ? "CLOSED" : "OPEN";
    chain("QUIC_" + if_down);
    rule(alive() + " -g SLUICE_LOOK_QUIC_" + if_down);
    if (closed) rule("-p udp " + short_header() + is_connmark(Mark::done) + " -j RETURN");
    dead(closed);
    chain("LOOK_QUIC_" + if_down);
    rule("-p udp " + long_header() + "-g SLUICE_LOOK");
    rule(is_connmark(Mark::done) + " -j RETURN");
    rule("-m conntrack --ctstate NEW -g SLUICE_REFUSE");
    rule(is_connmark(Mark::none) + (closed ? " -g SLUICE_REFUSE" : " -j RETURN"));
    rule("-j DROP");
  }

  void dead(bool closed) {
    rule(closed ? "-g SLUICE_REFUSE" : is_connmark(Mark::collecting) + ' ' + set_connmark(Mark::none));
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
      for (const auto& member : plan_.people)
        if (member.address.is_v6() == v6_) rule("-s " + member.address.to_string() + ' ' + verdicts.at(member.group));
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
    rule(verdicts.at(plan_.rest));
  }

  const DivertPlan& plan_;
  bool running_, gated_, v6_;
  std::vector<Treatment> treatments_;
  std::string out_, chain_, chains_, rules_;
};

}  // namespace

IptablesText render_iptables(const DivertPlan& plan, RulesetState state) {
  return {Renderer(plan, state, false).text(), Renderer(plan, state, true).text()};
}

IptablesText render_iptables_queue(const DivertPlan& plan, RulesetState state) {
  if (plan.queues.count == 0 || plan.queues.native || state == RulesetState::closed) return {};
  return {Renderer(plan, state, false).queue_text(), Renderer(plan, state, true).queue_text()};
}

}  // namespace netfilter

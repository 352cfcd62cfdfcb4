// Theory of the ruleset. It holds for both backends; iptables_text.cpp lists where that one differs.
//
// Way in. A LAN client's connection is diverted by its SYN alone, when all of this holds: it comes in by a LAN
// interface, goes to an http or tls port, not to this router, not to `exclude`, and the routing table sends it out by a
// WAN interface (so traffic between inner networks keeps obeying the admin's forward rules). TPROXY gives it to the
// listener of its interface; our divert mark makes the ip rule deliver it locally (policy_route.hpp). A TLS connection
// of a group with tls = "off" is left alone, one of a group in the kernel lane is left to the forward hook and marked
// "collecting" by its SYN. Who is in which group: MAC, then longest prefix, then interface, then default, exactly as
// policy/client_table answers it.
//
// A flow in the middle. Any packet but a SYN belongs to us only if one of our sockets has it (`socket transparent`),
// both on the client's leg and on the upstream leg that carries the client's address. Replies on the upstream leg are
// also known by connection mark: before Linux 6.15 the socket lookup does not see through IPv6 source NAT. A packet
// that no socket knows (conntrack flushed, a flow from before our start) is not diverted: it goes to the forward hook.
// SYNs are kept out of this fast path: one that meets our TIME_WAIT socket must reach tproxy, which hands it to the
// listener (FACTS 7.6).
//
// Sign of life. SYNs are diverted while `alive` has an element: heartbeat.cpp's loopback packet renews it for 2 s, by
// the packet path, so no transaction and no netlink is involved. A fresh ruleset counts as alive for those 2 s:
// replacing it under a living gateway must not let a SYN slip by. `alive` is keyed by family only because a lookup
// needs a key; its size leaves room for elements that have ended and are not collected yet, which still count.
//
// Way round. Whatever of a LAN client still leaves by the WAN passes the forward hook, dead or alive, and treatment.hpp
// has the table of what is refused there: TCP gets a reset, UDP an ICMP port unreachable. This covers the window in
// which the gateway is dead and the heartbeat has not yet expired (tproxy without a listener falls through), flows in
// the middle, and connections that a later mark routed to the WAN although the prerouting hook expected otherwise.
// Refusals run just before the admin's filter rules; accepting here ends only our chain, theirs still judge.
//
// The kernel lane (FACTS 7.2 to 7.4; KERNEL-LANE in docs/). A connection is forwarded as if we were not there, and the
// gate is shown (queue) its SYN, its end, and every payload of either side until it says done, blocked, or nothing. This chain
// marks such a packet "look" and queues it; the gate's answer is the packet's mark with NF_REPEAT, so that the packet
// comes by here once more, is saved to the connection's mark (judged) and goes on to the admin's own rules. What holds it
// together:
//   - A client's SYN sets the connection's mark to "collecting" before anything else sees it, and clears what an earlier
//     connection on the same tuple has left. So there is no moment in which an old "done" lets a new hello pass, and
//     none in which the packet behind a queued SYN finds no mark.
//   - What has payload is asked by reading its first byte: the read fails, and the rule with it, where there is none.
//   - A client's urgent pointer is looked at without payload too: it may point ahead, and takes a byte out of what comes.
//   - Client and origin are told by interface and port, never by conntrack's direction, which a client can turn round.
//   - A connection without a SYN (picked up in the middle, after conntrack forgot it) is reset, in open groups too: it
//     may be one that made conntrack forget it half-way through its hello. INVALID packets are dropped.
//   - A connection that conntrack knows and that has no mark was opened while nobody looked: before our start, or while
//     we were dead. It passes for open groups and is refused for closed ones. While we are dead, undecided connections of
//     open groups become such ones.
//   - Once "collecting", a connection is looked at until its gate has its answer, whatever becomes of its client's group
//     meanwhile (a log-in, a reload): the origin's answer to a hello that the gate has not seen would be dropped.
//   - "blocked" is never overwritten. "done" is overwritten by "collecting" only: a SYN, or on UDP a second hello.
//   - QUIC: every long header is looked at for the flow's life (FACTS 7.3). A short header passes where the flow is allowed;
//     as the first of a flow it is refused (a migrated connection: the client opens another), before the verdict it is
//     dropped and sent again.
//   - There is no fail-open: a full queue drops, a queue without a reader drops, and only the heartbeat opens.
// Where the kernel has no nft `queue`, the marks are the same and xt NFQUEUE takes them (render_iptables_queue). What it
// did not take, because somebody flushed it, is dropped on its way out (guard).
//
// Upstream. A socket of ours that carries the upstream mark may only leave by the WAN; otherwise it is reset at its
// SYN. So a route that changed between SYN and connect cannot carry a diverted client into an inner network, where the
// spoofed packet, being the router's own, would pass no forward rule.
//
// Fragments are whole when our hooks see them: tproxy and `ct` both switch the kernel's reassembly on (priority -400).
// The `ct` rule in the forward chain decides nothing; it keeps reassembly on where no daemon and no NAT does. Out of
// scope: an admin's own notrack rule before priority -400.
//
// Not done here. Diverted packets pass the *input* hook with the origin's address as destination: a router whose input
// policy refuses them must accept our divert mark (firmware packages publish such a rule). Flow offloading (`flow add`)
// takes forwarded flows past every hook; the daemon keeps the kernel lane off where it is not bound to our "done" mark
// (foreign_rules.hpp). After a kill, a client that uses the port of one of our TIME_WAIT
// sockets again may have to repeat its SYN. Names are taken as they are: rules/ has checked that interface names are
// plain words.
#include <algorithm>
#include <set>
#include <string>
#include <string_view>

#include "netfilter/nftables_members.hpp"
#include "netfilter/prefix_ranges.hpp"
#include "netfilter/treatment.hpp"

namespace netfilter {
namespace {

template <class Items, class Text>
std::string braces(const Items& items, Text text) {
  std::string out;
  for (const auto& item : items) out += (out.empty() ? "{ " : ", ") + text(item);
  return out + " }";
}
std::string braces(const Ports& ports) {
  return braces(ports + Ports{}, [](std::uint16_t port) { return std::to_string(port); });
}

class Renderer {
 public:
  Renderer(const DivertPlan& plan, RulesetState state)
      : plan_(plan),
        running_(state == RulesetState::running),
        gated_(plan.queues.count > 0),
        treatments_(treatments(plan, state)) {}

  std::string text() {
    out_ = "table inet sluice\ndelete table inet sluice\ntable inet sluice {\n";
    if (running_)
      line(
          "set alive { typeof meta nfproto; size 1024; flags dynamic,timeout; timeout 2s; elements = { ipv4, ipv6 } }");
    exclude_sets();
    if (running_) way_in();
    if (running_) output();
    way_round();
    if (running_ && gated_) gate();
    out_ += "}\n";
    return std::move(out_);
  }

 private:
  void line(const std::string& text) { out_ += "  " + text + '\n'; }
  void chain(const std::string& name) { line("chain " + name + " {"); }
  void rule(const std::string& text) { line("  " + text); }
  void end() { line("}"); }
  void rule_on_ports(const std::string& match, const Ports& ports, const std::string& verdict) {
    if (!ports.empty()) rule(match + ' ' + braces(ports) + ' ' + verdict);
  }

  std::string lan() const {
    return braces(plan_.lan, [](const DivertPlan::Lan& lan) { return quoted(lan.interface); });
  }
  std::string wan() const { return braces(plan_.wan, quoted); }
  // The end of a match on an outgoing interface's name: " != { WAN }", or, where the WAN is not named, " { LAN }".
  std::string not_wan() const { return plan_.wan.empty() ? ' ' + lan() : " != " + wan(); }

  std::uint32_t value(Mark mark) const { return mark_value(mark, plan_.mark_mask); }
  std::string set_mark(const std::string& which, Mark mark) const {
    return which + " set " + which + " & " + hex(~plan_.mark_mask) + " | " + hex(value(mark));
  }
  std::string is_mark(const std::string& which, Mark mark) const {
    return which + " & " + hex(plan_.mark_mask) + " == " + hex(value(mark));
  }

  // Of the kernel lane: marks 4 to 7.
  std::string is_gate_mark(const std::string& which) const {
    std::string bit = hex(gate_bit(plan_.mark_mask));
    return which + " & " + bit + " == " + bit;
  }
  std::string clear_mark(const std::string& which) const {
    return which + " set " + which + " & " + hex(~plan_.mark_mask);
  }
  // To the gate, by the queue numbers that begin with `first`.
  std::string look(std::uint16_t first) const {
    std::string to_the_gate = set_mark("meta mark", Mark::look) + ' ';
    if (!plan_.queues.native) return to_the_gate + "accept";
    std::string numbers = std::to_string(first);
    if (plan_.queues.count > 1) numbers += '-' + std::to_string(first + plan_.queues.count - 1);
    return to_the_gate + "queue num " + numbers;
  }

  void way_in() {
    std::vector<std::string> tls_verdicts;  // one a group
    for (const DivertPlan::Group& group : plan_.groups)
      tls_verdicts.push_back(group.tls == DivertPlan::Tls::proxy  ? "goto take"
                             : group.tls == DivertPlan::Tls::gate ? "goto collect"
                                                                  : "accept");
    bool all_taken = std::count(tls_verdicts.begin(), tls_verdicts.end(), "goto take") ==
                     static_cast<std::ptrdiff_t>(tls_verdicts.size());
    NftablesMembers members(plan_, "tls", tls_verdicts);
    if (!all_taken) out_ += members.maps();

    chain("divert");
    rule("type filter hook prerouting priority mangle; policy accept;");
    rule("meta l4proto != tcp accept");
    rule("tcp flags & (syn | ack) != syn goto middle");
    // Of an earlier connection on the tuple. On other ports a mark is a refusal of this one (gateway/other_ports.hpp), and the
    // client's next SYN does not end it.
    if (gated_ && !plan_.lan.empty())
      rule_on_ports("iifname " + lan() + " tcp dport", plan_.tls,
                    is_gate_mark("ct mark") + ' ' + clear_mark("ct mark"));
    if (!plan_.lan.empty()) rule("iifname " + lan() + " meta nfproto @alive goto opening");
    end();

    chain("middle");
    if (gated_) rule(is_gate_mark("ct mark") + " accept");
    rule("socket transparent 1 " + set_mark("meta mark", Mark::divert) + " accept");
    rule("ct direction reply " + is_mark("ct mark", Mark::upstream) + ' ' + set_mark("meta mark", Mark::divert));
    end();

    if (plan_.lan.empty()) return;
    chain("opening");
    rule("socket transparent 1 goto take");
    rule_on_ports("tcp dport !=", plan_.http + plan_.tls, "accept");
    rule("fib daddr type local accept");
    skip_excluded();
    rule("fib daddr . mark oifname" + not_wan() + " accept");
    if (!all_taken) {
      rule_on_ports("tcp dport", plan_.http, "goto take");
      dispatch(members);
    } else if (!(plan_.http + plan_.tls).empty()) {
      rule("goto take");
    }
    end();

    chain("take");
    for (const DivertPlan::Lan& lan : plan_.lan) {
      take(lan, "meta nfproto ipv4 meta l4proto tcp tproxy ip to 127.0.0.1:");
      take(lan, "meta nfproto ipv6 meta l4proto tcp tproxy ip6 to [::1]:");
    }
    end();

    if (!gated_) return;
    chain("collect");
    rule(set_mark("ct mark", Mark::collecting) + " accept");
    end();
  }

  void take(const DivertPlan::Lan& lan, const std::string& tproxy) {
    // No listener: the rule ends at `tproxy`, unmarked, and the packet goes to the forward hook.
    rule("iifname " + quoted(lan.interface) + ' ' + tproxy + std::to_string(lan.listener_port) + ' ' +
         set_mark("meta mark", Mark::divert) + " accept");
  }

  void output() {
    chain("output");
    // Ahead of tools that rewrite marks at `mangle`.
    rule("type filter hook output priority mangle - 5; policy accept;");
    std::string beat = "oifname \"lo\" meta l4proto udp meta mark ";
    rule(beat + hex(alive_mark) + " update @alive { meta nfproto } drop");
    rule(beat + hex(gone_mark) + " delete @alive { meta nfproto } drop");
    rule("meta l4proto tcp " + is_mark("meta mark", Mark::upstream) + " goto upstream");
    end();

    chain("upstream");
    if (!plan_.wan.empty() || !plan_.lan.empty()) rule("oifname" + not_wan() + " reject with tcp reset");
    rule("ct state new " + set_mark("ct mark", Mark::upstream));
    end();
  }

  void way_round() {
    std::vector<std::string> verdicts;  // one a group
    for (const Treatment& treatment : treatments_)
      verdicts.push_back(treatment.does_something() ? "goto " + treatment.name() : "accept");
    std::set<Treatment> used(treatments_.begin(), treatments_.end());
    std::erase_if(used, [](const Treatment& treatment) { return !treatment.does_something(); });
    Ports ports = plan_.http + plan_.tls + plan_.quic + plan_.dns;
    bool acts = (!used.empty() || gated_) && !plan_.lan.empty() && !ports.empty();
    bool looks = gated_ && running_;

    // A mark of the gate's on a packet that was not in the queue yet is none: somebody restores whole connection marks.
    // With nft `queue` this chain is walked again with the gate's answer, so the cleaning has to come before it.
    const std::string not_from_the_gate = is_gate_mark("meta mark") + ' ' + clear_mark("meta mark");
    if (acts && looks && plan_.queues.native) {
      chain("clean");
      rule("type filter hook forward priority filter - 6; policy accept;");
      rule(not_from_the_gate);
      end();
    }

    NftablesMembers members(plan_, "refuse", verdicts);
    if (acts) out_ += members.maps();
    chain("forwarded");
    rule("type filter hook forward priority filter - 5; policy accept;");
    rule("ct state untracked comment \"keeps reassembly on\"");
    if (running_ && !(acts && gated_)) rule(is_mark("ct mark", Mark::blocked) + " goto refuse");
    if (acts) {
      if (looks) rule(plan_.queues.native ? is_gate_mark("meta mark") + " goto judged" : not_from_the_gate);
      if (gated_) {
        rule("meta l4proto tcp " + is_mark("ct mark", Mark::done) + " tcp flags & (syn | ack) != syn accept");
        rule(is_mark("ct mark", Mark::blocked) + " goto refuse");
      }
      rule("iifname != " + lan() + (looks ? " goto answers" : " accept"));
      rule("oifname" + not_wan() + " accept");
      rule("meta l4proto != { tcp, udp } accept");
      rule("th dport != " + braces(ports) + " accept");
      if (looks)
        rule_on_ports(is_mark("ct mark", Mark::collecting) + " meta nfproto @alive tcp dport", plan_.tls,
                      "goto undecided");
      skip_excluded();
      dispatch(members);
    }
    end();
    if (!acts && !running_) return;

    if (acts)
      for (const Treatment& treatment : used) treat(treatment);
    chain("refuse");
    rule("meta l4proto tcp reject with tcp reset");
    rule("reject with icmpx type port-unreachable");
    end();
  }

  void treat(const Treatment& treatment) {
    chain(treatment.name());
    const std::string if_down = treatment.closed ? "closed" : "open";
    bool tls_gate = treatment.tls == DivertPlan::Tls::gate, quic_gate = treatment.quic == DivertPlan::Quic::gate;
    if (tls_gate) rule_on_ports("tcp dport", plan_.tls, "goto tls_" + if_down);
    if (quic_gate) rule_on_ports("udp dport", plan_.quic, "goto quic_" + if_down);
    bool refuses_quic = treatment.quic == DivertPlan::Quic::refuse;
    if (treatment.closed) {
      rule_on_ports("tcp dport", treatment.tls == DivertPlan::Tls::proxy ? plan_.http + plan_.tls : plan_.http,
                    "goto refuse");
      if (refuses_quic) rule_on_ports("udp dport", plan_.quic, "goto refuse");
      if (running_) rule("meta nfproto @alive accept");
      if (treatment.tls == DivertPlan::Tls::off) rule_on_ports("tcp dport", plan_.tls, "goto refuse");
      if (!refuses_quic && !quic_gate) {
        // Without a daemon: what it has allowed is the kernel's.
        if (gated_ && !running_) rule_on_ports("udp dport", plan_.quic, "goto quic_left");
        rule_on_ports("udp dport", plan_.quic, "goto refuse");
      }
      rule_on_ports("th dport", plan_.dns, "goto refuse");
    } else if (refuses_quic) {
      rule_on_ports("meta nfproto @alive udp dport", plan_.quic, "goto refuse");
    }
    end();
    if (treatment.closed && gated_ && !running_ && !plan_.quic.empty()) {
      chain("quic_left");
      rule(short_header + is_mark("ct mark", Mark::done) + " accept");
      rule("goto refuse");
      end();
    }
  }

  // The forward hook's chains of the kernel lane.
  void gate() {
    if (plan_.queues.native) {
      chain("judged");
      rule(is_mark("meta mark", Mark::passed) + ' ' + clear_mark("meta mark") + " accept");
      for (Mark verdict : {Mark::collecting, Mark::done}) {
        std::string not_blocked = "ct mark & " + hex(plan_.mark_mask) + " != " + hex(value(Mark::blocked));
        rule(is_mark("meta mark", verdict) + ' ' + not_blocked + ' ' + set_mark("ct mark", verdict));
      }
      rule(is_mark("meta mark", Mark::blocked) + ' ' + set_mark("ct mark", Mark::blocked) + ' ' +
           clear_mark("meta mark") + " goto refuse");
      rule(clear_mark("meta mark") + " accept");
      end();
    } else {
      chain("guard");
      rule("type filter hook postrouting priority mangle - 10; policy accept;");
      rule(is_mark("meta mark", Mark::look) + " drop");
      end();
    }

    chain("answers");
    rule("iifname" + not_wan() + " accept");
    const std::string undecided = is_mark("ct mark", Mark::collecting) + " meta nfproto @alive tcp sport";
    rule_on_ports(undecided, plan_.tls, "@ih,0,8 >= 0 " + look(plan_.queues.of_origins()));
    rule_on_ports(undecided, plan_.tls, "tcp flags & (fin | rst) != 0 " + look(plan_.queues.of_origins()));
    end();

    chain("undecided");
    rule("ct state invalid drop");
    rule("tcp flags & (syn | ack) == syn " + look(plan_.queues.of_clients()));
    rule("ct state new goto refuse");
    rule("tcp flags & (fin | rst | urg) != 0 " + look(plan_.queues.of_clients()));
    rule("@ih,0,8 >= 0 " + look(plan_.queues.of_clients()));
    end();

    for (bool closed : {false, true}) {
      auto used = [&](auto wants) {
        return std::any_of(treatments_.begin(), treatments_.end(),
                           [&](const Treatment& one) { return one.closed == closed && wants(one); });
      };
      if (used([](auto& one) { return one.tls == DivertPlan::Tls::gate; })) tls_gate(closed);
      if (used([](auto& one) { return one.quic == DivertPlan::Quic::gate; })) quic_gate(closed);
    }
  }

  void tls_gate(bool closed) {
    const std::string if_down = closed ? "closed" : "open";
    chain("tls_" + if_down);
    rule("meta nfproto @alive goto look_tls_" + if_down);
    dead(closed);
    end();

    chain("look_tls_" + if_down);
    rule("ct state { established, related } " + is_mark("ct mark", Mark::none) + " tcp flags & (syn | ack) != syn " +
         (closed ? "goto refuse" : "accept"));
    rule("goto undecided");
    end();
  }

  void quic_gate(bool closed) {
    const std::string if_down = closed ? "closed" : "open";
    chain("quic_" + if_down);
    rule("meta nfproto @alive goto look_quic_" + if_down);
    if (closed) rule(short_header + is_mark("ct mark", Mark::done) + " accept");
    dead(closed);
    end();

    chain("look_quic_" + if_down);
    rule("@th,64,1 1 " + look(plan_.queues.of_quic()));
    rule(is_mark("ct mark", Mark::done) + " accept");
    rule("ct state new goto refuse");
    rule(is_mark("ct mark", Mark::none) + (closed ? " goto refuse" : " accept"));
    rule("drop");
    end();
  }

  // While nobody looks: an undecided flow of an open group becomes one that nobody has looked at.
  void dead(bool closed) {
    if (closed) return rule("goto refuse");
    rule(is_mark("ct mark", Mark::collecting) + ' ' + clear_mark("ct mark"));
  }

  void exclude_sets() {
    std::vector<PrefixValue> prefixes;
    for (const base::IpPrefix& prefix : plan_.exclude) prefixes.push_back({prefix, 0});
    std::vector<std::string> v4, v6;
    for (const AddressRange& range : flatten(prefixes)) (range.v6 ? v6 : v4).push_back(to_string(range));
    out_ += nftables_set("set exclude4", "ipv4_addr; flags interval", v4);
    out_ += nftables_set("set exclude6", "ipv6_addr; flags interval", v6);
    excludes4_ = !v4.empty();
    excludes6_ = !v6.empty();
  }
  void dispatch(const NftablesMembers& members) {
    for (const std::string& each : members.rules()) rule(each);
  }
  void skip_excluded() {
    if (excludes4_) rule("ip daddr @exclude4 accept");
    if (excludes6_) rule("ip6 daddr @exclude6 accept");
  }

  static inline const std::string short_header = "@th,64,1 0 ";

  const DivertPlan& plan_;
  bool running_, gated_;
  std::vector<Treatment> treatments_;
  std::string out_;
  bool excludes4_ = false, excludes6_ = false;
};

}  // namespace

std::string render_nftables(const DivertPlan& plan, RulesetState state) {
  return Renderer(plan, state).text();
}

std::string render_nftables_removal() {
  return "table inet sluice\ndelete table inet sluice\n";
}

}  // namespace netfilter

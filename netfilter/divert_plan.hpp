// What the kernel shall do with the LAN's packets, as a value; rendered to nftables or to iptables text. Pure.
//
// The rendered ruleset means the same on both backends, with us alive, dead or hung: theory at the top of
// nftables_text.cpp. `lan`, `wan` and members come resolved; nested prefixes are allowed (the renderer flattens them or
// orders them longest first).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/ip_prefix.hpp"
#include "base/mac_address.hpp"
#include "netfilter/marks.hpp"

namespace netfilter {

struct DivertPlan {
  // A LAN interface and the port of its own listeners (TPROXY to 127.0.0.1 / ::1): the port tells which way a
  // connection came in.
  struct Lan {
    std::string interface;
    std::uint16_t listener_port = 0;
  };
  // Which way a group's TLS (TCP to the tls ports) goes.
  enum class Tls {
    proxy,  // TPROXY
    gate,   // the kernel lane: forwarded, its hello looked at in the queue
    off,    // left alone (tls = "off")
  };
  enum class Quic {
    pass,    // left alone
    gate,    // the kernel lane
    refuse,  // ICMP port unreachable
  };
  // What the ruleset itself must know of a group.
  struct Group {
    std::string name;
    bool closed = false;  // if_down = "closed"
    Tls tls = Tls::proxy;
    Quic quic = Quic::pass;
  };
  // The kernel lane's queues: `count` (one a worker) for each of what clients send by TCP, what origins send by TCP, and
  // what clients send by UDP, counted up from `first` in that order. count = 0: no kernel lane; no group may ask for it.
  struct Queues {
    std::uint16_t first = 0, count = 0;
    bool native = false;  // nftables backend: by nft's own `queue`; else its marks are queued by xt NFQUEUE
    bool operator==(const Queues&) const = default;
    std::uint16_t of_clients() const { return first; }
    std::uint16_t of_origins() const { return static_cast<std::uint16_t>(first + count); }
    std::uint16_t of_quic() const { return static_cast<std::uint16_t>(first + 2 * count); }
  };

  std::vector<Lan> lan;
  std::vector<std::string> wan;  // empty: whatever is not in `lan`
  std::vector<base::IpPrefix> exclude;
  // Disjoint prefixes that leave by something else than a WAN interface, from inner_prefixes(). Only iptables needs
  // them: it cannot ask the routing table for the way out before the routing decision (iptables_text.cpp).
  std::vector<base::IpPrefix> inner;
  std::vector<std::uint16_t> http, tls, quic, dns;
  std::uint32_t mark_mask = 0x70000000;

  std::vector<Group> groups;  // [0] is default
  Queues queues;
  // Membership, strongest first as POLICY 5 has it; values are indices into `groups`.
  struct MacMember {
    base::MacAddress mac;
    std::uint32_t group;
  };
  struct PrefixMember {
    base::IpPrefix prefix;  // a device's address is a /32 or /128
    std::uint32_t group;
  };
  struct InterfaceMember {
    std::string interface;
    std::uint32_t group;
  };
  // Who is known by more than a packet tells (a log-in, a DHCP host name): before every other kind.
  struct AddressMember {
    base::IpAddress address;
    std::uint32_t group;
    bool operator==(const AddressMember&) const = default;
  };
  std::vector<AddressMember> people;
  std::vector<MacMember> macs;
  std::vector<PrefixMember> prefixes;
  std::vector<InterfaceMember> interfaces;
  std::uint32_t rest = 0;  // the group of everybody else
};

enum class RulesetState {
  running,  // diverts while the heartbeat lives, if_down while it does not
  closed,   // no daemon: only the refusals of closed groups (before the first start, after a clean stop)
};

// Text for `nft -f -`: one transaction that replaces `table inet sluice` whole.
std::string render_nftables(const DivertPlan& plan, RulesetState state);
// Removes everything of ours, whether it is there or not.
std::string render_nftables_removal();

// Text for `iptables-restore --noflush` and `ip6tables-restore --noflush`: own chains only, hooked in first.
struct IptablesText {
  std::string v4, v6;
};
IptablesText render_iptables(const DivertPlan& plan, RulesetState state);
// What the nftables backend needs besides on a kernel without nft `queue`: chains that do nothing but queue what its
// table has marked and take the gate's answers. Empty where it needs nothing.
IptablesText render_iptables_queue(const DivertPlan& plan, RulesetState state);

bool has_closed_group(const DivertPlan& plan);

}  // namespace netfilter

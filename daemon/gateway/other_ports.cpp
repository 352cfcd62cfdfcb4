#include "daemon/gateway/other_ports.hpp"

#include <netinet/in.h>
#include <sys/random.h>

#include <algorithm>

#include "daemon/log.hpp"
#include "flow/flow.hpp"
#include "flow/record.hpp"
#include "netfilter/policy_route.hpp"
#include "policy/decide.hpp"

namespace sluiced {
namespace {

using netfilter::ConntrackKey;
using netfilter::Mark;

constexpr base::Duration network_period = std::chrono::seconds(10);  // prefixes come and go

template <class Items, class Item>
bool holds(const Items& items, const Item& item) {
  return std::find(items.begin(), items.end(), item) != items.end();
}

bool any_contains(const std::vector<base::IpPrefix>& prefixes, const base::IpAddress& address) {
  return std::any_of(prefixes.begin(), prefixes.end(), [&](auto& prefix) { return prefix.contains(address); });
}

const char* protocol_name(std::uint8_t protocol) {
  switch (protocol) {
    case IPPROTO_TCP:
      return "tcp";
    case IPPROTO_UDP:
      return "udp";
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
      return "icmp";
    default:
      return "ip";
  }
}

}  // namespace

base::Result<std::unique_ptr<OtherPorts>> OtherPorts::open(const rules::Settings& settings,
                                                           const Identification& identification, FlowUses& uses,
                                                           std::function<void(flow::CommandList)> publish) {
  auto conntrack = netfilter::Conntrack::open();
  if (!conntrack) return std::move(conntrack).error();
  std::unique_ptr<OtherPorts> made(new OtherPorts(std::move(*conntrack), identification, uses, std::move(publish)));
  made->network_ = settings.network;
  if (getrandom(&made->surroundings_.id_seed, sizeof made->surroundings_.id_seed, 0) < 0)
    made->surroundings_.id_seed = static_cast<std::uint64_t>(wall_now().time_since_epoch().count());
  return made;
}

OtherPorts::OtherPorts(netfilter::Conntrack conntrack, const Identification& identification, FlowUses& uses,
                       std::function<void(flow::CommandList)> publish)
    : conntrack_(std::move(conntrack)), identification_(identification), uses_(uses), publish_(std::move(publish)) {}

void OtherPorts::hear() {
  if (!events_ || !surroundings_.snapshot) return;
  std::vector<ConntrackKey> refused, freed;
  flow::CommandList notes;
  surroundings_.now = wall_now();
  if (monotonic_now() - learned_ > network_period) learn_the_network();
  auto whole = events_->read([&](const Entry& entry) { judge(entry, refused, freed, notes); });
  put_in_force(refused, freed, std::move(notes));
  if (!whole) return complain(whole.error().message);
  if (!*whole) judge_all();  // some beginnings were lost
}

void OtherPorts::adopt(std::shared_ptr<const policy::Snapshot> snapshot, const policy::ScheduleSet& active,
                       const std::vector<base::IpPrefix>& exclude) {
  surroundings_.snapshot = std::move(snapshot);
  surroundings_.active = active;
  network_.exclude = exclude;
  bool wanted = policy::refuses_without_names(*surroundings_.snapshot);
  if (!wanted) events_.reset();
  if (wanted && !events_) {
    auto events = netfilter::ConntrackEvents::open(netfilter::ConntrackEvents::What::began);
    if (!events) return complain(events.error().message);
    events_.emplace(std::move(*events));
  }
  if (!wanted && !blocked_some_) return;
  judge_all();
  blocked_some_ = wanted;
}

void OtherPorts::judge_all() {
  surroundings_.now = wall_now();
  learn_the_network();
  std::vector<ConntrackKey> refused, freed;
  flow::CommandList notes;
  auto dumped = conntrack_.dump_all([&](const Entry& entry) { judge(entry, refused, freed, notes); });
  if (!dumped) return complain(dumped.error().message);
  put_in_force(refused, freed, std::move(notes));
}

void OtherPorts::learn_the_network() {
  learned_ = monotonic_now();
  inside_.learn(network_.lan);
  netfilter::DivertPlan plan;
  for (const std::string& interface : network_.lan) plan.lan.push_back({interface, 0});
  plan.wan = network_.wan;
  if (network_.wan_auto)
    if (auto wan = netfilter::default_route_interfaces())
      for (const std::string& interface : *wan)
        if (!holds(network_.lan, interface)) plan.wan.push_back(interface);
  if (auto inner = netfilter::inner_prefixes(plan)) inner_ = std::move(*inner);
}

// A client's connection that leaves by the WAN.
bool OtherPorts::is_ours(const Entry& entry) const {
  const base::IpAddress& origin = entry.tuple.origin.address;
  return inside_.is_client(entry.tuple.client.address) && !inside_.is_router(origin) && !any_contains(inner_, origin) &&
         !any_contains(network_.exclude, origin);
}

// The proxy, the gate or the ruleset judges it: TCP to the http and tls ports, QUIC; unless its group leaves them alone.
bool OtherPorts::belongs_to_a_lane(const Entry& entry, const policy::Client& client) const {
  const policy::Group& group = surroundings_.snapshot->groups[client.group.value];
  std::uint16_t port = entry.key.original.origin.port;
  if (entry.protocol == IPPROTO_TCP)
    return holds(network_.http, port) || (holds(network_.tls, port) && group.tls != policy::TlsMode::off);
  bool quic_is_judged = group.quic == policy::QuicMode::policy && group.tls != policy::TlsMode::off;
  return entry.protocol == IPPROTO_UDP && holds(network_.quic, port) && quic_is_judged;
}

void OtherPorts::judge(const Entry& entry, std::vector<ConntrackKey>& refused, std::vector<ConntrackKey>& freed,
                       flow::CommandList& notes) {
  Mark mark = netfilter::mark_of(entry.mark, network_.mark_mask);
  if ((mark != Mark::none && mark != Mark::blocked) || !is_ours(entry)) return;
  policy::Client client = identification_.identify(*surroundings_.snapshot, entry.tuple.client.address);
  if (belongs_to_a_lane(entry, client)) return;
  policy::Facts facts;
  facts.client = &client;
  facts.tuple = entry.tuple;
  facts.active = surroundings_.active;
  policy::Verdict verdict = policy::decide_without_names(*surroundings_.snapshot, facts);
  bool was_blocked = mark == Mark::blocked;
  if (!flow::refuses(verdict)) {
    if (was_blocked) freed.push_back(entry.key);
    flow::Subject subject;
    subject.verdict = verdict;
    flow::Describe described = flow::describe(*surroundings_.snapshot, client, entry.tuple, subject);
    if (!described.quota_rule.empty()) uses_.tell(std::move(described));
    return;
  }
  if (was_blocked) return;
  refused.push_back(entry.key);
  static constexpr flow::Counters uncounted;
  flow::Flow flow({entry.tuple, std::move(client)}, surroundings_, uncounted);
  flow.subject.protocol = protocol_name(entry.protocol);
  flow.subject.verdict = verdict;
  flow.out.attach(notes);
  flow.note();
}

void OtherPorts::put_in_force(const std::vector<ConntrackKey>& refused, const std::vector<ConntrackKey>& freed,
                              flow::CommandList notes) {
  for (auto [keys, mark] : {std::pair{&refused, Mark::blocked}, std::pair{&freed, Mark::none}}) {
    if (keys->empty()) continue;
    auto set = conntrack_.set_mark(*keys, netfilter::mark_value(mark, network_.mark_mask), network_.mark_mask);
    if (!set) complain(set.error().message);
  }
  if (!refused.empty()) blocked_some_ = true;
  if (!notes.empty()) publish_(std::move(notes));
}

void OtherPorts::complain(const std::string& what) {
  if (what != complaint_) logging::warning("other ports: " + what);
  complaint_ = what;
}

}  // namespace sluiced

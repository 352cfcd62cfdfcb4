#include "daemon/gateway/meter_driver.hpp"

#include <netinet/in.h>
#include <xxhash.h>

#include <algorithm>
#include <cstring>

#include "accounting/wire.hpp"
#include "daemon/log.hpp"
#include "flow/record.hpp"
#include "netfilter/marks.hpp"
#include "policy/names.hpp"

namespace sluiced {
namespace {

using accounting::Counts;
using accounting::What;
using accounting::Who;
using control::Json;

// Reading costs about 2 us an entry; the pause grows with it, so that reading stays below 2 % of a processor.
constexpr int pause_per_cost = 50;
constexpr std::size_t most_hosts_of_a_client = 200;  // in one interval; the rest counts as "(other)"
constexpr std::size_t most_live = 4096;
constexpr auto forgotten_after = std::chrono::hours(1);  // by `top`
constexpr unsigned usual_mtu = 1500;
constexpr auto time_to_learn_who = std::chrono::milliseconds(1500);
// Until the kernel has cleared away what had timed out before our start: it looks through its table once a minute. No longer:
// if the clock is set back, what begins then seems to be old.
constexpr auto clearing_takes = std::chrono::minutes(3);

// The same as long as the entry lives, and another for the next on its tuple.
accounting::Meter::Key key_of(const netfilter::ConntrackEntry& entry) {
  struct {
    std::uint8_t source[16], destination[16];
    std::uint64_t began;
    std::uint32_t id;
    std::uint16_t source_port, destination_port, zone;
    std::uint8_t protocol, zero;
  } key{};
  const base::FiveTuple& tuple = entry.key.original;
  std::ranges::copy(tuple.client.address.mapped(), key.source);
  std::ranges::copy(tuple.origin.address.mapped(), key.destination);
  key.began = entry.began;
  key.id = entry.id;
  key.source_port = tuple.client.port;
  key.destination_port = tuple.origin.port;
  key.zone = entry.key.zone;
  key.protocol = entry.protocol;
  return XXH3_64bits(&key, sizeof key);
}

Counts counts_of(const netfilter::ConntrackEntry& entry) {
  return {entry.bytes_up, entry.bytes_down, entry.packets_up, entry.packets_down};
}

Counts turned(const Counts& counts) {
  return {counts.bytes_down, counts.bytes_up, counts.packets_down, counts.packets_up};
}

// What is told of a flow that has no name: "udp/3074", "icmp".
std::string service_of(const netfilter::ConntrackEntry& entry) {
  std::string port = std::to_string(entry.tuple.origin.port);
  switch (entry.protocol) {
    case IPPROTO_TCP:
      return "tcp/" + port;
    case IPPROTO_UDP:
      return "udp/" + port;
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
      return "icmp";
    default:
      return "protocol " + std::to_string(entry.protocol);
  }
}

std::uint64_t rate(std::uint64_t bytes, base::Duration interval) {
  double seconds = std::chrono::duration<double>(interval).count();
  return seconds > 0 ? static_cast<std::uint64_t>(static_cast<double>(bytes) / seconds) : 0;
}

}  // namespace

base::Result<std::unique_ptr<MeterDriver>> MeterDriver::open(Parts parts) {
  auto conntrack = netfilter::Conntrack::open();
  if (!conntrack) return std::move(conntrack).error();
  auto events = netfilter::ConntrackEvents::open(netfilter::ConntrackEvents::What::ended);
  if (!events) return std::move(events).error();
  return std::unique_ptr<MeterDriver>(new MeterDriver(std::move(parts), std::move(*conntrack), std::move(*events)));
}

MeterDriver::MeterDriver(Parts parts, netfilter::Conntrack conntrack, netfilter::ConntrackEvents events)
    : parts_(std::move(parts)), conntrack_(std::move(conntrack)), events_(std::move(events)) {
  goes_on_ = parts_.baselines && parts_.baselines->load(meter_);
  if (!goes_on_) meter_.first_dump();
}

void MeterDriver::adopt(std::shared_ptr<const policy::Snapshot> snapshot) {
  bool first = snapshot_ == nullptr;
  snapshot_ = std::move(snapshot);
  clients_.clear();
  if (!first) return;
  // What runs by now is where counting begins; nobody is served yet. After a restart there is something to charge
  // already, and who it was is still to be told by the keeper and the helper.
  if (goes_on_)
    next_read_ = monotonic_now() + time_to_learn_who;
  else
    tend(monotonic_now(), wall_now());
}

// --- reading

void MeterDriver::hear() {
  if (!snapshot_) return;
  parts_.uses.gather();
  auto whole = events_.read([&](const Entry& entry) {
    if (is_upstream_leg(entry)) return;
    charge(entry, meter_.ended(key_of(entry), counts_of(entry), began(entry)));
    parts_.uses.forget(entry.key.original);
    parts_.uses.forget(entry.tuple);
  });
  if (!whole) return complain(whole.error().message);
  if (*whole) return;
  ++overruns_;
  next_read_ = {};  // what is left is read at once; what has vanished is found by that
}

bool MeterDriver::tend(base::Monotonic now, base::WallTime wall) {
  now_ = wall;
  if (!snapshot_ || now < next_read_) return std::exchange(quota_spent_, false);
  hear();
  read(wall);
  base::Monotonic after = monotonic_now();
  last_interval_ = last_read_ == base::Monotonic{} ? parts_.interval : now - last_read_;
  last_read_ = now;
  next_read_ = now + std::max<base::Duration>(parts_.interval, (after - now) * pause_per_cost);
  for (auto& [who, live] : live_) {
    live.last = std::exchange(live.grown, {});
    live.hosts_last = std::exchange(live.hosts_now, {});
    live.connections_last = std::exchange(live.connections, 0);
    live.addresses_last = std::exchange(live.addresses, {});
    if (live.last != Counts{}) live.seen = now;
  }
  std::erase_if(live_, [&](const auto& each) { return now - each.second.seen > forgotten_after; });
  send(wall);
  return std::exchange(quota_spent_, false);
}

void MeterDriver::finish(base::WallTime wall) {
  if (!snapshot_) return;
  now_ = wall;
  hear();
  read(wall);
  send(wall);
}

bool MeterDriver::is_upstream_leg(const Entry& entry) const {
  return netfilter::mark_of(entry.mark, parts_.mark_mask) == netfilter::Mark::upstream;
}

accounting::Meter::Began MeterDriver::began(const Entry& entry) const {
  using Began = accounting::Meter::Began;
  bool may_be_old = entry.began < counting_since_ && monotonic_now() < old_ones_until_;
  return may_be_old ? Began::before : Began::after;
}

void MeterDriver::read(base::WallTime wall) {
  if (dumps_ == 0 && !goes_on_ && netfilter::tells_beginnings()) {
    counting_since_ = std::chrono::nanoseconds(wall.time_since_epoch()).count();
    old_ones_until_ = monotonic_now() + clearing_takes;
  }
  inside_.learn(parts_.lan);
  look_at_interfaces();
  clients_.clear();
  parts_.uses.gather();
  meter_.begin_dump();
  std::size_t entries = 0;
  std::set<base::FiveTuple> used;
  bool counted = true;
  bool sweep = parts_.uses.size() > 4096 + 2 * entries_;
  auto dumped = conntrack_.dump_all([&](const Entry& entry) {
    ++entries;
    counted = counted && entry.counted;
    if (sweep) used.insert({entry.key.original, entry.tuple});
    if (is_upstream_leg(entry)) return;  // the client's leg counts
    charge(entry, meter_.read(key_of(entry), counts_of(entry), began(entry)));
  });
  if (!dumped) return complain(dumped.error().message);
  complaint_.clear();
  if (dumps_ == 0) hear();  // of what the dump itself has cleared away, before counting begins
  count_interfaces();
  entries_ = entries;
  ++dumps_;
  lost_ += meter_.end_dump();
  if (sweep) parts_.uses.keep([&](const base::FiveTuple& tuple) { return used.contains(tuple); });
  if (!counted && !std::exchange(uncounted_, true))
    logging::info("some connections began before the kernel counted bytes: they are not accounted");
  if (parts_.baselines) parts_.baselines->store(meter_);
}

// --- who and what

const MeterDriver::Client& MeterDriver::client_at(const base::IpAddress& address) {
  auto [known, is_new] = clients_.try_emplace(address);
  Client& client = known->second;
  if (!is_new) return client;
  client.counts = inside_.is_client(address);
  if (!client.counts) return client;
  policy::Client identified = parts_.identification.identify(*snapshot_, address);
  const policy::Group& group = snapshot_->groups[identified.group.value];
  client.mtu = usual_mtu;
  client.interface = identified.interface;
  for (const netfilter::LinkCounters& link : links_)
    if (link.name == identified.interface) client.mtu = link.carries_bunches ? 0 : link.mtu;
  client.person = policy::person_of(*snapshot_, identified);
  client.who.group = group.name;
  if (group.log == policy::LogDetail::none) return client;
  client.keeps_names = group.log != policy::LogDetail::category;
  client.who.user = identified.user;
  client.who.device = policy::device_name(*snapshot_, identified);
  if (client.who.user.empty() && client.who.device.empty()) client.who.client = address.to_string();
  return client;
}

std::shared_ptr<const FlowUse> MeterDriver::use_of(const Entry& entry) {
  if (auto use = parts_.uses.find(entry.key.original)) return use;
  if (auto use = parts_.uses.find(entry.tuple)) return use;
  if (parts_.labels == nullptr || netfilter::mark_of(entry.mark, parts_.mark_mask) < netfilter::Mark::done) return {};
  // Judged by a gateway that is no more.
  auto label = parts_.labels->find(entry.tuple);
  if (!label) return {};
  flow::Surroundings surroundings;
  surroundings.snapshot = snapshot_;
  surroundings.now = now_;
  policy::Client client = parts_.identification.identify(*snapshot_, label->tuple.client.address);
  flow::RunningFlow running({label->tuple, std::move(client)}, surroundings, known_of(*label), {});
  flow::CommandList commands;
  running.describe(commands);
  for (flow::Command& command : commands)
    if (auto* described = std::get_if<flow::Describe>(&command)) parts_.uses.tell(std::move(*described));
  parts_.uses.gather();
  return parts_.uses.find(entry.tuple);
}

void MeterDriver::charge(const Entry& entry, const Counts& read) {
  if (read == Counts{}) return;
  const base::IpAddress &opener = entry.tuple.client.address, &answerer = entry.tuple.origin.address;
  const Client& client = client_at(opener);
  auto on_the_wire = [&](const Client& of) {
    if (entry.protocol != IPPROTO_TCP || of.mtu == 0) return read;
    Counts all = accounting::with_all_headers(read, opener.is_v6(), of.mtu);
    added_headers_[of.interface] += accounting::growth(read, all);
    return all;
  };
  if (client.counts) {
    Counts grown = on_the_wire(client);
    std::shared_ptr<const FlowUse> use = use_of(entry);
    What what = use ? use->what : What{};
    if (what.action.empty()) what.action = "allow";
    if (what.host.empty() && client.keeps_names) what.host = service_of(entry);
    charge(opener, grown, what, use ? use->quota_rule : "");
  }
  // Whom it was opened to: one of ours too (another LAN, a forwarded port).
  if (opener == answerer) return;
  if (const Client& other = client_at(answerer); other.counts)
    charge(answerer, turned(on_the_wire(other)), {"", "(incoming)", "allow"}, "");
  else if (!client.counts)
    of_router_ += read;
}

void MeterDriver::charge(const base::IpAddress& address, const Counts& counts, const What& what,
                         const std::string& quota_rule) {
  const Client& client = client_at(address);
  std::pair key{client.who, what};
  counted_[std::move(key)] += counts;
  total_ += counts;
  groups_[client.who.group] += counts;
  if (!quota_rule.empty())
    quota_spent_ |= parts_.quotas.add(*snapshot_, client.person, quota_rule, counts.bytes_up + counts.bytes_down, now_);
  if (live_.size() >= most_live && !live_.contains(client.who)) return;
  Live& live = live_[client.who];
  live.total += counts;
  live.grown += counts;
  live.addresses.insert(address);
  ++live.connections;
  bool room = live.hosts_now.size() < most_hosts_of_a_client || live.hosts_now.contains(what.host);
  live.hosts_now[room ? what.host : "(other)"] += counts.bytes_up + counts.bytes_down;
}

// --- telling

void MeterDriver::look_at_interfaces() {
  auto links = netfilter::link_counters(parts_.lan);
  if (!links) return complain(links.error().message);
  links_ = std::move(*links);
}

// An interface's counters are read like a flow's, so that they too go on where a killed gateway ended. One of software
// counts bunches as conntrack does: what was added there is added here.
void MeterDriver::count_interfaces() {
  for (const netfilter::LinkCounters& link : links_) {
    auto l3 = [](std::uint64_t bytes, std::uint64_t packets, unsigned header) {
      return bytes - std::min<std::uint64_t>(bytes, packets * header);
    };
    Counts now = {l3(link.bytes_in, link.packets_in, link.header_in),
                  l3(link.bytes_out, link.packets_out, link.header_out), link.packets_in, link.packets_out};
    link_grown_[link.name] += meter_.read(XXH3_64bits(link.name.data(), link.name.size()), now);
    if (link.counts_bunches) link_grown_[link.name] += added_headers_[link.name];
  }
  added_headers_.clear();
}

void MeterDriver::send(base::WallTime wall) {
  accounting::Batch batch;
  batch.time = wall;
  for (const auto& [key, counts] : counted_) batch.usages.push_back({key.first, key.second, counts});
  for (const auto& [name, counts] : link_grown_) batch.interfaces.push_back({name, counts});
  if (batch.usages.empty() && batch.interfaces.empty()) return;
  if (!parts_.send(batch)) return;
  counted_.clear();
  link_grown_.clear();
}

Json MeterDriver::to_json() const {
  Json json = {{"conntrack_entries", entries_},
               {"dumps", dumps_},
               {"events_lost", lost_},
               {"event_overruns", overruns_},
               {"bytes_up", total_.bytes_up},
               {"bytes_down", total_.bytes_down},
               {"router_bytes", of_router_.bytes_up + of_router_.bytes_down},
               {"clients", live_.size()}};
  if (!complaint_.empty()) json["trouble"] = complaint_;
  json["groups"] = Json::array();
  for (const auto& [name, counts] : groups_)
    json["groups"].push_back({{"name", name}, {"bytes_up", counts.bytes_up}, {"bytes_down", counts.bytes_down}});
  return json;
}

Json MeterDriver::top() const {
  Json clients = Json::array();
  Counts now;
  for (const auto& [who, live] : live_) {
    now += live.last;
    std::vector<std::pair<std::uint64_t, std::string>> hosts;
    for (const auto& [name, bytes] : live.hosts_last) hosts.push_back({bytes, name});
    std::sort(hosts.rbegin(), hosts.rend());
    Json busiest = Json::array();
    for (std::size_t i = 0; i < std::min<std::size_t>(hosts.size(), 3); ++i)
      busiest.push_back({{"name", hosts[i].second}, {"rate", rate(hosts[i].first, last_interval_)}});
    clients.push_back({{"user", who.user},
                       {"device", who.device},
                       {"client", who.client},
                       {"group", who.group},
                       {"address_count", live.addresses_last.size()},
                       {"rate_up", rate(live.last.bytes_up, last_interval_)},
                       {"rate_down", rate(live.last.bytes_down, last_interval_)},
                       {"bytes_up", live.total.bytes_up},
                       {"bytes_down", live.total.bytes_down},
                       {"connections", live.connections_last},
                       {"hosts", std::move(busiest)}});
  }
  return {{"interval_s", std::chrono::duration<double>(last_interval_).count()},
          {"clients", std::move(clients)},
          {"total",
           {{"rate_up", rate(now.bytes_up, last_interval_)}, {"rate_down", rate(now.bytes_down, last_interval_)}}}};
}

void MeterDriver::complain(const std::string& what) {
  if (what != complaint_) logging::warning("accounting: " + what);
  complaint_ = what;
}

}  // namespace sluiced

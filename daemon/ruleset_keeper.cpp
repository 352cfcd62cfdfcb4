#include "daemon/ruleset_keeper.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>

#include "base/sys/unique_fd.hpp"
#include "daemon/divert.hpp"
#include "daemon/log.hpp"
#include "daemon/loop.hpp"
#include "netfilter/foreign_rules.hpp"
#include "netfilter/shaper.hpp"

namespace sluiced {
namespace {

using namespace std::chrono_literals;
using netfilter::RulesetState;

constexpr base::Duration obstacle_period = 30s;
constexpr base::Duration check_period = 2s;  // whether our rules are still there; changes of routes are told at once

netfilter::DivertPlan plan_with(const rules::Settings& settings, const policy::Snapshot& snapshot,
                                netfilter::DivertPlan::Queues queues, const std::vector<Person>& people) {
  std::vector<std::string> wan;
  if (auto found = netfilter::default_route_interfaces()) wan = std::move(*found);
  netfilter::DivertPlan plan = plan_diversion(settings, snapshot, wan, queues, people);
  if (auto inner = netfilter::inner_prefixes(plan)) plan.inner = std::move(*inner);
  return plan;
}

// Bytes are conntrack's to count, ends its to tell, and beginnings tell one connection from the next on its tuple.
// New connections are counted from now on.
void make_conntrack_count() {
  for (const char* key : {"nf_conntrack_acct", "nf_conntrack_events", "nf_conntrack_timestamp"}) {
    std::string path = std::string("/proc/sys/net/netfilter/") + key;
    base::sys::UniqueFd file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    char value = '1';
    if (file && ::pread(file.get(), &value, 1, 0) == 1 && value == '1') continue;
    if (!file || ::pwrite(file.get(), "1", 1, 0) != 1)
      logging::warning("cannot set net.netfilter." + std::string(key) + " to 1: " +
                       (std::string_view(key) == "nf_conntrack_acct" ? "no bytes are counted"
                                                                     : "bytes of short connections may be missed"));
    else
      logging::info("net.netfilter." + std::string(key) +
                    " set to 1, so that the kernel counts each connection's bytes");
  }
}

base::Result<netfilter::Backend> backend_for(const rules::Settings& settings) {
  switch (settings.network.firewall) {
    case rules::Firewall::nftables:
      return netfilter::Backend::nftables;
    case rules::Firewall::iptables:
      return netfilter::Backend::iptables;
    case rules::Firewall::automatic:
      break;
  }
  return netfilter::probe_backend();
}

// The first character of a file; nullopt without the file.
std::optional<char> first_character(const std::string& path) {
  base::sys::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char character;
  if (!file || ::read(file.get(), &character, 1) != 1) return std::nullopt;
  return character;
}

}  // namespace

base::Result<> RulesetKeeper::begin(const rules::Settings& settings, const policy::Snapshot& snapshot) {
  auto backend = backend_for(settings);
  if (!backend) return std::move(backend).error();
  backend_ = *backend;
  auto routes = netfilter::RouteWatch::open();
  if (!routes) return std::move(routes).error();
  routes_ = std::move(*routes);
  auto routed = netfilter::install_policy_route(settings.network.mark_mask);
  if (!routed) return std::move(routed).error().context("policy routing");
  make_conntrack_count();
  look_for_the_kernel_lane(settings);
  auto adopted = adopt(settings, snapshot, false);
  if (adopted) netfilter::remove_other(backend_, plan_);
  if (adopted) return adopted;
  (void)netfilter::remove_policy_route();
  return std::move(adopted).error().context("ruleset");
}

netfilter::DivertPlan RulesetKeeper::plan_now(const rules::Settings& settings, const policy::Snapshot& snapshot) const {
  return plan_with(settings, snapshot, obstacle_.empty() ? queues_ : netfilter::DivertPlan::Queues{}, people_);
}

void RulesetKeeper::look_for_the_kernel_lane(const rules::Settings& settings) {
  if (!settings.network.kernel_lane) return;
  // The gate leans on conntrack to refuse acknowledgements of what was never sent (flow/hello_gate.cpp). The second name is
  // OpenWrt's own, of its releases before 22.03.
  for (const char* key : {"nf_conntrack_tcp_be_liberal", "nf_conntrack_tcp_no_window_check"})
    if (first_character("/proc/sys/net/netfilter/" + std::string(key)).value_or('0') != '0')
      return logging::warning("no kernel lane, TLS goes through the proxy and QUIC is refused: net.netfilter." +
                              std::string(key) + " is not 0, so conntrack lets forged TCP numbers pass; set it to 0");
  auto native = netfilter::probe_native_queue(backend_);
  if (!native)
    return logging::warning("no kernel lane, TLS goes through the proxy and QUIC is refused: " +
                            native.error().message);
  queues_ = kernel_lane_queues(settings, *native);
  logging::info(std::string("kernel lane: queues by ") + (*native ? "nft queue" : "xt NFQUEUE"));
  (void)obstacle_changed(settings);
}

// Asked now and then: a firewall's restart may bring one at any time. True: it has come or gone.
bool RulesetKeeper::obstacle_changed(const rules::Settings& settings) {
  obstacle_checked_ = monotonic_now();
  std::string rules = netfilter::list_rules(), found;
  bool hides = netfilter::offload_hides_bytes(rules);
  if (hides && !std::exchange(bytes_hidden_, hides))
    logging::warning(
        "flow offloading hides bytes from the kernel's counters: what it carries is accounted to nobody; a flowtable "
        "without hardware offload and with `counter` is counted (docs/operations.md)");
  bytes_hidden_ = hides;
  if (queues_.count == 0) return false;
  if (netfilter::offloads_undecided(rules))
    found = "flow offloading takes connections past it; let the rule offload only what is marked as allowed";
  else if (netfilter::overwrites_marks(rules, settings.network.mark_mask))
    found = "a rule saves whole packet marks to connections and would overwrite its marks; give it a mask";
  if (found == obstacle_) return false;
  obstacle_ = found;
  if (!found.empty())
    logging::warning("the kernel lane is not used, TLS goes through the proxy and QUIC is refused: " + found +
                     " (docs/operations.md)");
  else
    logging::notice("nothing is in the way of the kernel lane any more: it is used again");
  return true;
}

base::Result<> RulesetKeeper::apply(bool gateway_lives) {
  auto state = gateway_lives ? RulesetState::running : RulesetState::closed;
  netfilter::DivertPlan plan = plan_;
  // wan = "auto" and no default route: nothing leaves for the outside, so nothing is diverted. (To the renderer, no WAN
  // means all but the LAN; right for refusals before interfaces exist, but it would carry clients past the admin's own
  // rules to inner networks.)
  if (state == RulesetState::running && plan.wan.empty()) plan.wan = {"lo"};
  auto applied = netfilter::apply(backend_, plan, state);
  if (applied) applied_ = state;
  return applied;
}

base::Result<> RulesetKeeper::adopt(const rules::Settings& settings, const policy::Snapshot& snapshot,
                                    bool gateway_lives) {
  (void)obstacle_changed(settings);
  netfilter::DivertPlan before = std::exchange(plan_, plan_now(settings, snapshot));
  auto applied = apply(gateway_lives);
  if (!applied) plan_ = std::move(before);
  return applied;
}

base::Result<> RulesetKeeper::adopt_people(std::vector<Person> people, const rules::Settings& settings,
                                           const policy::Snapshot& snapshot, bool gateway_lives) {
  people_ = std::move(people);
  netfilter::DivertPlan plan = plan_now(settings, snapshot);
  if (plan.people == plan_.people) return base::Nothing{};
  plan_ = std::move(plan);
  return apply(gateway_lives);
}

void RulesetKeeper::hear() {
  routes_->drain();
  routes_changed_ = true;
}

bool RulesetKeeper::tend(const rules::Settings& settings, const policy::Snapshot& snapshot, bool gateway_lives) {
  base::Monotonic now = monotonic_now();
  bool divert_now = applied_ == RulesetState::closed && gateway_lives;
  if (now - checked_ < check_period && !routes_changed_ && !divert_now) return false;
  checked_ = now;
  std::string complaint;
  bool other_ways = false, other_lane = false, fresh = false;
  if (now - obstacle_checked_ > obstacle_period && obstacle_changed(settings)) {
    other_lane = true;
    plan_ = plan_now(settings, snapshot);
  }
  if (routes_changed_) {
    routes_changed_ = false;
    netfilter::DivertPlan plan = plan_now(settings, snapshot);
    other_ways = plan.wan != plan_.wan || plan.inner != plan_.inner;
    plan_ = std::move(plan);
    auto routed = netfilter::install_policy_route(settings.network.mark_mask);
    if (!routed) complaint = "policy routing: " + routed.error().message;
  }
  bool in_place = netfilter::is_applied(backend_, plan_, applied_) ||
                  (applied_ == RulesetState::closed && !netfilter::has_closed_group(plan_));  // then there are none
  if (other_ways || other_lane || !in_place || divert_now) {
    if (!in_place)
      logging::warning("our rules are not in the kernel any more (removed by somebody); they are put back");
    if (other_ways) logging::info("the ways out have changed; the rules follow");
    auto applied = apply(gateway_lives);
    fresh = applied.ok();
    if (!applied) complaint = "ruleset: " + applied.error().message;
  }
  if (!complaint.empty() && complaint != complaint_) logging::error(complaint);
  complaint_ = complaint;
  return fresh;
}

void RulesetKeeper::remove_rules() {
  auto removed = netfilter::remove_all();
  if (!removed) logging::error("ruleset: " + removed.error().message);
}

void RulesetKeeper::finish(bool leave_nothing) {
  if (leave_nothing || !netfilter::has_closed_group(plan_)) {
    remove_rules();
  } else {
    auto closed = netfilter::apply(backend_, plan_, RulesetState::closed);
    if (!closed) logging::error("ruleset: " + closed.error().message);
  }
  if (auto removed = netfilter::remove_shapes(); !removed) logging::error(removed.error().message);
  (void)netfilter::remove_policy_route();
}

base::Result<> apply_closed_part(const rules::Settings& settings, const policy::Snapshot& snapshot) {
  auto backend = backend_for(settings);
  if (!backend) return std::move(backend).error();
  // What an earlier life has allowed stays so, if there was one.
  auto queues = settings.network.kernel_lane ? kernel_lane_queues(settings, true) : netfilter::DivertPlan::Queues{};
  netfilter::DivertPlan plan = plan_with(settings, snapshot, queues, {});
  if (!netfilter::has_closed_group(plan)) return netfilter::remove_all();
  return netfilter::apply(*backend, plan, RulesetState::closed);
}

std::vector<std::string> warnings_about_this_host(const rules::Settings& settings) {
  std::vector<std::string> warnings;
  if (first_character("/proc/sys/net/ipv4/ip_forward") == '0')
    warnings.push_back(
        "this host does not forward packets: set net.ipv4.ip_forward=1 (and net.ipv6.conf.all.forwarding=1)");
  for (const std::string& interface : settings.network.lan) {
    if (access(("/sys/class/net/" + interface + "/bridge").c_str(), F_OK) != 0) continue;
    for (const char* key : {"bridge-nf-call-iptables", "bridge-nf-call-ip6tables"})
      if (first_character("/proc/sys/net/bridge/" + std::string(key)) == '1')
        warnings.push_back("net.bridge." + std::string(key) + "=1 makes diverted connections of the bridge '" +
                           interface + "' hang (Docker sets it): set it to 0");
  }
  return warnings;
}

}  // namespace sluiced

#include "daemon/supervisor/ruleset_keeper.hpp"

#include <fcntl.h>
#include <net/if.h>
#include <unistd.h>

#include <algorithm>
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
constexpr base::Duration first_retry = 500ms, longest_retry = 10s;  // of what could not be applied
constexpr base::Duration check_period = 2s;  // whether our rules are still there; changes of routes are told at once

netfilter::DivertPlan plan_with(const rules::Settings& settings, const policy::Snapshot& snapshot,
                                netfilter::DivertPlan::Queues queues, const std::vector<Person>& people,
                                const netfilter::DivertPlan& before) {
  // Routes that cannot be read (no memory, no descriptor) are those that were.
  std::vector<std::string> wan = before.wan;
  if (auto found = netfilter::default_route_interfaces()) wan = std::move(*found);
  netfilter::DivertPlan plan = plan_diversion(settings, snapshot, wan, queues, people);
  auto inner = netfilter::inner_prefixes(plan);
  plan.inner = inner ? std::move(*inner) : before.inner;
  return plan;
}

// The first character of a file; nullopt without the file.
std::optional<char> first_character(const std::string& path) {
  base::sys::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char character;
  if (!file || ::read(file.get(), &character, 1) != 1) return std::nullopt;
  return character;
}

// Bytes are conntrack's to count, ends its to tell, and beginnings tell one connection from the next on its tuple.
// New connections are counted from now on.
void make_conntrack_count() {
  for (const char* key : {"nf_conntrack_acct", "nf_conntrack_events", "nf_conntrack_timestamp"}) {
    std::string path = std::string("/proc/sys/net/netfilter/") + key;
    if (first_character(path) == '1') continue;  // read apart: a sandbox may forbid to open it for writing
    base::sys::UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file || ::write(file.get(), "1", 1) != 1)
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

}  // namespace

base::Result<> RulesetKeeper::begin(const rules::Settings& settings, const policy::Snapshot& snapshot,
                                    bool takes_over) {
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
  taking_over_ = takes_over;
  auto adopted = adopt(settings, snapshot, false);
  if (takes_over) return adopted;
  if (adopted) netfilter::remove_other(backend_, plan_);
  if (adopted) return adopted;
  (void)netfilter::remove_policy_route();
  return std::move(adopted).error().context("ruleset");
}

netfilter::DivertPlan RulesetKeeper::plan_now(const rules::Settings& settings, const policy::Snapshot& snapshot) const {
  netfilter::DivertPlan plan =
      plan_with(settings, snapshot, obstacle_.empty() ? queues_ : netfilter::DivertPlan::Queues{}, people_, plan_);
  // No default route: the way out is the one that was. What comes back by it is judged, or refused, from its first packet.
  if (!plan.wan.empty() || plan_.wan.empty()) return plan;
  plan.wan = plan_.wan;
  if (auto inner = netfilter::inner_prefixes(plan)) plan.inner = std::move(*inner);
  return plan;
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
  // wan = "auto" and no default route yet: nothing leaves for the outside, so nothing is diverted. (To the renderer, no WAN
  // means all but the LAN; right for refusals before interfaces exist, but it would carry clients past the admin's own
  // rules to inner networks.)
  if (state == RulesetState::running && plan.wan.empty()) plan.wan = {"lo"};
  auto applied = netfilter::apply(backend_, plan, state);
  is_behind_ = !applied;
  if (!applied) return applied;
  applied_ = state;
  table_ = netfilter::table_number(backend_);
  if (std::exchange(taking_over_, false)) netfilter::remove_other(backend_, plan_);
  if (backend_ == netfilter::Backend::nftables)
    file_.keep(netfilter::render_nftables(plan, state));
  else
    file_.remove();  // of an earlier life
  return applied;
}

base::Result<> RulesetKeeper::adopt(const rules::Settings& settings, const policy::Snapshot& snapshot,
                                    bool gateway_lives) {
  (void)obstacle_changed(settings);
  netfilter::DivertPlan before = std::exchange(plan_, plan_now(settings, snapshot));
  if (taking_over_ && !gateway_lives) return base::Nothing{};
  auto applied = apply(gateway_lives);
  if (applied) {
    look_for_interfaces();
    return applied;
  }
  // It may have come half-way: iptables takes one family after the other. What fails once more, tend() tries on.
  plan_ = std::move(before);
  if (!plan_.lan.empty() && !apply(gateway_lives)) applied_ = RulesetState::closed;  // unknown
  return applied;
}

// An interface is known by its name. One that was renamed is no LAN any more, to the rules neither.
void RulesetKeeper::look_for_interfaces() {
  std::vector<std::string> missing;
  for (const auto& lan : plan_.lan)
    if (if_nametoindex(lan.interface.c_str()) == 0) missing.push_back(lan.interface);
  auto is_in = [](const std::vector<std::string>& all, const std::string& one) {
    return std::find(all.begin(), all.end(), one) != all.end();
  };
  for (const std::string& each : missing)
    if (!is_in(missing_, each))
      logging::warning("LAN interface " + each +
                       " is not there: if it has another name now, what comes in by that passes, " +
                       "neither judged nor refused, until the name is in [network] lan");
  for (const std::string& each : missing_)
    if (!is_in(missing, each) && if_nametoindex(each.c_str()) != 0)
      logging::notice("LAN interface " + each + " is there");
  missing_ = std::move(missing);
}

void RulesetKeeper::adopt_people(std::vector<Person> people, const rules::Settings& settings,
                                 const policy::Snapshot& snapshot, bool gateway_lives) {
  people_ = std::move(people);
  netfilter::DivertPlan plan = plan_now(settings, snapshot);
  if (plan.people == plan_.people) return;
  plan_ = std::move(plan);
  if (taking_over_ && !gateway_lives) return;
  auto applied = apply(gateway_lives);
  if (applied) return;
  complaint_ = "ruleset: " + applied.error().message;
  logging::error(complaint_);
}

void RulesetKeeper::hear() {
  routes_->drain();
  routes_changed_ = true;
}

bool RulesetKeeper::tend(const rules::Settings& settings, const policy::Snapshot& snapshot, bool gateway_lives) {
  if (taking_over_ && !gateway_lives) return false;
  base::Monotonic now = monotonic_now();
  bool divert_now = applied_ == RulesetState::closed && gateway_lives;
  if (now < retry_ || (now - checked_ < check_period && !routes_changed_ && !divert_now && !is_behind_)) return false;
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
    look_for_interfaces();
    auto routed = netfilter::install_policy_route(settings.network.mark_mask);
    if (routed && *routed) logging::warning("our ip rule or route was removed (by somebody); it is put back");
    if (!routed) complaint = "policy routing: " + routed.error().message;
    routes_changed_ = !routed;  // nobody tells us a second time
  }
  bool is_ours = netfilter::is_applied(backend_, plan_, applied_) && netfilter::table_number(backend_) == table_;
  bool in_place = taking_over_ || is_ours ||
                  (applied_ == RulesetState::closed && !netfilter::has_closed_group(plan_));  // then there are none
  if (other_ways || other_lane || !in_place || divert_now || is_behind_) {
    if (!in_place && !is_behind_ && complaint_.empty())
      logging::warning("our rules are not in the kernel any more (removed or replaced by somebody); they are put back");
    if (other_ways) logging::info("the ways out have changed; the rules follow");
    auto applied = apply(gateway_lives);
    fresh = applied.ok();
    if (!applied) complaint = "ruleset: " + applied.error().message;
  }
  if (!complaint.empty() && complaint != complaint_) logging::error(complaint);
  if (complaint.empty() && !complaint_.empty())
    logging::notice("rules and routes are in the kernel as they should be again");
  complaint_ = complaint;
  retry_pause_ = complaint.empty() ? base::Duration{} : std::clamp(retry_pause_ * 2, first_retry, longest_retry);
  retry_ = monotonic_now() + retry_pause_;
  return fresh;
}

base::Result<> RulesetKeeper::remove_rules() {
  file_.remove();  // first: whoever includes it now must not bring back what goes
  auto removed = netfilter::remove_all();
  if (!removed) logging::error("ruleset: " + removed.error().message);
  return removed;
}

void RulesetKeeper::finish(bool leave_nothing) {
  if (leave_nothing || !netfilter::has_closed_group(plan_)) {
    (void)remove_rules();
  } else {
    auto closed = apply(false);
    if (!closed) logging::error("ruleset: " + closed.error().message);
  }
  if (auto removed = netfilter::remove_shapes(); !removed) logging::error(removed.error().message);
  (void)netfilter::remove_policy_route();
}

base::Result<> apply_closed_part(const rules::Settings& settings, const policy::Snapshot& snapshot,
                                 const std::string& run_folder) {
  auto backend = backend_for(settings);
  if (!backend) return std::move(backend).error();
  // What an earlier life has allowed stays so, if there was one.
  auto queues = settings.network.kernel_lane ? kernel_lane_queues(settings, true) : netfilter::DivertPlan::Queues{};
  netfilter::DivertPlan plan = plan_with(settings, snapshot, queues, {}, {});
  RulesetFile file(run_folder);
  if (!netfilter::has_closed_group(plan)) {
    file.remove();
    return netfilter::remove_all();
  }
  auto applied = netfilter::apply(*backend, plan, RulesetState::closed);
  if (applied && *backend == netfilter::Backend::nftables)
    file.keep(netfilter::render_nftables(plan, RulesetState::closed));
  return applied;
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

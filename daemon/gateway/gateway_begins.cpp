// The gateway's beginning, with its first policy: everything that needs root, a file or a port, then nothing is left but CAP_NET_ADMIN.
// Its end is gateway_leaves.cpp.
#include <sys/capability.h>
#include <sys/resource.h>

#include <algorithm>
#include <utility>

#include <openssl/ssl.h>

#include "daemon/divert.hpp"
#include "daemon/gateway/gateway.hpp"
#include "daemon/log.hpp"
#include "daemon/sandbox.hpp"
#include "proto/quic/initial_keys.hpp"

namespace sluiced {
namespace {

// Two descriptors a connection, pipes on top, as far as the service's hard limit lets us.
void raise_descriptor_limit(std::uint32_t connections) {
  rlim_t wanted = rlim_t{connections} * 2 + 2048;
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur >= wanted) return;
  rlimit raised{std::min(wanted, limit.rlim_max), limit.rlim_max};
  setrlimit(RLIMIT_NOFILE, &raised);
  if (raised.rlim_cur == wanted) return;
  logging::warning("limits.connections needs " + std::to_string(wanted) + " file descriptors, the service may have " +
                   std::to_string(raised.rlim_cur) + " (LimitNOFILE)");
}

bool spoofs_clients(const rules::Settings& settings) {
  return settings.network.upstream_source == rules::UpstreamSource::client;
}

}  // namespace

base::Result<> Gateway::begin(const rules::Settings& settings) {
  auto account = look_up_account(settings.daemon.user);
  if (!account) return std::move(account).error();
  raise_descriptor_limit(settings.limits.connections);

  auto heartbeat = netfilter::Heartbeat::open();
  if (!heartbeat) return std::move(heartbeat).error().context("heartbeat");
  heart_ = std::make_unique<Heart>(std::move(*heartbeat));

  auto neighbors = netfilter::NeighborWatch::open();
  if (!neighbors) {
    logging::warning("devices cannot be recognised by MAC: " + neighbors.error().message);
    sightings_ = std::make_unique<Sightings>(std::nullopt);
  } else {
    auto on_link = netfilter::OnLink::open();
    if (!on_link) return std::move(on_link).error();
    sightings_ = std::make_unique<Sightings>(std::move(*neighbors), std::move(*on_link));
    loop_.add(sightings_->fd(), EPOLLIN, &neighbor_ear_);
    sightings_->refresh();
  }

  identification_.emplace(Identification{*sightings_, grants_, quotas_});
  people_ = std::make_unique<People>(*sightings_);
  logins_ = std::make_unique<Logins>(*sightings_, [this](const std::string& all) {
    std::lock_guard lock(keeper_mutex_);
    if (keeper_) keeper_.send(MessageType::logins, all);
  });
  if (!early_logins_.empty()) logins_->adopt(early_logins_);
  if (!early_identities_.empty()) adopt_identities(early_identities_);

  if (auto begun = begin_workers(settings); !begun) return begun;
  if (kernel_lane_) {
    auto conntrack = netfilter::Conntrack::open();
    if (!conntrack) return std::move(conntrack).error().context("kernel lane");
    kernel_flows_.emplace(*labels_, std::move(*conntrack), *identification_, settings.network.lan,
                          settings.network.mark_mask, [this](flow::CommandList notes) { publish(std::move(notes)); });
  }
  begin_metering(settings);
  begin_other_ports(settings);
  learn_what_is_kept();
  return give_up_the_rest(*account, spoofs_clients(settings));
}

base::Result<> Gateway::begin_workers(const rules::Settings& settings) {
  WorkerSettings common;
  common.uses = &uses_;
  std::uint16_t port = first_listener_port;
  for (const std::string& interface : settings.network.lan) common.lan.push_back({interface, port++});
  common.spoof_client = spoofs_clients(settings);
  common.upstream_mark = netfilter::mark_value(netfilter::Mark::upstream, settings.network.mark_mask);
  common.unknown_protocol =
      settings.network.block_unknown_protocol ? flow::UnknownProtocol::block : flow::UnknownProtocol::tunnel;
  if (labels_file_)
    if (auto begun = begin_kernel_lane(settings); !begun) return begun;
  if (kernel_lane_) common.kernel_lane = &*kernel_lane_;
  unsigned count = worker_count(settings);
  InheritedListeners inherited = std::exchange(inherited_listeners_, {});
  for (unsigned i = 0; i < count; ++i) {
    workers_.push_back(std::make_unique<Worker>(i, common, *identification_, limits_,
                                                [this](const std::string& lines) { return send_lines(lines); }));
    auto listening = workers_.back()->listen(inherited);
    if (!listening) return std::move(listening).error();
  }
  for (std::size_t lan = 0, next = 0; lan < common.lan.size(); ++lan)  // of more workers than we have
    for (bool v6 : {false, true})
      while (auto left = inherited.take({v6, common.lan[lan].listener_port, {}}))
        workers_[next++ % count]->listen_too(lan, std::move(*left));
  has_portal_ = wants_portal();
  if (has_portal_)
    workers_[0]->listen_for_portal(settings.portal.http, interception_ ? settings.portal.https : 0, inherited);
  return base::Nothing{};
}

// The page takes a port: nobody has it who has no use for it.
bool Gateway::wants_portal() const {
  return interception_ || settings_->portal.is_asked_for ||
         std::any_of(snapshot_->rules.begin(), snapshot_->rules.end(), [](const policy::Rule& rule) {
           return rule.action == policy::Action::warn || rule.action == policy::Action::code ||
                  rule.action == policy::Action::quota;
         });
}

// Before the workers' threads: what holds for this one holds for them.
base::Result<> Gateway::give_up_the_rest(const Account& account, bool spoofs) {
  // What libraries read from files when they are first used, which may be at a later policy.
  OPENSSL_init_ssl(OPENSSL_INIT_LOAD_SSL_STRINGS | OPENSSL_INIT_LOAD_CRYPTO_STRINGS | OPENSSL_INIT_LOAD_CONFIG,
                   nullptr);
  if (auto dropped = drop_to(account, {CAP_NET_ADMIN}); !dropped) return dropped;
  // Towards origins it binds only to use its clients' addresses.
  auto confined = confine(Confined::gateway, {}, {.may_bind = spoofs, .may_connect = true});
  if (!confined) return std::move(confined).error();
  supervisor_.send(MessageType::confined, *confined);
  return base::Nothing{};
}

base::Result<> Gateway::begin_kernel_lane(const rules::Settings& settings) {
  if (!proto::quic::load_initial_algorithms())
    return base::environment_error("kernel lane: this OpenSSL lacks AES-128 or SHA-256, which QUIC's Initials need");
  auto labels = FlowLabels::attach(labels_file_.get());
  if (!labels) return std::move(labels).error().context("kernel lane");
  labels_ = std::move(*labels);
  auto resets = netfilter::RawReset::open(0);
  if (!resets) return std::move(resets).error().context("kernel lane");
  kernel_lane_.emplace();
  kernel_lane_->queues = kernel_lane_queues(settings, false);
  kernel_lane_->mark_mask = settings.network.mark_mask;
  kernel_lane_->labels = &*labels_;
  kernel_lane_->resets = std::move(*resets);
  return base::Nothing{};
}

}  // namespace sluiced

#include "daemon/gateway/worker.hpp"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "daemon/log.hpp"

namespace sluiced {
namespace {

using namespace std::chrono_literals;

constexpr int backlog = 4096;
constexpr int accepts_at_a_time = 64;         // then the flows have their turn
constexpr std::size_t log_batch = 32 * 1024;  // bytes of lines sent to the keeper at once
constexpr base::Duration log_period = 100ms;  // the longest a line waits
constexpr std::size_t most_log_waiting =
    1 << 20;  // bytes kept while the keeper is slow; beyond, lines are lost and counted
constexpr base::Duration undecided_limit = 1s;  // a hello follows its SYN by a round trip
constexpr base::Duration complaint_period = 10s;
constexpr base::Duration gate_period = 1s;  // its time-outs are of many seconds

// Any will do that needs no file.
base::sys::UniqueFd spare_descriptor() {
  return base::sys::UniqueFd(eventfd(0, EFD_CLOEXEC));
}

bool is_loopback(const base::IpAddress& address) {
  return address.is_v4() ? address.v4_value() >> 24 == 127 : address.to_string() == "::1";
}

}  // namespace

Worker::Worker(unsigned number, WorkerSettings settings, const Identification& identification, ConnectionLimits& limits,
               std::function<bool(const std::string&)> send_lines)
    : number_(number),
      settings_(std::move(settings)),
      identification_(identification),
      limits_(limits),
      send_lines_(std::move(send_lines)),
      timers_(loop_.now()),
      buffer_(std::make_unique<std::array<std::uint8_t, 256 * 1024>>()),
      spare_descriptor_(spare_descriptor()) {
  surroundings_.unknown_protocol = settings_.unknown_protocol;
  surroundings_.gatekeeper = &identification_.grants;
  if (getrandom(&surroundings_.id_seed, sizeof surroundings_.id_seed, 0) < 0)
    surroundings_.id_seed = static_cast<std::uint64_t>(monotonic_now().time_since_epoch().count()) + number_;
  loop_.every(TimerWheel::slot_width, [this] {
    timers_.advance(loop_.now(), [](TimerWheel::Entry& entry) { static_cast<FlowDriver&>(entry).timer_due(); });
  });
  loop_.every(log_period, [this] {
    flush_log();
    listen_again();
    look_at_the_queues();
  });
  if (settings_.kernel_lane == nullptr) return;
  gate_ = std::make_unique<GateDriver>(*this, limits_, *settings_.kernel_lane, number_);
  loop_.every(gate_period, [this] {
    if (gate_) gate_->look_at_the_time();
  });
}

Worker::~Worker() = default;

base::Result<> Worker::listen(InheritedListeners& inherited) {
  for (std::size_t lan = 0; lan < settings_.lan.size(); ++lan) {
    for (bool v6 : {false, true}) {
      std::uint16_t port = settings_.lan[lan].listener_port;
      auto taken = inherited.take({v6, port, {}});
      base::Result<base::sys::UniqueFd> socket =
          taken ? std::move(*taken) : netfilter::transparent_listener(v6, port, backlog);
      if (!socket) return std::move(socket).error();
      listen_too(lan, std::move(*socket));
    }
  }
  return gate_ ? gate_->open() : base::Nothing{};
}

void Worker::listen_too(std::size_t lan, base::sys::UniqueFd socket) {
  add_listener(lan, flow::Opening::Portal::no, std::move(socket));
}

void Worker::add_listener(std::size_t lan, flow::Opening::Portal portal, base::sys::UniqueFd socket) {
  auto listener = std::make_unique<Listener>();
  listener->worker = this;
  listener->lan = lan;
  listener->portal = portal;
  listener->fd = std::move(socket);
  loop_.add(listener->fd.get(), EPOLLIN, listener.get());
  listeners_.push_back(std::move(listener));
}

void Worker::listen_for_portal(std::uint16_t http, std::uint16_t https, InheritedListeners& inherited) {
  using Portal = flow::Opening::Portal;
  for (auto [portal, port] : {std::pair{Portal::http, http}, {Portal::https, https}}) {
    if (port == 0) continue;
    for (std::size_t lan = 0; lan < settings_.lan.size(); ++lan) {
      for (bool v6 : {false, true}) {
        const std::string& interface = settings_.lan[lan].interface;
        auto taken = inherited.take({v6, port, interface});
        base::Result<base::sys::UniqueFd> socket =
            taken ? std::move(*taken) : netfilter::interface_listener(v6, port, interface, backlog);
        if (!socket) {
          logging::warning("the gateway's own page cannot be at port " + std::to_string(port) + " of " + interface +
                           " (" + socket.error().message + "); set [portal] " +
                           (portal == Portal::http ? "http" : "https") + " to another port, or to 0");
          break;
        }
        add_listener(lan, portal, std::move(*socket));
        if (portal == Portal::https) portal_check_port_ = port;
      }
    }
  }
}

void Worker::start() {
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), ("worker " + std::to_string(number_)).c_str());
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    loop_.run();
  });
}

void Worker::stop_and_join() {
  if (!thread_.joinable()) return;
  loop_.post([this] {
    flush_log();
    loop_.stop();
  });
  thread_.join();
}

void Worker::adopt(PolicyInForce policy) {
  loop_.post([this, policy = std::move(policy)] {
    bool first = surroundings_.snapshot == nullptr;
    // The old snapshot lives until every flow has been judged by the new one.
    auto old = std::exchange(surroundings_.snapshot, policy.snapshot);
    surroundings_.active = policy.active;
    squid_log_ = policy.squid_log;
    keep_log_ = policy.keep_log;
    interception_ = policy.interception;
    surroundings_.enrolment = policy.interception;
    if (first) return;
    if (gate_) gate_->policy_changed();
    for (std::size_t i = flows_.size(); i-- > 0;) {  // from the back: a flow that dies swaps the last into its place
      if (i >= flows_.size()) continue;
      FlowDriver& flow = *flows_[i];
      const policy::Client& client = flow.machine().opening().client;
      flow.policy_changed(identify(client.address, client.interface));
    }
  });
}

void Worker::drain() {
  loop_.post([this] {
    for (auto& listener : listeners_) {
      for (int i = 0; i < backlog / accepts_at_a_time; ++i) accept_from(*listener);  // whose handshake is over
      loop_.remove(listener->fd.get());
    }
    listeners_.clear();
  });
}

void Worker::release_queues(std::function<void(std::vector<int>)> done) {
  loop_.post([this, done = std::move(done)] {
    if (gate_) gate_->take_no_more();
    queues_released_ = std::move(done);
    release_queues_by_ = loop_.now() + undecided_limit;
  });
}

void Worker::look_at_the_queues() {
  if (!queues_released_) return;
  if (gate_ && gate_->undecided() > 0 && loop_.now() < release_queues_by_) return;
  if (gate_) gate_->close();
  gate_.reset();
  std::vector<int> listeners;
  for (const auto& listener : listeners_) listeners.push_back(listener->fd.get());
  std::exchange(queues_released_, nullptr)(std::move(listeners));
}

flow::CommandList Worker::take_command_list() {
  if (command_lists_.empty()) return {};
  flow::CommandList list = std::move(command_lists_.back());
  command_lists_.pop_back();
  return list;
}

void Worker::give_back(flow::CommandList list) {
  list.clear();
  command_lists_.push_back(std::move(list));
}

// --- accepting

void Worker::Listener::ready(std::uint32_t) {
  worker->accept_from(*this);
}

void Worker::accept_from(Listener& listener) {
  for (int i = 0; i < accepts_at_a_time; ++i) {
    auto accepted = netfilter::accept_client(listener.fd);
    if (accepted.socket) {
      open_flow(std::move(accepted), listener);
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno == EMFILE || errno == ENFILE) refuse_for_lack_of_descriptors(listener);
    return;
  }
}

// Without this the waiting connection would make a level-triggered listener spin, and its client wait for ever.
void Worker::refuse_for_lack_of_descriptors(Listener& listener) {
  ++totals_.accept_errors;
  if (loop_.now() - complained_at_ > complaint_period) {
    complained_at_ = loop_.now();
    logging::warning(
        "out of file descriptors: connections are refused (raise LimitNOFILE or lower limits.connections)");
  }
  spare_descriptor_.reset();
  base::sys::UniqueFd refused(accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
  struct linger hard {
    1, 0
  };
  if (refused) setsockopt(refused.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  bool none_at_all = !refused;  // another worker took the spare one
  refused.reset();
  spare_descriptor_ = spare_descriptor();
  if (!none_at_all) return;
  loop_.remove(listener.fd.get());
  listener.paused = true;
}

void Worker::listen_again() {
  if (!spare_descriptor_) spare_descriptor_ = spare_descriptor();
  for (auto& listener : listeners_) {
    if (!std::exchange(listener->paused, false)) continue;
    loop_.add(listener->fd.get(), EPOLLIN, listener.get());
  }
}

policy::Client Worker::identify(const base::IpAddress& address, const std::string& interface, const Arrival& arrival) {
  return identification_.identify(*surroundings_.snapshot, address, interface, arrival);
}

void Worker::open_flow(netfilter::Accepted accepted, const Listener& listener) {
  std::size_t lan = listener.lan;
  bool portal = listener.portal != flow::Opening::Portal::no;
  auto& [socket, client] = accepted;
  auto origin = netfilter::original_destination(socket.get());
  struct linger hard {
    1, 0
  };
  auto refuse = [&] { setsockopt(accepted.socket.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard); };
  if (!origin || !client || surroundings_.snapshot == nullptr) return refuse();
  // Somebody on this host connected to the listener itself: relaying that would be a loop.
  if (!portal && origin->port == settings_.lan[lan].listener_port && is_loopback(origin->address)) return refuse();
  if (!limits_.take(client->address)) {
    ++totals_.refused_by_limit;
    complain_of_limit(client->address);
    return refuse();
  }
  ++totals_.accepted;
  flow::Opening opening;
  opening.tuple = {base::IpProtocol::tcp, *client, *origin};
  opening.client = identify(client->address, settings_.lan[lan].interface);
  opening.portal = listener.portal;
  opening.portal_check_port = portal_check_port_;
  auto flow = std::make_unique<FlowDriver>(*this, std::move(socket), std::move(opening));
  flow->position = flows_.size();
  flows_.push_back(std::move(flow));
  flow_count_.store(flows_.size(), std::memory_order_relaxed);
  flows_.back()->start();
}

// --- services

void Worker::complain_of_limit(const base::IpAddress& client) {
  if (loop_.now() - complained_at_ <= complaint_period) return;
  complained_at_ = loop_.now();
  logging::warning("connection limit reached, refused one of " + client.to_string());
}

void Worker::again(FlowDriver& flow) {
  if (flow.queued) return;
  flow.queued = true;
  if (again_.empty()) {
    loop_.hurry();
    loop_.defer([this] {
      auto flows = std::exchange(again_, {});
      for (FlowDriver* each : flows) {
        each->queued = false;
        each->work();
      }
    });
  }
  again_.push_back(&flow);
}

std::uint64_t Worker::wait(FlowDriver& flow) {
  flow.number = next_waiting_++;
  waiting_[flow.number] = &flow;
  return flow.number;
}

FlowDriver* Worker::waited(std::uint64_t number) {
  auto found = waiting_.find(number);
  if (found == waiting_.end()) return nullptr;
  FlowDriver* flow = found->second;
  waiting_.erase(found);
  flow->number = 0;
  return flow;
}

Interception::Answered Worker::waits_for_leaf(FlowDriver& flow) {
  return [this, number = wait(flow)](Interception::Leaf leaf) {
    loop_.post([this, number, leaf = std::move(leaf)] {
      if (FlowDriver* found = waited(number)) found->leaf_came(leaf);
    });
  };
}

Interception::Answered Worker::waits_for_issuer(FlowDriver& flow) {
  return [this, number = wait(flow)](const Interception::Leaf&) {
    loop_.post([this, number] {
      if (FlowDriver* found = waited(number)) found->issuer_came();
    });
  };
}

void Worker::bury(FlowDriver& flow) {
  if (flow.number != 0) waiting_.erase(flow.number);
  totals_.bytes_up += flow.counters().up;
  totals_.bytes_down += flow.counters().down;
  limits_.give_back(flow.machine().opening().tuple.client.address);
  std::size_t position = flow.position;
  if (graveyard_.empty()) loop_.defer([this] { free_the_dead(); });
  graveyard_.push_back(std::move(flows_[position]));
  if (position + 1 != flows_.size()) {
    flows_[position] = std::move(flows_.back());
    flows_[position]->position = position;
  }
  flows_.pop_back();
  flow_count_.store(flows_.size(), std::memory_order_relaxed);
}

// A dead flow may still be named by an event of this batch or wait in again_; neither is left here.
void Worker::free_the_dead() {
  std::erase_if(again_, [](FlowDriver* flow) { return flow->dead(); });
  graveyard_.clear();
}

void Worker::note(const flow::AccessRecord& record) {
  for (std::size_t i = 0; i < record_actions.size(); ++i)
    if (record.action == record_actions[i]) ++totals_.records[i];
  if (!keep_log_) return;
  if (log_lines_.size() > most_log_waiting) {
    ++totals_.records_lost;
    return;
  }
  log_lines_ += squid_log_ ? flow::to_squid(record) : flow::to_json(record);
  log_lines_ += '\n';
  if (log_lines_.size() >= log_batch) flush_log();
}

// Whole lines in pieces the channel takes. What it does not take stays until the next try.
void Worker::flush_log() {
  while (!log_lines_.empty()) {
    std::size_t size = log_lines_.size();
    if (size > log_batch) {
      std::size_t end = log_lines_.rfind('\n', log_batch);
      if (end == log_lines_.npos) end = log_lines_.find('\n');
      size = end + 1;
    }
    if (!send_lines_(log_lines_.substr(0, size))) return;
    log_lines_.erase(0, size);
  }
  if (log_lines_.capacity() > 4 * log_batch) log_lines_.shrink_to_fit();
}

}  // namespace sluiced

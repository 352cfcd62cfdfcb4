#include "daemon/gateway/flow_driver.hpp"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <limits>
#include <variant>

#include "daemon/gateway/socket_errors.hpp"
#include "daemon/gateway/worker.hpp"
#include "netfilter/tproxy.hpp"

namespace sluiced {
namespace {

using namespace std::chrono_literals;

constexpr base::Duration linger_limit = 2s;      // for the client to close once it has taken the last bytes
constexpr base::Duration stall_limit = 60s;      // for it to take more of them: slow is not gone
constexpr std::size_t linger_gulp = 256 * 1024;  // bytes thrown away at once meanwhile

}  // namespace

void Leg::ready(std::uint32_t events) {
  if (!is_open()) return;
  if (events & EPOLLIN) readable = true;
  if (events & EPOLLOUT) writable = true;
  if (events & (EPOLLRDHUP | EPOLLHUP)) hung_up = readable = true;
  // A reset may stand behind bytes that can still be read: who reads will find it, otherwise it is noticed here.
  if (events & EPOLLERR) (reading() && !connecting ? readable : failed) = true;
  owner.work();
}

FlowDriver::FlowDriver(Worker& worker, base::sys::UniqueFd client, flow::Opening opening)
    : worker_(worker),
      client_(*this, flow::Side::client),
      origin_(*this, flow::Side::origin),
      machine_(std::move(opening), worker.surroundings(), counters_),
      opened_at_(worker.loop().now()),
      last_activity_(opened_at_) {
  client_.fd = std::move(client);
}

FlowDriver::~FlowDriver() {
  TimerWheel::disarm(*this);
}

void FlowDriver::start() {
  client_.writable = true;
  worker_.surroundings();  // sets the time
  auto commands = worker_.take_command_list();
  machine_.start(commands);
  for (flow::Command& command : commands) perform(command);
  worker_.give_back(std::move(commands));
  // Registered last: the first edge then finds a machine that has said what it wants.
  if (state_ == State::live) worker_.loop().add(client_.fd.get(), EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, &client_);
}

void FlowDriver::work() {
  for (int round = 0; round < pieces_at_a_time; ++round) {
    if (state_ == State::lingering) return linger();
    bool progress = false;
    for (Leg* each : {&client_, &origin_}) {
      if (state_ != State::live) break;
      progress |= finish_connecting();
      if (state_ == State::live) progress |= notice_failure(*each);
      if (state_ == State::live && each->handshaking) progress |= shake_hands(*each);
      if (state_ == State::live && each->is_open()) progress |= flush(*each);
      if (state_ == State::live && each->is_open()) progress |= each->pumping ? pump(*each) : take_in(*each);
    }
    if (state_ == State::dead) return;
    if (!progress) return;
  }
  worker_.again(*this);
}

// --- events and commands

void FlowDriver::deliver(const flow::Event& event) {
  worker_.surroundings();
  auto commands = worker_.take_command_list();
  machine_.on(event, commands);
  for (flow::Command& command : commands) {
    perform(command);
    if (state_ != State::live) break;
  }
  worker_.give_back(std::move(commands));
  if (state_ == State::live) flush_both();
}

void FlowDriver::perform(flow::Command& command) {
  struct Performer {
    FlowDriver& driver;
    void operator()(flow::Connect&) { driver.connect(); }
    void operator()(flow::ConnectTls& how) { driver.connect_tls(how); }
    void operator()(flow::AcceptTls& how) { driver.accept_tls(std::move(how)); }
    void operator()(flow::HangUp&) { driver.hang_up(); }
    void operator()(flow::Read& read) {
      Leg& from = driver.leg(read.side);
      from.turn_to(read.mode);
      from.more_than = read.more_than;
      from.announce = true;
    }
    void operator()(flow::Consume& what) { driver.consume(driver.leg(what.side), what.count); }
    void operator()(flow::Forward& what) { driver.forward(driver.leg(what.from), what.count); }
    void operator()(flow::Send& what) {
      (what.to == flow::Side::client ? driver.counters_.down : driver.counters_.up) += what.bytes.size();
      std::string& pending = driver.leg(what.to).pending;
      pending.empty() ? pending = std::move(what.bytes) : pending += what.bytes;
    }
    void operator()(flow::Splice& what) {
      Leg& from = driver.leg(what.from);
      from.pumping = true;
      from.pump_left = what.limit;
      from.turn_to(flow::Read::Mode::off);
    }
    void operator()(flow::Finish& what) {
      Leg& to = driver.leg(what.side);
      to.finish_wanted = true;
      driver.shut_down_if_flushed(to);
    }
    void operator()(flow::Close&) {
      driver.flush_both();
      driver.begin_linger();
    }
    void operator()(flow::Reset&) {
      driver.flush_both();
      driver.die(true);
    }
    void operator()(flow::Arm& what) { driver.arm(what.timer, what.after); }
    void operator()(flow::Describe& what) { driver.worker_.describe(std::move(what)); }
    void operator()(flow::Note& what) {
      flow::AccessRecord& record = what.record;
      if (!record.bytes_known) {
        record.bytes_up = driver.counters_.up;
        record.bytes_down = driver.counters_.down;
        auto age = driver.worker_.loop().now() - driver.opened_at_;
        record.duration_ms =
            static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(age).count());
      }
      driver.worker_.note(record);
    }
  };
  std::visit(Performer{*this}, command);
}

void FlowDriver::policy_changed(policy::Client client) {
  if (state_ != State::live) return;
  deliver(flow::PolicyChanged{std::move(client)});
  if (state_ == State::live) work();
}

void FlowDriver::reset() {
  if (state_ != State::dead) die(true);
}

// --- the origin leg

void FlowDriver::connect() {
  const flow::Opening& opening = machine_.opening();
  std::optional<base::IpAddress> as_client;
  if (worker_.settings().spoof_client) as_client = opening.tuple.client.address;
  auto socket = netfilter::connect_upstream(opening.tuple.origin, as_client, worker_.settings().upstream_mark);
  origin_.connecting = true;
  if (!socket) {
    // Told in work(), like a failure that comes later: a machine is never entered twice.
    origin_.failed = true;
    worker_.again(*this);
    return;
  }
  origin_.fd = std::move(*socket);
  worker_.loop().add(origin_.fd.get(), EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, &origin_);
}

bool FlowDriver::finish_connecting() {
  if (!origin_.connecting) return false;
  int error = 0;
  if (!origin_.is_open()) {
    error = EADDRNOTAVAIL;
  } else {
    if (!origin_.writable && !origin_.failed) return false;
    socklen_t size = sizeof error;
    if (origin_.failed || origin_.hung_up) getsockopt(origin_.fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  }
  origin_.connecting = false;
  if (error == 0) {
    origin_.failed = false;
    deliver(flow::Connected{});
  } else {
    origin_.failed = false;
    origin_.fd.reset();
    deliver(flow::ConnectFailed{error});
  }
  return true;
}

bool FlowDriver::notice_failure(Leg& from) {
  if (!from.is_open() || from.connecting) return false;
  // After a failed send, what the peer had said before (an early answer to an upload, say) is read first.
  bool broken = from.write_broken && !(from.reading() && from.readable && !from.ended);
  if (!from.failed && !broken) return false;
  from.failed = from.write_broken = false;
  from.ended = from.finished = true;
  deliver(flow::Aborted{from.side});
  return true;
}

// --- ending

void FlowDriver::begin_linger() {
  state_ = State::lingering;
  if (origin_.tls) origin_.tls->close_notify();
  origin_.tls.reset();
  origin_.handshaking = false;
  origin_.fd.reset();
  client_.pumping = false;
  client_.finish_wanted = true;
  client_.turn_to(flow::Read::Mode::off);
  idle_after_ = {};
  unsent_ = std::numeric_limits<std::size_t>::max();
  deadline_ = worker_.loop().now() + linger_limit;
  rearm();
  linger();
}

void FlowDriver::linger() {
  if (client_.failed || client_.write_broken || !client_.is_open()) return die(false);
  flush(client_);
  while (client_.readable && !client_.ended && !client_.failed) {
    ssize_t size = recv(client_.fd.get(), nullptr, linger_gulp, MSG_TRUNC | MSG_DONTWAIT);
    if (size == 0) client_.ended = true;
    if (size < 0 && errno != EINTR) {
      client_.readable = false;
      if (!would_block()) client_.failed = true;
    }
  }
  if (client_.failed || (client_.ended && everything_sent(client_))) return die(false);  // closing says FIN, too
  shut_down_if_flushed(client_);
}

// The client has not closed yet. While it still takes what was meant for it, closing would cut that short: bytes of its
// own that nobody reads any more would be answered by a reset, which throws away what the kernel has not sent.
void FlowDriver::linger_on() {
  int in_kernel = 0;  // not acknowledged yet
  ioctl(client_.fd.get(), SIOCOUTQ, &in_kernel);
  std::size_t unsent = client_.pending.size() + static_cast<std::size_t>(std::max(in_kernel, 0));
  base::Monotonic now = worker_.loop().now();
  if (unsent == 0) return die(false);
  if (unsent < unsent_) last_activity_ = now;
  if (now - last_activity_ >= stall_limit) return die(true);
  unsent_ = unsent;
  deadline_ = now + linger_limit;
  rearm();
}

void FlowDriver::die(bool with_reset) {
  if (state_ == State::dead) return;
  state_ = State::dead;
  TimerWheel::disarm(*this);
  for (Leg* each : {&client_, &origin_}) {
    if (with_reset && each->is_open()) {
      struct linger hard {
        1, 0
      };
      setsockopt(each->fd.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    }
    each->tls.reset();
    each->fd.reset();
    worker_.pipes().give_back(std::move(each->pipe));
  }
  worker_.bury(*this);
}

// --- time

void FlowDriver::arm(flow::Timer timer, base::Duration after) {
  base::Monotonic now = worker_.loop().now();
  if (timer == flow::Timer::deadline) {
    deadline_ = after == base::Duration{} ? base::Monotonic{} : now + after;
  } else {
    idle_after_ = after;
    last_activity_ = now;
  }
  rearm();
}

void FlowDriver::rearm() {
  base::Monotonic soonest = base::Monotonic::max();
  if (deadline_ != base::Monotonic{}) soonest = deadline_;
  if (idle_after_ != base::Duration{}) soonest = std::min(soonest, last_activity_ + idle_after_);
  if (soonest != base::Monotonic::max()) worker_.timers().arm(*this, soonest);
}

void FlowDriver::timer_due() {
  base::Monotonic now = worker_.loop().now();
  bool past_deadline = deadline_ != base::Monotonic{} && now >= deadline_;
  bool idle = idle_after_ != base::Duration{} && now >= last_activity_ + idle_after_;
  if (state_ == State::lingering && past_deadline) return linger_on();
  if (past_deadline) {
    deadline_ = {};
    deliver(flow::Expired{flow::Timer::deadline});
  } else if (idle) {
    last_activity_ = now;
    deliver(flow::Expired{flow::Timer::idle});
  }
  if (state_ == State::dead) return;
  rearm();
  if (past_deadline || idle) work();
}

}  // namespace sluiced

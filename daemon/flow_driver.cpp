#include "daemon/flow_driver.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <variant>

#include "daemon/worker.hpp"
#include "netfilter/tproxy.hpp"

namespace sluiced {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t most_pending = 256 * 1024;     // bytes queued for a side before the other is not read any more
constexpr std::size_t most_stash = 128 * 1024;       // unconsumed bytes of a side; a head is at most 64 KiB
constexpr std::size_t most_peek = 64 * 1024 + 1;     // one more than a hello may have
constexpr std::size_t pipe_size = 64 * 1024;         // a new pipe's capacity (pipe(7))
constexpr std::uint32_t worth_splicing = 16 * 1024;  // average piece from which splice beats copying
constexpr int pieces_at_a_time = 16;                 // then other flows have their turn
constexpr base::Duration linger_limit = 2s;          // for the client to take the last bytes and close

bool would_block() {
  return errno == EAGAIN || errno == EWOULDBLOCK;
}

void set_no_delay(int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

}  // namespace

void Leg::ready(std::uint32_t events) {
  if (!is_open()) return;
  if (events & EPOLLIN) readable = true;
  if (events & EPOLLOUT) writable = true;
  if (events & (EPOLLRDHUP | EPOLLHUP)) hung_up = readable = true;
  // A reset may stand behind bytes that can still be read: who reads will find it, otherwise it is noticed here.
  if (events & EPOLLERR) (reading() ? readable : failed) = true;
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
  set_no_delay(client_.fd.get());
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
}

void FlowDriver::perform(flow::Command& command) {
  struct Performer {
    FlowDriver& driver;
    void operator()(flow::Connect&) { driver.connect(); }
    void operator()(flow::Read& read) {
      Leg& from = driver.leg(read.side);
      if (from.mode != read.mode) from.look_again();
      from.mode = read.mode;
      from.more_than = read.more_than;
      from.announce = true;
    }
    void operator()(flow::Consume& what) { driver.consume(driver.leg(what.side), what.count); }
    void operator()(flow::Forward& what) { driver.forward(driver.leg(what.from), what.count); }
    void operator()(flow::Send& what) {
      (what.to == flow::Side::client ? driver.counters_.down : driver.counters_.up) += what.bytes.size();
      driver.queue_or_send(driver.leg(what.to), base::as_bytes(what.bytes));
    }
    void operator()(flow::Splice& what) {
      Leg& from = driver.leg(what.from);
      from.pumping = true;
      from.pump_left = what.limit;
      from.look_again();
      from.mode = flow::Read::Mode::off;
    }
    void operator()(flow::Finish& what) {
      Leg& to = driver.leg(what.side);
      to.finish_wanted = true;
      driver.shut_down_if_flushed(to);
    }
    void operator()(flow::Close&) { driver.begin_linger(); }
    void operator()(flow::Reset&) { driver.die(true); }
    void operator()(flow::Arm& what) { driver.arm(what.timer, what.after); }
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
  set_no_delay(origin_.fd.get());
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
    getsockopt(origin_.fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
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

// --- reading

// Reads or peeks once if that is wanted and may bring something, and tells the machine what is unconsumed.
bool FlowDriver::take_in(Leg& from) {
  if (from.mode == flow::Read::Mode::off || from.connecting) return false;
  if (opposite(from).pending.size() > most_pending) return false;  // back-pressure: flush() brings us here again

  bool fresh = false;
  base::Bytes unconsumed = base::as_bytes(from.stash);
  auto& buffer = worker_.buffer();

  if (from.mode == flow::Read::Mode::peek) {
    if (from.readable && !from.ended) {
      ssize_t size = recv(from.fd.get(), buffer.data(), most_peek, MSG_PEEK | MSG_DONTWAIT);
      if (size < 0 && !would_block() && errno != EINTR) {
        from.failed = true;
        return true;
      }
      from.readable = false;
      unconsumed = base::Bytes{buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
      if (size == 0 || (size > 0 && from.hung_up && unconsumed.size() < most_peek)) from.ended = true;
      fresh = unconsumed.size() > from.more_than;
    }
  } else {
    bool room = from.stash.size() < most_stash;
    if (from.readable && !from.ended && room) {
      ssize_t size = recv(from.fd.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (size < 0) {
        if (!would_block() && errno != EINTR) {
          from.failed = true;
          return true;
        }
        from.readable = false;
      } else if (size == 0) {
        from.ended = true;
      } else {
        auto count = static_cast<std::size_t>(size);
        if (count < buffer.size() && !from.hung_up) from.readable = false;
        last_activity_ = worker_.loop().now();
        if (from.stash.empty()) {
          unconsumed = base::Bytes{buffer.data(), count};
        } else {
          from.stash.append(reinterpret_cast<const char*>(buffer.data()), count);
          unconsumed = base::as_bytes(from.stash);
        }
        fresh = true;
      }
    }
  }
  bool worth_telling = (fresh || from.announce) && unconsumed.size() > from.more_than;
  bool end_is_news = from.ended && !from.end_announced;
  if (!worth_telling && !end_is_news) {
    from.announce = false;
    if (fresh && from.stash.empty() && from.mode == flow::Read::Mode::stream)
      from.stash.assign(base::as_text(unconsumed));
    return false;
  }
  announce(from, unconsumed);
  return true;
}

void FlowDriver::announce(Leg& from, base::Bytes unconsumed) {
  from.announce = false;
  from.end_announced = from.ended;
  from.view = unconsumed;
  from.view_in_socket = from.mode == flow::Read::Mode::peek;
  from.delivering = true;
  deliver(flow::Received{from.side, unconsumed, from.ended});
  from.delivering = false;
  if (from.announce) from.end_announced = false;             // a new Read wants to hear of the end again
  if (from.view_in_socket || state_ == State::dead) return;  // the kernel keeps the rest
  if (from.view.empty()) {
    from.stash.clear();
    if (from.stash.capacity() > 4096) from.stash.shrink_to_fit();
  } else if (from.view.data() ==
             reinterpret_cast<const std::uint8_t*>(from.stash.data()) + from.stash.size() - from.view.size()) {
    from.stash.erase(0, from.stash.size() - from.view.size());
  } else {
    from.stash.assign(base::as_text(from.view));
  }
}

// Drops unconsumed bytes: out of the delivered view, out of the stash, or (peeked ones) out of the socket.
void FlowDriver::consume(Leg& from, std::size_t count) {
  if (count == 0) return;
  bool in_socket = from.delivering ? from.view_in_socket : from.mode == flow::Read::Mode::peek;
  if (from.delivering) {
    count = std::min(count, from.view.size());
    from.view = from.view.subspan(count);
  }
  if (in_socket) {
    recv(from.fd.get(), nullptr, count, MSG_TRUNC | MSG_DONTWAIT);  // tcp(7): discards
    from.look_again();
  } else if (!from.delivering) {
    from.stash.erase(0, count);
  }
}

void FlowDriver::forward(Leg& from, std::size_t count) {
  base::Bytes bytes = from.delivering ? from.view : base::as_bytes(from.stash);
  bytes = bytes.first(std::min(count, bytes.size()));
  moved(from, bytes.size());
  queue_or_send(opposite(from), bytes);
  consume(from, bytes.size());
}

// --- writing

void FlowDriver::queue_or_send(Leg& to, base::Bytes bytes) {
  if (to.pending.empty() && to.can_send() && to.writable) {
    while (!bytes.empty()) {
      ssize_t sent = send(to.fd.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0) {
        if (!would_block()) to.break_writing();
        to.writable = false;
        break;
      }
      bytes = bytes.subspan(static_cast<std::size_t>(sent));
    }
  }
  if (!bytes.empty() && !to.write_broken && !to.failed) to.pending.append(base::as_text(bytes));
}

bool FlowDriver::flush(Leg& to) {
  if (to.pending.empty() || !to.can_send() || !to.writable) return false;
  ssize_t sent = send(to.fd.get(), to.pending.data(), to.pending.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0) {
    to.writable = errno == EINTR;
    if (!would_block() && errno != EINTR) to.break_writing();
    return to.write_broken || to.writable;
  }
  last_activity_ = worker_.loop().now();
  to.pending.erase(0, static_cast<std::size_t>(sent));
  if (to.pending.empty()) {
    to.pending.shrink_to_fit();
    shut_down_if_flushed(to);
  }
  return true;
}

void FlowDriver::shut_down_if_flushed(Leg& to) {
  if (!to.finish_wanted || to.finished || !to.can_send() || !to.pending.empty()) return;
  const Leg& from = opposite(to);
  if (from.pipe && from.pipe->filled != 0) return;
  shutdown(to.fd.get(), SHUT_WR);
  to.finished = true;
}

// --- pumping

void FlowDriver::moved(Leg& from, std::size_t bytes) {
  (from.side == flow::Side::client ? counters_.up : counters_.down) += bytes;
}

bool FlowDriver::pump(Leg& from) {
  Leg& to = opposite(from);
  if (!to.can_send() || from.connecting) return false;
  if (!from.stash.empty()) {  // read before the splice was commanded
    std::size_t count = static_cast<std::size_t>(std::min<std::uint64_t>(from.stash.size(), from.pump_left));
    if (from.pump_left != flow::Splice::unlimited) from.pump_left -= count;
    forward(from, count);
  }
  bool progress = false;
  for (int piece = 0; piece < pieces_at_a_time && state_ == State::live && from.pumping; ++piece) {
    if (!pump_piece(from, to)) break;
    progress = true;
    last_activity_ = worker_.loop().now();
  }
  if (from.pipe && from.pipe->filled == 0) worker_.pipes().give_back(std::move(from.pipe));
  return progress || from.failed || to.write_broken;  // the next round tells of a failure
}

// Moves one piece from the socket to the other side. False: nothing can move now.
bool FlowDriver::pump_piece(Leg& from, Leg& to) {
  if (!to.pending.empty()) return false;
  if (from.pipe && from.pipe->filled != 0) {
    if (!to.writable) return false;
    ssize_t sent = splice(from.pipe->read_end.get(), nullptr, to.fd.get(), nullptr, from.pipe->filled,
                          SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (sent <= 0) {
      to.writable = false;
      if (sent < 0 && !would_block() && errno != EINTR) to.break_writing();
      return false;
    }
    from.pipe->filled -= static_cast<std::size_t>(sent);
    if (from.pipe->filled == 0) shut_down_if_flushed(to);
    return true;
  }
  if (from.pump_left == 0) return pump_done(from, false), true;
  if (from.ended) return pump_done(from, true), true;
  if (!from.readable) return false;

  std::uint64_t most = from.pump_left;
  bool by_splice = from.average_piece >= worth_splicing;
  if (by_splice && !from.pipe) from.pipe = worker_.pipes().borrow();
  by_splice = by_splice && from.pipe;
  ssize_t size;
  if (by_splice) {
    size =
        splice(from.fd.get(), nullptr, from.pipe->write_end.get(), nullptr,
               static_cast<std::size_t>(std::min<std::uint64_t>(most, pipe_size)), SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  } else {
    auto& buffer = worker_.buffer();
    size = recv(from.fd.get(), buffer.data(), static_cast<std::size_t>(std::min<std::uint64_t>(most, buffer.size())),
                MSG_DONTWAIT);
  }
  if (size < 0) {
    if (errno == EINTR) return true;
    from.readable = false;
    if (!would_block()) from.failed = true;
    return false;
  }
  if (size == 0) {
    from.ended = true;
    return true;
  }
  auto count = static_cast<std::size_t>(size);
  from.average_piece =
      static_cast<std::uint32_t>((from.average_piece * 3ull + std::min<std::size_t>(count, 1u << 20)) / 4);
  if (from.pump_left != flow::Splice::unlimited) from.pump_left -= count;
  moved(from, count);
  if (by_splice) {
    from.pipe->filled = count;
  } else {
    // A short read took all there was; the next edge tells of more. (At hang-up no further edge comes.)
    if (count < std::min<std::uint64_t>(most, worker_.buffer().size()) && !from.hung_up) from.readable = false;
    queue_or_send(to, base::Bytes{worker_.buffer().data(), count});
  }
  return true;
}

void FlowDriver::pump_done(Leg& from, bool ended) {
  bool pass_on_half_close = ended && from.pump_left == flow::Splice::unlimited;
  from.pumping = false;
  from.end_announced = ended;
  if (pass_on_half_close) {
    Leg& to = opposite(from);
    to.finish_wanted = true;
    shut_down_if_flushed(to);
  }
  deliver(flow::Spliced{from.side, ended});
}

// --- ending

void FlowDriver::begin_linger() {
  state_ = State::lingering;
  origin_.fd.reset();
  client_.pumping = false;
  client_.finish_wanted = true;
  client_.look_again();
  idle_after_ = {};
  deadline_ = worker_.loop().now() + linger_limit;
  rearm();
  linger();
}

void FlowDriver::linger() {
  if (client_.failed || client_.write_broken || !client_.is_open()) return die(false);
  while (client_.can_send() && flush(client_)) {
  }
  shut_down_if_flushed(client_);
  while (client_.readable && !client_.ended && !client_.failed) {
    ssize_t size = recv(client_.fd.get(), nullptr, most_pending, MSG_TRUNC | MSG_DONTWAIT);
    if (size == 0) client_.ended = true;
    if (size < 0 && errno != EINTR) {
      client_.readable = false;
      if (!would_block()) client_.failed = true;
    }
  }
  if (client_.failed || (client_.ended && client_.finished)) die(false);
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
  base::Monotonic next = base::Monotonic::max();
  if (deadline_ != base::Monotonic{}) next = deadline_;
  if (idle_after_ != base::Duration{}) next = std::min(next, last_activity_ + idle_after_);
  if (next != base::Monotonic::max()) worker_.timers().arm(*this, next);
}

void FlowDriver::timer_due() {
  base::Monotonic now = worker_.loop().now();
  bool past_deadline = deadline_ != base::Monotonic{} && now >= deadline_;
  bool idle = idle_after_ != base::Duration{} && now >= last_activity_ + idle_after_;
  if (state_ == State::lingering && past_deadline) return die(true);
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

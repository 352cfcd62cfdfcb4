// Reading a leg into events, and writing bytes of the machine's or the other leg's: the part of FlowDriver that touches
// sockets one message at a time. Moving bytes unseen is splice_pump.cpp.
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "daemon/gateway/flow_driver.hpp"
#include "daemon/gateway/socket_errors.hpp"
#include "daemon/gateway/worker.hpp"

namespace sluiced {
namespace {

// What one flow can hold here: a side is read only while nothing waits to be sent to the other, so one read a side is
// pending at most, and one read beyond an unfinished head is stashed. Thousands of stalled flows must fit a router.
constexpr std::size_t most_read = 64 * 1024;      // bytes looked at a time; larger bodies are spliced
constexpr std::size_t most_stash = 64 * 1024;     // unconsumed bytes of a side; a head is at most that
constexpr std::size_t most_peek = 64 * 1024 + 1;  // one more than a hello may have

}  // namespace

// --- reading

// Takes bytes out of the socket, or out of the TLS on it, and remembers what that tells of what comes next.
FlowDriver::Got FlowDriver::receive(Leg& from, std::size_t most, std::size_t& count) {
  auto& buffer = worker_.buffer();
  most = std::min(most, buffer.size());
  if (from.tls) {
    using Tls = tls_intercept::TlsEnd::State;
    Tls state = from.tls->read(buffer.data(), most, count);
    if (state == Tls::wants_read) from.readable = false;
    if (state == Tls::wants_write) from.writable = false;
    if (state == Tls::ended || state == Tls::truncated) from.ended = true;
    from.truncated |= state == Tls::truncated;
    from.failed |= state == Tls::failed;
    if (count > 0) return Got::bytes;
    return from.failed ? Got::failed : from.ended ? Got::ended : Got::nothing;
  }
  ssize_t size = recv(from.fd.get(), buffer.data(), most, MSG_DONTWAIT);
  if (size < 0) {
    if (errno == EINTR) return Got::nothing;
    from.readable = false;
    if (would_block()) return Got::nothing;
    from.failed = true;
    return Got::failed;
  }
  if (size == 0) {
    from.ended = true;
    return Got::ended;
  }
  count = static_cast<std::size_t>(size);
  // A short read took all there was; the next edge tells of more. (At hang-up no further edge comes.)
  if (count < most && !from.hung_up) from.readable = false;
  return Got::bytes;
}

// Reads or peeks once if that is wanted and may bring something, and tells the machine what is unconsumed.
bool FlowDriver::take_in(Leg& from) {
  if (from.mode == flow::Read::Mode::off || from.connecting || from.handshaking) return false;
  if (!opposite(from).pending.empty()) return false;  // back-pressure: flush() brings us here again

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
      std::size_t count = 0;
      Got got = receive(from, most_read, count);
      if (got == Got::failed) return true;
      if (got == Got::bytes) {
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
  deliver(flow::Received{from.side, unconsumed, from.ended, from.truncated});
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
  send_with(opposite(from), bytes);
  consume(from, bytes.size());
}

// --- writing

// Sends what is pending and `bytes` behind it, as far as the socket takes them; the rest is pending then. True: bytes
// moved, or it turned out that they never will.
bool FlowDriver::send_with(Leg& to, base::Bytes bytes) {
  if (to.tls) return send_inside_tls(to, bytes);
  bool progress = false;
  while (to.can_send() && to.writable && !(to.pending.empty() && bytes.empty())) {
    iovec parts[] = {{to.pending.data(), to.pending.size()}, {const_cast<std::uint8_t*>(bytes.data()), bytes.size()}};
    msghdr message{};
    message.msg_iov = to.pending.empty() ? parts + 1 : parts;
    message.msg_iovlen = to.pending.empty() || bytes.empty() ? 1 : 2;
    ssize_t sent = sendmsg(to.fd.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EINTR) continue;
      to.writable = false;
      if (would_block()) break;
      to.break_writing();
      return true;
    }
    progress = true;
    std::size_t count = static_cast<std::size_t>(sent), of_pending = std::min(count, to.pending.size());
    to.pending.erase(0, of_pending);
    bytes = bytes.subspan(count - of_pending);
  }
  return sent_so_far(to, bytes, progress);
}

// The end of a sending, whatever carried it: what is left waits in `pending`.
bool FlowDriver::sent_so_far(Leg& to, base::Bytes left, bool progress) {
  if (progress) last_activity_ = worker_.loop().now();
  if (!left.empty() && !to.write_broken && !to.failed) to.pending.append(base::as_text(left));
  if (to.pending.empty()) {
    to.pending.shrink_to_fit();
    shut_down_if_flushed(to);
  }
  return progress;
}

void FlowDriver::flush_both() {
  flush(client_);
  flush(origin_);
}

bool FlowDriver::everything_sent(const Leg& to) {
  const Leg& from = opposite(to);
  return to.pending.empty() && !(from.pipe && from.pipe->filled != 0);
}

void FlowDriver::shut_down_if_flushed(Leg& to) {
  if (!to.finish_wanted || to.finished || !to.can_send() || !everything_sent(to)) return;
  if (to.tls) to.tls->close_notify();
  shutdown(to.fd.get(), SHUT_WR);
  to.finished = true;
}

}  // namespace sluiced

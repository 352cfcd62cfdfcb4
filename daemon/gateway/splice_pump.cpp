// Moving bytes from one leg to the other unseen: the part of FlowDriver that does most of the work and knows least.
// How it chooses between copying and splice(2) is told in leg.hpp.
#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "daemon/gateway/flow_driver.hpp"
#include "daemon/gateway/socket_errors.hpp"
#include "daemon/gateway/worker.hpp"

namespace sluiced {
namespace {

constexpr std::size_t pipe_size = 64 * 1024;         // a new pipe's capacity (pipe(7))
constexpr std::uint32_t worth_splicing = 16 * 1024;  // average piece from which splice beats copying

}  // namespace

// --- pumping

void FlowDriver::moved(Leg& from, std::size_t bytes) {
  (from.side == flow::Side::client ? counters_.up : counters_.down) += bytes;
}

bool FlowDriver::pump(Leg& from) {
  Leg& to = opposite(from);
  if (!to.can_send() || from.connecting || from.handshaking) return false;
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
  bool by_splice = from.average_piece >= worth_splicing && !from.tls && !to.tls;
  if (by_splice && !from.pipe) from.pipe = worker_.pipes().borrow();
  by_splice = by_splice && from.pipe;
  std::size_t count = 0;
  if (by_splice) {
    ssize_t size =
        splice(from.fd.get(), nullptr, from.pipe->write_end.get(), nullptr,
               static_cast<std::size_t>(std::min<std::uint64_t>(most, pipe_size)), SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
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
    count = static_cast<std::size_t>(size);
  } else {
    Got got = receive(from, static_cast<std::size_t>(std::min<std::uint64_t>(most, worker_.buffer().size())), count);
    if (got == Got::ended) return true;
    if (got != Got::bytes) return false;
  }
  from.average_piece =
      static_cast<std::uint32_t>((from.average_piece * 3ull + std::min<std::size_t>(count, 1u << 20)) / 4);
  if (from.pump_left != flow::Splice::unlimited) from.pump_left -= count;
  moved(from, count);
  if (by_splice) {
    from.pipe->filled = count;
  } else {
    send_with(to, base::Bytes{worker_.buffer().data(), count});
  }
  return true;
}

void FlowDriver::pump_done(Leg& from, bool ended) {
  bool pass_on_half_close = ended && from.pump_left == flow::Splice::unlimited;
  from.pumping = false;
  from.end_announced = ended;
  Leg& to = opposite(from);
  to.finish_wanted |= pass_on_half_close;
  deliver(flow::Spliced{from.side, ended, from.truncated});
  if (state_ == State::live) shut_down_if_flushed(to);  // unless the machine has just closed it altogether
}

}  // namespace sluiced

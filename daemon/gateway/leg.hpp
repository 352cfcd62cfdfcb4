// One side of a flow: a socket, what was read from it and not used, what waits to be sent to it, and the pump that
// moves its bytes to the other side unseen.
//
// Sockets are registered once, edge-triggered. `readable` and `writable` remember the kernel's last word; a call that
// comes back short or with EAGAIN takes it back, and the next edge gives it again.
//
// The pump copies through the worker's one large buffer while pieces are small, and splices through a borrowed pipe
// once they are large on average (measured: splice wins only when segments arrive as page-sized fragments). splice(2)'s
// EAGAIN does not say whether the pipe was full or the socket empty, so a pipe is only ever filled when it is empty.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/bytes.hpp"
#include "base/sys/unique_fd.hpp"
#include "daemon/gateway/pipe_pool.hpp"
#include "daemon/loop.hpp"
#include "flow/command.hpp"
#include "tls-intercept/tls_end.hpp"

namespace sluiced {

class FlowDriver;

struct Leg final : Watcher {
  Leg(FlowDriver& driver, flow::Side which) : owner(driver), side(which) {}
  void ready(std::uint32_t events) override;

  FlowDriver& owner;
  const flow::Side side;
  base::sys::UniqueFd fd;

  // What the kernel said last.
  bool connecting = false;
  bool readable = false, writable = false;
  bool hung_up = false;       // EPOLLRDHUP: the peer's FIN is in the queue, perhaps behind bytes
  bool ended = false;         // nothing more can be read
  bool failed = false;        // reset or socket error
  bool write_broken = false;  // a send failed; what the peer sent before may still be read

  // TLS that we end: bytes below are those inside it.
  std::unique_ptr<tls_intercept::TlsEnd> tls;
  bool handshaking = false;
  bool truncated = false;  // ended without TLS having said so

  // Reading.
  flow::Read::Mode mode = flow::Read::Mode::off;
  bool announce = false;  // a Read command wants to hear of what is there already
  bool end_announced = false;
  std::size_t more_than = 0;  // unconsumed bytes must exceed this to be worth an event
  std::string stash;          // taken from the socket, not consumed yet
  base::Bytes view;           // during delivery: all unconsumed bytes; stash is stale then
  bool delivering = false, view_in_socket = false;

  // Writing.
  std::string pending;  // waits for the socket to take it
  bool finish_wanted = false, finished = false;

  // Pumping to the other side.
  bool pumping = false;
  std::uint64_t pump_left = 0;
  std::unique_ptr<Pipe> pipe;
  std::uint32_t average_piece = 0;  // bytes a read brought, smoothed

  bool is_open() const { return static_cast<bool>(fd); }
  bool can_send() const { return is_open() && !connecting && !handshaking && !failed && !write_broken && !finished; }
  bool reading() const { return pumping || handshaking || mode != flow::Read::Mode::off; }
  // Bytes that were only peeked at are still in the socket, and no edge will tell of them again.
  void look_again() {
    readable = true;
    ended = end_announced = false;
  }
  // Another way of reading begins, and hears of the end anew.
  void turn_to(flow::Read::Mode other) {
    if (other == mode) return;
    if (mode == flow::Read::Mode::peek) look_again();
    end_announced = false;
    mode = other;
  }
  void break_writing() {
    write_broken = true;
    readable = true;
    pending.clear();
  }
};

}  // namespace sluiced

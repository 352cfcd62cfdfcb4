// Performs what a flow's machine commands and turns its sockets' news into events. Takes no decisions: back-pressure,
// partial writes, flushing before a FIN, and lingering after Close are mechanics and live here.
//
// Everything happens in work(): flush what waits, pump what is pumped, read what may be read, until nothing moves or a
// bound is reached (then the worker calls again after the other flows had their turn). Events are delivered one at a
// time; the commands they cause are performed before the next. What those commands send leaves together: Send waits for
// a Forward to go with, or for the end of the batch, so a head and its body are one system call and one segment.
#pragma once

#include <cstdint>

#include "daemon/gateway/leg.hpp"
#include "daemon/gateway/timer_wheel.hpp"
#include "flow/machine.hpp"
#include "tls-intercept/leaf_cache.hpp"

namespace sluiced {

class Worker;

class FlowDriver : public TimerWheel::Entry {  // the worker's wheel times it
 public:
  FlowDriver(Worker& worker, base::sys::UniqueFd client, flow::Opening opening);
  FlowDriver(const FlowDriver&) = delete;
  FlowDriver& operator=(const FlowDriver&) = delete;
  ~FlowDriver();

  void start();
  void work();
  void policy_changed(policy::Client client);
  void timer_due();
  void reset();  // from outside: RST on both legs
  // What was asked of others has come: a leaf (null: there is none), or a missing intermediate was looked for.
  void leaf_came(const tls_intercept::Leaf& leaf);
  void issuer_came();

  bool dead() const { return state_ == State::dead; }
  const flow::Machine& machine() const { return machine_; }
  const flow::Counters& counters() const { return counters_; }
  base::Monotonic opened_at() const { return opened_at_; }

  // The worker's bookkeeping.
  std::size_t position = 0;  // in its list of flows
  bool queued = false;       // waiting to be worked again
  std::uint64_t number = 0;  // what answers from elsewhere find it by; 0: it waits for none

 private:
  enum class State : std::uint8_t { live, lingering, dead };
  static constexpr int pieces_at_a_time = 16;  // bounded work on one flow, then others have their turn

  Leg& leg(flow::Side side) { return side == flow::Side::client ? client_ : origin_; }
  Leg& opposite(const Leg& of) { return leg(flow::other(of.side)); }

  void deliver(const flow::Event& event);
  void perform(flow::Command& command);
  bool finish_connecting();
  bool notice_failure(Leg& from);
  enum class Got : std::uint8_t { bytes, nothing, ended, failed };
  Got receive(Leg& from, std::size_t most, std::size_t& count);  // into the worker's buffer
  bool take_in(Leg& from);
  // TLS (flow_driver_tls.cpp).
  void connect_tls(const flow::ConnectTls& how);
  void accept_tls(flow::AcceptTls how);
  void begin_client_handshake(const tls_intercept::Leaf& leaf);
  void hang_up();
  bool shake_hands(Leg& with);
  void verify_origin();
  void tls_failed(Leg& with, flow::TlsFailed::Why why, std::string detail);
  bool send_inside_tls(Leg& to, base::Bytes bytes);
  void announce(Leg& from, base::Bytes unconsumed);
  bool pump(Leg& from);
  bool pump_piece(Leg& from, Leg& to);
  void pump_done(Leg& from, bool ended);
  bool send_with(Leg& to, base::Bytes bytes);
  bool sent_so_far(Leg& to, base::Bytes left, bool progress);
  bool flush(Leg& to) { return !to.pending.empty() && send_with(to, {}); }
  void flush_both();
  void forward(Leg& from, std::size_t count);
  void consume(Leg& from, std::size_t count);
  bool everything_sent(const Leg& to);
  void shut_down_if_flushed(Leg& to);
  void connect();
  void begin_linger();
  void linger();
  void linger_on();
  void die(bool with_reset);
  void arm(flow::Timer timer, base::Duration after);
  void rearm();
  void moved(Leg& from, std::size_t bytes);

  Worker& worker_;
  flow::Counters counters_;
  Leg client_, origin_;
  flow::Machine machine_;
  State state_ = State::live;
  base::Monotonic opened_at_, last_activity_, deadline_{};
  base::Duration idle_after_{};
  // Of the origin's certificate, and what the client's handshake waits for.
  std::string tls_name_, origin_identity_;
  std::int64_t origin_not_after_ = 0;
  bool issuer_asked_ = false;
  std::unique_ptr<flow::AcceptTls> accept_;
  std::size_t unsent_ = 0;  // while lingering: what the client had not taken when last looked
};

}  // namespace sluiced

// TLS on the legs of a flow: handshakes, the origin's verification, the client's leaf. The part of FlowDriver that knows
// tls-intercept/; what the outcome means is the machine's.
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "daemon/gateway/flow_driver.hpp"
#include "daemon/gateway/interception.hpp"
#include "daemon/gateway/worker.hpp"

namespace sluiced {

using Why = flow::TlsFailed::Why;
using Tls = tls_intercept::TlsEnd::State;

void FlowDriver::connect_tls(const flow::ConnectTls& how) {
  tls_name_ = how.name;
  auto ssl = worker_.interception()->contexts().to_origin(
      {how.name, how.alpn, tls_intercept::session_key(how.name, machine_.opening().tuple.origin.to_string(), how.alpn)},
      worker_.seconds());
  origin_.handshaking = true;
  origin_.readable = true;
  if (ssl) origin_.tls = std::make_unique<tls_intercept::TlsEnd>(std::move(ssl), origin_.fd.get());
  worker_.again(*this);  // a machine is never entered twice
}

// With a leaf at hand the handshake begins now, else when the signer has answered.
void FlowDriver::accept_tls(flow::AcceptTls how) {
  Interception::Wanted wanted{how.name, how.alone ? std::string{} : origin_identity_,
                              how.alone ? 0 : origin_not_after_};
  accept_ = std::make_unique<flow::AcceptTls>(std::move(how));
  client_.handshaking = true;
  auto leaf = worker_.interception()->leaf(wanted, worker_.seconds(), [this] { return worker_.waits_for_leaf(*this); });
  if (leaf) begin_client_handshake(*leaf);
  worker_.again(*this);
}

void FlowDriver::leaf_came(const tls_intercept::Leaf& leaf) {
  if (state_ != State::live || !accept_) return;
  begin_client_handshake(leaf);
  work();
}

void FlowDriver::begin_client_handshake(const tls_intercept::Leaf& leaf) {
  auto how = std::move(accept_);
  client_.turn_to(flow::Read::Mode::off);
  client_.look_again();
  client_.writable = true;
  if (!leaf) return;  // told in shake_hands
  auto ssl = worker_.interception()->contexts().to_client({leaf.get(), how->alpn, how->session_of},
                                                          worker_.interception()->leaf_key());
  if (ssl) client_.tls = std::make_unique<tls_intercept::TlsEnd>(std::move(ssl), client_.fd.get());
}

void FlowDriver::hang_up() {
  Leg& leg = origin_;
  leg.tls.reset();
  leg.fd.reset();
  worker_.pipes().give_back(std::move(leg.pipe));
  leg.connecting = leg.handshaking = leg.readable = leg.writable = leg.hung_up = leg.ended = leg.failed = false;
  leg.write_broken = leg.truncated = leg.announce = leg.end_announced = leg.finish_wanted = leg.finished = false;
  leg.pumping = false;
  leg.mode = flow::Read::Mode::off;
  leg.stash.clear();
  leg.pending.clear();
}

// Goes on with a handshake as far as the socket lets it. True: it has come to its end, one way or the other.
bool FlowDriver::shake_hands(Leg& with) {
  if (with.side == flow::Side::client && accept_) return false;      // waits for its leaf
  if (with.side == flow::Side::origin && number != 0) return false;  // waits for an intermediate
  if (!with.tls) {
    tls_failed(with, with.side == flow::Side::client ? Why::no_leaf : Why::handshake, "TLS cannot be set up here");
    return true;
  }
  if (!with.readable && !with.writable) return false;
  Tls state = with.tls->handshake();
  bool client = with.side == flow::Side::client;
  switch (state) {
    case Tls::wants_read:
      with.readable = false;
      if (!client && tls_intercept::Contexts::asked_for_certificate(with.tls->ssl())) break;
      return false;
    case Tls::wants_write:
      with.writable = false;
      return false;
    case Tls::done:
      break;
    default: {
      const tls_intercept::TlsEnd& end = *with.tls;
      if (!client && tls_intercept::Contexts::asked_for_certificate(end.ssl())) break;
      Why why = Why::handshake;
      std::string detail = "no secure connection to it can be made (" + end.failure() + ")";
      bool certificate_alert = client && end.peer_alert() >= 0 && tls_intercept::is_about_certificate(end.peer_alert());
      if (state == Tls::truncated || end.was_reset()) why = Why::gone;
      if (certificate_alert) why = Why::leaf_refused;
      tls_failed(with, why, std::move(detail));
      return true;
    }
  }
  if (client) {
    with.handshaking = false;
    with.readable = true;  // TLS may hold bytes that no edge will tell of
    last_activity_ = worker_.loop().now();
    deliver(flow::Secured{with.side, with.tls->alpn()});
    return true;
  }
  if (tls_intercept::Contexts::asked_for_certificate(with.tls->ssl())) {
    tls_failed(with, Why::wants_client_certificate, "it asks for a certificate of its clients");
    return true;
  }
  verify_origin();
  return true;
}

void FlowDriver::verify_origin() {
  Interception& interception = *worker_.interception();
  auto answer = interception.verifier().verify(origin_.tls->ssl(), tls_name_, worker_.seconds());
  if (!answer.good && !answer.missing.empty() && !std::exchange(issuer_asked_, true) &&
      interception.ask_for_issuer(answer.missing, [this] { return worker_.waits_for_issuer(*this); }))
    return;
  if (!answer.good) return tls_failed(origin_, Why::certificate, std::move(answer.fault));
  tls_intercept::Contexts::keep_sessions(origin_.tls->ssl());
  origin_identity_ = std::move(answer.identity);
  origin_not_after_ = answer.not_after;
  origin_.handshaking = false;
  origin_.readable = true;
  deliver(flow::Secured{flow::Side::origin, origin_.tls->alpn()});
}

void FlowDriver::issuer_came() {
  if (state_ != State::live || !origin_.tls || !origin_.handshaking) return;
  verify_origin();
  if (state_ == State::live) work();
}

void FlowDriver::tls_failed(Leg& with, Why why, std::string detail) {
  bool was_reset = with.tls && with.tls->was_reset();
  with.handshaking = false;
  deliver(flow::TlsFailed{with.side, why, std::move(detail), was_reset});
}

// As send_with. What TLS has begun to send must be offered again as it was, so the rest waits in `pending` in front.
bool FlowDriver::send_inside_tls(Leg& to, base::Bytes bytes) {
  bool progress = false;
  while (to.can_send() && to.writable && !(to.pending.empty() && bytes.empty())) {
    if (!to.pending.empty() && !bytes.empty()) {
      to.pending.append(base::as_text(bytes));
      bytes = {};
    }
    bool waiting = !to.pending.empty();
    std::size_t count = 0;
    Tls state = to.tls->write(waiting ? base::as_bytes(to.pending) : bytes, count);
    progress |= count != 0;
    if (waiting)
      to.pending.erase(0, count);
    else
      bytes = bytes.subspan(count);
    if (state == Tls::done) continue;
    if (state != Tls::wants_read && state != Tls::wants_write) {
      to.break_writing();
      return true;
    }
    to.writable = false;
    break;
  }
  return sent_so_far(to, bytes, progress);
}

}  // namespace sluiced

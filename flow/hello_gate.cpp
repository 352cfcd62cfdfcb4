// Theory of operation
//
// The gate sees packets, the origin reads a stream. A packet may die behind the gate (low TTL), be thrown away by the
// origin (old timestamp, MD5 option, old sequence number), or come twice with different content, and which of them the
// origin reads cannot be known. So the gate sees to it that there is only one stream to be read, whatever is lost:
//   - it begins at the SYN's number + 1. Bytes before it are old to the origin and say nothing.
//   - each position has one value, the first that came. The same bytes again pass; other bytes for a known position are
//     refused: the one and the other could each be what the origin reads (overlaps, fakes, seqovl).
//   - new positions are recorded and pass, in any order, up to client_limit; what is beyond is dropped, and its sender
//     sends it again when the flow is done.
//   - urgent data is refused: the byte that it points at is missing in the origin's stream. Without payload as well:
//     the pointer may be ahead, at a byte that comes later in a segment without URG.
//   - payload without acknowledgement is dropped: no origin reads it (RFC 9293 3.10.7.4), but for data in a SYN, below.
// Nothing is held back, so nothing waits for the gate and nothing deadlocks. But the packet that completes a hello does
// not leave before it is judged.
//
// States
//   collecting  The prefix of the client's stream is no hello yet, but may become one.
//   judging     It is one, or something else; the owner has been told. Nothing passes until allow().
//   pending     It is allowed. More of the client's bytes pass and are recorded (change_cipher_spec, 0-RTT).
//   answered    The origin has answered what was judged.
//   refused     Whatever comes is refused, for the same reason.
//
// Pending ends with a segment of the origin that carries payload and acknowledges the end of what was judged. An
// earlier acknowledgement answers something else (a server that speaks first), one of bytes that never passed belongs
// to another connection and is dropped. The origin's stream is read as far as it takes to tell a HelloRetryRequest (RFC
// 8446 4.1.4): after that one the client sends a second hello, in the clear, and some origins go by the name in that
// one. The gate collects again, from the end of the first hello on. There may be change_cipher_spec, alerts and 0-RTT
// data before the second one (RFC 8446 D.4, 4.2.10): the origin steps over them or ends the connection. If the second
// hello is here already, it is judged before the HelloRetryRequest passes. A third one is illegal, so the answer to the
// second need not be read.
//
// The origin's stream is read from where the client waited for it when it sent its own first byte, by that packet's
// acknowledgement. A client may lie. Too low: the gap before the answer never fills and the flow is never done. Too
// high: conntrack drops such packets, and origin bytes before that place are dropped here. All of the origin's payload
// must come by here until the flow is done: a HelloRetryRequest may be cut into segments of a few bytes (window and MSS
// are the client's). While pending, nothing passes behind a gap: where a HelloRetryRequest was lost, a client that
// knows what it said needs only what follows, and acknowledges both.
//
// Data in a SYN (TFO, RFC 7413) comes with no acknowledgement, and where the origin's stream begins would be a guess:
// the first of its segments that is seen may be its second, if the first was lost. So such a SYN is dropped. Its sender
// sends it again without data after a second, and after a few of those keeps its data for later (RFC 7413 4.1.3).
//
// A second SYN with another number may begin a new connection, or go unheard in the middle of the old one. To believe
// it where it is unheard would move the anchor: below the origin's own (a fake hello just before it is old to the
// origin), or away and back (which would forget the values that are known). So an anchor is taken only if what may pass
// from it can neither overlap nor touch what may pass from any earlier one; other SYNs are dropped. Then an
// acknowledgement in the one stream is none in the other. Clients that begin again choose a number far away (RFC 6528).
//
// Left out: a TLS 1.2 renegotiation and what is inside the encryption (domain fronting) cannot be seen by anybody who
// only looks; time (the owner ends a flow that is never done) and everything below TCP (conntrack refuses bad checksums
// and joins fragments).
#include "flow/hello_gate.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "proto/http/sniff.hpp"
#include "proto/tls/record.hpp"
#include "proto/tls/server_answer.hpp"

namespace flow {
namespace {

using proto::ip::TcpSegment;

// Both hellos with what comes between and behind them. 0-RTT data behind the first: 16 KiB is what OpenSSL takes.
constexpr std::size_t client_limit = proto::tls::hello_limit;
// How far two anchors must be apart: what passes from one ends a full limit before what passes from the other.
constexpr std::uint32_t anchor_distance = 2 * client_limit;
// SYNs of a client that tries an origin again and again from one port: a minute's worth. Then it waits until the owner
// forgets the gate.
constexpr std::size_t anchor_limit = 64;

bool is_syn(const TcpSegment& segment) {
  constexpr unsigned control = proto::ip::syn | proto::ip::ack | proto::ip::fin | proto::ip::rst;
  return (segment.flags & control) == proto::ip::syn;
}

// May a record of this type stand between the two hellos? (change_cipher_spec, alert, application_data)
bool is_stepped_over(std::uint8_t record_type) {
  return record_type == 20 || record_type == 21 || record_type == 23;
}

// Moves `begin`, which is a record's, to the second hello. False: it is not there yet.
bool find_second_hello(base::Bytes stream, std::size_t& begin) {
  while (begin < stream.size()) {
    if (!is_stepped_over(stream[begin])) return true;
    if (stream.size() - begin < proto::tls::record_header_size) return false;
    std::size_t length = std::size_t{stream[begin + 3]} << 8 | stream[begin + 4];
    begin += proto::tls::record_header_size + length;
  }
  return false;
}

}  // namespace

HelloGate::HelloGate(std::uint32_t isn) : client_(isn + 1, client_limit) {}

HelloGate::ClientStep HelloGate::on_client(const TcpSegment& segment) {
  const bool has_ack = segment.has(proto::ip::ack);
  if (!segment.payload.empty() && !has_ack) return Drop{};
  if (segment.has(proto::ip::syn) && !begin_at(segment)) return Drop{};
  if (has_ack) record_acknowledgement(segment.acknowledgement);
  if (std::holds_alternative<Answered>(state_)) return Pass{};
  const std::size_t passed = client_.prefix().size();
  if (segment.has(proto::ip::urg)) return refuse("urgent data before the origin has answered", passed);
  if (segment.payload.empty()) return Pass{};
  if (auto* refused = std::get_if<Refused>(&state_)) return Refuse{refused->why};
  if (std::holds_alternative<Judging>(state_)) return Drop{};

  switch (client_.add(segment.sequence, segment.payload)) {
    case StreamRecord::Added::nothing:
    case StreamRecord::Added::full:
      return Drop{};
    case StreamRecord::Added::known:
      return Pass{};
    case StreamRecord::Added::conflict: {
      // A keep-alive may carry one octet of garbage, at the last position that was sent (RFC 9293 3.8.4).
      const std::uint32_t last = client_.anchor() + static_cast<std::uint32_t>(passed) - 1;
      bool is_keep_alive = segment.payload.size() == 1 && segment.sequence == last;
      if (is_keep_alive) return Drop{};
      return refuse("two values for one position of the stream", passed);
    }
    case StreamRecord::Added::recorded:
      break;
  }
  if (!origin_ && !client_.prefix().empty()) origin_.emplace(segment.acknowledgement, proto::tls::server_answer_limit);
  if (auto* collecting = std::get_if<Collecting>(&state_)) return look_for_hello(*collecting, passed);
  auto* pending = std::get_if<Pending>(&state_);
  return pending ? look_behind(*pending, passed) : Pass{};
}

HelloGate::OriginStep HelloGate::on_origin(const TcpSegment& segment) {
  if (std::holds_alternative<Answered>(state_)) return Done{};
  if (segment.payload.empty()) return Pass{};
  if (auto* refused = std::get_if<Refused>(&state_)) return Refuse{refused->why};
  if (std::holds_alternative<Judging>(state_)) return Drop{};
  const std::uint32_t acknowledged = segment.acknowledgement - client_.anchor();
  const std::size_t sent = client_.prefix().size() + 1;  // if it has ended: a FIN takes a number
  if (!segment.has(proto::ip::ack) || acknowledged > sent) return Drop{};

  auto* pending = std::get_if<Pending>(&state_);
  bool is_read = !pending || pending->may_be_retried;
  if (is_read && !record_origin(segment)) return Drop{};
  if (!pending || acknowledged < pending->end) return Pass{};
  if (pending->may_be_retried) return read_answer(*pending);
  state_ = Answered{};
  return Done{};
}

HelloGate::ClientStep HelloGate::allow() {
  auto* judging = std::get_if<Judging>(&state_);
  assert(judging);
  const std::size_t passed = judging->passed;
  state_ = Pending{judging->allowed};
  return look_behind(std::get<Pending>(state_), passed);
}

bool HelloGate::pending() const {
  return std::holds_alternative<Pending>(state_);
}

bool HelloGate::has_begun() const {
  return !client_.empty();
}

std::uint32_t HelloGate::origin_expects() const {
  std::size_t passed = client_.prefix().size();
  if (auto* judging = std::get_if<Judging>(&state_)) passed = judging->passed;
  if (auto* refused = std::get_if<Refused>(&state_)) passed = refused->passed;
  return client_.anchor() + static_cast<std::uint32_t>(passed);
}

std::uint32_t HelloGate::client_expects() const {
  return acknowledged_.value_or(0);
}

// Whether the connection begins here: the SYN that is known again, or one that may be believed.
bool HelloGate::begin_at(const TcpSegment& segment) {
  if (!is_syn(segment)) return false;
  const std::uint32_t anchor = segment.sequence + 1;  // RFC 9293 3.4: a SYN takes one number
  if (std::holds_alternative<Answered>(state_)) {     // nothing was left open that could be confused with it
    *this = HelloGate(segment.sequence);
    return true;
  }
  if (anchor == client_.anchor()) return true;
  if (confusable(anchor) || earlier_anchors_.size() == anchor_limit) return false;
  std::vector<std::uint32_t> anchors = std::move(earlier_anchors_);
  anchors.push_back(client_.anchor());
  *this = HelloGate(segment.sequence);
  earlier_anchors_ = std::move(anchors);
  return true;
}

bool HelloGate::within_reach(std::uint32_t anchor, std::uint32_t other) {
  return std::min(anchor - other, other - anchor) < anchor_distance;
}

bool HelloGate::confusable(std::uint32_t anchor) const {
  return within_reach(anchor, client_.anchor()) ||
         std::any_of(earlier_anchors_.begin(), earlier_anchors_.end(),
                     [&](std::uint32_t earlier) { return within_reach(anchor, earlier); });
}

void HelloGate::record_acknowledgement(std::uint32_t number) {
  bool is_newer = !acknowledged_ || static_cast<std::int32_t>(number - *acknowledged_) > 0;  // RFC 9293 3.4
  if (is_newer) acknowledged_ = number;
}

// False: it contradicts what is known of the origin's stream, lies before it, or may lie behind an answer not yet read.
bool HelloGate::record_origin(const TcpSegment& segment) {
  if (!origin_) return true;  // the origin speaks first
  const auto position = static_cast<std::int32_t>(segment.sequence - origin_->anchor());
  if (position < 0) return false;
  if (pending() && static_cast<std::size_t>(position) > origin_->prefix().size()) return false;
  std::size_t room = std::min(segment.payload.size(), origin_->room(segment.sequence));
  return origin_->add(segment.sequence, segment.payload.first(room)) != StreamRecord::Added::conflict;
}

// `passed`: how much of the stream had passed before the packet in hand.
HelloGate::ClientStep HelloGate::look_for_hello(Collecting& collecting, std::size_t passed) {
  base::Bytes stream = client_.prefix();
  if (collecting.after_retry && !find_second_hello(stream, collecting.begin)) return Pass{};
  if (stream.size() < collecting.begin + collecting.at_least) return Pass{};
  stream = stream.subspan(collecting.begin);

  if (!collecting.after_retry) {
    auto protocol = proto::http::sniff(stream);
    if (protocol == proto::http::Protocol::need_more) return Pass{};
    if (protocol != proto::http::Protocol::tls) {
      state_ = Judging{Pending{stream.size(), false}, passed};
      return NotTls{protocol == proto::http::Protocol::http};
    }
  }
  auto parsed = proto::tls::parse_client_hello(stream);
  if (auto* more = std::get_if<proto::NeedMore>(&parsed)) {
    collecting.at_least = more->at_least;
    return Pass{};
  }
  auto* hello = std::get_if<proto::tls::ClientHello>(&parsed);
  if (!hello) return refuse("a ClientHello that cannot be read with certainty", passed);
  bool may_be_retried = !collecting.after_retry;  // RFC 8446 4.1.4: at most once
  state_ = Judging{Pending{collecting.begin + hello->stream_length, may_be_retried}, passed};
  return Hello{std::move(*hello)};
}

// A client that knows its origin's HelloRetryRequest may send the answer before it comes. Nobody honest does; but whoever
// does must not have it at the origin unjudged.
HelloGate::ClientStep HelloGate::look_behind(Pending& pending, std::size_t passed) {
  if (!pending.may_be_retried) return Pass{};
  base::Bytes stream = client_.prefix();
  std::size_t begin = std::max(pending.end, pending.looked);
  bool found = find_second_hello(stream, begin);
  pending.looked = begin;
  if (!found) return Pass{};
  auto parsed = proto::tls::parse_client_hello(stream.subspan(begin));
  if (std::holds_alternative<proto::NeedMore>(parsed)) return Pass{};
  auto* hello = std::get_if<proto::tls::ClientHello>(&parsed);
  if (!hello) return refuse("neither a hello nor what may stand behind one", passed);
  state_ = Judging{Pending{begin + hello->stream_length, true, 0, true}, passed};
  return Hello{std::move(*hello)};
}

HelloGate::OriginStep HelloGate::read_answer(const Pending& pending) {
  auto answer = proto::tls::read_server_answer(origin_->prefix());
  const std::size_t passed = client_.prefix().size();
  if (std::holds_alternative<proto::NeedMore>(answer)) return Pass{};
  if (std::holds_alternative<proto::Malformed>(answer)) return refuse("an answer that cannot be read", passed);
  if (std::get<proto::tls::ServerAnswer>(answer) == proto::tls::ServerAnswer::other) {
    state_ = Answered{};
    return Done{};
  }
  if (pending.is_ahead) {  // what it asks for is there and judged: the next of the origin's bytes answer that
    state_ = Pending{pending.end};
    return Pass{};
  }
  auto& collecting = state_.emplace<Collecting>(Collecting{pending.end, 1, true});
  ClientStep step = look_for_hello(collecting, passed);
  if (auto* hello = std::get_if<Hello>(&step)) return std::move(*hello);
  if (auto* refused = std::get_if<Refuse>(&step)) return *refused;
  return Pass{};
}

HelloGate::Refuse HelloGate::refuse(const char* why, std::size_t passed) {
  if (auto* judging = std::get_if<Judging>(&state_)) passed = judging->passed;
  if (!std::holds_alternative<Refused>(state_)) state_ = Refused{why, passed};
  return Refuse{std::get<Refused>(state_).why};
}

}  // namespace flow

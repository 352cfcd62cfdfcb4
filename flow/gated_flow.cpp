#include "flow/gated_flow.hpp"

#include <type_traits>
#include <utility>

#include "flow/limits.hpp"

namespace flow {
namespace {

constexpr Counters uncounted;  // the kernel counts this lane's bytes

}  // namespace

GatedFlow::GatedFlow(Opening opening, Surroundings& surroundings, const char* protocol)
    : flow_(std::move(opening), surroundings, uncounted) {
  flow_.subject.lane = policy::Lane::kernel;
  flow_.subject.protocol = protocol;
}

void GatedFlow::policy_changed(policy::Client client) {
  refused_ = flow_.adopt_policy(client);
}

bool GatedFlow::judge_connect() {
  return flow_.judge();
}

bool GatedFlow::judge_hello(proto::tls::ClientHello& hello) {
  Subject& subject = flow_.subject;
  subject.stage = policy::Stage::hello;
  subject.to_come = {};
  if (flow_.group().tls == policy::TlsMode::off) {  // since its first packet: the client is somebody else now
    subject.looked_at = false;
    return flow_.judge();
  }
  subject.name = std::move(hello.server_name);
  subject.name_source = subject.name ? policy::NameSource::sni : policy::NameSource::none;
  subject.ech_offered = hello.ech_offered;
  return flow_.judge();
}

bool GatedFlow::judge_nameless(bool http) {
  Subject& subject = flow_.subject;
  subject.stage = policy::Stage::hello;
  subject.protocol = http ? "http" : "tcp";
  if (http) {
    // The requests will not be seen: whatever could refuse one refuses here.
    subject.stage = policy::Stage::connect;
    subject.to_come = all_to_come;
    if (flow_.judge()) return true;
    if (subject.verdict.outcome != policy::Outcome::look_further) return false;
    flow_.refuse(policy::Reason::unknown_protocol);
    return true;
  }
  subject.to_come = {};
  if (flow_.unknown_protocol() == UnknownProtocol::block) {
    flow_.refuse(policy::Reason::unknown_protocol);
    return true;
  }
  return flow_.judge();
}

void GatedFlow::refuse_unreadable() {
  flow_.subject.stage = policy::Stage::hello;
  flow_.subject.to_come = {};
  flow_.refuse(policy::Reason::malformed);
}

GateVerdict GatedFlow::block(CommandList& out, std::string_view aborted) {
  flow_.out.attach(out);
  flow_.note(aborted);
  return GateVerdict::block;
}

// --- TCP

GatedTcp::GatedTcp(Opening opening, Surroundings& surroundings, std::uint32_t isn)
    : GatedFlow(std::move(opening), surroundings, "tls"), gate_(isn) {}

// What a step of either side has found.
template <class Step>
GateVerdict GatedTcp::take(Step&& step, CommandList& out) {
  flow_.out.attach(out);
  return std::visit(
      [&](auto& found) -> GateVerdict {
        using Found = std::decay_t<decltype(found)>;
        if constexpr (std::is_same_v<Found, HelloGate::Pass>) {
          return GateVerdict::pass;
        } else if constexpr (std::is_same_v<Found, HelloGate::Drop>) {
          return GateVerdict::drop;
        } else if constexpr (std::is_same_v<Found, HelloGate::Refuse>) {
          refuse_unreadable();
          return block(out);
        } else if constexpr (std::is_same_v<Found, HelloGate::Hello>) {
          return judge_hello(found.hello) ? block(out) : take(gate_.allow(), out);
        } else if constexpr (std::is_same_v<Found, HelloGate::NotTls>) {
          return judge_nameless(found.http) ? block(out) : take(gate_.allow(), out);
        } else {
          static_assert(std::is_same_v<Found, HelloGate::Done>);
          return GateVerdict::done;
        }
      },
      step);
}

GateVerdict GatedTcp::on_first_syn(const proto::ip::TcpSegment& syn, CommandList& out) {
  return judge_connect() ? block(out) : on_client(syn, out);
}

GateVerdict GatedTcp::on_client(const proto::ip::TcpSegment& segment, CommandList& out) {
  if (refused_) return block(out);
  const bool had_begun = gate_.has_begun();
  GateVerdict verdict = take(gate_.on_client(segment), out);
  if (!had_begun && gate_.has_begun()) hello_began_ = flow_.now();
  if (segment.has(proto::ip::syn) && !gate_.has_begun()) flow_.subject.began = flow_.now();
  return verdict == GateVerdict::pass ? GateVerdict::collect : verdict;
}

GateVerdict GatedTcp::on_origin(const proto::ip::TcpSegment& segment, CommandList& out) {
  if (refused_) return block(out);
  // Whoever lets no unknown protocol pass has none whose server speaks first.
  if (!gate_.has_begun() && flow_.unknown_protocol() == UnknownProtocol::block && !segment.payload.empty()) {
    judge_nameless(false);
    return block(out);
  }
  const bool was_pending = gate_.pending();
  GateVerdict verdict = take(gate_.on_origin(segment), out);
  if (was_pending && !gate_.pending()) hello_began_ = flow_.now();
  return verdict;
}

bool GatedTcp::is_late(base::WallTime now) const {
  return gate_.has_begun() && !gate_.pending() && now - hello_began_ > hello_timeout;
}

// --- QUIC

GatedQuic::GatedQuic(Opening opening, Surroundings& surroundings, bool resumed)
    : GatedFlow(std::move(opening), surroundings, "quic"), gate_(resumed) {}

GateVerdict GatedQuic::on_client(base::Bytes datagram, base::Monotonic now, CommandList& out) {
  if (!std::exchange(opened_, true)) refused_ = judge_connect();
  if (refused_) return block(out);
  QuicGate::Step step = gate_.on_client(datagram, now);
  if (std::holds_alternative<QuicGate::Refuse>(step)) {
    refuse_unreadable();
    return block(out);
  }
  if (auto* found = std::get_if<QuicGate::Hellos>(&step)) {
    flow_.out.attach(out);
    for (proto::tls::ClientHello& hello : found->hellos)
      if (judge_hello(hello)) return block(out);
    gate_.allow();
  }
  if (std::holds_alternative<QuicGate::Drop>(step)) return GateVerdict::drop;
  return gate_.allowed() ? GateVerdict::done : GateVerdict::collect;
}

}  // namespace flow

#include "daemon/gateway/gate_driver.hpp"

#include <algorithm>
#include <utility>

#include "daemon/gateway/kernel_flows.hpp"
#include "daemon/gateway/worker.hpp"
#include "daemon/log.hpp"
#include "flow/running_flow.hpp"
#include "netfilter/netlink/links.hpp"

namespace sluiced {
namespace {

using namespace std::chrono_literals;
using flow::GateVerdict;
using netfilter::QueuedPacket;

constexpr int batches_at_a_time = 8;          // then the other descriptors have their turn
constexpr std::uint32_t queue_length = 4096;  // packets; at most a few ms of them on a machine that keeps up
// A client that connects and says nothing (browsers connect ahead of need). When it speaks later, it is reset and comes back.
constexpr base::Duration silence_limit = 5min;
constexpr base::Duration ending_limit = 5s;  // of a flow that a side has ended
constexpr base::Duration lately = 2s;        // a queue's length in time, many times over
constexpr base::Duration grave_age = 10min;
constexpr std::size_t quic_limit = 8192;    // gates a worker remembers, about 2 KiB each
constexpr std::size_t grave_limit = 65536;  // about 6 MiB; beyond, a new one takes the place of some other

}  // namespace

GateDriver::GateDriver(Worker& worker, ConnectionLimits& limits, const KernelLane& lane, unsigned number)
    : worker_(worker), limits_(limits), lane_(lane), number_(number) {}

base::Result<> GateDriver::open() {
  auto number = [&](std::uint16_t first) { return static_cast<std::uint16_t>(first + number_); };
  const auto& queues = lane_.queues;
  // UDP is never taken as offload packets: what size its datagrams have would be lost (FACTS 2.2).
  auto queue = netfilter::PacketQueue::open({
      {.number = number(queues.of_clients()), .gso = true, .max_length = queue_length},
      {.number = number(queues.of_origins()), .gso = true, .max_length = queue_length},
      {.number = number(queues.of_quic()), .gso = false, .max_length = queue_length},
  });
  if (!queue) return std::move(queue).error().context("kernel lane");
  queue_ = std::move(*queue);
  worker_.loop().add(queue_->fd(), EPOLLIN, this);
  return base::Nothing{};
}

void GateDriver::close() {
  if (!queue_) return;
  worker_.loop().remove(queue_->fd());
  queue_.reset();
}

std::size_t GateDriver::undecided() const {
  auto quic = std::count_if(quic_.begin(), quic_.end(), [](const auto& each) { return !each.second.labelled; });
  return tcp_.size() - done_lately_ + static_cast<std::size_t>(quic);
}

void GateDriver::ready(std::uint32_t) {
  for (int i = 0; i < batches_at_a_time; ++i) {
    auto read = queue_->read([this](const QueuedPacket& packet) { take(packet); });
    publish_notes();
    auto flushed = queue_->flush();
    if (!read || !flushed) {
      logging::warning("kernel lane: " + (read ? flushed.error() : read.error()).message);
      return;
    }
    if (*read < netfilter::PacketQueue::messages_a_read) return;
  }
}

void GateDriver::take(const QueuedPacket& packet) {
  proto::ip::Packet parsed = proto::ip::parse_packet(packet.payload);
  bool of_origin = packet.queue == lane_.queues.of_origins() + number_;
  if (auto* segment = std::get_if<proto::ip::TcpSegment>(&parsed))
    return of_origin ? take_origin(packet, *segment) : take_client(packet, *segment);
  if (auto* datagram = std::get_if<proto::ip::UdpDatagram>(&parsed)) return take_quic(packet, *datagram);
  ++totals_.unreadable;
  answer(packet, GateVerdict::drop);
}

// --- TCP

void GateDriver::take_client(const QueuedPacket& packet, const proto::ip::TcpSegment& segment) {
  base::FiveTuple tuple{base::IpProtocol::tcp, segment.source, segment.destination};
  auto found = tcp_.find(tuple);
  bool is_known = found != tcp_.end() && found->second.flow;
  if (!is_known && segment.has(proto::ip::syn)) return begin_tcp(packet, segment, tuple);
  if (found == tcp_.end()) {
    ++totals_.unknown;
    reset_other_side(packet, segment.source, segment.destination, segment.sequence);
    return answer(packet, GateVerdict::block);
  }
  if (!is_known) return answer(packet, GateVerdict::done);
  flow::GatedTcp& flow = *found->second.flow;
  found->second.seen = worker_.loop().now();
  worker_.surroundings();  // the time
  GateVerdict verdict = flow.on_client(segment, notes_);
  answer(packet, verdict);
  if (verdict != GateVerdict::block) return note_end(found, segment);
  reset_other_side(packet, segment.source, segment.destination, flow.gate().origin_expects());
  bury(tuple, flow.gate());
  forget(found);
}

void GateDriver::begin_tcp(const QueuedPacket& packet, const proto::ip::TcpSegment& syn, const base::FiveTuple& tuple) {
  if (is_beside_a_grave(tuple, syn.sequence + 1)) return answer(packet, GateVerdict::drop);
  auto begins = opening(packet, tuple);
  if (!begins) return;
  ++totals_.flows;
  finish_earlier(tuple);
  auto flow = std::make_unique<flow::GatedTcp>(std::move(*begins), worker_.surroundings(), syn.sequence);
  GateVerdict verdict = flow->on_first_syn(syn, notes_);
  answer(packet, verdict);  // of a SYN that is blocked the origin has heard nothing
  if (verdict == GateVerdict::block) return limits_.give_back(tuple.client.address);
  TcpEntry& entry = tcp_[tuple];
  if (entry.seen != base::Monotonic{}) --done_lately_;  // the last one on this tuple
  entry = {std::move(flow), worker_.loop().now()};
}

void GateDriver::take_origin(const QueuedPacket& packet, const proto::ip::TcpSegment& segment) {
  base::FiveTuple tuple{base::IpProtocol::tcp, segment.destination, segment.source};
  auto found = tcp_.find(tuple);
  if (found == tcp_.end()) return answer(packet, GateVerdict::pass);
  if (!found->second.flow) return answer(packet, GateVerdict::done);
  flow::GatedTcp& flow = *found->second.flow;
  worker_.surroundings();
  GateVerdict verdict = flow.on_origin(segment, notes_);
  if (verdict == GateVerdict::done) {
    label(flow, packet.out_interface);
    ++totals_.allowed;
    ++done_lately_;
    limits_.give_back(tuple.client.address);
    found->second = {nullptr, worker_.loop().now()};
  }
  if (verdict == GateVerdict::block) {
    reset_other_side(packet, segment.source, segment.destination, flow.gate().client_expects());
    bury(tuple, flow.gate());
    forget(found);
  }
  answer(packet, verdict);
  if (verdict == GateVerdict::pass) note_end(found, segment);
}

// A flow that ends undecided is not kept. (One that is said to end and goes on is unknown then, and is reset.)
void GateDriver::note_end(TcpFlows::iterator flow, const proto::ip::TcpSegment& segment) {
  if (segment.has(proto::ip::fin)) flow->second.ending = true;
  if (!segment.has(proto::ip::rst)) return;
  bury(flow->first, flow->second.flow->gate());
  forget(flow);
}

// --- QUIC

void GateDriver::take_quic(const QueuedPacket& packet, const proto::ip::UdpDatagram& datagram) {
  base::FiveTuple tuple{base::IpProtocol::udp, datagram.source, datagram.destination};
  auto found = quic_.find(tuple);
  if (found == quic_.end()) {
    auto begins = opening(packet, tuple);
    if (!begins) return;
    ++totals_.flows;
    make_room_for_quic();
    bool resumed = lane_.labels->find(tuple).has_value();
    if (resumed) limits_.give_back(tuple.client.address);
    auto flow = std::make_unique<flow::GatedQuic>(std::move(*begins), worker_.surroundings(), resumed);
    found = quic_.emplace(tuple, QuicEntry{std::move(flow), resumed}).first;
  }
  QuicEntry& entry = found->second;
  worker_.surroundings();
  GateVerdict verdict = entry.flow->on_client(datagram.payload, worker_.loop().now(), notes_);
  if (verdict == GateVerdict::done && !std::exchange(entry.labelled, true)) {
    label(*entry.flow, packet.in_interface);
    ++totals_.allowed;
    limits_.give_back(tuple.client.address);
  }
  answer(packet, verdict);
  if (verdict == GateVerdict::block) forget(found);
}

// --- what both share

// How a flow begins; without one it has been refused: too many, before the first policy, or beside a
// successor.
std::optional<flow::Opening> GateDriver::opening(const QueuedPacket& packet, const base::FiveTuple& tuple) {
  auto lan = lan_of(packet.in_interface);
  if (!lan || worker_.snapshot() == nullptr || takes_no_more_) {
    answer(packet, GateVerdict::drop);
    return std::nullopt;
  }
  if (!limits_.take(tuple.client.address)) {
    ++totals_.refused_by_limit;
    worker_.complain_of_limit(tuple.client.address);
    answer(packet, GateVerdict::block);
    return std::nullopt;
  }
  flow::Opening opening;
  opening.tuple = tuple;
  opening.client = worker_.identify(tuple.client.address, worker_.settings().lan[*lan].interface,
                                    {packet.sender, packet.in_interface});
  return opening;
}

void GateDriver::answer(const QueuedPacket& packet, GateVerdict verdict) {
  using netfilter::Mark;
  using netfilter::QueueVerdict;
  Mark mark = Mark::passed;
  switch (verdict) {
    case GateVerdict::drop:
      return queue_->verdict(packet.queue, packet.id, QueueVerdict::drop, packet.mark);
    case GateVerdict::pass:
      break;
    case GateVerdict::collect:
      mark = Mark::collecting;
      break;
    case GateVerdict::done:
      mark = Mark::done;
      break;
    case GateVerdict::block:
      mark = Mark::blocked;
      ++totals_.blocked;
      break;
  }
  // Through our rules once more: they save the mark to the connection, and the admin's own rules behind them are not
  // skipped.
  queue_->verdict(packet.queue, packet.id, QueueVerdict::repeat,
                  (packet.mark & ~lane_.mark_mask) | netfilter::mark_value(mark, lane_.mark_mask));
}

void GateDriver::label(const flow::GatedFlow& flow, std::uint32_t interface) {
  const flow::Subject& subject = flow.subject();
  FlowLabel label;
  label.tuple = flow.opening().tuple;
  label.lan = lan_of(interface).value_or(0);
  label.ech_offered = subject.ech_offered;
  label.tls = subject.protocol == std::string_view("tls") || subject.protocol == std::string_view("quic");
  label.name = subject.name;
  label.began = subject.began;
  if (!lane_.labels->add(label)) ++totals_.unlabelled;
}

// The kernel answers the sender of the packet; the other side hears of it from us.
void GateDriver::reset_other_side(const QueuedPacket& packet, const base::Endpoint& from, const base::Endpoint& to,
                                  std::uint32_t sequence) {
  if (!lane_.resets) return;
  // What was let pass before must be there before: else the number would be ahead of what the other side waits for.
  if (auto flushed = queue_->flush(); !flushed) logging::warning("kernel lane: " + flushed.error().message);
  auto sent = lane_.resets->send_reset(from, to, sequence, std::nullopt, packet.out_interface);
  if (!sent) logging::debug("kernel lane: " + sent.error().message);
}

void GateDriver::publish_notes() {
  for (flow::Command& command : notes_) {
    if (auto* note = std::get_if<flow::Note>(&command)) worker_.note(note->record);
    if (auto* what = std::get_if<flow::Describe>(&command)) worker_.describe(std::move(*what));
  }
  notes_.clear();
}

std::optional<std::uint8_t> GateDriver::lan_of(std::uint32_t interface) {
  if (auto known = lans_.find(interface); known != lans_.end()) return known->second;
  const auto& lans = worker_.settings().lan;
  std::string name = netfilter::link_name(interface);
  auto lan = std::find_if(lans.begin(), lans.end(), [&](const auto& each) { return each.interface == name; });
  if (lan == lans.end()) return std::nullopt;
  return lans_[interface] = static_cast<std::uint8_t>(lan - lans.begin());
}

// A tuple that is used again before anybody has noticed that its last flow has ended. What that one's bytes were is lost.
void GateDriver::finish_earlier(const base::FiveTuple& tuple) {
  auto label = lane_.labels->find(tuple);
  if (!label) return;
  lane_.labels->remove(tuple);
  flow::RunningFlow({tuple, worker_.identify(tuple.client.address, worker_.settings().lan[label->lan].interface)},
                    worker_.surroundings(), known_of(*label), {})
      .note_end(notes_);
}

void GateDriver::bury(const base::FiveTuple& tuple, const flow::HelloGate& gate) {
  if (!gate.has_begun()) return;
  if (graves_.size() >= grave_limit) graves_.erase(graves_.begin());
  graves_.emplace(tuple, Grave{gate.anchor(), worker_.loop().now()});
}

bool GateDriver::is_beside_a_grave(const base::FiveTuple& tuple, std::uint32_t anchor) const {
  auto [grave, end] = graves_.equal_range(tuple);
  return std::any_of(grave, end,
                     [&](const auto& each) { return flow::HelloGate::within_reach(each.second.anchor, anchor); });
}

GateDriver::TcpFlows::iterator GateDriver::forget(TcpFlows::iterator flow) {
  if (flow->second.flow)
    limits_.give_back(flow->first.client.address);
  else
    --done_lately_;
  return tcp_.erase(flow);
}

// Too many to remember: some flow that was allowed is forgotten before its two minutes are over.
void GateDriver::make_room_for_quic() {
  if (quic_.size() < quic_limit) return;
  auto allowed = std::find_if(quic_.begin(), quic_.end(), [](const auto& each) { return each.second.labelled; });
  if (allowed != quic_.end()) forget(allowed);
}

GateDriver::QuicFlows::iterator GateDriver::forget(QuicFlows::iterator flow) {
  if (!flow->second.labelled) limits_.give_back(flow->first.client.address);
  return quic_.erase(flow);
}

void GateDriver::policy_changed() {
  auto identify = [&](flow::GatedFlow& flow) {
    const policy::Client& client = flow.opening().client;
    flow.policy_changed(worker_.identify(client.address, client.interface));
  };
  for (auto& [tuple, entry] : tcp_)
    if (entry.flow) identify(*entry.flow);
  for (auto& [tuple, entry] : quic_) identify(*entry.flow);
  lans_.clear();  // interfaces come and go, numbers with them
}

GateDriver::TcpFlows::iterator GateDriver::time_out(TcpFlows::iterator found) {
  const base::FiveTuple& tuple = found->first;
  flow::GatedTcp& flow = *found->second.flow;
  ++totals_.timed_out;
  flow.time_out(notes_);
  if (lane_.resets) {
    (void)lane_.resets->send_reset(tuple.client, tuple.origin, flow.gate().origin_expects(), std::nullopt, 0);
    (void)lane_.resets->send_reset(tuple.origin, tuple.client, flow.gate().client_expects(), std::nullopt, 0);
  }
  bury(tuple, flow.gate());
  return forget(found);
}

void GateDriver::look_at_the_time() {
  base::Monotonic now = worker_.loop().now();
  base::WallTime wall = worker_.surroundings().now;
  for (auto found = tcp_.begin(); found != tcp_.end();) {
    const TcpEntry& entry = found->second;
    if (!entry.flow) {
      found = now - entry.seen > lately ? forget(found) : std::next(found);
    } else if (entry.flow->is_late(wall)) {
      found = time_out(found);
    } else if (now - entry.seen > (entry.ending ? ending_limit : silence_limit)) {
      bury(found->first, entry.flow->gate());
      found = forget(found);
    } else {
      ++found;
    }
  }
  for (auto found = quic_.begin(); found != quic_.end();)
    found = now > found->second.flow->forget_at() ? forget(found) : std::next(found);
  std::erase_if(graves_, [&](const auto& each) { return now - each.second.since > grave_age; });
  publish_notes();
}

}  // namespace sluiced

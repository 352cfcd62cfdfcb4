#include "replay/flow_table.hpp"

#include <algorithm>
#include <utility>

#include "proto/dns/message.hpp"
#include "proto/http/h1.hpp"
#include "proto/http/sniff.hpp"
#include "proto/quic/long_header.hpp"
#include "proto/tls/client_hello.hpp"

namespace replay {
namespace {

constexpr std::uint16_t dns_port = 53;

void adopt(Story& story, const proto::tls::ClientHello& hello) {
  story.has_hello = true;
  story.name = hello.server_name ? hello.server_name->text() : "";
  story.name_source = hello.server_name ? policy::NameSource::sni : policy::NameSource::none;
  story.alpn = hello.alpn;
  story.ech_offered = hello.ech_offered;
}

}  // namespace

void FlowTable::add(const NetworkPacket& packet, base::WallTime time) {
  constexpr int deepest = 4;  // tunnels in tunnels
  NetworkPacket inner = packet;
  for (int i = 0; i < deepest; ++i) {
    NetworkPacket next = inner_packet(inner);
    if (next.ip.empty()) break;
    inner = next;
  }
  add_innermost(inner, time);
}

void FlowTable::add_innermost(const NetworkPacket& packet, base::WallTime time) {
  auto parsed = proto::ip::parse_packet(packet.ip);
  if (auto* segment = std::get_if<proto::ip::TcpSegment>(&parsed))
    take(*segment, packet, time);
  else if (auto* datagram = std::get_if<proto::ip::UdpDatagram>(&parsed))
    take(*datagram, packet, time);
  else
    ++unreadable_;
}

FlowTable::Tracked* FlowTable::find(base::IpProtocol protocol, const base::Endpoint& source,
                                    const base::Endpoint& destination, bool source_is_client,
                                    const NetworkPacket& packet, base::WallTime time, bool is_new) {
  Key key = source < destination ? Key{source, destination} : Key{destination, source};
  auto [found, inserted] = current_.try_emplace({protocol, key}, flows_.size());
  if (!inserted && !is_new) return &flows_[found->second];
  if (flows_.size() == most_flows) {
    ++left_out_;
    if (inserted) current_.erase(found);
    return nullptr;
  }
  found->second = flows_.size();
  Tracked& flow = flows_.emplace_back();
  flow.story.tuple = {protocol, source_is_client ? source : destination, source_is_client ? destination : source};
  flow.story.began = time;
  if (source_is_client) flow.story.client_mac = packet.sender;
  return &flow;
}

// --- TCP

void FlowTable::take(const proto::ip::TcpSegment& segment, const NetworkPacket& packet, base::WallTime time) {
  using enum proto::ip::TcpFlag;
  bool opens = segment.has(syn) && !segment.has(ack), answers = segment.has(syn) && segment.has(ack);
  bool source_is_client = opens || (!answers && segment.source.port >= segment.destination.port);
  Tracked* flow =
      find(base::IpProtocol::tcp, segment.source, segment.destination, source_is_client, packet, time, false);
  if (flow != nullptr && opens && flow->has_syn && flow->initial_sequence != segment.sequence)
    flow = find(base::IpProtocol::tcp, segment.source, segment.destination, true, packet, time, true);
  if (flow == nullptr) return;
  if (opens && !flow->has_syn) {
    flow->has_syn = true;
    flow->initial_sequence = segment.sequence;
    flow->up.emplace(segment.sequence + 1);
  }
  if (segment.source != flow->story.tuple.client || flow->state == Tracked::State::done) return;
  if (!flow->story.client_mac) flow->story.client_mac = packet.sender;
  if (segment.payload.empty()) return;
  std::uint32_t first = segment.sequence + (segment.has(syn) ? 1 : 0);
  if (!flow->up) flow->up.emplace(first);  // the capture begins in the middle
  memory_ -= flow->up->memory();
  flow->up->add(first, segment.payload);
  read(*flow);
  if (memory_ + flow->up->memory() > most_memory) flow->up->give_up();
  if (flow->up->given_up()) flow->state = Tracked::State::done;
  memory_ += flow->up->memory();
}

void FlowTable::read(Tracked& flow) {
  while (read_step(flow)) {
  }
  if (flow.state == Tracked::State::done) flow.up->give_up();
}

// True: there may be more in what is there.
bool FlowTable::read_step(Tracked& flow) {
  base::Bytes ready = flow.up->ready();
  if (ready.empty()) return false;
  switch (flow.state) {
    case Tracked::State::sniffing: {
      if (flow.story.tuple.origin.port == dns_port) {
        flow.state = Tracked::State::dns;
        return true;
      }
      switch (proto::http::sniff(ready)) {
        case proto::http::Protocol::need_more:
          return false;
        case proto::http::Protocol::tls:
          flow.state = Tracked::State::tls;
          return true;
        case proto::http::Protocol::http:
          flow.state = Tracked::State::http;
          return true;
        case proto::http::Protocol::other:
          flow.state = Tracked::State::done;
          return false;
      }
      return false;
    }
    case Tracked::State::tls: {
      auto parsed = proto::tls::parse_client_hello(ready);
      if (std::holds_alternative<proto::NeedMore>(parsed)) return false;
      flow.state = Tracked::State::done;
      if (auto* hello = std::get_if<proto::tls::ClientHello>(&parsed)) {
        flow.story.protocol = "tls";
        adopt(flow.story, *hello);
      }
      return false;
    }
    case Tracked::State::http:
      return read_request(flow);
    case Tracked::State::dns: {  // RFC 1035 4.2.2: two bytes of length before each message
      if (ready.size() < 2) return false;
      std::size_t length = static_cast<std::size_t>(ready[0]) << 8 | ready[1];
      if (ready.size() < 2 + length) return false;
      read_dns(flow, ready.subspan(2, length));
      flow.up->consume(2 + length);
      return true;
    }
    case Tracked::State::done:
      return false;
  }
  return false;
}

bool FlowTable::read_request(Tracked& flow) {
  base::Bytes ready = flow.up->ready();
  if (flow.in_body) {
    flow::Body::Step step = flow.body.take(ready);
    std::size_t count = step.state == flow::Body::State::splice
                            ? static_cast<std::size_t>(std::min<std::uint64_t>(step.splice, ready.size()))
                            : step.forward;
    flow.up->consume(count);
    if (step.state == flow::Body::State::splice && count > 0 && count < step.splice) {
      // The rest of a body of known length: what is left is asked for again with the next bytes.
      flow.body = flow::Body({proto::http::Framing::Kind::length, step.splice - count});
      return false;
    }
    if (step.state == flow::Body::State::malformed) flow.state = Tracked::State::done;
    if (step.state == flow::Body::State::complete || step.state == flow::Body::State::splice) flow.in_body = false;
    return step.state != flow::Body::State::more && flow.state != Tracked::State::done;
  }
  auto parsed = proto::http::parse_request(ready);
  if (std::holds_alternative<proto::NeedMore>(parsed)) return false;
  auto* head = std::get_if<proto::http::RequestHead>(&parsed);
  if (head == nullptr) {
    flow.state = Tracked::State::done;
    return false;
  }
  Story& story = flow.story;
  story.protocol = "http";
  std::string literal;
  if (head->authority.empty()) {
    literal = story.tuple.origin.address.to_string();
    if (story.tuple.origin.address.is_v6()) literal = "[" + literal + "]";
  }
  std::string_view authority = head->authority.empty() ? std::string_view(literal) : head->authority;
  auto url = proto::http::Url::from_request("http", authority, head->method == "CONNECT" ? "/" : head->target);
  if (url && story.requests.size() < most_requests) {
    if (story.name.empty()) {
      story.name = url->view().host;
      story.name_source = policy::NameSource::host;
    }
    story.requests.push_back({std::string(head->method), std::string(head->user_agent), std::move(*url)});
  }
  if (head->method == "CONNECT" || head->upgrade != proto::http::Upgrade::none) {
    flow.state = Tracked::State::done;
    return false;
  }
  flow.body = flow::Body(head->body);
  flow.in_body = head->body.kind != proto::http::Framing::Kind::none;
  flow.up->consume(head->length);
  return true;
}

// --- UDP

void FlowTable::take(const proto::ip::UdpDatagram& datagram, const NetworkPacket& packet, base::WallTime time) {
  bool source_is_client = datagram.source.port > 1023 || datagram.destination.port <= 1023;
  Tracked* flow =
      find(base::IpProtocol::udp, datagram.source, datagram.destination, source_is_client, packet, time, false);
  if (flow == nullptr || datagram.source != flow->story.tuple.client || flow->state == Tracked::State::done) return;
  if (!flow->story.client_mac) flow->story.client_mac = packet.sender;
  if (flow->story.tuple.origin.port == dns_port) return read_dns(*flow, datagram.payload);
  if (!flow->quic) {
    if (!proto::quic::has_long_header(datagram.payload)) {
      flow->state = Tracked::State::done;
      return;
    }
    flow->quic = std::make_unique<flow::QuicGate>();
  }
  flow::QuicGate::Step step = flow->quic->on_client(datagram.payload, base::Monotonic{});
  if (auto* hellos = std::get_if<flow::QuicGate::Hellos>(&step)) {
    flow->story.protocol = "quic";
    adopt(flow->story, hellos->hellos.front());
  }
  if (std::holds_alternative<flow::QuicGate::Hellos>(step) || std::holds_alternative<flow::QuicGate::Refuse>(step)) {
    flow->state = Tracked::State::done;
    flow->quic.reset();
  }
}

void FlowTable::read_dns(Tracked& flow, base::Bytes message) {
  auto parsed = proto::dns::parse_question(message);
  auto* question = std::get_if<proto::dns::Question>(&parsed);
  if (question == nullptr || question->is_response) return;
  flow.story.protocol = "dns";
  if (!flow.story.name.empty()) return;
  flow.story.name = question->name;
  flow.story.name_source = policy::NameSource::dns;
}

std::vector<Story> FlowTable::finish() && {
  std::vector<Story> stories;
  stories.reserve(flows_.size());
  for (Tracked& flow : flows_) stories.push_back(std::move(flow.story));
  return stories;
}

}  // namespace replay

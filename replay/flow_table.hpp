// The flows of a capture and what each of them tells: packets in, stories out. Pure: time comes with the packets.
//
// A flow's client is who sent the SYN, else who has the higher port, else who was seen first. A SYN with another
// sequence number on a known pair of endpoints is a new flow. Names are read by the same parsers as the gateway's: the
// ClientHello over all its segments and records, QUIC's Initials over all their datagrams, every HTTP/1 request of a
// connection, a DNS query's question.
//
// IP fragments are left out. Limits: `most_flows` (later ones are counted and left out), Reassembly::limit bytes a flow,
// `most_memory` over all: the flow that passes it is not followed any further.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/endpoint.hpp"
#include "base/mac_address.hpp"
#include "base/time.hpp"
#include "flow/body.hpp"
#include "flow/quic_gate.hpp"
#include "policy/facts.hpp"
#include "proto/http/url.hpp"
#include "proto/ip/packet.hpp"
#include "replay/link_layer.hpp"
#include "replay/reassembly.hpp"

namespace replay {

struct RequestStory {
  std::string method, user_agent;
  proto::http::Url url;
};

struct Story {
  base::FiveTuple tuple;
  base::WallTime began{};
  std::optional<base::MacAddress> client_mac;
  const char* protocol = "other";  // tls, quic, http, dns, other
  std::string name;                // empty: it carries none
  policy::NameSource name_source = policy::NameSource::none;
  bool has_hello = false, ech_offered = false;
  std::vector<std::string> alpn;
  std::vector<RequestStory> requests;  // http
};

class FlowTable {
 public:
  static constexpr std::size_t most_flows = 1'000'000;
  static constexpr std::size_t most_memory = 512u << 20;
  static constexpr std::size_t most_requests = 10'000;  // of one flow

  void add(const NetworkPacket& packet, base::WallTime time);
  // In the order of their first packets.
  std::vector<Story> finish() &&;
  std::uint64_t left_out() const { return left_out_; }      // flows beyond the limit
  std::uint64_t unreadable() const { return unreadable_; }  // packets: fragments, other protocols, damage

 private:
  void add_innermost(const NetworkPacket& packet, base::WallTime time);
  struct Tracked {
    Story story;
    std::uint32_t initial_sequence = 0;
    bool has_syn = false;
    std::optional<Reassembly> up;
    enum class State : std::uint8_t { sniffing, tls, http, dns, done } state = State::sniffing;
    flow::Body body;
    bool in_body = false;
    std::unique_ptr<flow::QuicGate> quic;
  };
  using Key = std::pair<base::Endpoint, base::Endpoint>;  // the lower one first

  Tracked* find(base::IpProtocol protocol, const base::Endpoint& source, const base::Endpoint& destination,
                bool source_is_client, const NetworkPacket& packet, base::WallTime time, bool is_new);
  void take(const proto::ip::TcpSegment& segment, const NetworkPacket& packet, base::WallTime time);
  void take(const proto::ip::UdpDatagram& datagram, const NetworkPacket& packet, base::WallTime time);
  static void read(Tracked& flow);
  static bool read_step(Tracked& flow);
  static bool read_request(Tracked& flow);
  static void read_dns(Tracked& flow, base::Bytes message);

  std::map<std::pair<base::IpProtocol, Key>, std::size_t> current_;
  std::vector<Tracked> flows_;
  std::size_t memory_ = 0;
  std::uint64_t left_out_ = 0, unreadable_ = 0;
};

}  // namespace replay

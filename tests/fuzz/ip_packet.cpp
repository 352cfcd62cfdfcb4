// IP packets of any bytes:
//   - what is read lies within the packet, and what follows the packet's own end changes nothing
//   - a packet cut short is malformed
//   - a payload comes out as it went in, whatever it is, behind options and extension headers of any content
#include "proto/ip/packet.hpp"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/unit/proto/ip/packet_builder.hpp"

namespace {

using namespace packet_builder;  // NOLINT(google-build-using-namespace): the vocabulary of this target
using proto::Malformed;
using proto::ip::Packet;
using proto::ip::TcpSegment;
using proto::ip::UdpDatagram;

void require(bool promise) {
  if (!promise) std::abort();
}

// nullopt: malformed.
std::optional<base::Bytes> payload_of(const Packet& packet) {
  if (auto* segment = std::get_if<TcpSegment>(&packet)) return segment->payload;
  if (auto* datagram = std::get_if<UdpDatagram>(&packet)) return datagram->payload;
  return std::nullopt;
}

// Of segmentation offload: such a packet ends where its buffer does.
bool has_no_length(base::Bytes packet) {
  std::size_t at = packet[0] >> 4 == 4 ? 2 : 4;
  return packet[at] == 0 && packet[at + 1] == 0;
}

void check_any(base::Bytes packet) {
  auto payload = payload_of(proto::ip::parse_packet(packet));
  if (!payload) return;
  require(payload->data() >= packet.data() && payload->data() + payload->size() <= packet.data() + packet.size());
  if (has_no_length(packet)) return;
  std::string longer(base::as_text(packet));
  longer += "padding";
  auto again = payload_of(proto::ip::parse_packet(base::as_bytes(longer)));
  require(again && base::as_text(*again) == base::as_text(*payload));
  auto end = static_cast<std::size_t>(payload->data() + payload->size() - packet.data());
  for (std::size_t cut = 1; cut <= end; cut += 1 + cut / 8)
    require(std::holds_alternative<Malformed>(proto::ip::parse_packet(packet.first(end - cut))));
}

void check_built(const std::string& packet, std::string_view payload) {
  auto read = payload_of(proto::ip::parse_packet(base::as_bytes(packet)));
  require(read && base::as_text(*read) == payload);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  base::Bytes input{data, size};
  check_any(input);

  const std::string text(base::as_text(input));
  std::string options = text.substr(0, 40), more = text.substr(0, 256);
  options.resize(options.size() / 4 * 4);
  more.resize(more.size() / 8 * 8);
  check_built(ipv4(tcp_number, tcp(text, options), {.options = options}), text);
  check_built(ipv4(udp_number, udp(text), {.options = options}), text);
  check_built(ipv6(destination, extension(tcp_number, more) + tcp(text, options)), text);
  check_built(ipv6(hop_by_hop, extension(routing, more) + extension(udp_number, more) + udp(text)), text);

  for (const std::string& broken :
       {ipv4(tcp_number, text), ipv4(udp_number, text), ipv6(tcp_number, text), ipv6(udp_number, text),
        ipv6(hop_by_hop, text), ipv6(routing, text), ipv6(destination, text)})
    check_any(base::as_bytes(broken));
  return 0;
}

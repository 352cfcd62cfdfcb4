// Captures as the vector tests need them: the IP packets of a pcap or pcapng file, and the byte stream of each TCP
// side.
//
// Reads classic pcap (both byte orders, micro- and nanoseconds) and pcapng (sections, interfaces, enhanced and simple
// packets) over Ethernet with VLAN tags and PPPoE, PPP, Linux cooked v1 and v2, BSD loopback and raw IP; looks into
// IP-in-IP and VXLAN. Left out on purpose: IP fragments, other tunnels, checksums. What cannot be read is skipped, a
// file cut short ends early.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/byte_reader.hpp"
#include "base/endpoint.hpp"

namespace pcap {

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Numbers in the order of the machine that wrote the file.
class FileReader {
 public:
  FileReader(base::Bytes bytes, bool little) : reader_(bytes), little_(little) {}
  std::uint16_t u16() { return little_ ? __builtin_bswap16(reader_.u16()) : reader_.u16(); }
  std::uint32_t u32() { return little_ ? __builtin_bswap32(reader_.u32()) : reader_.u32(); }
  base::Bytes take(std::size_t count) { return reader_.take(count); }
  base::Bytes rest() const { return reader_.rest(); }
  bool ok() const { return reader_.ok(); }

 private:
  base::ByteReader reader_;
  bool little_;
};

using OnFrame = std::function<void(std::uint32_t link_type, base::Bytes frame)>;

inline void for_each_frame_of_pcap(base::Bytes file, bool little, const OnFrame& on_frame) {
  FileReader reader(file, little);
  reader.take(20);  // magic, version, zone, accuracy, snapshot length
  std::uint32_t link_type = reader.u32() & 0xffff;
  while (reader.ok() && !reader.rest().empty()) {
    reader.take(8);  // time
    std::uint32_t captured = reader.u32();
    reader.take(4);  // original length
    base::Bytes frame = reader.take(captured);
    if (reader.ok()) on_frame(link_type, frame);
  }
}

inline void for_each_frame_of_pcapng(base::Bytes file, const OnFrame& on_frame) {
  enum Block : std::uint32_t { section = 0x0a0d0d0a, interface = 1, simple_packet = 3, enhanced_packet = 6 };
  bool little = true;
  std::vector<std::uint32_t> link_types;
  while (file.size() >= 12) {
    std::uint32_t type = FileReader(file, little).u32();
    if (type == section) {
      little = file[8] == 0x4d;  // the byte-order magic, 0x1a2b3c4d
      link_types.clear();
    }
    FileReader length_field(file.subspan(4), little);
    std::size_t length = length_field.u32();
    if (length < 12 || length > file.size()) return;
    FileReader block(file.subspan(8, length - 12), little);
    file = file.subspan(length);
    if (type == interface) {
      link_types.push_back(block.u16());
    } else if (type == enhanced_packet) {
      std::uint32_t interface_number = block.u32();
      block.take(8);  // time
      std::uint32_t captured = block.u32();
      block.take(4);  // original length
      base::Bytes frame = block.take(captured);
      if (block.ok() && interface_number < link_types.size()) on_frame(link_types[interface_number], frame);
    } else if (type == simple_packet && !link_types.empty()) {
      std::size_t original = block.u32();
      on_frame(link_types[0], block.rest().first(std::min(original, block.rest().size())));
    }
  }
}

inline void for_each_frame(base::Bytes file, const OnFrame& on_frame) {
  switch (base::ByteReader(file).u32()) {
    case 0x0a0d0d0a:
      return for_each_frame_of_pcapng(file, on_frame);
    case 0xa1b2c3d4:
    case 0xa1b23c4d:
      return for_each_frame_of_pcap(file, false, on_frame);
    case 0xd4c3b2a1:
    case 0x4d3cb2a1:
      return for_each_frame_of_pcap(file, true, on_frame);
    default:
      return;
  }
}

inline base::Bytes ip_packet_in_ppp(base::ByteReader reader) {
  std::uint16_t protocol = reader.u16();
  if (protocol == 0xff03) protocol = reader.u16();  // address and control before it (RFC 1662 3.1)
  return protocol == 0x0021 || protocol == 0x0057 ? reader.rest() : base::Bytes{};
}

// The IP packet in a frame; empty if there is none.
inline base::Bytes ip_packet_in(std::uint32_t link_type, base::Bytes frame) {
  base::ByteReader reader(frame);
  std::uint16_t ether_type = 0;
  switch (link_type) {
    case 1:  // Ethernet
      reader.skip(12);
      ether_type = reader.u16();
      break;
    case 9:
      return ip_packet_in_ppp(reader);
    case 113:  // Linux cooked
      reader.skip(14);
      ether_type = reader.u16();
      break;
    case 276:  // Linux cooked v2
      ether_type = reader.u16();
      reader.skip(18);
      break;
    case 0:  // BSD loopback: an address family of the writer's own
      reader.skip(4);
      return reader.rest();
    case 12:
    case 101:
    case 228:
    case 229:  // raw IP
      return frame;
    default:
      return {};
  }
  while (ether_type == 0x8100 || ether_type == 0x88a8 || ether_type == 0x9100) {  // VLAN tags
    reader.skip(2);
    ether_type = reader.u16();
  }
  if (ether_type == 0x8864) {  // PPPoE session
    reader.skip(6);
    return ip_packet_in_ppp(reader);
  }
  return ether_type == 0x0800 || ether_type == 0x86dd ? reader.rest() : base::Bytes{};
}

// What an IP packet carries. Padding behind the packet is cut off.
struct Datagram {
  std::uint8_t protocol = 0;
  base::IpAddress source, destination;
  base::Bytes payload;
};

inline std::optional<Datagram> read_ipv4(base::Bytes packet) {
  base::ByteReader reader(packet);
  std::size_t header_size = (reader.u8() & 0x0f) * 4U;
  reader.skip(1);
  std::size_t total = reader.u16();
  reader.skip(2);
  if ((reader.u16() & 0x3fff) != 0) return std::nullopt;  // a fragment
  reader.skip(1);
  std::uint8_t protocol = reader.u8();
  reader.skip(2);
  auto source = base::IpAddress::v4(reader.u32()), destination = base::IpAddress::v4(reader.u32());
  if (!reader.ok() || header_size < 20 || header_size > packet.size()) return std::nullopt;
  if (total < header_size || total > packet.size()) total = packet.size();  // 0: cut up by the card after the capture
  return Datagram{protocol, source, destination, packet.first(total).subspan(header_size)};
}

inline std::optional<Datagram> read_ipv6(base::Bytes packet) {
  base::ByteReader reader(packet);
  reader.skip(4);
  std::size_t length = reader.u16();
  std::uint8_t protocol = reader.u8();
  reader.skip(1);
  base::Bytes source = reader.take(16), destination = reader.take(16);
  if (!reader.ok()) return std::nullopt;
  base::ByteReader payload(
      reader.rest().first(length == 0 ? reader.remaining() : std::min(length, reader.remaining())));
  while (protocol == 0 || protocol == 43 || protocol == 60) {  // extension headers (RFC 8200 4)
    protocol = payload.u8();
    payload.skip(payload.u8() * 8U + 6);
    if (!payload.ok()) return std::nullopt;
  }
  return Datagram{protocol, base::IpAddress::v6(source.first<16>()), base::IpAddress::v6(destination.first<16>()),
                  payload.rest()};
}

inline std::optional<Datagram> read_ip(base::Bytes packet) {
  if (packet.empty()) return std::nullopt;
  std::optional<Datagram> datagram;
  if (packet[0] >> 4 == 4) datagram = read_ipv4(packet);
  if (packet[0] >> 4 == 6) datagram = read_ipv6(packet);
  if (!datagram) return std::nullopt;
  if (datagram->protocol == 4 || datagram->protocol == 41) return read_ip(datagram->payload);  // IP in IP
  base::ByteReader udp(datagram->payload);
  udp.skip(2);
  if (datagram->protocol == 17 && udp.u16() == 4789) {  // VXLAN (RFC 7348 5): an Ethernet frame
    udp.skip(12);
    return read_ip(ip_packet_in(1, udp.rest()));
  }
  return datagram;
}

inline void for_each_datagram(base::Bytes file, const std::function<void(const Datagram&)>& on_datagram) {
  for_each_frame(file, [&](std::uint32_t link_type, base::Bytes frame) {
    if (auto datagram = read_ip(ip_packet_in(link_type, frame))) on_datagram(*datagram);
  });
}

// One direction of a TCP connection: what its sender sent, as far as the capture has it without a gap. Where segments
// overlap, the first one seen wins.
class TcpStream {
 public:
  explicit TcpStream(std::uint32_t first) : first_(first) {}
  std::uint32_t first() const { return first_; }  // sequence number of the first byte
  void add(std::uint32_t sequence, base::Bytes payload) {
    std::uint32_t offset = sequence - first_;
    if (offset < 1U << 31 && !payload.empty()) segments_.emplace(offset, base::as_text(payload));
  }
  std::string bytes() const {
    std::string out;
    for (const auto& [offset, payload] : segments_) {
      if (offset > out.size()) break;
      if (offset + payload.size() > out.size()) out += payload.substr(out.size() - offset);
    }
    return out;
  }

 private:
  std::uint32_t first_;
  std::map<std::uint32_t, std::string> segments_;
};

// By sender and receiver; several where a pair of ports was used again.
using TcpStreams = std::map<std::pair<base::Endpoint, base::Endpoint>, std::vector<TcpStream>>;

inline TcpStreams tcp_streams(base::Bytes file) {
  TcpStreams streams;
  for_each_datagram(file, [&](const Datagram& datagram) {
    if (datagram.protocol != 6) return;
    base::ByteReader reader(datagram.payload);
    base::Endpoint sender{datagram.source, reader.u16()}, receiver{datagram.destination, reader.u16()};
    std::uint32_t sequence = reader.u32();
    reader.skip(4);
    std::size_t header_size = (reader.u8() >> 4) * 4U;
    bool syn = (reader.u8() & 0x02) != 0;
    if (!reader.ok() || header_size < 20 || header_size > datagram.payload.size()) return;
    base::Bytes payload = datagram.payload.subspan(header_size);

    std::vector<TcpStream>& pair = streams[{sender, receiver}];
    if (syn) ++sequence;  // the SYN itself has a sequence number (RFC 9293 3.4)
    if (pair.empty() || (syn && pair.back().first() != sequence)) pair.emplace_back(sequence);
    pair.back().add(sequence, payload);
  });
  return streams;
}

}  // namespace pcap

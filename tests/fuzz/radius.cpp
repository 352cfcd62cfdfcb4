// RADIUS datagrams of any bytes:
//   - what is read lies within the packet, and what follows the packet's own end changes nothing
//   - nothing is believed without the secret; signed with it, the same attributes are, and are answered by a whole packet
//   - a user, a session and roles are fit for a log line
#include "proto/radius/packet.hpp"

#include <cstdlib>

#include "base/text.hpp"
#include "proto/radius/accounting.hpp"

namespace {

using proto::radius::Packet;

void require(bool promise) {
  if (!promise) std::abort();
}

void check_accounting(const Packet& packet) {
  auto read = proto::radius::read_accounting(packet);
  auto* accounting = std::get_if<proto::radius::Accounting>(&read);
  if (accounting == nullptr) return;
  require(accounting->user.size() <= 253 && base::is_printable_utf8(accounting->user));
  require(base::is_printable_utf8(accounting->session) && base::is_printable_utf8(accounting->nas));
  for (const std::string& role : accounting->roles) require(!role.empty() && base::is_printable_utf8(role));
  for (const base::IpPrefix& prefix : accounting->prefixes) require(prefix.length() >= 32);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  base::Bytes input{data, size};
  auto parsed = proto::radius::parse_packet(input);
  std::string_view attributes = base::as_text(input);
  if (auto* packet = std::get_if<Packet>(&parsed)) {
    require(packet->bytes.data() == data && packet->bytes.size() <= size);
    for (const auto& attribute : packet->attributes)
      require(attribute.value.data() >= data && attribute.value.data() + attribute.value.size() <= data + size);
    require(!proto::radius::is_authentic(*packet, "a secret that the fuzzer does not know"));
    check_accounting(*packet);
    attributes = base::as_text(packet->bytes.subspan(proto::radius::header_size));
  }
  std::string request = proto::radius::make_request(4, 1, attributes, "secret");
  auto again = proto::radius::parse_packet(base::as_bytes(request));
  auto* ours = std::get_if<Packet>(&again);
  if (ours == nullptr) return 0;
  check_accounting(*ours);
  if (!proto::radius::is_authentic(*ours, "secret")) return 0;  // two Message-Authenticators
  std::string response = proto::radius::make_response(*ours, "secret");
  auto answer = proto::radius::parse_packet(base::as_bytes(response));
  require(response.empty() || std::holds_alternative<Packet>(answer));
  return 0;
}

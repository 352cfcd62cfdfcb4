#include "proto/radius/accounting.hpp"

#include <algorithm>

#include "base/byte_reader.hpp"
#include "base/text.hpp"

namespace proto::radius {
namespace {

// RFC 2865 5, RFC 2866 5, RFC 2869 5, RFC 3162 2, RFC 4818 3, RFC 6911 3
enum : std::uint8_t {
  user_name = 1,
  nas_ip_address = 4,
  framed_ip_address = 8,
  filter_id = 11,
  class_of_user = 25,
  session_timeout = 27,
  calling_station_id = 31,
  nas_identifier = 32,
  acct_status_type = 40,
  acct_delay_time = 41,
  acct_session_id = 44,
  acct_multi_session_id = 50,
  event_timestamp = 55,
  acct_interim_interval = 85,
  nas_ipv6_address = 95,
  framed_ipv6_prefix = 97,
  delegated_ipv6_prefix = 123,
  framed_ipv6_address = 168,
};

constexpr std::size_t most_addresses = 16, most_roles = 16;
constexpr int shortest_prefix = 32;                    // of a session; a shorter one would own strangers' addresses
constexpr std::uint32_t clock_is_set = 1'577'836'800;  // 2020-01-01

std::optional<std::uint32_t> number(base::Bytes value) {
  base::ByteReader reader(value);
  std::uint32_t read = reader.u32();
  return reader.at_end() ? std::optional(read) : std::nullopt;
}

std::optional<base::IpAddress> v6(base::Bytes value) {
  if (value.size() != 16) return std::nullopt;
  return base::IpAddress::v6(value.first<16>());
}

// Reserved octet, prefix length, as many octets as needed or more (RFC 3162 2.3); bits behind the length must be 0.
std::optional<base::IpPrefix> prefix(base::Bytes value) {
  base::ByteReader reader(value);
  reader.skip(1);
  int length = reader.u8();
  base::Bytes octets = reader.rest();
  if (!reader.ok() || length > 128 || octets.size() > 16 || octets.size() * 8 < static_cast<std::size_t>(length))
    return std::nullopt;
  std::array<std::uint8_t, 16> address{};
  std::copy(octets.begin(), octets.end(), address.begin());
  auto first = base::IpAddress::v6(address);
  if (first.is_v4()) return std::nullopt;  // v4-mapped: no prefix of anybody's
  auto read = base::IpPrefix::masked(first, length);
  return read.address() == first ? std::optional(read) : std::nullopt;
}

// "The user shall choose" and "the NAS has chosen" (RFC 2865 5.8), and 0.0.0.0, which means not yet.
bool is_a_clients(const base::IpAddress& address) {
  if (address.is_v4())
    return address.v4_value() != 0 && address.v4_value() < 0xfffffffe && address.v4_value() >> 28 != 14;
  base::Bytes bytes = address.bytes();
  bool zero = std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t byte) { return byte == 0; });
  return !zero && bytes[0] != 0xff;
}

// Ids are compared, and shown: what is not printable is shown in hex.
std::string id_text(base::Bytes value) {
  if (base::is_printable_utf8(base::as_text(value))) return std::string(base::as_text(value));
  return "0x" + base::to_hex(value);
}

Status status_of(std::uint32_t type) {
  switch (type) {
    case 1:
      return Status::start;
    case 2:
      return Status::stop;
    case 3:
      return Status::interim;
    case 7:
      return Status::nas_on;
    case 8:
      return Status::nas_off;
    default:
      return Status::other;
  }
}

// False: it breaks its format.
bool read_attribute(const Attribute& attribute, Accounting& out, std::optional<std::uint32_t>& status,
                    std::string& nas_address) {
  std::string_view text = base::as_text(attribute.value);
  auto read_number = [&](auto& to) {
    auto value = number(attribute.value);
    if (value) to = *value;
    return value.has_value();
  };
  auto add_address = [&](std::optional<base::IpAddress> address) {
    if (address && is_a_clients(*address) && out.addresses.size() < most_addresses) out.addresses.push_back(*address);
    return address.has_value();
  };
  auto v4 = [&] {
    auto value = number(attribute.value);
    return value ? std::optional(base::IpAddress::v4(*value)) : std::nullopt;
  };
  switch (attribute.type) {
    case user_name:
      out.user = text;
      return !text.empty() && base::is_printable_utf8(text);
    case framed_ip_address:
      return add_address(v4());
    case framed_ipv6_address:
      return add_address(v6(attribute.value));
    case framed_ipv6_prefix:
    case delegated_ipv6_prefix: {
      auto read = prefix(attribute.value);
      if (read && read->length() >= shortest_prefix && out.prefixes.size() < most_addresses)
        out.prefixes.push_back(*read);
      return read.has_value();
    }
    case class_of_user:
    case filter_id:
      append_roles(out.roles, attribute.value);
      return true;
    case calling_station_id:
      if (auto mac = parse_station(text)) out.mac = mac;
      return true;
    case nas_identifier:
      out.nas = id_text(attribute.value);
      return true;
    case nas_ip_address:
    case nas_ipv6_address: {
      auto address = attribute.type == nas_ip_address ? v4() : v6(attribute.value);
      if (address) nas_address = address->to_string();
      return address.has_value();
    }
    case acct_session_id:
      out.session = id_text(attribute.value);
      return !attribute.value.empty();
    case acct_multi_session_id:
      out.multi_session = id_text(attribute.value);
      return true;
    case acct_status_type:
      return read_number(status);
    case acct_delay_time:
      return read_number(out.delay);
    case session_timeout:
      return read_number(out.session_timeout);
    case acct_interim_interval:
      return read_number(out.interim_interval);
    case event_timestamp:
      if (!read_number(out.event_time)) return false;
      if (*out.event_time < clock_is_set) out.event_time.reset();
      return true;
    default:
      return true;
  }
}

}  // namespace

Parse<Accounting> read_accounting(const Packet& packet) {
  Accounting out;
  std::optional<std::uint32_t> status;
  std::string nas_address;
  for (const Attribute& attribute : packet.attributes)
    if (!read_attribute(attribute, out, status, nas_address))
      return Malformed{"radius: attribute " + std::to_string(attribute.type) + " breaks its format"};
  if (!status) return Malformed{"radius: no Acct-Status-Type"};
  out.status = status_of(*status);
  bool of_a_session = out.status == Status::start || out.status == Status::stop || out.status == Status::interim;
  if (of_a_session && out.session.empty()) return Malformed{"radius: no Acct-Session-Id"};
  if (out.nas.empty()) out.nas = std::move(nas_address);
  return out;
}

std::optional<base::MacAddress> parse_station(std::string_view text) {
  auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; };
  base::MacAddress mac;
  std::size_t at = 0, digits = 0, group = 0, run = 0;
  char separator = 0;
  for (; at < text.size() && digits < 12; ++at) {
    char c = base::to_lower(text[at]);
    if (int value = digit(c); value >= 0) {
      mac.bytes[digits / 2] = static_cast<std::uint8_t>(mac.bytes[digits / 2] << 4 | value);
      ++digits;
      ++run;
      continue;
    }
    if (c != ':' && c != '-' && c != '.') return std::nullopt;
    if (separator == 0) separator = c, group = run;
    bool fine = c == separator && run == group && (group == 2 || group == 4 || group == 6);
    if (!fine) return std::nullopt;
    run = 0;
  }
  if (digits != 12 || (separator != 0 && run != group)) return std::nullopt;
  if (at < text.size() && text[at] != ':') return std::nullopt;
  bool zero = mac == base::MacAddress{}, group_address = (mac.bytes[0] & 1) != 0;
  return zero || group_address ? std::nullopt : std::optional(mac);
}

void append_roles(std::vector<std::string>& roles, base::Bytes value) {
  std::string_view text = base::trim(base::as_text(value));
  if (text.ends_with(';')) text = base::trim(text.substr(0, text.size() - 1));
  if (text.empty() || !base::is_printable_utf8(text)) return;
  auto add = [&](std::string_view role) {
    bool known = std::find(roles.begin(), roles.end(), role) != roles.end();
    if (!role.empty() && !known && roles.size() < most_roles) roles.emplace_back(role);
  };
  add(text);
  if (std::size_t sign = text.find('='); sign != text.npos) add(base::trim(text.substr(sign + 1)));
}

}  // namespace proto::radius

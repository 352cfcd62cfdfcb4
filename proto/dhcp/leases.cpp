// Theory of operation
//
//   dnsmasq  EXPIRY MAC ADDRESS HOST CLIENT-ID; behind a line "duid ..." also EXPIRY IAID ADDRESS HOST DUID. Built for boxes
//            without a clock (HAVE_BROKEN_RTC) it writes how long instead of until when: such a lease ends with its line.
//   odhcpd   # INTERFACE DUID IAID|"ipv4" HOST EXPIRY HEX LENGTH [ADDRESS/LENGTH ...]; other lines are for resolvers. EXPIRY is
//            -1 for ever, 0 when it is over. For "ipv4" the DUID is the MAC.
//   ISC      lease ADDRESS { statements, a line each }, appended: the last one counts.
//   Kea      CSV with the names of its columns in the first line, appended: the last row counts. `valid_lifetime` 0 or a
//            state other than 0 takes the lease back.
//
// Delegated prefixes are left out: they belong to a router, whose own address is a lease.
#include "proto/dhcp/leases.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <map>
#include <utility>

#include "base/text.hpp"

namespace proto::dhcp {
namespace {

constexpr std::size_t longest_hostname = 63;  // RFC 1035 2.3.4
constexpr std::size_t most_leases = 100'000;
constexpr std::int64_t no_length = 1'000'000'000;       // as a time: 2001; as a length: 31 years
constexpr std::int64_t latest = std::int64_t{1} << 40;  // no overflow in milliseconds
constexpr std::uint64_t for_ever = 0xffffffff;          // RFC 2131 3.3

using Words = std::vector<std::string_view>;

Words words_of(std::string_view line) {
  Words words;
  while (!line.empty()) {
    std::size_t start = line.find_first_not_of(" \t\r");
    if (start == line.npos) break;
    line.remove_prefix(start);
    std::size_t end = std::min(line.find_first_of(" \t\r"), line.size());
    words.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
  return words;
}

std::optional<std::int64_t> parse_time(std::string_view text) {
  auto value = base::parse_number(text, static_cast<std::uint64_t>(latest));
  return value ? std::optional(static_cast<std::int64_t>(*value)) : std::nullopt;
}

std::optional<std::vector<std::uint8_t>> parse_hex(std::string_view text) {
  std::vector<std::uint8_t> bytes;
  while (!text.empty()) {
    if (text.front() == ':' && !bytes.empty()) text.remove_prefix(1);
    std::uint8_t value = 0;
    if (text.size() < 2 || bytes.size() >= 130) return std::nullopt;  // RFC 8415 11.1: a DUID has at most 130 octets
    auto [end, error] = std::from_chars(text.data(), text.data() + 2, value, 16);
    if (error != std::errc{} || end != text.data() + 2) return std::nullopt;
    bytes.push_back(value);
    text.remove_prefix(2);
  }
  return bytes;
}

std::optional<base::MacAddress> mac_at(const std::vector<std::uint8_t>& bytes, std::size_t at) {
  base::MacAddress mac;
  if (bytes.size() != at + mac.bytes.size()) return std::nullopt;
  for (std::size_t i = 0; i < mac.bytes.size(); ++i) mac.bytes[i] = bytes[at + i];
  bool zero = mac == base::MacAddress{}, group = (mac.bytes[0] & 1) != 0;
  return zero || group ? std::nullopt : std::optional(mac);
}

// DUID-LLT and DUID-LL over Ethernet (RFC 8415 11.2, 11.4).
std::optional<base::MacAddress> mac_of_duid(const std::vector<std::uint8_t>& duid) {
  if (duid.size() < 4 || duid[0] != 0 || duid[2] != 0 || duid[3] != 1) return std::nullopt;
  return duid[1] == 1 ? mac_at(duid, 8) : duid[1] == 3 ? mac_at(duid, 4) : std::nullopt;
}

// aa:bb:cc:dd:ee:ff, aabbccddeeff, and as ether_ntoa(3) writes it: 2:0:0:aa:bb:c.
std::optional<base::MacAddress> parse_mac(std::string_view text) {
  if (text.find(':') == text.npos) {
    auto bytes = parse_hex(text);
    return bytes ? mac_at(*bytes, 0) : std::nullopt;
  }
  std::vector<std::uint8_t> bytes;
  for (std::string_view part : base::split(text, ':')) {
    std::uint8_t value = 0;
    auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value, 16);
    if (part.empty() || part.size() > 2 || error != std::errc{} || end != part.data() + part.size())
      return std::nullopt;
    bytes.push_back(value);
  }
  return mac_at(bytes, 0);
}

// Kea's only escape is of the comma (its CSVFile::escape).
std::string without_escapes(std::string_view field) {
  constexpr std::string_view comma = "&#x2c";
  std::string text;
  for (std::size_t at = 0; at < field.size();) {
    bool escaped = field.substr(at).starts_with(comma);
    text += escaped ? ',' : field[at];
    at += escaped ? comma.size() : 1;
  }
  return text;
}

class Reader {
 public:
  LeaseFile read(std::string_view text) {
    while (!text.empty()) {
      std::size_t end = text.find('\n');
      if (end == text.npos) {
        file_.cut = true;
        break;
      }
      line(text.substr(0, end));
      text.remove_prefix(end + 1);
    }
    file_.cut |= depth_ > 0;
    for (auto& [address, lease] : leases_) file_.leases.push_back(std::move(lease));
    return std::move(file_);
  }

 private:
  void line(std::string_view line) {
    Words words = words_of(line);
    if (words.empty()) return;
    if (file_.format == LeaseFormat::unknown) file_.format = format_of(line, words);
    switch (file_.format) {
      case LeaseFormat::unknown:
        file_.skipped += words[0] != "#";  // a comment says nothing
        break;
      case LeaseFormat::dnsmasq:
        if (words[0] != "duid" && !dnsmasq(words)) ++file_.skipped;
        break;
      case LeaseFormat::odhcpd:
        if (words[0] == "#" && !odhcpd(words)) ++file_.skipped;
        break;
      case LeaseFormat::isc:
        isc(line, words);
        break;
      case LeaseFormat::kea:
        if (!kea(line)) ++file_.skipped;
        break;
    }
  }

  static LeaseFormat format_of(std::string_view line, const Words& words) {
    if (line.starts_with("address,")) return LeaseFormat::kea;
    if (words[0] == "lease" || words[0] == "authoring-byte-order" || words[0] == "server-duid") return LeaseFormat::isc;
    if (words[0] == "#") return words.size() >= 8 && is_odhcpd(words) ? LeaseFormat::odhcpd : LeaseFormat::unknown;
    if (words.size() >= 2 && base::IpAddress::parse(words[0])) return LeaseFormat::odhcpd;
    bool time = base::parse_number(words[0], static_cast<std::uint64_t>(latest)).has_value();
    return words[0] == "duid" || time ? LeaseFormat::dnsmasq : LeaseFormat::unknown;
  }
  static bool is_odhcpd(const Words& words) {
    return words[5] == "-1" || base::parse_number(words[5], static_cast<std::uint64_t>(latest)).has_value();
  }

  bool dnsmasq(const Words& words) {
    if (words.size() != 5) return false;
    auto expires = parse_time(words[0]);
    auto address = base::IpAddress::parse(words[2]);
    if (!expires || !address) return false;
    Lease lease{*address, {}, words[3] == "*" ? "" : fit_hostname(words[3]), *expires < no_length ? 0 : *expires, {}};
    if (address->is_v6()) {
      if (auto duid = parse_hex(words[4])) {
        lease.mac = mac_of_duid(*duid);
        lease.duid = base::to_hex(*duid);
      } else if (words[4] != "*") {
        return false;
      }
    } else {
      std::string_view mac = words[1];
      if (std::size_t type = mac.find('-');
          type != mac.npos && mac.substr(0, type) != "01" && mac.substr(0, type) != "06")
        return true;  // not Ethernet: no MAC of ours
      else if (type != mac.npos)
        mac.remove_prefix(type + 1);
      lease.mac = parse_mac(mac);
      if (!lease.mac) return false;
    }
    keep(std::move(lease));
    return true;
  }

  bool odhcpd(const Words& words) {
    if (words.size() < 8 || !is_odhcpd(words)) return false;
    std::int64_t expires = words[5] == "-1" ? 0 : *parse_time(words[5]);
    if (words[5] == "0") return true;  // it is over
    bool is_v4 = words[3] == "ipv4";
    auto id = is_v4 ? std::nullopt : parse_hex(words[2]);
    auto mac = is_v4 ? parse_mac(words[2]) : id ? mac_of_duid(*id) : std::nullopt;
    if (is_v4 ? !mac.has_value() : !id.has_value()) return false;
    std::string_view host = words[4];
    if (constexpr std::string_view broken = "broken\\x20"; host.starts_with(broken)) host.remove_prefix(broken.size());
    for (std::size_t i = 8; i < words.size(); ++i) {
      std::size_t slash = words[i].find('/');
      auto address = base::IpAddress::parse(words[i].substr(0, slash));
      if (!address || address->is_v4() != is_v4) return false;
      std::string_view length = slash == words[i].npos ? "" : words[i].substr(slash + 1);
      if (length != (is_v4 ? "32" : "128")) continue;
      keep({*address, mac, host == "-" ? "" : fit_hostname(host), expires, id ? base::to_hex(*id) : ""});
    }
    return true;
  }

  void isc(std::string_view line, const Words& words) {
    bool opens = words.back() == "{" || words.back().ends_with('{');
    if (depth_ == 0) {
      if (!opens) return;  // a statement about the file
      depth_ = 1;
      lease_ = {};
      auto address = words[0] == "lease" && words.size() == 3 ? base::IpAddress::parse(words[1]) : std::nullopt;
      whole_ = address.has_value();
      released_ = false;
      if (address) lease_.address = *address;
      of_lease_ = words[0] == "lease";
    } else if (opens) {
      if (words[0] == "lease") {  // the one before was never closed: its server died, and began anew
        file_.skipped += of_lease_;
        depth_ = 0;
        return isc(line, words);
      }
      ++depth_;
    } else if (words[0] == "}") {
      if (--depth_ > 0 || !of_lease_) return;
      if (!whole_)
        ++file_.skipped;
      else if (released_)
        leases_.erase(lease_.address);
      else
        keep(std::move(lease_));
    } else if (depth_ == 1) {
      whole_ &= statement(line, words);
    }
  }

  bool statement(std::string_view line, const Words& words) {
    if (!base::trim(line).ends_with(';') && line.find("; #") == line.npos) return false;
    auto word = [&](std::size_t i) {
      std::string_view found = i < words.size() ? words[i] : std::string_view{};
      return found.ends_with(';') ? found.substr(0, found.size() - 1) : found;
    };
    if (words[0] == "binding" && word(1) == "state") {
      released_ = word(2) != "active";
    } else if (words[0] == "hardware" && word(1) == "ethernet") {
      lease_.mac = parse_mac(word(2));
      return lease_.mac.has_value();
    } else if (words[0] == "client-hostname") {
      lease_.hostname = quoted(line);
    } else if (words[0] == "ends") {
      auto time = word(1) == "never"   ? std::optional<std::int64_t>(0)
                  : word(1) == "epoch" ? parse_time(word(2))
                                       : date(word(2), word(3));
      if (time) lease_.expires = *time;
      return time.has_value();
    }
    return true;
  }

  // "2026/11/26" and "12:00:00", UTC.
  static std::optional<std::int64_t> date(std::string_view day, std::string_view time) {
    auto numbers = [](std::string_view text, char separator) -> std::optional<std::array<int, 3>> {
      auto parts = base::split(text, separator);
      std::array<int, 3> values{};
      if (parts.size() != values.size()) return std::nullopt;
      for (std::size_t i = 0; i < values.size(); ++i) {
        auto value = base::parse_number(parts[i], 9999);
        if (!value) return std::nullopt;
        values[i] = static_cast<int>(*value);
      }
      return values;
    };
    auto ymd = numbers(day, '/'), hms = numbers(time, ':');
    if (!ymd || !hms || (*hms)[0] > 23 || (*hms)[1] > 59 || (*hms)[2] > 60) return std::nullopt;
    std::chrono::year_month_day date{std::chrono::year((*ymd)[0]), std::chrono::month(static_cast<unsigned>((*ymd)[1])),
                                     std::chrono::day(static_cast<unsigned>((*ymd)[2]))};
    if (!date.ok() || date.year() < std::chrono::year(1970)) return std::nullopt;
    return std::chrono::sys_days(date).time_since_epoch().count() * std::int64_t{86400} + (*hms)[0] * 3600 +
           (*hms)[1] * 60 + (*hms)[2];
  }

  // "name", with \" and \ooo inside (dhcpd.leases(5)).
  static std::string quoted(std::string_view line) {
    std::size_t start = line.find('"'), end = line.rfind('"');
    if (start == line.npos || end == start) return {};
    line = line.substr(start + 1, end - start - 1);
    std::string text;
    for (std::size_t i = 0; i < line.size(); ++i) {
      if (line[i] != '\\' || i + 1 == line.size()) {
        text += line[i];
        continue;
      }
      int value = 0;
      auto octal = line.substr(i + 1, 3);
      auto [stop, error] = std::from_chars(octal.data(), octal.data() + octal.size(), value, 8);
      if (error == std::errc{} && stop == octal.data() + 3) {
        text += static_cast<char>(value);
        i += 3;
      } else {
        text += line[++i];
      }
    }
    return fit_hostname(text);
  }

  bool kea(std::string_view line) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    auto fields = base::split(line, ',');
    if (fields[0] == "address") {  // again where files were put together
      columns_.clear();
      for (std::size_t i = 0; i < fields.size(); ++i) columns_.emplace(fields[i], i);
      return true;
    }
    auto field = [&](std::string_view name) -> std::optional<std::string_view> {
      auto column = columns_.find(name);
      if (column == columns_.end() || column->second >= fields.size()) return std::nullopt;
      return fields[column->second];
    };
    auto address = base::IpAddress::parse(fields[0]);
    auto lifetime = base::parse_number(field("valid_lifetime").value_or(""), for_ever);
    auto expires = parse_time(field("expire").value_or(""));
    auto state = base::parse_number(field("state").value_or("0"), 1000);  // old files have no such column
    if (!address || !lifetime || !expires || !state) return false;
    if (field("lease_type").value_or("0") == "2") return true;  // a prefix
    Lease lease{*address, {}, {}, *lifetime == for_ever ? 0 : *expires, {}};
    auto duid = address->is_v6() ? parse_hex(field("duid").value_or("")) : std::nullopt;
    if (address->is_v6() && (!duid || duid->empty())) return false;
    if (duid) {
      lease.duid = base::to_hex(*duid);
      lease.mac = mac_of_duid(*duid);
    }
    if (auto mac = parse_mac(field("hwaddr").value_or(""))) lease.mac = mac;
    std::string host = without_escapes(field("hostname").value_or(""));
    if (host.ends_with('.')) host.pop_back();
    lease.hostname = fit_hostname(host);
    if (*state != 0 || *lifetime == 0)
      leases_.erase(*address);
    else
      keep(std::move(lease));
    return true;
  }

  void keep(Lease lease) {
    base::IpAddress address = lease.address;
    if (leases_.size() < most_leases || leases_.contains(address)) leases_.insert_or_assign(address, std::move(lease));
  }

  LeaseFile file_;
  std::map<base::IpAddress, Lease> leases_;
  std::map<std::string, std::size_t, std::less<>> columns_;
  // ISC: the lease that is open.
  int depth_ = 0;
  bool of_lease_ = false, whole_ = false, released_ = false;
  Lease lease_;
};

}  // namespace

LeaseFile parse_leases(std::string_view text) {
  return Reader().read(text);
}

std::string fit_hostname(std::string_view name) {
  std::string fit(name);
  if (!base::is_printable_utf8(fit))
    for (char& c : fit)
      if (c < 0x20 || c > 0x7e) c = '?';
  if (fit.size() > longest_hostname) {
    std::size_t end = longest_hostname;
    while (end > 0 && (static_cast<std::uint8_t>(fit[end]) & 0xc0) == 0x80) --end;  // not inside a character
    fit.resize(end);
  }
  return fit;
}

}  // namespace proto::dhcp

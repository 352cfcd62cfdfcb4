#include "rules/settings_reader.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <chrono>
#include <functional>

#include "base/endpoint.hpp"
#include "base/text.hpp"
#include "rules/enforcement.hpp"
#include "rules/names.hpp"
#include "rules/near_match.hpp"
#include "rules/units.hpp"

namespace rules {
namespace {

using namespace std::chrono_literals;
using Ports = std::vector<std::uint16_t>;

// As an admin writes it: "2h", "35d".
std::string in_words(std::chrono::seconds duration) {
  auto count = duration.count();
  for (const auto& [size, unit] : {std::pair(86400, "d"), std::pair(3600, "h"), std::pair(60, "m")})
    if (count % size == 0) return std::to_string(count / size) + unit;
  return std::to_string(count) + "s";
}

// Interface names of an array, each once.
std::vector<std::string> read_interfaces(const std::vector<Text>& texts, Diagnostics& diagnostics) {
  std::vector<std::string> names;
  for (const Text& text : texts) {
    if (!is_interface_name(text.value))
      error(diagnostics, text.place, "'" + text.value + "' is not an interface name");
    else if (std::find(names.begin(), names.end(), text.value) != names.end())
      error(diagnostics, text.place, "interface '" + text.value + "' is listed twice");
    else
      names.push_back(text.value);
  }
  return names;
}

void read_ports(TableReader& network, Settings::Network& out, Diagnostics& diagnostics) {
  const Member* member = network.find("ports");
  if (!member) return;
  TableReader reader(*member, diagnostics);
  struct Seen {
    std::string key;
    std::int64_t port;
  };
  std::vector<Seen> tcp;  // one TCP port has one meaning; quic's are UDP
  auto read = [&](std::string_view key, Ports& ports) {
    auto numbers = reader.integers(key, 1, 65535);
    if (numbers) ports.clear();
    if (!numbers) {
      for (std::uint16_t port : ports) tcp.push_back({std::string(key), port});
      return;
    }
    for (const auto& [port, place] : *numbers) {
      auto other = std::find_if(tcp.begin(), tcp.end(),
                                [&, p = port](const Seen& seen) { return seen.port == p && key != "quic"; });
      if (other != tcp.end())
        error(diagnostics, place, "port " + std::to_string(port) + " is already in '" + other->key + "'");
      if (key != "quic") tcp.push_back({std::string(key), port});
      ports.push_back(static_cast<std::uint16_t>(port));
    }
  };
  read("http", out.http);
  read("tls", out.tls);
  read("quic", out.quic);
  read("dns", out.dns);
  reader.finish();
}

// netfilter/marks.hpp keeps a three-bit number under the mask's lowest bit.
std::optional<std::uint32_t> parse_mask(std::string_view text) {
  std::string_view digits = text.starts_with("0x") || text.starts_with("0X") ? text.substr(2) : "";
  std::uint32_t mask = 0;
  auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), mask, 16);
  if (digits.empty() || failed != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return mask;
}

void read_mask(TableReader& network, Settings::Network& out, Diagnostics& diagnostics) {
  auto text = network.string("mark_mask");
  if (!text) return;
  auto mask = parse_mask(text->value);
  bool neighbours = mask && *mask != 0 && std::has_single_bit((std::uint64_t{*mask} >> std::countr_zero(*mask)) + 1);
  if (!mask)
    error(diagnostics, text->place, "'" + text->value + "' is not a mask, expected 32 bits such as \"0x70000000\"");
  else if (!neighbours || std::popcount(*mask) < 3)
    error(diagnostics, text->place, "mark_mask '" + text->value + "' needs three or more neighbouring bits");
  else
    out.mark_mask = *mask;
}

void read_network(TableReader& reader, Settings::Network& out, Diagnostics& diagnostics) {
  auto lan = reader.strings("lan");
  if (!lan)
    error(diagnostics, reader.place(),
          "'lan' is missing from [network], expected the interfaces whose clients are judged");
  else if (lan->empty() && reader.find("lan")->value.kind == Node::Kind::array)
    error(diagnostics, reader.place_of("lan"), "'lan' is empty, expected the interfaces whose clients are judged");
  if (lan) out.lan = read_interfaces(*lan, diagnostics);

  if (auto wan = reader.strings("wan"); wan && (wan->size() != 1 || wan->front().value != "auto")) {
    out.wan_auto = false;
    out.wan = read_interfaces(*wan, diagnostics);
    if (wan->empty()) error(diagnostics, reader.place_of("wan"), "'wan' is empty, expected \"auto\" or interfaces");
    for (const Text& text : *wan)
      if (std::find(out.lan.begin(), out.lan.end(), text.value) != out.lan.end())
        error(diagnostics, text.place, "interface '" + text.value + "' is in 'lan' too");
  }
  for (const Text& text : reader.strings("exclude").value_or(std::vector<Text>{})) {
    auto prefix = parse_prefix(text.value);
    if (prefix)
      out.exclude.push_back(*prefix);
    else
      error(diagnostics, text.place, prefix.error().message);
  }
  read_ports(reader, out, diagnostics);
  read_mask(reader, out, diagnostics);
  out.firewall = reader
                     .choice<Firewall>("firewall", {{"auto", Firewall::automatic},
                                                    {"nftables", Firewall::nftables},
                                                    {"iptables", Firewall::iptables}})
                     .value_or(out.firewall);
  out.upstream_source = reader
                            .choice<UpstreamSource>("upstream_source", {{"client", UpstreamSource::client},
                                                                        {"gateway", UpstreamSource::gateway}})
                            .value_or(out.upstream_source);
  out.block_unknown_protocol =
      reader.choice<bool>("unknown_protocol", {{"tunnel", false}, {"block", true}}).value_or(false);
  out.kernel_lane = reader.choice<bool>("kernel_lane", {{"auto", true}, {"off", false}}).value_or(true);
  // Everything travels through the proxy lane in this build, which is what "off" asks for: nothing to warn about.
}

// A path that must be absolute, or one of the words.
void read_path(TableReader& reader, std::string_view key, std::initializer_list<std::string_view> words,
               std::string& out, Diagnostics& diagnostics) {
  auto text = reader.string(key);
  if (!text) return;
  if (text->value.starts_with('/') || std::find(words.begin(), words.end(), text->value) != words.end()) {
    out = text->value;
    return;
  }
  std::vector<std::string> expected{"an absolute path"};
  for (std::string_view word : words) expected.push_back("\"" + std::string(word) + "\"");
  error(diagnostics, text->place, "'" + std::string(key) + "' is '" + text->value + "', expected " + one_of(expected));
}

void read_duration(TableReader& reader, std::string_view key, std::chrono::seconds least, std::chrono::seconds most,
                   std::chrono::seconds& out, Diagnostics& diagnostics) {
  auto text = reader.string(key);
  if (!text) return;
  auto duration = parse_duration(text->value);
  if (!duration)
    error(
        diagnostics, text->place,
        "'" + std::string(key) + "' is '" + text->value + "', expected a duration such as \"60s\", \"1h\" or \"35d\"");
  else if (*duration < least || *duration > most)
    error(diagnostics, text->place,
          "'" + std::string(key) + "' is '" + text->value + "', expected " + in_words(least) + " to " + in_words(most));
  else
    out = *duration;
}

// "127.0.0.1:1813", or empty for none.
void read_listen(TableReader& reader, std::string& out, Diagnostics& diagnostics) {
  auto text = reader.string("listen");
  if (!text) return;
  if (!text->value.empty() && !base::Endpoint::parse(text->value))
    error(diagnostics, text->place, "'" + text->value + "' is not an address with a port, expected \"127.0.0.1:9733\"");
  else
    out = text->value;
}

void read_daemon(TableReader& reader, Settings::Daemon& out, Diagnostics& diagnostics) {
  out.workers = static_cast<unsigned>(reader.integer("workers", 0, 256).value_or(out.workers));
  if (auto user = reader.string("user")) {
    if (user->value.empty())
      error(diagnostics, user->place, "'user' is empty, expected the account that the unprivileged roles run as");
    else
      out.user = user->value;
  }
  read_duration(reader, "drain", 0s, std::chrono::days(1), out.drain, diagnostics);
}

void read_log(TableReader& reader, Settings::Log& out, Diagnostics& diagnostics) {
  read_path(reader, "access", {"syslog", "off"}, out.access, diagnostics);
  out.format =
      reader.choice<LogFormat>("format", {{"json", LogFormat::json}, {"squid", LogFormat::squid}}).value_or(out.format);
  out.level = reader
                  .choice<std::string>(
                      "level", {{"error", "error"}, {"warning", "warning"}, {"info", "info"}, {"debug", "debug"}})
                  .value_or(out.level);
}

void read_accounting(TableReader& reader, Settings::Accounting& out, Diagnostics& diagnostics) {
  read_path(reader, "store", {"off"}, out.store, diagnostics);
  read_duration(reader, "flush", 1s, std::chrono::days(1), out.flush, diagnostics);
  read_duration(reader, "interval", 1s, 10min, out.interval, diagnostics);
  if (const Member* member = reader.find("keep")) {
    TableReader keep(*member, diagnostics);
    constexpr std::chrono::seconds most = std::chrono::days(3650);
    // A report takes the rest of an hour in minutes, of a day in hours and so on: each level outlives the next one's
    // period.
    read_duration(keep, "minute", std::chrono::hours(2), most, out.keep_minute, diagnostics);
    read_duration(keep, "hour", std::chrono::days(2), most, out.keep_hour, diagnostics);
    read_duration(keep, "day", std::chrono::days(32), most, out.keep_day, diagnostics);
    read_duration(keep, "month", std::chrono::days(32), most, out.keep_month, diagnostics);
    keep.finish();
  }
  if (auto text = reader.string("max_size")) {
    auto size = parse_size(text->value);
    constexpr std::uint64_t least = 1'000'000;
    if (!size || *size < least)
      error(diagnostics, text->place,
            "'max_size' is '" + text->value + "', expected a size such as \"256MB\", 1MB or more");
    else
      out.max_size = *size;
  }
  out.hosts = static_cast<std::uint32_t>(reader.integer("hosts", 1, 10'000).value_or(out.hosts));
}

void read_tls_intercept(TableReader& reader, Settings::TlsIntercept& out, Diagnostics& diagnostics) {
  read_path(reader, "ca_cert", {}, out.ca_cert, diagnostics);
  read_path(reader, "ca_key", {}, out.ca_key, diagnostics);
  read_path(reader, "trust", {"system"}, out.trust, diagnostics);
}

void read_portal(TableReader& reader, Settings::Portal& out, Diagnostics&) {
  if (auto http = reader.integer("http", 0, 65535)) {
    out.http = static_cast<std::uint16_t>(*http);
    out.is_asked_for = *http != 0;
  }
  out.https = static_cast<std::uint16_t>(reader.integer("https", 0, 65535).value_or(out.https));
}

void read_limits(TableReader& reader, Settings::Limits& out, Diagnostics&) {
  constexpr std::int64_t most = 10'000'000;
  out.connections = static_cast<std::uint32_t>(reader.integer("connections", 1, most).value_or(out.connections));
  out.connections_per_client = static_cast<std::uint32_t>(
      reader.integer("connections_per_client", 1, most).value_or(out.connections_per_client));
}

void read_radius(const Member& member, Settings::Identity& out, Diagnostics& diagnostics) {
  TableReader reader(member, diagnostics);
  read_listen(reader, out.radius_listen, diagnostics);
  if (const Member* clients = reader.find("clients")) {
    if (clients->value.kind != Node::Kind::table) TableReader(*clients, diagnostics);
    for (const Member& client : clients->value.members) {
      auto address = base::IpAddress::parse(client.key);
      if (!address) error(diagnostics, client.place, "'" + client.key + "' is not an address");
      TableReader secret(client, diagnostics);
      std::string file;
      read_path(secret, "secret_file", {}, file, diagnostics);
      if (client.value.kind == Node::Kind::table && !secret.has("secret_file"))
        error(diagnostics, client.value.place, "'secret_file' is missing for this RADIUS client");
      secret.finish();
      if (address) out.radius_clients.emplace_back(*address, file);
    }
  }
  if (auto timeout = reader.string("session_timeout"); timeout && !timeout->value.empty()) {
    auto duration = parse_duration(timeout->value);
    if (!duration || *duration <= std::chrono::seconds(0) || *duration > std::chrono::hours(24 * 30))
      error(diagnostics, timeout->place,
            "'session_timeout' is '" + timeout->value + "', expected a time up to \"30d\" such as \"30m\"");
    else
      out.radius_session_timeout = *duration;
  }
  if (!out.radius_listen.empty() && out.radius_clients.empty())
    error(diagnostics, member.value.place, "'listen' without 'clients': nobody could say anything to RADIUS");
  if (out.radius_listen.empty() && !out.radius_clients.empty())
    error(diagnostics, member.value.place, "'clients' without 'listen': nothing would hear these RADIUS clients");
  reader.finish();
}

// "auto", "off", or absolute paths.
void read_leases(TableReader& reader, Settings::Identity& out, Diagnostics& diagnostics) {
  auto texts = reader.strings("leases");
  if (!texts || (texts->size() == 1 && texts->front().value == "auto")) return;
  out.leases_auto = false;
  if (texts->size() == 1 && texts->front().value == "off") return;
  for (const Text& text : *texts) {
    if (text.value.starts_with('/') && text.value.find('\n') == text.value.npos)
      out.leases.push_back(text.value);
    else
      error(diagnostics, text.place,
            "'leases' is '" + text.value + "', expected \"auto\", \"off\" or absolute paths of lease files");
  }
}

void read_identity(TableReader& reader, Settings::Identity& out, std::optional<Text>& unknown_mac,
                   Diagnostics& diagnostics) {
  if (auto order = reader.strings("order")) {
    static const std::vector<std::string> sources{"user", "device", "dhcp", "address"};
    out.order.clear();
    for (const Text& text : *order) {
      if (std::find(sources.begin(), sources.end(), text.value) == sources.end())
        error(diagnostics, text.place, "unknown value '" + text.value + "', expected " + one_of(sources));
      else if (std::find(out.order.begin(), out.order.end(), text.value) != out.order.end())
        error(diagnostics, text.place, "'" + text.value + "' is listed twice");
      else
        out.order.push_back(text.value);
    }
  }
  unknown_mac = reader.string("unknown_mac");
  if (unknown_mac) out.unknown_mac = unknown_mac->value;
  if (const Member* radius = reader.find("radius")) read_radius(*radius, out, diagnostics);
  read_leases(reader, out, diagnostics);
}

void read_dns(TableReader& reader, Settings::Dns& out, Diagnostics& diagnostics) {
  if (auto upstream = reader.strings("upstream")) {
    out.upstream.clear();
    for (const Text& text : *upstream) {
      std::string_view address = text.value;
      bool over_tls = address.starts_with("tls://");
      if (over_tls) address.remove_prefix(6);
      bool fine = text.value == "client" || base::IpAddress::parse(address) || base::Endpoint::parse(address) ||
                  (over_tls && parse_host(address).ok());
      if (!fine) error(diagnostics, text.place, "'" + text.value + "' is not \"client\", an address or tls://");
      out.upstream.push_back(text.value);
    }
  }
  out.block_answer = reader
                         .choice<BlockAnswer>("block_answer", {{"nxdomain", BlockAnswer::nxdomain},
                                                               {"nodata", BlockAnswer::nodata},
                                                               {"zero", BlockAnswer::zero}})
                         .value_or(out.block_answer);
}

}  // namespace

SettingsRead read_settings(const Node& root, Diagnostics& diagnostics) {
  SettingsRead read;
  Settings& out = read.settings;
  const Settings defaults;
  TableReader top(root, diagnostics);
  // A section that is there is read; one that says something else than its defaults and that nothing here acts upon yet
  // is named once.
  auto section = [&](std::string_view name, auto& values, auto read_section) {
    const Member* member = top.find(name);
    if (!member) return;
    TableReader reader(*member, diagnostics);
    read_section(reader, values, diagnostics);
    reader.finish();
  };
  auto section_of_later = [&](std::string_view name, auto& values, const auto& plain, auto read_section) {
    section(name, values, read_section);
    if (!(values == plain))
      not_enforced(diagnostics, top.find(name)->place, "[" + std::string(name) + "]", "its values have no effect");
  };
  if (top.has("network"))
    section("network", out.network, read_network);
  else
    error(diagnostics, {root.place.file, 1, 1},
          "[network] with 'lan' is missing, expected the interfaces whose clients are judged");
  section("daemon", out.daemon, read_daemon);
  section("log", out.log, read_log);
  section("limits", out.limits, read_limits);
  section("accounting", out.accounting, read_accounting);
  section("tls_intercept", out.tls_intercept, read_tls_intercept);
  section("portal", out.portal, read_portal);
  section("identity", out.identity, [&](TableReader& reader, Settings::Identity& values, Diagnostics& found) {
    read_identity(reader, values, read.unknown_mac, found);
  });
  section("metrics", out.metrics, [](TableReader& reader, Settings::Metrics& values, Diagnostics& found) {
    read_listen(reader, values.listen, found);
    values.clients = static_cast<std::uint32_t>(reader.integer("clients", 0, 1000).value_or(values.clients));
  });
  section_of_later("dns", out.dns, defaults.dns, read_dns);
  top.finish();
  return read;
}

}  // namespace rules

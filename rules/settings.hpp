// sluice.toml as values (POLICY, "sluice.toml"). Defaults here are the documented ones.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/ip_prefix.hpp"

namespace rules {

enum class Firewall { automatic, nftables, iptables };
enum class UpstreamSource { client, gateway };
enum class LogFormat { json, squid };

struct Settings {
  struct Network {
    std::vector<std::string> lan;
    bool wan_auto = true;
    std::vector<std::string> wan;  // if not wan_auto
    std::vector<base::IpPrefix> exclude;
    std::vector<std::uint16_t> http{80}, tls{443}, quic{443}, dns{53};
    Firewall firewall = Firewall::automatic;
    std::uint32_t mark_mask = 0x70000000;
    UpstreamSource upstream_source = UpstreamSource::client;
    bool block_unknown_protocol = false;
    bool operator==(const Network&) const = default;
  } network;
  struct Daemon {
    unsigned workers = 0;  // 0 = one a core
    std::string user = "sluice";
    bool operator==(const Daemon&) const = default;
  } daemon;
  struct Log {
    std::string access = "/var/log/sluice/access.jsonl";  // or "syslog", "off"
    LogFormat format = LogFormat::json;
    std::string level = "info";
    bool operator==(const Log&) const = default;
  } log;
  struct Limits {
    std::uint32_t connections = 20000;
    std::uint32_t connections_per_client = 2000;
    bool operator==(const Limits&) const = default;
  } limits;
};

// Keys outside what a reload may change whose values differ ("network.lan", "daemon.workers"); empty: reloadable.
std::vector<std::string> needs_restart(const Settings& running, const Settings& wanted);

}  // namespace rules

// sluice.toml as values (POLICY, "sluice.toml"). Defaults here are the documented ones.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/ip_prefix.hpp"

namespace rules {

enum class Firewall { automatic, nftables, iptables };
enum class UpstreamSource { client, gateway };
enum class LogFormat { json, squid };
enum class BlockAnswer { nxdomain, nodata, zero };

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
    bool kernel_lane = true;
    bool operator==(const Network&) const = default;
  } network;
  struct Daemon {
    unsigned workers = 0;  // 0 = one a core
    std::string user = "sluice";
    std::chrono::seconds drain{60};  // how long proxied connections may go on after a restart in place
    bool operator==(const Daemon&) const = default;
  } daemon;
  struct Log {
    std::string access = "/var/log/sluice/access.jsonl";  // or "syslog", "off"
    LogFormat format = LogFormat::json;
    std::string level = "info";
    bool operator==(const Log&) const = default;
  } log;
  struct Accounting {
    std::string store = "/var/lib/sluice/usage.db";  // or "off"
    std::chrono::seconds flush{60};                  // one write per this
    std::chrono::seconds interval{5};                // how often the kernel's counters are read
    std::chrono::seconds keep_minute = std::chrono::days(2), keep_hour = std::chrono::days(35),
                         keep_day = std::chrono::days(400), keep_month = std::chrono::days(3650);
    std::uint64_t max_size = 256'000'000;  // bytes
    std::uint32_t hosts = 50;              // of one client that are kept by name, once a period is over
    bool operator==(const Accounting&) const = default;
  } accounting;
  struct TlsIntercept {
    std::string ca_cert = "/var/lib/sluice/ca/ca.crt";
    std::string ca_key = "/var/lib/sluice/ca/ca.key";
    std::string trust = "system";  // or the path of a bundle
    bool operator==(const TlsIntercept&) const = default;
  } tls_intercept;
  struct Portal {  // the gateway's own page on its LAN addresses; 0: not there
    std::uint16_t http = 80, https = 8443;
    bool is_asked_for = false;  // `http` is written: it is there whatever the policy says
    bool operator==(const Portal&) const = default;
  } portal;
  struct Identity {
    std::vector<std::string> order{"user", "device", "dhcp", "address"};
    std::string unknown_mac;  // a group, or empty: by address
    std::string radius_listen;
    std::vector<std::pair<base::IpAddress, std::string>> radius_clients;  // with the file of their secret
    std::chrono::seconds radius_session_timeout{0};  // without a word of a session it ends; 0: told by its Interims
    bool leases_auto = true;                         // the usual lease files that are there
    std::vector<std::string> leases;                 // if not leases_auto
    bool operator==(const Identity&) const = default;
  } identity;
  struct Metrics {
    std::string listen;
    std::uint32_t clients = 0;  // this many have series of their own
    bool operator==(const Metrics&) const = default;
  } metrics;
  struct Dns {
    std::vector<std::string> upstream{"client"};
    BlockAnswer block_answer = BlockAnswer::nxdomain;
    bool operator==(const Dns&) const = default;
  } dns;
  struct Limits {
    std::uint32_t connections = 20000;
    std::uint32_t connections_per_client = 2000;
    bool operator==(const Limits&) const = default;
  } limits;
};

// A path whose default lies in the state folder, for another state folder (--state).
std::string in_state(const std::string& path, const std::string& state);

// Keys outside what a reload may change whose values differ ("network.lan", "daemon.workers"); empty: reloadable.
std::vector<std::string> needs_restart(const Settings& running, const Settings& wanted);

}  // namespace rules

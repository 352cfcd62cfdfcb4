// sluice.toml: its defaults, its values, its errors, and what a reload may change.
#include <gtest/gtest.h>

#include "tests/unit/rules/loading.hpp"

namespace {

using rules::testing::config_of;
using rules::testing::load;

rules::Settings settings(const std::string& text) {
  auto outcome = load(config_of("", text));
  EXPECT_EQ(outcome.said, "");
  return outcome.loaded.settings;
}

// The defaults as POLICY shows them, every one written out.
constexpr const char* documented = R"(
[network]
lan = ["br-lan"]
wan = "auto"
exclude = []
ports = { http = [80], tls = [443], quic = [443], dns = [53] }
firewall = "auto"
mark_mask = "0x70000000"
kernel_lane = "auto"
upstream_source = "client"
unknown_protocol = "tunnel"
[daemon]
workers = 0
user = "sluice"
[log]
access = "/var/log/sluice/access.jsonl"
format = "json"
level = "info"
[accounting]
store = "/var/lib/sluice/usage.db"
flush = "60s"
interval = "5s"
keep = { minute = "2d", hour = "35d", day = "400d", month = "3650d" }
max_size = "256MB"
hosts = 50
[tls_intercept]
ca_cert = "/var/lib/sluice/ca/ca.crt"
ca_key  = "/var/lib/sluice/ca/ca.key"
trust   = "system"
[limits]
connections = 20000
connections_per_client = 2000
[identity]
order = ["user", "device", "dhcp", "address"]
unknown_mac = ""
radius = { listen = "", clients = {}, session_timeout = "" }
leases = "auto"
[metrics]
listen = ""
clients = 0
[dns]
upstream = ["client"]
block_answer = "nxdomain"
)";

TEST(Settings, TheDocumentedDefaultsAreTheDefaults) {
  rules::Settings written = settings(documented), plain = settings("[network]\nlan = 'br-lan'\n");
  EXPECT_TRUE(written.network == plain.network && written.daemon == plain.daemon && written.log == plain.log);
  EXPECT_TRUE(written.accounting == plain.accounting);
  EXPECT_TRUE(rules::needs_restart(written, plain).empty());
}

TEST(Settings, ValuesAreRead) {
  rules::Settings s = settings(
      "[network]\nlan = ['a', 'b']\nwan = 'ppp0'\nexclude = ['10.0.0.0/8', 'fd00::1']\nports = { http = [80, 8080], "
      "quic = [] }\n"
      "firewall = 'iptables'\nmark_mask = '0x00000700'\nupstream_source = 'gateway'\nunknown_protocol = 'block'\n"
      "[daemon]\nworkers = 3\nuser = 'nobody'\ndrain = '5m'\n[log]\naccess = 'off'\nformat = 'squid'\nlevel = "
      "'debug'\n[limits]\nconnections = 7\n");
  EXPECT_EQ(s.network.lan, (std::vector<std::string>{"a", "b"}));
  EXPECT_FALSE(s.network.wan_auto);
  EXPECT_EQ(s.network.wan, std::vector<std::string>{"ppp0"});
  EXPECT_EQ(s.network.exclude.size(), 2u);
  EXPECT_EQ(s.network.http, (std::vector<std::uint16_t>{80, 8080}));
  EXPECT_EQ(s.network.tls, std::vector<std::uint16_t>{443});
  EXPECT_TRUE(s.network.quic.empty());
  EXPECT_EQ(s.network.firewall, rules::Firewall::iptables);
  EXPECT_EQ(s.network.mark_mask, 0x700u);
  EXPECT_EQ(s.network.upstream_source, rules::UpstreamSource::gateway);
  EXPECT_TRUE(s.network.block_unknown_protocol);
  EXPECT_EQ(s.daemon.workers, 3u);
  EXPECT_EQ(s.daemon.drain, std::chrono::minutes(5));
  EXPECT_EQ(s.log.access, "off");
  EXPECT_EQ(s.log.format, rules::LogFormat::squid);
  EXPECT_EQ(s.limits.connections, 7u);
  EXPECT_EQ(s.limits.connections_per_client, 2000u);
}

TEST(Settings, OfAccountingAreRead) {
  rules::Settings::Accounting a = settings(
                                      "[network]\nlan = 'a'\n[accounting]\nstore = 'off'\nflush = '1h'\ninterval = "
                                      "'10s'\nkeep = { minute = '6h', day = '40d' }\nmax_size = '8MB'\nhosts = 9\n")
                                      .accounting;
  EXPECT_EQ(a.store, "off");
  EXPECT_EQ(a.flush, std::chrono::hours(1));
  EXPECT_EQ(a.interval, std::chrono::seconds(10));
  EXPECT_EQ(a.keep_minute, std::chrono::hours(6));
  EXPECT_EQ(a.keep_hour, std::chrono::days(35));
  EXPECT_EQ(a.keep_day, std::chrono::days(40));
  EXPECT_EQ(a.max_size, 8'000'000u);
  EXPECT_EQ(a.hosts, 9u);
}

TEST(Settings, WhereIdentitiesComeFrom) {
  auto identity = [](const std::string& text) {
    return settings("[network]\nlan = 'a'\n[identity]\n" + text).identity;
  };
  auto radius = identity(
      "radius = { listen = '[::]:1813', clients = { '10.0.0.2' = { secret_file = '/s' } }, session_timeout = '30m' "
      "}\n");
  EXPECT_EQ(radius.radius_listen, "[::]:1813");
  EXPECT_EQ(radius.radius_clients, (decltype(radius.radius_clients){{*base::IpAddress::parse("10.0.0.2"), "/s"}}));
  EXPECT_EQ(radius.radius_session_timeout, std::chrono::minutes(30));
  EXPECT_TRUE(radius.leases_auto && radius.leases.empty());
  EXPECT_FALSE(identity("leases = 'off'\n").leases_auto);
  EXPECT_EQ(identity("leases = '/x'\n").leases, std::vector<std::string>{"/x"});
  EXPECT_FALSE(identity("leases = ['/x', '/y']\n").leases_auto);
  EXPECT_EQ(rules::needs_restart(settings("[network]\nlan = 'a'\n"),
                                 settings("[network]\nlan = 'a'\n[identity]\nleases = 'off'\n")),
            std::vector<std::string>{"identity.leases"});
}

struct Case {
  const char *toml, *said;
};
class SettingsErrors : public testing::TestWithParam<Case> {};

TEST_P(SettingsErrors, AreSaidWithTheirPlace) {
  EXPECT_EQ(load(config_of("", GetParam().toml)).said, GetParam().said);
}

INSTANTIATE_TEST_SUITE_P(
    All, SettingsErrors,
    testing::ValuesIn(std::vector<Case>{
        {"",
         "sluice.toml:1:1: error: [network] with 'lan' is missing, expected the interfaces whose clients are judged\n"},
        {"[network]\nwan = 'auto'\n",
         "sluice.toml:1:1: error: 'lan' is missing from [network], expected the interfaces whose clients are judged\n"},
        {"[network]\nlan = []\n",
         "sluice.toml:2:7: error: 'lan' is empty, expected the interfaces whose clients are judged\n"},
        {"[network]\nlan = ['eth+', 'a', 'a']\nwan = ['a']\nexclude = ['10.0.0.1/8']\n",
         "sluice.toml:2:8: error: 'eth+' is not an interface name\n"
         "sluice.toml:2:21: error: interface 'a' is listed twice\n"
         "sluice.toml:3:8: error: interface 'a' is in 'lan' too\n"
         "sluice.toml:4:12: error: '10.0.0.1/8' has host bits set, expected '10.0.0.0/8' or one address\n"},
        {"[network]\nlan = 'a'\nports = { http = [80, 443, 0], tls = [443, 80], htp = 1 }\n",
         "sluice.toml:3:28: error: 'http' is 0, expected 1 to 65535\n"
         "sluice.toml:3:39: error: port 443 is already in 'http'\n"
         "sluice.toml:3:44: error: port 80 is already in 'http'\n"
         "sluice.toml:3:49: error: unknown key 'htp', did you mean 'http'? Expected one of dns, http, quic or tls\n"},
        {"[network]\nlan = 'a'\nmark_mask = '0x5'\n",
         "sluice.toml:3:13: error: mark_mask '0x5' needs three or more neighbouring bits\n"},
        {"[network]\nlan = 'a'\nmark_mask = '0x6'\n",
         "sluice.toml:3:13: error: mark_mask '0x6' needs three or more neighbouring bits\n"},
        {"[network]\nlan = 'a'\nmark_mask = '7'\n",
         "sluice.toml:3:13: error: '7' is not a mask, expected 32 bits such as \"0x70000000\"\n"},
        {"[network]\nlan = 'a'\nfirewall = 'pf'\n[log]\naccess = 'x.log'\n[limits]\nconnections = "
         "0\n[identity]\nunknown_mac = 'guests'\n",
         "sluice.toml:3:12: error: unknown value 'pf', expected \"auto\", \"nftables\" or \"iptables\"\n"
         "sluice.toml:5:10: error: 'access' is 'x.log', expected an absolute path, \"syslog\" or \"off\"\n"
         "sluice.toml:7:15: error: 'connections' is 0, expected 1 to 10000000\n"
         "sluice.toml:9:15: error: unknown group 'guests'\n"},
        {"[network]\nlan = 'a'\n[accounting]\nstore = 'usage.db'\nflush = 'often'\ninterval = '0s'\nkeep = { hour = "
         "'1h', week = '1d' }\nmax_size = '5'\nhosts = 0\n",
         "sluice.toml:4:9: error: 'store' is 'usage.db', expected an absolute path or \"off\"\n"
         "sluice.toml:5:9: error: 'flush' is 'often', expected a duration such as \"60s\", \"1h\" or \"35d\"\n"
         "sluice.toml:6:12: error: 'interval' is '0s', expected 1s to 10m\n"
         "sluice.toml:7:17: error: 'hour' is '1h', expected 2d to 3650d\n"
         "sluice.toml:7:23: error: unknown key 'week', expected one of day, hour, minute or month\n"
         "sluice.toml:8:12: error: 'max_size' is '5', expected a size such as \"256MB\", 1MB or more\n"
         "sluice.toml:9:9: error: 'hosts' is 0, expected 1 to 10000\n"},
        {"[network]\nlan = 'a'\n[identity]\nradius = { listen = '127.0.0.1:1813' }\nleases = ['x', '/ok']\n",
         "sluice.toml:4:10: error: 'listen' without 'clients': nobody could say anything to RADIUS\n"
         "sluice.toml:5:11: error: 'leases' is 'x', expected \"auto\", \"off\" or absolute paths of lease files\n"},
        {"[network]\nlan = 'a'\n[identity]\nradius = { clients = { '10.0.0.2' = { secret_file = '/s' } }, "
         "session_timeout "
         "= 'soon' }\nleases = ['off', '/x']\n",
         "sluice.toml:4:10: error: 'clients' without 'listen': nothing would hear these RADIUS clients\n"
         "sluice.toml:4:81: error: 'session_timeout' is 'soon', expected a time up to \"30d\" such as \"30m\"\n"
         "sluice.toml:5:11: error: 'leases' is 'off', expected \"auto\", \"off\" or absolute paths of lease files\n"},
    }));

TEST(Settings, EightAndMoreBitsMakeAMask) {
  EXPECT_EQ(settings("[network]\nlan = 'a'\nmark_mask = '0xff000000'\n").network.mark_mask, 0xff000000u);
  EXPECT_EQ(settings("[network]\nlan = 'a'\nmark_mask = '0xffffffff'\n").network.mark_mask, 0xffffffffu);
}

TEST(Settings, AReloadMayChangeLogLimitsAndExclude) {
  rules::Settings running = settings("[network]\nlan = 'a'\n");
  EXPECT_TRUE(
      rules::needs_restart(
          running,
          settings("[network]\nlan = 'a'\nexclude = '10.0.0.0/8'\n[log]\naccess = 'off'\n[limits]\nconnections = 5\n"))
          .empty());
  EXPECT_EQ(rules::needs_restart(
                running, settings("[network]\nlan = 'b'\nports.http = 8080\nwan = 'x'\n[daemon]\nworkers = 2\n")),
            (std::vector<std::string>{"network.lan", "network.wan", "network.ports", "daemon.workers"}));
  EXPECT_EQ(rules::needs_restart(
                running, settings("[network]\nlan = 'a'\n[accounting]\nstore = 'off'\nkeep.day = '99d'\nhosts = 5\n")),
            (std::vector<std::string>{"accounting.store", "accounting.keep", "accounting.hosts"}));
}

}  // namespace

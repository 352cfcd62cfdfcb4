// What is wrong in policy.toml -> exactly what is said about it, and where.
#include <gtest/gtest.h>

#include "tests/unit/rules/loading.hpp"

namespace {

using rules::testing::load;

struct Case {
  const char* toml;
  const char* said;
};

// Enough of a policy for the rules below to refer to; it takes line 1.
constexpr const char* preamble =
    "group.kids.members = '10.0.0.0/8'\n"
    "schedule.night = 'mon 20:00-06:00'\n"
    "device.tv.mac = '02:00:00:aa:bb:cc'\n"
    "list.own = { format = 'domains', path = 'x', match = 'exact' }\n";  // 4 lines: cases begin on line 5

class PolicyErrors : public testing::TestWithParam<Case> {};

TEST_P(PolicyErrors, AreSaidWithTheirPlace) {
  EXPECT_EQ(load(std::string(preamble) + GetParam().toml).said, GetParam().said);
}

INSTANTIATE_TEST_SUITE_P(
    Keys, PolicyErrors,
    testing::ValuesIn(std::vector<Case>{
        {"grop = 1\n",
         "policy.toml:5:1: error: unknown key 'grop', did you mean 'group'? Expected one of device, group, list, "
         "rule, schedule, shipped_lists or zone\n"},
        {"[group.a]\ntsl = 'sni'\nquic = 'of'\n",
         "policy.toml:6:1: error: unknown key 'tsl', did you mean 'tls'? Expected one of bad_certificate, "
         "bad_certificate_hosts, block_page, dns, "
         "forged_name, if_down, log, members, not_enrolled, quic, safe_search, shape, tenant, tls, tls_skip or "
         "youtube\n"
         "policy.toml:7:8: error: unknown value 'of', expected \"allow\", \"policy\" or \"block\"\n"},
        {"[group.a]\nmembers = 5\n",
         "policy.toml:6:11: error: 'members' is an integer, expected an array of strings\n"},
        {"[group.a]\nsafe_search = 'yes'\n",
         "policy.toml:6:15: error: 'safe_search' is a string, expected true or false\n"},
        {"[group.a]\nyoutube = 'on'\n",
         "policy.toml:6:11: error: unknown value 'on', expected \"off\", \"moderate\" or \"strict\"\n"},
        {"[group.a]\ntenant = { google = [\"b.example\\r\\nX: y\"], microsof = 'c' }\n",
         "policy.toml:6:22: error: 'b.example\r\nX: y' is not a host name; a tenant is a domain or "
         "'consumer_accounts'\n"
         "policy.toml:6:44: error: unknown key 'microsof', did you mean 'microsoft' or 'microsoft_context'? Expected "
         "one "
         "of google, microsoft or microsoft_context\n"},
        {"[group.a.tenant]\nmicrosoft_context = '72f988bf-86f1-41af-91ab-2d7cd011db47'\n",
         "policy.toml:6:21: error: 'microsoft_context' says who asks; 'microsoft' must say who may sign in\n"},
        {"[group.a.tenant]\nmicrosoft = 5\nmicrosoft_context = 'school.example'\n",
         "policy.toml:6:13: error: 'microsoft' is an integer, expected an array of strings\n"
         "policy.toml:7:21: error: 'school.example' is not a directory ID, expected "
         "\"72f988bf-86f1-41af-91ab-2d7cd011db47\"\n"},
        {"[group.a]\nshape = { down = '20', up = '1kbit', per = 'head', burst = 'long', brust = 1 }\n",
         "policy.toml:6:18: error: '20' is not a rate, expected \"20Mbit\"\n"
         "policy.toml:6:29: error: '1kbit' is not from 64kbit to 100Gbit\n"
         "policy.toml:6:44: error: unknown value 'head', expected \"user\", \"device\", \"address\" or \"group\"\n"
         "policy.toml:6:60: error: 'long' is no burst, expected a time at the rate (\"2s\") or a size (\"5MB\")\n"
         "policy.toml:6:68: error: unknown key 'brust', did you mean 'burst'? Expected one of burst, down, per or "
         "up\n"},
        {"[group.a]\nshape = { per = 'user' }\n",
         "policy.toml:6:1: error: 'shape' limits nothing: it needs down or up\n"},
        {"[group.a]\nshape = { down = '1Mbit', up = '100Mbit', burst = '8MB' }\n",
         "policy.toml:6:51: error: '8MB' is more than a minute of the rate\n"},
        {"[group.a]\nshape = { down = '1Mbit', burst = '2m' }\n",
         "policy.toml:6:35: error: '2m' is more than a minute of the rate\n"},
        {"[group.a]\nshape = '20Mbit'\n", "policy.toml:6:9: error: 'shape' is a string, expected a table\n"},
        {"group.a = 3\n", "policy.toml:5:11: error: 'a' is an integer, expected a table\n"},
        {"[rule]\nname = 'x'\n", "policy.toml:5:1: error: 'rule' is a table, expected [[rule]] with double brackets\n"},
        {"x = [1,\n", "policy.toml:5:9: error: encountered end-of-file\n"},
        {"[group.a]\n[!x]\n[group.b]\n", "policy.toml:6:1: error: not TOML, expected a table's name after '['\n"},
        {"[\n", "policy.toml:5:1: error: not TOML, expected a table's name after '['\n"},
        {"[[{", "policy.toml:5:1: error: not TOML, expected a table's name after '['\n"},
        {"# caf\u00e9 \"\nx = 1 \u00e9\n",
         "policy.toml:6:7: error: a character beyond ASCII outside of quotes; expected it in a \"string\" or a # "
         "comment\n"},
        {"x = 1\"\u00e9\"\n",
         "policy.toml:5:7: error: a character beyond ASCII outside of quotes; expected it in a \"string\" or a # "
         "comment\n"},
        {"\u00e9 = \"\"\"a\\\"\"\"\"\n",
         "policy.toml:5:1: error: a character beyond ASCII outside of quotes; expected it in a \"string\" or a # "
         "comment\n"},
    }));

INSTANTIATE_TEST_SUITE_P(
    Doubles, PolicyErrors,
    testing::ValuesIn(std::vector<Case>{
        {"[group.a]\n[group.a]\nquic = 'x'\n[group.b]\nquic = 'y'\n",  // the rest of the file is read all the same
         "policy.toml:6:1: error: defined twice: 'group.a'\n"
         "policy.toml:9:8: error: unknown value 'y', expected \"allow\", \"policy\" or \"block\"\n"},
        {"[group.a]\nlog = 'url'\nlog = 'none'\nif_down = 'shut'\n",
         "policy.toml:7:1: error: defined twice: 'log'\n"
         "policy.toml:8:11: error: unknown value 'shut', expected \"open\" or \"closed\"\n"},
        {"device.a = { mac = '02:00:00:aa:bb:cc' }\n",
         "policy.toml:5:20: error: '02:00:00:aa:bb:cc' already belongs to device 'tv'\n"},
        {"[group.a]\nmembers = ['10.0.0.0/8']\n",
         "policy.toml:6:12: error: member '10.0.0.0/8' is already in group 'kids', at policy.toml:1:22\n"},
        {"[[rule]]\nname = 'r'\naction = 'allow'\n[[rule]]\nname = 'r'\nto = 'host:x.example'\naction = 'block'\n",
         "policy.toml:8:1: warning: rule 'r' is never reached: 'r' at policy.toml:5:1 holds for all of it\n"
         "policy.toml:9:8: error: rule 'r' is defined twice, first at policy.toml:6:8\n"},
    }));

INSTANTIATE_TEST_SUITE_P(
    Names, PolicyErrors,
    testing::ValuesIn(std::vector<Case>{
        {"[[rule]]\nname = 'r'\naction = 'allow'\nfrom = ['kid', 'device:vt', 'tv', 'iface:br-lam']\nwhen = 'nigth'\n"
         "to = ['list:owm', 'category:games']\n",
         "policy.toml:8:9: error: unknown group 'kid', did you mean 'kids'?\n"
         "policy.toml:8:16: error: unknown device 'vt', did you mean 'tv'?\n"
         "policy.toml:8:29: error: unknown group 'tv', did you mean 'device:tv'?\n"
         "policy.toml:8:35: error: interface 'br-lam' is not in [network].lan, did you mean 'br-lan'?\n"
         "policy.toml:9:8: error: unknown schedule 'nigth', did you mean 'night'?\n"
         "policy.toml:10:7: error: unknown list 'owm', did you mean 'own'?\n"
         "policy.toml:10:19: error: unknown category 'games'\n"},
        {"[group.a]\nmembers = ['iface:eth7', 'device:x', 'tv', '10.1.2.3/16', '10.1.2', 'mac:x', 'user:']\n",
         "policy.toml:6:12: error: interface 'eth7' is not in [network].lan\n"
         "policy.toml:6:26: error: unknown device 'x'\n"
         "policy.toml:6:38: error: 'tv' is not a member, did you mean 'device:tv'?\n"
         "policy.toml:6:44: error: '10.1.2.3/16' has host bits set, expected '10.1.0.0/16' or one address\n"
         "policy.toml:6:59: error: '10.1.2' is not an address or a prefix\n"
         "policy.toml:6:69: error: 'mac:x' is not a member, expected an address, a prefix, user:, role:, device: or "
         "iface:\n"
         "policy.toml:6:78: error: 'user:' has no name after ':'\n"},
        {"[group.'user:x']\n",
         "policy.toml:5:8: error: a group cannot be called 'user:x': in 'from' that is an address or has a meaning of "
         "its own\n"},
        {"device.a = {}\ndevice.b = { mac = '02:00', ip = '10.0.0.0/24' }\n",
         "policy.toml:5:8: error: device 'a' has neither 'mac' nor 'ip' nor 'hostname'\n"
         "policy.toml:6:20: error: '02:00' is not a MAC address, expected \"02:00:00:aa:bb:cc\"\n"
         "policy.toml:6:34: error: '10.0.0.0/24' is not an address; prefixes are members of groups, not devices\n"},
    }));

INSTANTIATE_TEST_SUITE_P(
    Rules, PolicyErrors,
    testing::ValuesIn(std::vector<Case>{
        {"[[rule]]\naction = 'allow'\nfrom = 'kids'\n[[rule]]\nname = ''\naction = 'alow'\nfrom = '10.0.0.1'\n",
         "policy.toml:5:1: error: 'name' is missing: every rule has one\n"
         "policy.toml:9:8: error: 'name' is empty: every rule has one\n"
         "policy.toml:10:10: error: unknown value 'alow', expected \"allow\", \"block\", \"warn\", \"code\" or "
         "\"quota\"\n"},
        {"[[rule]]\nname = 'd'\ntier = 'default'\naction = 'allow'\nfrom = 'kids'\n"
         "[[rule]]\nname = 'n'\naction = 'allow'\nport = 'tcp/80'\n"
         "[[rule]]\nname = 'm'\ntier = 'must'\naction = 'allow'\nmethod = 'get'\n",
         "policy.toml:10:1: error: a rule of tier \"normal\" after one of tier \"default\": inside a file, must rules "
         "come first "
         "and default rules last\n"
         "policy.toml:16:8: error: a rule of tier \"must\" after one of tier \"default\": inside a file, must rules "
         "come first "
         "and default rules last\n"},
        {"[[rule]]\nname = 'r'\naction = 'allow'\nto = ['example.org', '192.0.2.1', 'own', 'a.example/b', "
         "'host:*.x.example', "
         "'url:x.example:80/', 'regex:(', 'ip:300.1.1.1', 'host:192.0.2.1', 'x y']\n",
         "policy.toml:8:7: error: 'example.org' says not what it is, did you mean 'host:example.org'?\n"
         "policy.toml:8:22: error: '192.0.2.1' says not what it is, did you mean 'ip:192.0.2.1'?\n"
         "policy.toml:8:35: error: 'own' says not what it is, did you mean 'list:own'?\n"
         "policy.toml:8:42: error: 'a.example/b' says not what it is, did you mean 'url:a.example/b'?\n"
         "policy.toml:8:57: error: '*.x.example': a host matches everything below it too, write 'x.example'\n"
         "policy.toml:8:77: error: 'x.example:80/': url: takes no port, add a 'port' condition\n"
         "policy.toml:8:98: error: regex '(': missing ): (\n"
         "policy.toml:8:109: error: '300.1.1.1' is not an address or a prefix\n"
         "policy.toml:8:125: error: '192.0.2.1' is an address, expected a host name; use ip:\n"
         "policy.toml:8:143: error: 'x y' says not what it is, expected one of category:, list:, host:, url:, regex: "
         "or ip:\n"},
        {"[[rule]]\nname = 'r'\naction = 'allow'\nfrom = []\nport = ['22', 'tcp/0', 'udp/70000', 'tcp/9-8']\n"
         "larger_than = '200'\nresponse_type = 'zip'\nminutes = 5\n",
         "policy.toml:8:8: error: 'from' is empty, expected at least one value\n"
         "policy.toml:9:9: error: '22' is not a port, expected \"tcp/22\", \"udp/3074\" or \"tcp/5000-5010\"\n"
         "policy.toml:9:15: error: 'tcp/0' is not a port, expected \"tcp/22\", \"udp/3074\" or \"tcp/5000-5010\"\n"
         "policy.toml:9:24: error: 'udp/70000' is not a port, expected \"tcp/22\", \"udp/3074\" or \"tcp/5000-5010\"\n"
         "policy.toml:9:37: error: 'tcp/9-8' is not a port, expected \"tcp/22\", \"udp/3074\" or \"tcp/5000-5010\"\n"
         "policy.toml:10:15: error: '200' is not a size, expected \"200MB\"\n"
         "policy.toml:11:17: error: 'zip' is not a media type, expected \"application/zip\" or \"video/*\"\n"
         "policy.toml:12:1: error: 'minutes' belongs to action = \"warn\"\n"},
    }));

INSTANTIATE_TEST_SUITE_P(
    Lists, PolicyErrors,
    testing::ValuesIn(std::vector<Case>{
        {"[list.a]\nformat = 'domains'\npath = 'a'\n[list.b]\nformat = 'adguard'\npath = 'b'\n[list.c]\nformat = "
         "'hosst'\n"
         "[list.d]\nformat = 'hosts'\npath = 'd'\nurl = 'https://x.example/d'\nmatch = 'exact'\n[list.e]\npath = 'e'\n",
         "policy.toml:5:7: error: 'match' is missing: format 'domains' needs \"subdomains\" or \"exact\", because "
         "publishers disagree\n"
         "policy.toml:11:7: error: 'path' or 'url' is missing\n"
         "policy.toml:12:10: error: unknown format 'hosst', expected one of squidguard, hosts, domains, adguard, "
         "dnsmasq, unbound, "
         "rpz, e2guardian, urls or regex\n"
         "policy.toml:13:7: error: 'path' and 'url' exclude each other\n"
         "policy.toml:17:9: error: 'match' belongs to format 'domains' only\n"
         "policy.toml:18:7: error: 'format' is missing\n"},
        {"[list.a]\nformat = 'hosts'\nurl = 'ftp://x.example/'\nevery = '5m'\nmax_shrink = '130%'\nmax_grow = 'x'\n"
         "never = 'a b'\n[list.b]\nformat = 'squidguard'\npath = 'b'\nevery = '24h'\ncategory = 'ads'\n",
         "policy.toml:7:7: error: 'ftp://x.example/' is not a URL, expected \"https://...\"\n"
         "policy.toml:8:9: error: '5m' is not a period of at least 10 minutes, expected \"24h\"\n"
         "policy.toml:9:14: error: 'max_shrink' is above 100%: a category cannot lose more than it has\n"
         "policy.toml:10:12: error: 'x' is not a percentage, expected \"30%\"\n"
         "policy.toml:11:9: error: 'a b' is not a host name\n"
         "policy.toml:15:9: error: 'every' belongs to a list with 'url'\n"
         "policy.toml:16:12: error: 'category' does not go with format 'squidguard', whose folders are categories\n"},
    }));

TEST(PolicyErrors, NamesAreCheckedOverAllFiles) {
  rules::ConfigText config = rules::testing::config_of("zone = 'UTC'\n[group.a]\n");
  config.policy.push_back({"policy.d/10.toml", "zone = 'UTC'\n[group.a]\n[schedule]\nx = 'mon 1:00-2:00'\n"});
  config.policy.push_back(
      {"policy.d/20.toml", "[[rule]]\nname = 'late must'\ntier = 'must'\nfrom = 'a'\nwhen = 'x'\naction = 'allow'\n"});
  EXPECT_EQ(load(config).said,
            "policy.d/10.toml:1:8: error: 'zone' is defined twice, first at policy.toml:1:8\n"
            "policy.d/10.toml:2:8: error: group 'a' is defined twice, first at policy.toml:2:8\n");
}

TEST(PolicyErrors, AFileThatDoesNotParseHidesNoOtherErrors) {
  rules::ConfigText config = rules::testing::config_of("[group.a\n", "[network]\nlan = 'br-lan'\nwam = 1\n");
  config.policy.push_back({"policy.d/10.toml", "[[rule]]\nname = 'r'\nfrom = 'a'\naction = 'bloc'\n"});
  std::string said = load(config).said;
  EXPECT_NE(said.find("sluice.toml:3:1: error: unknown key 'wam', did you mean 'wan'?"), said.npos) << said;
  EXPECT_NE(said.find("policy.toml:1:"), said.npos) << said;
  EXPECT_NE(said.find("policy.d/10.toml:4:10: error: unknown value 'bloc'"), said.npos) << said;
  EXPECT_EQ(said.find("unknown group"), said.npos) << said;  // it may stand in the file that is broken
}

TEST(PolicyErrors, ADoubleInsideAnInlineTableEndsTheReading) {
  std::string said = load("[group.g]\nshape = { up = '1Mbit', up = '2Mbit' }\n").said;
  EXPECT_NE(said.find("policy.toml:2:1: error: defined twice: 'up'"), said.npos) << said;
}

}  // namespace

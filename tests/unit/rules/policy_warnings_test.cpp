// What a policy may say and this build does not do, or what is probably not meant: exactly the warnings, errors in
// must.
#include <gtest/gtest.h>

#include "rules/image_writer.hpp"
#include "tests/unit/rules/loading.hpp"

namespace {

using rules::testing::config_of;
using rules::testing::load;

std::string warn(const std::string& place, const std::string& what) {
  return "policy.toml:" + place + ": warning: " + what + "\n";
}

TEST(PolicyWarnings, KeysOfAGroupThatAreNotEnforcedAreNamedOnce) {
  std::string plain =
      "[group.plain]\ntls = 'sni'\nnot_enrolled = 'sni'\nsafe_search = false\nyoutube = 'off'\ndns = 'off'\n"
      "block_page = 'reset'\nforged_name = 'off'\ntls_skip = []\nquic = 'block'\n";
  EXPECT_EQ(load(plain).said, "") << "a value that asks for nothing is no news";
  const std::string build = " is not enforced by this build";
  EXPECT_EQ(load("[group.g]\ntls = 'inspect'\ntls_skip = 'host:x.example'\nsafe_search = true\nyoutube = 'strict'\n"
                 "tenant = { google = 'x.example' }\nquic = 'policy'\ndns = 'force'\nshape = { down = '20Mbit' }\n"
                 "block_page = 'https'\nforged_name = 'log'\nnot_enrolled = 'refuse'\nmembers = ['user:jane', "
                 "'role:pupils']\n")
                .said,
            warn("8:1", "'dns'" + build + ": DNS is left alone") +
                warn("11:1", "'forged_name'" + build + ": names are not compared with DNS answers"));
}

TEST(PolicyWarnings, ARuleWithAConditionThatCannotBeSeenNeverHolds) {
  auto outcome = load("[[rule]]\nname = 'r'\nfile_type = ['exe']\naction = 'block'\n");
  EXPECT_EQ(outcome.said, warn("3:1", "'file_type' is not enforced by this build: this rule never holds"));
  EXPECT_TRUE(outcome.loaded.snapshot->rules.empty()) << "leaving the condition out would block everything";
}

TEST(PolicyWarnings, AreErrorsWhereAMustRuleReliesOnThem) {
  std::string text =
      "[list.far]\nformat = 'hosts'\nurl = 'https://x.example/'\n[group.g]\ntls = 'inspect'\n[[rule]]\nname = "
      "'r'\ntier = 'must'\n"
      "from = ['user:jane', 'g']\nto = ['list:far', 'category:x', 'url:x.example/y']\nport = 'udp/443'\ndirect_ip = "
      "true\n"
      "action = 'warn'\n";
  EXPECT_EQ(
      load(text).said,
      "policy.toml:10:7: warning: list 'far' (url) is not fetched yet: it holds for nothing so far\n"
      "policy.toml:10:19: warning: category 'x' is in no list that is here; list 'far' (url) is not fetched yet: "
      "it "
      "holds for nothing so far\n"
      "policy.toml:12:1: error: 'direct_ip' is not enforced by this build: this rule never holds; a \"must\" rule "
      "cannot rely on it\n");
}

TEST(PolicyErrors, OriginsThatMayBeBadAreNamed) {
  EXPECT_EQ(
      load("[group.g]\ntls = 'inspect'\nbad_certificate = 'pass'\n").said,
      "policy.toml:3:19: error: bad_certificate = \"pass\" needs bad_certificate_hosts = [...]: the hosts that it "
      "is for\n");
  EXPECT_EQ(load("[group.g]\nbad_certificate_hosts = 'host:x.example'\n").said,
            warn("2:25", "bad_certificate_hosts does nothing without bad_certificate = \"pass\""));
  auto outcome = load(
      "[group.g]\ntls = 'inspect'\nbad_certificate = 'pass'\nbad_certificate_hosts = 'host:x.example'\n"
      "tls_skip = ['host:bank.example']\nnot_enrolled = 'refuse'\nblock_page = 'https'\n");
  EXPECT_EQ(outcome.said, "");
  const policy::Group& group = outcome.loaded.snapshot->groups[1];
  auto name = [](const char* text) { return *base::DomainName::parse(text); };
  base::DomainName below = name("www.x.example"), bank = name("bank.example"), other = name("ank.example");
  EXPECT_TRUE(policy::contains(group.bad_certificate_pass, {}, &below));
  EXPECT_TRUE(policy::contains(group.tls_skip, {}, &bank));
  EXPECT_FALSE(policy::contains(group.tls_skip, {}, &other));
  EXPECT_FALSE(policy::contains(group.tls_skip, {}, nullptr));
  EXPECT_EQ(group.not_enrolled, policy::NotEnrolled::refuse);
  EXPECT_TRUE(group.wants_page);
}

TEST(PolicyWarnings, ARuleBehindAWiderOneIsNeverReached) {
  const std::string group = "group.a = {}\n[[rule]]\nname = 'wide'\n";
  const std::string second = "[[rule]]\nname = 'narrow'\n";
  struct Case {
    const char *wide, *narrow;
    bool is_covered;
  };
  for (const Case& c :
       {Case{"", "to = 'host:x.example'", true},
        Case{"to = 'host:example'", "from = 'a'\nto = ['host:x.example', 'host:example']", true},
        Case{"to = 'host:x.example'", "to = 'host:example'", false},
        Case{"from = '10.0.0.0/8'", "from = ['10.1.0.0/16', '10.2.0.1']\nport = 'tcp/80'", true},
        Case{"from = '10.0.0.0/8'", "from = ['10.1.0.0/16', 'a']", false},
        Case{"not_to = 'host:x.example'", "not_to = ['host:x.example', 'host:y.example']", true},
        Case{"not_to = ['host:x.example', 'host:y.example']", "not_to = 'host:x.example'", false},
        Case{"port = 'tcp/1-100'", "port = ['tcp/80', 'tcp/100']", true},
        Case{"port = 'tcp/1-100'", "port = 'udp/80'", false}, Case{"larger_than = '1MB'", "larger_than = '2MB'", true},
        Case{"larger_than = '2MB'", "larger_than = '1MB'", false},
        Case{"shadow = true", "to = 'host:x.example'", false}, Case{"to = 'regex:a'", "to = 'regex:a'", false}}) {
    std::string said = load(group + c.wide + "\naction = 'allow'\n" + second + c.narrow + "\naction = 'allow'\n").said;
    EXPECT_EQ(said.find("rule 'narrow' is never reached: 'wide' at policy.toml:2:1") != said.npos, c.is_covered)
        << c.wide << " / " << c.narrow << "\n"
        << said;
  }
}

TEST(PolicyWarnings, ABlockOfEverythingIsNoNews) {
  EXPECT_EQ(load("device.tv.mac = '02:00:00:aa:bb:cc'\n[[rule]]\nname = 'first'\nfrom = 'device:tv'\naction = 'block'\n"
                 "[[rule]]\nname = 'second'\nto = 'ip:192.0.2.0/24'\nport = ['udp/3074']\naction = 'block'\n")
                .said,
            "");
}

TEST(PolicyWarnings, TlsOffHidesNames) {
  EXPECT_EQ(load("group.free = { tls = 'off' }\n[[rule]]\nname = 'r'\ntier = 'must'\nto = 'host:x.example'\naction = "
                 "'block'\n")
                .said,
            warn("1:7",
                 "group 'free' has tls = \"off\": rules that need a name, \"must\" included, do not apply to its TLS "
                 "and QUIC; the first is 'r'"));
}

TEST(PolicyWarnings, ListsAndCategories) {
  rules::ImageWriter writer(1);
  auto games = *writer.tag("category:games"), bank = *writer.tag("category:bank"), own = *writer.tag("list:own");
  writer.mark_white(bank);
  auto source = writer.add_source("own/games/domains", {games, bank, own}, 1, false);
  writer.add_name(*base::DomainName::parse("arcade.example"), rules::ImageWriter::Scope::tree, {source, 1});
  std::vector<std::uint8_t> image =
      *std::move(writer).finish([](base::Bytes) { return base::Result<>(base::Nothing{}); });
  std::string text =
      "list.own = { format = 'squidguard', path = 'own' }\nlist.none = { format = 'hosts', path = 'none' }\n"
      "[[rule]]\nname = 'r'\nto = ['category:games', 'category:bank', 'list:own']\naction = 'block'\n";
  auto outcome = load(config_of(text), base::Bytes(image));
  EXPECT_EQ(outcome.said,
            warn("5:25", "category 'bank' is tagged \"white\" by its publisher: it is meant to be allowed"));
  policy::TagSet expected;
  for (policy::TagId tag : {games, bank, own}) expected.insert(tag);
  EXPECT_EQ(outcome.loaded.snapshot->rules[0].conditions.to->tags, expected);
  EXPECT_NE(load(config_of("[[rule]]\nname = 'r'\nto = 'category:game'\naction = 'block'\n"), base::Bytes(image))
                .said.find("unknown category 'game', did you mean 'games'?"),
            std::string::npos);
  image[image.size() / 2] ^= 1;
  EXPECT_NE(load(config_of(""), base::Bytes(image)).said.find("error: list image: "), std::string::npos);
}

TEST(PolicyWarnings, SectionsOfSluiceTomlThatHaveNoEffectAreNamedOnce) {
  std::string sluice = rules::testing::plain_sluice;
  EXPECT_EQ(
      load(config_of("", sluice + "[metrics]\nlisten = ''\n[dns]\nupstream = 'client'\n[identity]\nunknown_mac = ''\n"))
          .said,
      "");
  EXPECT_EQ(
      load(config_of("group.new = {}\n",
                     sluice +
                         "[metrics]\nlisten = '127.0.0.1:9733'\n[dns]\nupstream = ['9.9.9.9', 'tls://dns.example']\n"
                         "[identity]\nunknown_mac = 'new'\n"))
          .said,
      "sluice.toml:5:2: warning: [dns] is not enforced by this build: its values have no effect\n");
}

}  // namespace

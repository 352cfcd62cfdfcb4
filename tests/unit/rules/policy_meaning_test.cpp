// What a policy without faults becomes: the snapshot that decide() walks.
#include <gtest/gtest.h>

#include "tests/unit/rules/loading.hpp"

namespace {

using rules::testing::load;

TEST(PolicyMeaning, RulesStandInWalkingOrderOverAllFiles) {
  auto rule = [](const char* name, const char* tier) {
    return std::string("[[rule]]\nname = '") + name + "'\ntier = '" + tier + "'\nto = 'host:" + name +
           ".example'\naction = 'allow'\n";
  };
  rules::ConfigText config = rules::testing::config_of(rule("a", "must") + rule("b", "normal") + rule("c", "default"));
  config.policy.push_back({"policy.d/1.toml", rule("d", "must") + rule("e", "normal") + rule("f", "default")});
  auto outcome = load(config);
  ASSERT_TRUE(outcome.loaded.snapshot) << outcome.said;
  std::string order;
  for (const policy::Rule& r : outcome.loaded.snapshot->rules) order += r.name;
  EXPECT_EQ(order, "adbecf");
  EXPECT_EQ(outcome.loaded.snapshot->rules[1].file, "policy.d/1.toml");
  EXPECT_EQ(outcome.loaded.snapshot->rules[3].line, 6u);
}

TEST(PolicyMeaning, ConditionsAndActions) {
  auto outcome = load(
      "[group.kids]\n[device]\n'Mia tablet' = { mac = '02:00:00:AA:bb:cc' }\n[schedule]\nnight = 'mon "
      "20:00-06:00'\n[[rule]]\nname = 'r'\n"
      "from = ['kids', 'device:Mia tablet', 'iface:br-lan', '10.0.0.0/8']\nnot_from = '10.1.0.0/16'\nwhen = 'night'\n"
      "to = ['host:B\xc3\xbc"
      "cher.Example.', 'url:http://X.example/a%7Eb/../C/', 'ip:192.0.2.0/24', 'regex:^x']\n"
      "port = 'tcp/80-90'\nmethod = 'post'\nresponse_type = 'Video/*'\nuser_agent = 'Bot'\nlarger_than = "
      "'200MB'\nnot_no_name = true\n"
      "shadow = true\nlive = 'keep'\naction = 'block'\n");
  ASSERT_TRUE(outcome.loaded.snapshot) << outcome.said;
  EXPECT_EQ(outcome.said, "");
  const policy::Rule& rule = outcome.loaded.snapshot->rules.at(0);
  const policy::Conditions& c = rule.conditions;
  EXPECT_EQ(c.from->groups, std::vector{policy::GroupId{1}});
  EXPECT_EQ(c.from->devices, std::vector{policy::DeviceId{0}});
  EXPECT_EQ(c.from->interfaces, std::vector<std::string>{"br-lan"});
  EXPECT_EQ(c.not_from->prefixes.at(0).to_string(), "10.1.0.0/16");
  EXPECT_TRUE(c.when->contains(policy::ScheduleId{0}));
  EXPECT_EQ(c.to->hosts.at(0).text(), "xn--bcher-kva.example");
  EXPECT_EQ(c.to->urls.at(0).host.text(), "x.example");
  EXPECT_EQ(c.to->urls.at(0).path, "/C/");
  EXPECT_EQ(c.to->prefixes.at(0).to_string(), "192.0.2.0/24");
  EXPECT_TRUE(c.to->regexes.matches("xy"));
  EXPECT_EQ(c.port->at(0).last, 90);
  EXPECT_EQ(*c.method, std::vector<std::string>{"POST"});
  EXPECT_EQ(*c.response_type, std::vector<std::string>{"video/*"});
  EXPECT_EQ(*c.larger_than, 200'000'000u);
  EXPECT_EQ(c.no_name, false);
  EXPECT_TRUE(rule.shadow && rule.live_keep);
  EXPECT_EQ(rule.action, policy::Action::block);
}

TEST(PolicyMeaning, GroupsHaveTheirDocumentedDefaults) {
  auto snapshot = load("[group.a]\n[group.default]\nif_down = 'closed'\nlog = 'none'\n").loaded.snapshot;
  ASSERT_TRUE(snapshot);
  ASSERT_EQ(snapshot->groups.size(), 2u);
  EXPECT_EQ(snapshot->groups[0].name, "default");
  EXPECT_EQ(snapshot->groups[0].if_down, policy::IfDown::closed);
  const policy::Group& a = snapshot->groups[1];  // nothing inherits from default
  EXPECT_EQ(a.tls, policy::TlsMode::sni);
  EXPECT_EQ(a.quic, policy::QuicMode::policy);
  EXPECT_EQ(a.if_down, policy::IfDown::open);
  EXPECT_EQ(a.log, policy::LogDetail::domain);
}

TEST(PolicyMeaning, ShapesInBitsAndBytes) {
  auto outcome = load(
      "[group.a]\nshape = { down = '20Mbit', up = '5Mbit', per = 'group', burst = '2s' }\n"
      "[group.b]\nshape = { up = '64kbit', burst = '3 kB' }\n");
  ASSERT_TRUE(outcome.loaded.snapshot) << outcome.said;
  EXPECT_EQ(outcome.said, "");
  const auto& groups = outcome.loaded.snapshot->groups;
  EXPECT_FALSE(groups[0].shape.limits());
  const policy::Shape& a = groups[1].shape;
  EXPECT_EQ(a.down, 20'000'000u);
  EXPECT_EQ(a.up, 5'000'000u);
  EXPECT_EQ(a.down_burst, 5'000'000u);
  EXPECT_EQ(a.up_burst, 1'250'000u);
  EXPECT_EQ(a.per, policy::ShapePer::group);
  const policy::Shape& b = groups[2].shape;
  EXPECT_EQ(b.down, 0u);
  EXPECT_EQ(b.down_burst, 0u) << "no limit, no burst";
  EXPECT_EQ(b.up_burst, 3000u);
  EXPECT_EQ(b.per, policy::ShapePer::user);
}

TEST(PolicyMeaning, MembersReachTheClientTable) {
  auto snapshot = load(
                      "device.tv = { mac = '02:00:00:aa:bb:cc', ip = ['10.0.0.9', 'fd00::9'] }\n"
                      "group.a.members = ['device:tv', '10.1.0.0/16', 'iface:br-guest', '::ffff:10.2.0.1']\n")
                      .loaded.snapshot;
  ASSERT_TRUE(snapshot);
  const policy::ClientTable& clients = snapshot->clients;
  EXPECT_EQ(clients.devices_by_mac().size(), 1u);
  EXPECT_EQ(clients.devices_by_ip().size(), 2u);
  EXPECT_EQ(clients.groups_by_device().at(policy::DeviceId{0}), policy::GroupId{1});
  EXPECT_EQ(clients.prefixes().size(), 2u);
  EXPECT_EQ(clients.groups_by_interface().count("br-guest"), 1u);
}

TEST(PolicyMeaning, ActionsAreTaken) {
  std::string text;
  for (const char* action : {"warn", "code", "quota"})
    text += std::string("[[rule]]\nname = '") + action + "'\nto = 'host:" + action + ".example'\naction = '" + action +
            "'\n" + (std::string_view(action) == "quota" ? "per_day = '30m'\nreset = '04:00'\n" : "");
  auto snapshot = load(text).loaded.snapshot;
  ASSERT_TRUE(snapshot);
  EXPECT_EQ(snapshot->rules[0].action, policy::Action::warn);
  EXPECT_EQ(snapshot->rules[1].action, policy::Action::code);
  EXPECT_EQ(snapshot->rules[2].action, policy::Action::quota);
}

TEST(PolicyMeaning, QuotasAreADaysOrAWeeks) {
  auto snapshot = load(
                      "[[rule]]\nname = 'a'\naction = 'quota'\nper_day = '30m'\nreset = '04:00'\n[[rule]]\nname = 'b'\n"
                      "action = 'quota'\nper_week = '500MB'\nreset = 'wed 06:30'\n")
                      .loaded.snapshot;
  ASSERT_TRUE(snapshot);
  policy::Quota a{.time = std::chrono::minutes(30), .reset_minute = 240};
  policy::Quota b{.period = policy::Quota::Period::week, .bytes = 500'000'000, .reset_minute = 390, .reset_weekday = 2};
  EXPECT_EQ(snapshot->rules[0].quota, a);
  EXPECT_EQ(snapshot->rules[1].quota, b);
}

TEST(PolicyMeaning, TheDigestTellsPoliciesApart) {
  auto digest = [](const char* text) { return load(std::string(text)).loaded.snapshot->digest; };
  EXPECT_EQ(digest("").size(), 16u);
  EXPECT_EQ(digest("group.a = {}\n"), digest("group.a = {}\n"));
  EXPECT_NE(digest("group.a = {}\n"), digest("group.b = {}\n"));
}

TEST(PolicyMeaning, TheBuiltInBlockPageNamesWhatAnAdminNeeds) {
  std::string_view page = rules::default_block_page;
  for (const char* name : {"{{what}}", "{{why}}", "{{rule}}", "{{id}}", "{{client}}", "{{time}}"})
    EXPECT_NE(page.find(name), page.npos) << name;
  for (const char* outside : {"http:", "https:", "src=", "url(", "<script", "@import"})
    EXPECT_EQ(page.find(outside), page.npos) << "the page must stand alone: " << outside;
  rules::ConfigText config = rules::testing::config_of("");
  config.block_page = {"templates/block.html", "<p>\n  {{wat}}"};
  std::string said = load(config).said;
  EXPECT_TRUE(said.starts_with("templates/block.html:2:3: error: unknown name 'wat'")) << said;
}

}  // namespace

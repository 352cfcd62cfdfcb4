// What an admin is told about a client and a target, and the times that may be asked for.
#include "control/explain.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rules/zone.hpp"
#include "tests/unit/rules/list_folder.hpp"
#include "tests/unit/rules/loading.hpp"

namespace control {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* policy_text = R"(zone = "UTC"
schedule.lessons = "mon-fri 08:00-17:00"
device.tablet = { mac = "02:00:00:aa:bb:cc" }
group.kids = { members = ["10.20.0.0/16", "device:tablet"] }
group.staff = { members = ["10.30.0.0/16"], quic = "allow" }
group.guests = { members = ["10.40.0.0/16"], tls = "off" }
list.own = { format = "domains", path = "own.txt", match = "subdomains" }
[[rule]]
name = "homework"
from = "kids"
to = "host:wiki.example"
action = "allow"
[[rule]]
name = "no games"
from = "kids"
to = "list:own"
action = "block"
[[rule]]
name = "lessons only"
from = "kids"
when = "lessons"
to = "host:video.example"
action = "block"
[[rule]]
name = "try it"
to = "host:shadow.example"
action = "block"
shadow = true
[[rule]]
name = "one path"
to = "url:paths.example/private/"
action = "block"
)";

class ExplainTest : public testing::Test {
 protected:
  ExplainTest() {
    folder_.write("lists/own.txt", "# ours\ngames.example\n");
    rules::ConfigText config = rules::testing::config_of(policy_text);
    config.directory = folder_.path();
    config.policy[0].path = "policy.toml";
    rules::Diagnostics diagnostics;
    auto image = std::make_shared<rules::ListImage>(
        rules::compile_lists(rules::list_declarations(config, {"state", ""}, diagnostics), diagnostics));
    snapshot_ = rules::build(config, {image->bytes, image->sources, image}, diagnostics).snapshot;
    EXPECT_TRUE(snapshot_) << rules::testing::lines_of(diagnostics);
  }

  Reply ask(const std::string& client, const std::string& target, const std::string& time = "2026-11-23 10:15") {
    policy::Sighting sighting;
    sighting.address = *base::IpAddress::parse(client);
    sighting.interface = "br-lan";
    return ask(sighting, target, time);
  }
  Reply ask(const policy::Sighting& sighting, const std::string& target, const std::string& time = "2026-11-23 10:15") {
    return explain(
        {*snapshot_, snapshot_->clients.identify(sighting), *parse_time(time, {}, {}), {}, target, kernel_lane_});
  }

  bool kernel_lane_ = true;
  ListFolder folder_;
  std::shared_ptr<const policy::Snapshot> snapshot_;
};

TEST_F(ExplainTest, NamesTheListItsLineAndTheRuleThatBlocks) {
  Reply reply = ask("10.20.0.7", "https://www.games.example/play");
  EXPECT_EQ(reply.exit, 1);
  EXPECT_THAT(reply.text, HasSubstr("https     BLOCKED by rule \"no games\" (policy.toml:13)"));
  EXPECT_THAT(reply.text, HasSubstr("own.txt:2"));
  EXPECT_THAT(reply.text, HasSubstr("group     kids  (tls sni, quic policy, if_down open)"));
  EXPECT_THAT(reply.text, HasSubstr("  > \"no games\" block: "));
  EXPECT_EQ(reply.data["https"]["rule"], "no games");
  EXPECT_EQ(reply.data["https"]["rule_at"], "policy.toml:13");
  EXPECT_EQ(reply.data["refused"], true);
  EXPECT_EQ(reply.data["lists"][0]["entry"], "games.example");
}

TEST_F(ExplainTest, NamesTheRuleThatAllows) {
  Reply reply = ask("10.20.0.7", "wiki.example");
  EXPECT_EQ(reply.exit, 0);
  EXPECT_THAT(reply.text, HasSubstr("https     allowed by rule \"homework\" (policy.toml:8)"));
  EXPECT_THAT(reply.text, HasSubstr("no list holds it"));
  EXPECT_EQ(reply.data["https"]["refused"], false);
}

TEST_F(ExplainTest, SaysThatNoRuleHolds) {
  Reply reply = ask("10.30.0.7", "games.example");
  EXPECT_EQ(reply.exit, 0);
  EXPECT_THAT(reply.text, HasSubstr("https     allowed: no rule holds"));
  EXPECT_EQ(reply.data["https"]["reason"], "no_rule");
  EXPECT_THAT(reply.text, HasSubstr("own.txt:2")) << "lists are told of whether or not a rule asks for them";
}

TEST_F(ExplainTest, JudgesTheTimeThatIsAskedFor) {
  EXPECT_EQ(ask("10.20.0.7", "video.example", "2026-11-23 10:15").exit, 1);
  Reply evening = ask("10.20.0.7", "video.example", "2026-11-23 17:00");
  EXPECT_EQ(evening.exit, 0);
  EXPECT_THAT(evening.text, HasSubstr("time      2026-11-23 17:00:00 UTC; active schedules: none"));
  EXPECT_EQ(ask("10.20.0.7", "video.example").data["schedules"], Json::array({"lessons"}));
}

TEST_F(ExplainTest, TheSchemeDecidesWhichAnswerIsTheExitStatus) {
  Reply plain = ask("10.30.0.7", "http://paths.example/private/x");
  EXPECT_EQ(plain.exit, 1);
  EXPECT_THAT(plain.text, HasSubstr("http      BLOCKED by rule \"one path\""));
  Reply encrypted = ask("10.30.0.7", "https://paths.example/private/x");
  EXPECT_EQ(encrypted.exit, 0) << "TLS never tells the path";
  EXPECT_EQ(encrypted.data["http"]["refused"], true);
}

TEST_F(ExplainTest, SaysWhatAShadowRuleWouldHaveDecided) {
  Reply reply = ask("10.30.0.7", "shadow.example");
  EXPECT_EQ(reply.exit, 0);
  EXPECT_THAT(reply.text, HasSubstr("; shadow rule \"try it\" (policy.toml:24) would have decided"));
}

TEST_F(ExplainTest, SaysWhatIsNotLookedAt) {
  Reply reply = ask("10.40.0.7", "https://games.example");
  EXPECT_EQ(reply.exit, 0);
  EXPECT_THAT(reply.text, HasSubstr("https     passes: tls = \"off\""));
  EXPECT_THAT(reply.text, HasSubstr("quic      passes: "));
  kernel_lane_ = false;
  EXPECT_THAT(ask("10.20.0.7", "wiki.example").text,
              HasSubstr("quic      refused, so that browsers come back over TCP"));
  EXPECT_THAT(ask("10.30.0.7", "wiki.example").text, HasSubstr("quic      passes: "));
}

TEST_F(ExplainTest, QuicIsJudgedByNameWhereThereIsAKernelLane) {
  EXPECT_THAT(ask("10.20.0.7", "wiki.example").text, HasSubstr("quic      allowed"));
  Reply games = ask("10.20.0.7", "games.example");
  EXPECT_THAT(games.text, HasSubstr("quic      BLOCKED by rule \"no games\""));
  EXPECT_EQ(games.data["quic"]["rule"], "no games");
}

TEST_F(ExplainTest, SaysHowTheClientWasKnown) {
  policy::Sighting tablet;
  tablet.address = *base::IpAddress::parse("192.0.2.9");
  tablet.mac = base::MacAddress::parse("02:00:00:aa:bb:cc");
  tablet.interface = "br-lan";
  Reply reply = ask(tablet, "wiki.example");
  EXPECT_THAT(reply.text, HasSubstr("client    192.0.2.9, device \"tablet\", MAC 02:00:00:aa:bb:cc, on br-lan; group "
                                    "chosen by device\n"));
  EXPECT_EQ(reply.data["group"], "kids");
  EXPECT_EQ(reply.data["device"], "tablet");
}

TEST_F(ExplainTest, ALiteralAddressHasNoName) {
  Reply reply = ask("10.20.0.7", "https://[2001:db8::1]/");
  EXPECT_EQ(reply.exit, 0);
  EXPECT_THAT(reply.text, HasSubstr("target    https://[2001:db8::1]/"));
}

TEST_F(ExplainTest, WhatIsNoTargetIsSaid) {
  for (const char* bad : {"", "https://", "http://user@games.example/", "ftp://games.example/", "a b"}) {
    Reply reply = ask("10.20.0.7", bad);
    EXPECT_EQ(reply.exit, 2) << bad;
    EXPECT_THAT(reply.text, HasSubstr("is neither a URL nor a host name")) << bad;
  }
}

// --- times

policy::Zone zone_of(std::string_view posix) {
  return *rules::parse_zone("Test/Zone", base::as_bytes(posix));
}
base::WallTime utc(std::string_view text) {
  auto parsed = parse_time(std::string(text) + "Z", {}, {});
  EXPECT_TRUE(parsed) << text;
  return *parsed;
}

TEST(ParseTime, TakesTheFormsThatTheManualNames) {
  base::WallTime now = utc("2026-11-22 23:30");
  policy::Zone zone = zone_of("CET-1CEST,M3.5.0,M10.5.0/3");
  struct {
    const char *text, *meant;
  } cases[] = {{"2026-11-22 10:15", "2026-11-22 09:15"},
               {"2026-11-22T10:15", "2026-11-22 09:15"},
               {"2026-11-22 10:15Z", "2026-11-22 10:15"},
               {"2026-07-01 10:15:30", "2026-07-01 08:15:30"},
               {"2026-07-01T10:15:30Z", "2026-07-01 10:15:30"},
               {"2024-02-29 00:00Z", "2024-02-29 00:00"},
               {"10:15", "2026-11-23 09:15"},
               {"10:15Z", "2026-11-22 10:15"}};
  for (const auto& each : cases) {
    auto time = parse_time(each.text, zone, now);
    ASSERT_TRUE(time) << each.text;
    EXPECT_EQ(*time, utc(each.meant)) << each.text;
  }
}

TEST(ParseTime, RefusesWhatIsNoTime) {
  using namespace std::string_view_literals;
  for (std::string_view bad : {""sv,
                               "Z"sv,
                               "now"sv,
                               "10"sv,
                               "10:"sv,
                               "24:00"sv,
                               "10:60"sv,
                               "-1:00"sv,
                               "10:15x"sv,
                               "2026-02-30 10:15"sv,
                               "2026-13-01 10:15"sv,
                               "2026-00-10 10:15"sv,
                               "2026-11-22"sv,
                               "2026-11-22 10:15:60"sv,
                               "2026-11-22 10:15:"sv,
                               "2026-11-22 10:15:30x"sv,
                               "2026-11-22 10:15\0"sv,
                               "99999-01-01 10:15"sv,
                               "2026-11-22 10:15 Z"sv,
                               "10:15:30:40"sv}) {
    auto time = parse_time(bad, {}, {});
    ASSERT_FALSE(time) << bad;
    EXPECT_THAT(time.error().message, HasSubstr("is no time, expected")) << bad;
  }
}

// West and east of Greenwich, where looking an offset up with the local time goes wrong in different ways.
TEST(ParseTime, KnowsTheEdgesOfDaylightSaving) {
  struct {
    const char *zone, *local, *meant;
  } cases[] = {
      {"CET-1CEST,M3.5.0,M10.5.0/3", "2026-03-29 01:59:59", "2026-03-29 00:59:59"},
      {"CET-1CEST,M3.5.0,M10.5.0/3", "2026-03-29 02:30", "2026-03-29 01:30"},  // skipped: 03:30
      {"CET-1CEST,M3.5.0,M10.5.0/3", "2026-03-29 03:00", "2026-03-29 01:00"},
      {"CET-1CEST,M3.5.0,M10.5.0/3", "2026-10-25 01:59:59", "2026-10-24 23:59:59"},
      {"CET-1CEST,M3.5.0,M10.5.0/3", "2026-10-25 02:30", "2026-10-25 00:30"},  // twice: the first
      {"CET-1CEST,M3.5.0,M10.5.0/3", "2026-10-25 03:00", "2026-10-25 02:00"},
      {"EST5EDT,M3.2.0,M11.1.0", "2026-03-08 01:59:59", "2026-03-08 06:59:59"},
      {"EST5EDT,M3.2.0,M11.1.0", "2026-03-08 02:30", "2026-03-08 07:30"},
      {"EST5EDT,M3.2.0,M11.1.0", "2026-03-08 03:00", "2026-03-08 07:00"},
      {"EST5EDT,M3.2.0,M11.1.0", "2026-11-01 00:59:59", "2026-11-01 04:59:59"},
      {"EST5EDT,M3.2.0,M11.1.0", "2026-11-01 01:30", "2026-11-01 05:30"},
      {"EST5EDT,M3.2.0,M11.1.0", "2026-11-01 02:00", "2026-11-01 07:00"},
      {"NZST-12NZDT,M9.5.0,M4.1.0/3", "2026-04-05 02:30", "2026-04-04 13:30"},
      {"NZST-12NZDT,M9.5.0,M4.1.0/3", "2026-09-27 03:00", "2026-09-26 14:00"},
  };
  for (const auto& each : cases) {
    auto time = parse_time(each.local, zone_of(each.zone), {});
    ASSERT_TRUE(time) << each.local;
    EXPECT_EQ(*time, utc(each.meant)) << each.zone << " " << each.local;
  }
}

TEST(FormatTime, ShowsWhatTheLocalClockShows) {
  policy::Zone zone = zone_of("CET-1CEST,M3.5.0,M10.5.0/3");
  EXPECT_EQ(format_time(utc("2026-03-29 00:59:59"), zone), "2026-03-29 01:59:59");
  EXPECT_EQ(format_time(utc("2026-03-29 01:00:00"), zone), "2026-03-29 03:00:00");
  EXPECT_EQ(format_time(utc("2026-10-25 00:30:00"), zone), "2026-10-25 02:30:00");
  EXPECT_EQ(format_time(utc("2026-10-25 01:30:00"), zone), "2026-10-25 02:30:00");
  EXPECT_EQ(format_time(utc("2026-12-31 23:30:00"), zone), "2027-01-01 00:30:00");
  EXPECT_EQ(format_time(base::WallTime(std::chrono::milliseconds(-1)), {}), "1969-12-31 23:59:59");
}

// Every half hour of a year, there and back: only the second of a repeated hour comes back as the first.
TEST(FormatTime, IsReadBackAsTheSameMoment) {
  policy::Zone zone = zone_of("CET-1CEST,M3.5.0,M10.5.0/3");
  int others = 0;
  for (base::WallTime time = utc("2026-01-01 00:00"); time < utc("2027-01-01 00:00");
       time += std::chrono::minutes(30)) {
    auto again = parse_time(format_time(time, zone), zone, {});
    ASSERT_TRUE(again);
    if (*again == time) continue;
    ++others;
    EXPECT_EQ(*again, time - std::chrono::hours(1));
  }
  EXPECT_EQ(others, 2);
}

}  // namespace
}  // namespace control

#include "daemon/helper/radius_sessions.hpp"

#include <gtest/gtest.h>

namespace sluiced {
namespace {

using namespace std::chrono_literals;
using Effect = RadiusSessions::Effect;
using proto::radius::Accounting;
using proto::radius::Status;

constexpr std::int64_t noon = 1'795'694'400;
const auto nas = *base::IpAddress::parse("10.0.0.2");

// Steps of a day at one NAS: times are seconds since noon.
struct Day {
  RadiusSessions sessions;
  explicit Day(std::optional<std::chrono::seconds> timeout = {}) : sessions(timeout) {}

  static Moment at(std::int64_t seconds) {
    return {base::Monotonic(1000s + std::chrono::seconds(seconds)), noon + seconds};
  }
  Effect say(std::int64_t when, Status status, const std::string& session, Accounting more = {},
             base::IpAddress from = nas) {
    more.status = status;
    more.session = session;
    return sessions.apply(from, more, at(when));
  }
  std::string users(std::int64_t when) {
    sessions.expire(at(when).monotonic);
    std::string text;
    for (const policy::Session& each : sessions.sessions(at(when))) text += (text.empty() ? "" : " ") + each.user;
    return text;
  }
};

Accounting of(const std::string& user, const std::string& address, const std::string& mac = "",
              std::optional<std::uint32_t> event = {}) {
  Accounting told;
  told.user = user;
  if (auto parsed = base::IpAddress::parse(address)) told.addresses = {*parsed};
  told.mac = base::MacAddress::parse(mac);
  told.event_time = event;
  return told;
}
std::uint32_t event(std::int64_t seconds) {
  return static_cast<std::uint32_t>(noon + seconds);
}

TEST(RadiusSessions, StartInterimStop) {
  Day day;
  EXPECT_EQ(day.say(0, Status::start, "1", of("alice", "10.20.0.2", "02:00:00:00:00:01")), Effect::changed);
  auto told = day.sessions.sessions(Day::at(0));
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].id, "radius 10.0.0.2 1");
  EXPECT_EQ(told[0].source, policy::SessionSource::radius);
  EXPECT_EQ(told[0].mac, base::MacAddress::parse("02:00:00:00:00:01"));
  EXPECT_EQ(told[0].since.time_since_epoch(), std::chrono::seconds(noon));
  EXPECT_EQ(told[0].until.time_since_epoch(), std::chrono::seconds(noon) + 12h);
  EXPECT_EQ(day.say(60, Status::interim, "1", of("alice", "10.20.0.2")), Effect::refreshed);
  EXPECT_EQ(day.say(70, Status::interim, "1", of("alice", "10.20.0.3")), Effect::changed);
  EXPECT_EQ(day.sessions.sessions(Day::at(70))[0].addresses, std::vector{*base::IpAddress::parse("10.20.0.3")});
  EXPECT_EQ(day.say(80, Status::stop, "1"), Effect::changed);
  EXPECT_EQ(day.users(80), "");
  EXPECT_EQ(day.say(90, Status::stop, "1"), Effect::nothing);
}

TEST(RadiusSessions, AnInterimWhoseStartWasLostBeginsOne) {
  Day day;
  EXPECT_EQ(day.say(0, Status::interim, "1", of("alice", "10.20.0.2")), Effect::changed);
  EXPECT_EQ(day.users(0), "alice");
}

TEST(RadiusSessions, SameNumberAtAnotherNasIsAnotherSession) {
  Day day;
  auto other = *base::IpAddress::parse("10.0.0.3");
  Accounting behind = of("carol", "10.20.0.4");
  behind.nas = "ap-2";
  day.say(0, Status::start, "1", of("alice", "10.20.0.2"));
  day.say(0, Status::start, "1", of("bob", "10.20.0.3"), other);
  day.say(0, Status::start, "1", behind);
  EXPECT_EQ(day.users(0), "alice carol bob");
  day.say(1, Status::stop, "1", {}, other);
  EXPECT_EQ(day.users(1), "alice carol");
}

TEST(RadiusSessions, AccountingOnEndsThoseOfItsNasAlone) {
  Day day;
  Accounting ap;
  ap.nas = "ap-1";
  Accounting alice = of("alice", "10.20.0.2");
  alice.nas = "ap-1";
  day.say(0, Status::start, "1", alice);
  day.say(0, Status::start, "2", of("bob", "10.20.0.3"));
  day.say(0, Status::start, "1", of("carol", "10.20.0.4"), *base::IpAddress::parse("10.0.0.3"));
  EXPECT_EQ(day.say(1, Status::nas_on, "", ap), Effect::changed);
  EXPECT_EQ(day.users(1), "bob carol");
  EXPECT_EQ(day.say(2, Status::nas_off, ""), Effect::changed);
  EXPECT_EQ(day.users(2), "carol");
  EXPECT_EQ(day.say(3, Status::start, "1", alice), Effect::changed);  // its numbers begin anew
  EXPECT_EQ(day.users(3), "alice carol");
}

TEST(RadiusSessions, NobodyInheritsAnAddressOrADevice) {
  Day day;
  day.say(0, Status::start, "1", of("alice", "10.20.0.2", "02:00:00:00:00:01"));
  day.say(10, Status::start, "2", of("bob", "10.20.0.2", "02:00:00:00:00:02"));
  EXPECT_EQ(day.users(10), "bob");
  day.say(20, Status::start, "3", of("carol", "", "02:00:00:00:00:02"));
  EXPECT_EQ(day.users(20), "carol");
  day.say(30, Status::start, "4", of("dave", "10.20.0.4", "02:00:00:00:00:04"));
  day.say(40, Status::interim, "3", of("carol", "10.20.0.4"));  // learned late
  EXPECT_EQ(day.users(40), "carol");
  // What was replaced may go on being told of for a while.
  EXPECT_EQ(day.say(50, Status::interim, "4", of("dave", "10.20.0.4", "02:00:00:00:00:04")), Effect::nothing);
  EXPECT_EQ(day.users(50), "carol");
  // Somebody whose name is not told still is not the one before.
  day.say(60, Status::start, "5", of("", "10.20.0.4"));
  EXPECT_EQ(day.users(60), "");
}

TEST(RadiusSessions, PrefixesHaveOneOwnerToo) {
  Day day;
  Accounting alice = of("alice", ""), bob = of("bob", "");
  alice.prefixes = bob.prefixes = {*base::IpPrefix::parse("fd00:20:1::/64")};
  day.say(0, Status::start, "1", alice);
  EXPECT_EQ(day.users(0), "alice");
  day.say(1, Status::start, "2", bob);
  EXPECT_EQ(day.users(1), "bob");
}

TEST(RadiusSessions, OneFamilySaysNothingOfTheOther) {
  Day day;
  day.say(0, Status::start, "1", of("alice", "10.20.0.2"));
  day.say(1, Status::interim, "1", of("alice", "fd00:20::2"));
  EXPECT_EQ(day.sessions.sessions(Day::at(1))[0].addresses,
            (std::vector{*base::IpAddress::parse("10.20.0.2"), *base::IpAddress::parse("fd00:20::2")}));
}

TEST(RadiusSessions, WhatComesLateChangesNothing) {
  Day day;
  day.say(0, Status::start, "1", of("alice", "10.20.0.2", "", event(0)));
  day.say(1000, Status::interim, "1", of("alice", "10.20.0.3", "", event(1000)));
  EXPECT_EQ(day.say(1001, Status::interim, "1", of("alice", "10.20.0.2", "", event(699))), Effect::nothing);
  EXPECT_EQ(day.say(1001, Status::stop, "1", of("alice", "10.20.0.2", "", event(699))), Effect::nothing);
  EXPECT_EQ(day.say(1002, Status::interim, "1", of("alice", "10.20.0.3", "", event(701))), Effect::refreshed);
  EXPECT_EQ(day.say(1003, Status::start, "2", of("bob", "10.20.0.9", "", event(1003 - 86'401))), Effect::nothing);
  EXPECT_EQ(day.users(1003), "alice");
}

TEST(RadiusSessions, AStartOfWhatHasStoppedIsNone) {
  Day day;
  day.say(0, Status::start, "1", of("alice", "10.20.0.2"));
  day.say(10, Status::stop, "1");
  EXPECT_EQ(day.say(11, Status::start, "1", of("alice", "10.20.0.2")), Effect::nothing);
  EXPECT_EQ(day.say(12, Status::interim, "1", of("alice", "10.20.0.2")), Effect::nothing);
  EXPECT_EQ(day.say(20, Status::stop, "2"), Effect::nothing);  // before its Start
  EXPECT_EQ(day.say(21, Status::start, "2", of("bob", "10.20.0.3")), Effect::nothing);
  EXPECT_EQ(day.users(21), "");
  EXPECT_EQ(day.say(90'000, Status::start, "1", of("alice", "10.20.0.2")), Effect::nothing);  // not looked over yet
  day.users(90'000);
  EXPECT_EQ(day.say(90'001, Status::start, "1", of("alice", "10.20.0.2")), Effect::changed);
}

TEST(RadiusSessions, ALaterEventTellsThatANumberIsTakenAgain) {
  Day day;
  day.say(0, Status::start, "1", of("alice", "10.20.0.2", "", event(0)));
  day.say(10, Status::stop, "1", of("", "", "", event(10)));
  EXPECT_EQ(day.say(11, Status::start, "1", of("alice", "10.20.0.2", "", event(0))), Effect::nothing);
  EXPECT_EQ(day.say(12, Status::start, "1", of("alice", "10.20.0.2", "", event(10))), Effect::nothing);
  EXPECT_EQ(day.say(13, Status::start, "1", of("bob", "10.20.0.2", "", event(12))), Effect::changed);
  EXPECT_EQ(day.users(13), "bob");
}

TEST(RadiusSessions, AnOldAccountingOnEndsNothing) {
  Day day;
  Accounting on;
  on.event_time = event(0);
  day.say(0, Status::nas_on, "", on);
  day.say(1000, Status::start, "1", of("alice", "10.20.0.2", "", event(1000)));
  EXPECT_EQ(day.say(1001, Status::nas_on, "", on), Effect::nothing);
  EXPECT_EQ(day.users(1001), "alice");
  // And what was said before it restarted is over.
  on.event_time = event(1100);
  day.say(1100, Status::nas_on, "", on);
  EXPECT_EQ(day.say(1101, Status::interim, "2", of("bob", "10.20.0.3", "", event(1099))), Effect::nothing);
  EXPECT_EQ(day.users(1101), "");
}

TEST(RadiusSessions, ANasWhoseClockIsAheadIsHeardOnceItIsRight) {
  Day day;
  day.say(0, Status::start, "1", of("alice", "10.20.0.2", "", event(400 * 86'400)));
  EXPECT_EQ(day.say(60, Status::interim, "1", of("alice", "10.20.0.3", "", event(60))), Effect::changed);
  EXPECT_EQ(day.say(70, Status::stop, "1", of("", "", "", event(70))), Effect::changed);
}

TEST(RadiusSessions, ALostStopEndsByTime) {
  Day day;
  day.say(0, Status::start, "1", of("alice", "10.20.0.2"));
  EXPECT_EQ(day.users(43'199), "alice");
  EXPECT_EQ(day.users(43'200), "");  // 12 h without Interims
  Accounting limited = of("bob", "10.20.0.3");
  limited.session_timeout = 3600;
  day.say(50'000, Status::start, "2", limited);
  EXPECT_EQ(day.users(53'599), "bob");
  EXPECT_EQ(day.users(53'600), "");
}

TEST(RadiusSessions, ThreeLostInterimsAreALostStop) {
  Day day;
  day.say(0, Status::start, "1", of("alice", "10.20.0.2"));
  day.say(5, Status::interim, "1");  // the NAS has learned the address: says nothing of the interval
  EXPECT_EQ(day.users(3604), "alice");
  day.say(3604, Status::interim, "1");
  Day often;
  often.say(0, Status::start, "1", of("alice", "10.20.0.2"));
  often.say(60, Status::interim, "1");
  often.say(120, Status::interim, "1");
  EXPECT_EQ(often.users(719), "alice");  // 10 min at least
  EXPECT_EQ(often.users(720), "");
  Day rarely;
  rarely.say(0, Status::start, "1", of("alice", "10.20.0.2"));
  rarely.say(900, Status::interim, "1");
  rarely.say(1800, Status::interim, "1");
  EXPECT_EQ(rarely.users(4499), "alice");
  EXPECT_EQ(rarely.users(4500), "");
  // It was not stopped: its next word brings it back.
  EXPECT_EQ(rarely.say(4600, Status::interim, "1", of("alice", "10.20.0.2")), Effect::changed);
}

TEST(RadiusSessions, TheAdminsTimeoutComesFirst) {
  Day day(30s);
  day.say(0, Status::start, "1", of("alice", "10.20.0.2"));
  day.say(20, Status::interim, "1");
  EXPECT_EQ(day.users(49), "alice");
  EXPECT_EQ(day.users(50), "");
}

TEST(RadiusSessions, AClockThatJumpsEndsNobody) {
  Day day;
  day.say(0, Status::start, "1", of("alice", "10.20.0.2"));
  Moment jumped{Day::at(10).monotonic, noon + 10 * 365 * 86'400};
  day.sessions.expire(jumped.monotonic);
  auto told = day.sessions.sessions(jumped);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].until.time_since_epoch(), std::chrono::seconds(jumped.wall) + 12h - 10s);
}

TEST(RadiusSessions, ThereMayBeSoManyAndNoMore) {
  Day day;
  for (std::size_t i = 0; i < RadiusSessions::most_sessions; ++i) {
    Accounting told;
    told.user = "u";
    told.addresses = {base::IpAddress::v4(0x0a000000 + static_cast<std::uint32_t>(i))};
    EXPECT_EQ(day.say(0, Status::start, std::to_string(i), told), Effect::changed);
  }
  EXPECT_EQ(day.say(0, Status::start, "one more", of("alice", "10.20.0.2")), Effect::full);
  day.say(1, Status::stop, "7");
  EXPECT_EQ(day.say(2, Status::start, "one more", of("alice", "10.20.0.2")), Effect::changed);
}

TEST(RadiusSessions, ARestartLosesNobody) {
  Day day;
  Accounting alice = of("alice", "10.20.0.2", "02:00:00:00:00:01", event(0));
  alice.roles = {"pupils"};
  alice.prefixes = {*base::IpPrefix::parse("fd00:20::/64")};
  alice.nas = "ap-1";
  day.say(0, Status::start, "1", alice);
  day.say(0, Status::start, "2", of("bob", "10.20.0.3"));
  day.say(1, Status::stop, "2");
  std::string kept = day.sessions.to_text(Day::at(100));

  // Another life: the monotonic clock has begun anew, 1000 s have passed.
  RadiusSessions later;
  Moment now{base::Monotonic(5s), noon + 1100};
  ASSERT_TRUE(later.load(kept, now));
  auto before = day.sessions.sessions(Day::at(1100)), after = later.sessions(now);
  ASSERT_EQ(after.size(), 1u);
  EXPECT_EQ(after[0].id, before[0].id);
  EXPECT_EQ(after[0].user, "alice");
  EXPECT_EQ(after[0].roles, before[0].roles);
  EXPECT_EQ(after[0].addresses, before[0].addresses);
  EXPECT_EQ(after[0].prefixes, before[0].prefixes);
  EXPECT_EQ(after[0].mac, before[0].mac);
  EXPECT_EQ(after[0].since, before[0].since);
  EXPECT_EQ(after[0].until, before[0].until);
  Accounting bob = of("bob", "10.20.0.3");
  bob.status = Status::start;
  bob.session = "2";
  EXPECT_EQ(later.apply(nas, bob, now), Effect::nothing);  // what has stopped stays stopped
  Accounting carol = of("carol", "10.20.0.2");
  carol.status = Status::start;
  carol.session = "3";
  RadiusSessions taken = later;
  taken.apply(nas, carol, now);
  ASSERT_EQ(taken.sessions(now).size(), 1u);  // an address has one owner over a restart too
  EXPECT_EQ(taken.sessions(now)[0].user, "carol");
  EXPECT_EQ(later.to_text(now), [&] {
    RadiusSessions again;
    EXPECT_TRUE(again.load(later.to_text(now), now));
    return again.to_text(now);
  }());
}

TEST(RadiusSessions, ADamagedFileIsNone) {
  Day day;
  day.say(0, Status::start, "1", of("alice", "10.20.0.2", "02:00:00:00:00:01"));
  std::string kept = day.sessions.to_text(Day::at(0));
  for (std::size_t length = 0; length < kept.size(); ++length) {
    Day other;
    other.say(0, Status::start, "9", of("bob", "10.20.0.3"));
    EXPECT_FALSE(other.sessions.load(kept.substr(0, length), Day::at(0))) << length;
    EXPECT_EQ(other.users(0), "bob");
  }
  RadiusSessions none;
  EXPECT_FALSE(none.load("{\"version\":2}", Day::at(0)));
  std::string no_address = kept;
  no_address.replace(no_address.find("10.20.0.2"), 9, "10.20.0.x");
  EXPECT_FALSE(none.load(no_address, Day::at(0)));
}

}  // namespace
}  // namespace sluiced

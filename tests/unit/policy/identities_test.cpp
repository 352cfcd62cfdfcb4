#include "policy/identities.hpp"

#include "tests/unit/policy/policy_fixture.hpp"

namespace policy::test {
namespace {

using namespace std::chrono_literals;

constexpr base::WallTime start{std::chrono::hours(500'000)};
const base::MacAddress tablet = mac("02:00:00:aa:bb:cc"), laptop = mac("02:00:00:00:00:07");
const base::IpAddress v4 = address("10.20.0.7"), other_v4 = address("10.20.0.8"), privacy = address("fd00:20::dead");

Session session(std::string user, std::vector<base::IpAddress> addresses, base::WallTime since = start) {
  Session made;
  made.id = "login " + user;
  made.user = std::move(user);
  made.addresses = std::move(addresses);
  made.since = since;
  return made;
}

std::string user_at(const Identities& identities, const base::IpAddress& at, base::WallTime now = start) {
  return identities.look_up(at, now).user;
}

TEST(Identities, ALoginCoversEveryAddressOfTheDevice) {
  Identities identities;
  identities.neighbour(v4, tablet, "br-lan", start);
  identities.adopt_sessions(SessionSource::login, {session("jane", {v4})});
  EXPECT_EQ(user_at(identities, v4), "jane");
  EXPECT_EQ(user_at(identities, privacy), "");
  identities.neighbour(privacy, tablet, "br-lan", start + 1s);
  EXPECT_EQ(user_at(identities, privacy), "jane") << "a fresh privacy address of the same device";
  identities.neighbour(other_v4, laptop, "br-lan", start);
  EXPECT_EQ(user_at(identities, other_v4), "");
}

TEST(Identities, TheSenderOfAFrameCountsWhereNobodyHasToldOfAMac) {
  Identities identities;
  identities.neighbour(v4, tablet, "br-lan", start);
  identities.adopt_sessions(SessionSource::login, {session("jane", {v4})});
  EXPECT_EQ(user_at(identities, privacy), "");
  Sighting seen = identities.look_up(privacy, start, tablet);
  EXPECT_EQ(seen.mac, tablet);
  EXPECT_EQ(seen.user, "jane");
  EXPECT_EQ(identities.look_up(v4, start, laptop).mac, tablet) << "the kernel knows";
  EXPECT_EQ(identities.look_up(privacy, start).mac, std::nullopt) << "and nothing is kept";
}

TEST(Identities, NobodyInheritsAnAddress) {
  Identities identities;
  identities.neighbour(v4, tablet, "br-lan", start);
  identities.adopt_sessions(SessionSource::login, {session("jane", {v4})});
  identities.neighbour_gone(v4);
  EXPECT_EQ(user_at(identities, v4), "jane") << "a device that sleeps";
  identities.neighbour(v4, laptop, "br-lan", start + 1min);
  EXPECT_EQ(user_at(identities, v4), "");
  auto ended = identities.take_ended();
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0].user, "jane");
  EXPECT_TRUE(identities.take_ended().empty()) << "told once";
  identities.adopt_sessions(SessionSource::login, {session("jane", {v4})});
  EXPECT_EQ(user_at(identities, v4), "") << "a source that still tells of it is not believed";
  identities.adopt_sessions(SessionSource::login, {session("jane", {v4}, start + 2min)});
  EXPECT_EQ(user_at(identities, v4), "jane") << "a new log-in is another session";
}

TEST(Identities, AnAddressUnknownAtLoginIsBoundToWhomeverItIsFirstSeenWith) {
  Identities identities;
  identities.adopt_sessions(SessionSource::login, {session("jane", {v4})});
  EXPECT_EQ(user_at(identities, v4), "jane");
  identities.neighbour(v4, tablet, "br-lan", start);
  EXPECT_EQ(user_at(identities, v4), "jane");
  identities.neighbour(v4, laptop, "br-lan", start);
  EXPECT_EQ(user_at(identities, v4), "");
}

TEST(Identities, ASessionOfAMacMovesWithItAndLeavesItsOldAddress) {
  Identities identities;
  Session radius = session("jane", {v4});
  radius.mac = tablet;
  identities.adopt_sessions(SessionSource::radius, {radius});
  identities.neighbour(v4, tablet, "wlan", start);
  EXPECT_EQ(identities.look_up(v4, start).user_source, SessionSource::radius);
  identities.neighbour(other_v4, tablet, "wlan", start);
  identities.neighbour(v4, laptop, "wlan", start);
  EXPECT_EQ(user_at(identities, other_v4), "jane");
  EXPECT_EQ(user_at(identities, v4), "");
  identities.adopt_sessions(SessionSource::radius, {});
  EXPECT_EQ(user_at(identities, other_v4), "") << "Stop";
}

TEST(Identities, ALeaseThatGoesToAnotherEndsTheSessionBehindARelay) {
  Identities identities;
  identities.adopt_leases({{v4, tablet, "tablet", start + 1h}});
  identities.adopt_sessions(SessionSource::login, {session("jane", {v4})});
  EXPECT_EQ(user_at(identities, v4), "jane");
  EXPECT_EQ(identities.look_up(v4, start).hostname, "tablet");
  EXPECT_EQ(identities.look_up(v4, start).mac, tablet);
  identities.adopt_leases({{v4, laptop, "laptop", start + 2h}});
  EXPECT_EQ(user_at(identities, v4), "");
  EXPECT_EQ(identities.take_ended().size(), 1u);
}

TEST(Identities, ALeaseThatEndsTakesItsSessionAlong) {
  Identities identities;
  identities.adopt_leases({{v4, tablet, "tablet", {}}});
  identities.adopt_sessions(SessionSource::login, {session("jane", {v4})});
  identities.adopt_leases({});
  EXPECT_EQ(user_at(identities, v4), "");
  // Where the kernel knows the neighbour, the file does not matter.
  identities.neighbour(other_v4, laptop, "br-lan", start);
  identities.adopt_leases({{other_v4, tablet, "tablet", {}}});
  identities.adopt_sessions(SessionSource::login, {session("joe", {other_v4})});
  EXPECT_EQ(identities.look_up(other_v4, start).mac, laptop);
  identities.adopt_leases({});
  EXPECT_EQ(user_at(identities, other_v4), "joe");
}

TEST(Identities, TimesEndThings) {
  Identities identities;
  identities.neighbour(v4, tablet, "br-lan", start);
  Session hour = session("jane", {v4});
  hour.until = start + 1h;
  identities.adopt_sessions(SessionSource::login, {hour});
  identities.adopt_leases({{v4, tablet, "tablet", start + 1h}});
  EXPECT_EQ(user_at(identities, v4, start + 59min), "jane");
  EXPECT_EQ(user_at(identities, v4, start + 1h), "");
  EXPECT_EQ(identities.look_up(v4, start + 2h).hostname, "tablet") << "its MAC is known by the lease until tidied up";
  std::uint64_t before = identities.version();
  identities.expire(start + 1h);
  EXPECT_NE(identities.version(), before);
  EXPECT_TRUE(identities.take_ended().empty()) << "time is no surprise";
}

TEST(Identities, TheYoungestOfSeveralSessionsIsThere) {
  Identities identities;
  identities.neighbour(v4, tablet, "br-lan", start);
  Session wifi = session("teacher", {});
  wifi.mac = tablet;
  identities.adopt_sessions(SessionSource::radius, {wifi});
  EXPECT_EQ(user_at(identities, v4), "teacher");
  identities.adopt_sessions(SessionSource::login, {session("pupil", {v4}, start + 1min)});
  EXPECT_EQ(user_at(identities, v4, start + 2min), "pupil");
  identities.adopt_sessions(SessionSource::login, {});
  EXPECT_EQ(user_at(identities, v4, start + 3min), "teacher");
}

TEST(Identities, APrefixIsAPersonsToo) {
  Identities identities;
  Session delegated = session("jane", {});
  delegated.prefixes = {prefix("fd00:77::/64")};
  identities.adopt_sessions(SessionSource::radius, {delegated});
  EXPECT_EQ(user_at(identities, address("fd00:77::1234")), "jane");
  EXPECT_EQ(user_at(identities, address("fd00:78::1234")), "");
}

TEST(Identities, AddressesAreAllThatAnythingTellsOf) {
  Identities identities;
  identities.neighbour(privacy, tablet, "br-lan", start);
  identities.adopt_leases({{v4, tablet, "", {}}});
  identities.adopt_sessions(SessionSource::login, {session("joe", {other_v4})});
  EXPECT_EQ(identities.addresses().size(), 3u);
  EXPECT_EQ(identities.since(privacy, start + 1h), start);
}

}  // namespace
}  // namespace policy::test

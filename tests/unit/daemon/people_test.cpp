// Who has become somebody else from one look to the next.
#include "daemon/gateway/people.hpp"

#include <gtest/gtest.h>

#include "daemon/loop.hpp"

namespace sluiced {
namespace {

const base::IpAddress address = *base::IpAddress::parse("10.20.0.7");

class PeopleTest : public testing::Test {
 protected:
  PeopleTest() {
    snapshot_.groups.resize(2);
    snapshot_.groups[0].name = "default";
    snapshot_.groups[1].name = "teachers";
    snapshot_.clients.add_member_user(policy::GroupId{1}, "ann");
  }
  void log_in(std::vector<std::string> users) {
    std::vector<policy::Session> sessions;
    for (std::string& user : users) {
      policy::Session session;
      session.id = "login " + user;
      session.user = std::move(user);
      session.addresses = {address};
      session.since = wall_now();
      sessions.push_back(std::move(session));
    }
    sightings_.adopt_sessions(policy::SessionSource::login, std::move(sessions));
  }
  void lease(std::string hostname) {
    policy::Lease lease;
    lease.address = address;
    lease.hostname = std::move(hostname);
    sightings_.adopt_leases({lease});
  }

  policy::Snapshot snapshot_;
  Sightings sightings_{std::nullopt};
  People people_{sightings_};
};

TEST_F(PeopleTest, ALogInAndALogOutAreChangesOnce) {
  lease("tablet");
  EXPECT_FALSE(people_.look(snapshot_)) << "its packets tell the same";
  log_in({"ann"});
  EXPECT_TRUE(people_.look(snapshot_));
  EXPECT_EQ(people_.members(), "10.20.0.7 teachers\n");
  EXPECT_FALSE(people_.look(snapshot_));
  log_in({});
  EXPECT_TRUE(people_.look(snapshot_));
  EXPECT_EQ(people_.members(), "");
}

// Its first packets and its log-in come between two looks: what they opened was judged as nobody's.
TEST_F(PeopleTest, AnAddressThatComesUpWithItsLogInHasChanged) {
  EXPECT_FALSE(people_.look(snapshot_));
  log_in({"ann"});
  EXPECT_TRUE(people_.look(snapshot_));
}

// So do its first packets and what tells whose it is: a connection on another port was judged as nobody's.
TEST_F(PeopleTest, ANewAddressOfANamedDeviceHasChanged) {
  const base::MacAddress tablet = *base::MacAddress::parse("02:00:00:00:00:01");
  snapshot_.devices = {"tablet"};
  snapshot_.clients.add_device(policy::DeviceId{0}, tablet);
  policy::Lease lease;
  lease.address = address;
  lease.mac = tablet;
  sightings_.adopt_leases({lease});
  EXPECT_TRUE(people_.look(snapshot_));
  EXPECT_EQ(people_.members(), "") << "packets tell, the rules need not be told";
  lease.hostname = "tablet";
  sightings_.adopt_leases({lease});
  EXPECT_FALSE(people_.look(snapshot_));
}

TEST_F(PeopleTest, ALogInBetweenAReloadAndTheNextLookHasChanged) {
  lease("tablet");
  EXPECT_FALSE(people_.look(snapshot_));
  policy::Snapshot reloaded = snapshot_;
  log_in({"ann"});
  EXPECT_TRUE(people_.look(reloaded));
}

}  // namespace
}  // namespace sluiced

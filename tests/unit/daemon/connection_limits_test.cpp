#include "daemon/gateway/connection_limits.hpp"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace sluiced {
namespace {

const base::IpAddress one = base::IpAddress::v4(1), two = base::IpAddress::v4(2), three = base::IpAddress::v4(3);

TEST(ConnectionLimits, HoldEachClientAndAllOfThem) {
  ConnectionLimits limits;
  limits.set(3, 2);
  EXPECT_TRUE(limits.take(one));
  EXPECT_TRUE(limits.take(one));
  EXPECT_FALSE(limits.take(one)) << "its own limit";
  EXPECT_TRUE(limits.take(two));
  EXPECT_FALSE(limits.take(three)) << "the limit of all";
  limits.give_back(one);
  EXPECT_TRUE(limits.take(three));
}

TEST(ConnectionLimits, ARefusalTakesNothing) {
  ConnectionLimits limits;
  limits.set(10, 1);
  EXPECT_TRUE(limits.take(one));
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(limits.take(one));
  for (std::uint32_t i = 10; i < 19; ++i) EXPECT_TRUE(limits.take(base::IpAddress::v4(i))) << i;
  limits.give_back(one);
  EXPECT_TRUE(limits.take(one));
}

TEST(ConnectionLimits, ALowerLimitEndsNothingButAdmitsNoMore) {
  ConnectionLimits limits;
  limits.set(10, 10);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(limits.take(one));
  limits.set(10, 2);
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(limits.take(one));
    limits.give_back(one);
  }
  EXPECT_FALSE(limits.take(one));
  limits.give_back(one);
  EXPECT_TRUE(limits.take(one));
}

TEST(ConnectionLimits, AreSharedByAllWorkers) {
  ConnectionLimits limits;
  limits.set(1'000'000, 1'000'000);
  std::vector<std::thread> workers;
  for (int i = 0; i < 4; ++i)
    workers.emplace_back([&] {
      for (int n = 0; n < 5000; ++n)
        if (limits.take(one) && n % 5 != 0) limits.give_back(one);
    });
  for (std::thread& worker : workers) worker.join();
  limits.set(4001, 4001);
  EXPECT_TRUE(limits.take(one)) << "4000 are open";
  EXPECT_FALSE(limits.take(one));
}

}  // namespace
}  // namespace sluiced

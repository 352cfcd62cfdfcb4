#include "daemon/gateway/heart.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace sluiced {
namespace {

using namespace std::chrono_literals;

// No rule of ours is here to see a beat: each one is missed, which is what tells that there was one.
struct HeartTest : testing::Test {
  void SetUp() override {
    auto heartbeat = netfilter::Heartbeat::open();
    if (!heartbeat) GTEST_SKIP() << heartbeat.error().message;
    heart.emplace(std::move(*heartbeat));
  }
  void begin(Heart::Turns worker) {
    heart->begin([this] { return main_turns.load(); }, {std::move(worker)}, [this] { ++alive; });
  }
  std::atomic<std::uint64_t> main_turns = 0, worker_turns = 0;
  std::atomic<int> alive = 0;
  std::optional<Heart> heart;
};

TEST_F(HeartTest, BeatsBeforeItAnswersWhoAsksForIt) {
  begin([this] { return ++worker_turns; });
  for (int beats = 1; beats < 20; ++beats) {
    heart->beat_now();
    EXPECT_GE(alive, beats);
    EXPECT_NE(heart->complaint(), "");
  }
}

TEST_F(HeartTest, IsSilentWhileAWorkerHangs) {
  begin([this] { return worker_turns.load(); });
  heart->beat_now();
  ASSERT_GE(alive, 1);
  std::this_thread::sleep_for(1100ms);
  int before = alive;
  heart->beat_now();
  EXPECT_EQ(alive, before);
  ++worker_turns;
  heart->beat_now();
  EXPECT_GT(alive, before);
}

TEST_F(HeartTest, AMainThreadMayTakeLonger) {
  begin([this] { return ++worker_turns; });
  heart->beat_now();
  std::this_thread::sleep_for(1100ms);
  int before = alive;
  heart->beat_now();
  EXPECT_GT(alive, before);
}

TEST_F(HeartTest, AsksNobodyOnceItIsSilent) {
  heart->beat_now();  // not begun
  begin([this] { return ++worker_turns; });
  heart->fall_silent();
  int before = alive;
  heart->beat_now();
  EXPECT_EQ(alive, before);
}

}  // namespace
}  // namespace sluiced

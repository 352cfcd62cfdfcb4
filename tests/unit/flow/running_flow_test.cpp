#include "flow/running_flow.hpp"

#include <gtest/gtest.h>

#include "tests/unit/flow/world.hpp"

namespace flow {
namespace {

using model::World;

KnownOfHello known(std::string_view name, base::WallTime began) {
  return {base::DomainName::parse(name), false, "tls", began};
}

AccessRecord only_record(const CommandList& commands) {
  EXPECT_EQ(commands.size(), 1u);
  return std::get<Note>(commands.at(0)).record;
}

TEST(RunningFlow, EndsWithTheKernelsBytesAndItsWholeTime) {
  World world;
  base::WallTime began = world.surroundings.now - std::chrono::milliseconds(12345);
  RunningFlow flow(world.opening(443), world.surroundings, known("news.example", began), {111, 222});
  CommandList commands;
  flow.note_end(commands);
  AccessRecord record = only_record(commands);
  EXPECT_EQ(record.action, "allow");
  EXPECT_EQ(record.name, "news.example");
  EXPECT_EQ(record.name_source, "sni");
  EXPECT_EQ(record.tls, "kernel");
  EXPECT_EQ(record.time, began);
  EXPECT_EQ(record.duration_ms, 12345u);
  EXPECT_EQ(record.bytes_up, 111u);
  EXPECT_EQ(record.bytes_down, 222u);
}

TEST(RunningFlow, WasAllowedToItsEndWhateverThePolicyHasBecome) {
  World world;
  RunningFlow flow(world.opening(443), world.surroundings, known("games.example", world.surroundings.now), {});
  CommandList commands;
  flow.note_end(commands);
  EXPECT_EQ(only_record(commands).action, "allow");
}

TEST(RunningFlow, ANewPolicyRefusesItByName) {
  World world;
  RunningFlow news(world.opening(443), world.surroundings, known("news.example", world.surroundings.now), {});
  EXPECT_FALSE(news.judge());
  RunningFlow games(world.opening(443), world.surroundings, known("games.example", world.surroundings.now), {5, 6});
  ASSERT_TRUE(games.judge());
  CommandList commands;
  games.note_refusal(commands);
  AccessRecord record = only_record(commands);
  EXPECT_EQ(record.action, "block");
  EXPECT_EQ(record.rule, "no games");
  EXPECT_EQ(record.bytes_down, 6u);
}

TEST(RunningFlow, ARuleMayLeaveRunningOnesAlone) {
  policy::Rule rule = model::no_games();
  rule.live_keep = true;
  World world({rule});
  RunningFlow flow(world.opening(443), world.surroundings, known("games.example", world.surroundings.now), {});
  EXPECT_FALSE(flow.judge());
}

TEST(RunningFlow, AGroupThatLogsNothingLeavesNoLine) {
  World world;
  world.group().log = policy::LogDetail::none;
  RunningFlow flow(world.opening(443), world.surroundings, known("news.example", world.surroundings.now), {});
  CommandList commands;
  flow.note_end(commands);
  EXPECT_TRUE(commands.empty());
}

}  // namespace
}  // namespace flow

#include "accounting/wire.hpp"

#include <gtest/gtest.h>

namespace accounting {
namespace {

TEST(Wire, ABunchGetsTheHeadersOfItsSegments) {
  // 100 segments of 1448 octets, handed over as 4 bunches.
  Counts bunched{100, 4 * 52 + 100 * 1448, 2, 4};
  Counts wire = with_all_headers(bunched, false, 1500);
  EXPECT_EQ(wire.bytes_down, 100u * 1500);
  EXPECT_EQ(wire.packets_down, 100u);
  EXPECT_EQ(wire.bytes_up, 100u) << "bare acknowledgements are what they are";
  EXPECT_EQ(wire.packets_up, 2u);
}

TEST(Wire, WhatWasCountedSegmentBySegmentStays) {
  for (bool v6 : {false, true}) {
    std::uint64_t header = v6 ? 72 : 52;
    Counts plain{40 * header, 50 * 1500 + 3 * 100, 40, 53};
    EXPECT_EQ(with_all_headers(plain, v6, 1500), plain);
  }
  EXPECT_EQ(with_all_headers({}, false, 1500), Counts{});
}

TEST(Wire, SmallSegmentsAreNotTakenForFullOnes) {
  Counts chat{100 * 92, 0, 100, 0};
  EXPECT_EQ(with_all_headers(chat, false, 1500), chat);
}

}  // namespace
}  // namespace accounting

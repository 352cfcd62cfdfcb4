#include "flow/stream_record.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

namespace flow {
namespace {

using Added = StreamRecord::Added;

Added add(StreamRecord& record, std::int64_t position, std::string_view bytes) {
  return record.add(record.anchor() + static_cast<std::uint32_t>(position), base::as_bytes(bytes));
}
std::string prefix(const StreamRecord& record) {
  return std::string(base::as_text(record.prefix()));
}

TEST(StreamRecord, JoinsWhatComesInAnyOrder) {
  for (std::uint32_t anchor : {0u, 1000u, 0x7ffffffcu, 0xfffffffcu, 0xffffffffu}) {
    StreamRecord record(anchor, 100);
    EXPECT_TRUE(record.empty());
    EXPECT_EQ(add(record, 6, "ghi"), Added::recorded);
    EXPECT_FALSE(record.empty());
    EXPECT_EQ(prefix(record), "");
    EXPECT_EQ(add(record, 0, "abc"), Added::recorded);
    EXPECT_EQ(prefix(record), "abc");
    EXPECT_EQ(add(record, 2, "cdefg"), Added::recorded);
    EXPECT_EQ(prefix(record), "abcdefghi");
    EXPECT_EQ(add(record, 3, "def"), Added::known);
    EXPECT_EQ(add(record, 8, "ij"), Added::recorded);
    EXPECT_EQ(prefix(record), "abcdefghij") << anchor;
  }
}

TEST(StreamRecord, KeepsTheFirstValueAndNothingOfASegmentThatContradictsIt) {
  StreamRecord record(1, 100);
  add(record, 0, "abc");
  add(record, 5, "fg");
  EXPECT_EQ(add(record, 1, "bX"), Added::conflict);
  EXPECT_EQ(add(record, 2, "cdeX"), Added::conflict);
  EXPECT_EQ(add(record, 6, "Xhi"), Added::conflict);
  EXPECT_EQ(add(record, -2, "..Xbcde"), Added::conflict);
  EXPECT_EQ(prefix(record), "abc") << "the new bytes of those are not known either";
  EXPECT_EQ(add(record, 3, "de"), Added::recorded);
  EXPECT_EQ(prefix(record), "abcdefg");
}

TEST(StreamRecord, LeavesOutWhatIsBelowTheAnchor) {
  StreamRecord record(0, 100);
  EXPECT_EQ(add(record, -10, "old"), Added::nothing);
  EXPECT_EQ(add(record, -3, "old"), Added::nothing);
  EXPECT_EQ(add(record, -0x80000000ll, "far"), Added::nothing);
  EXPECT_EQ(add(record, 0, ""), Added::nothing);
  EXPECT_TRUE(record.empty());
  EXPECT_EQ(add(record, -3, "oldabc"), Added::recorded);
  EXPECT_EQ(prefix(record), "abc");
  EXPECT_EQ(add(record, -3, "xxxabc"), Added::known);
}

TEST(StreamRecord, EndsAtItsCap) {
  StreamRecord record(0xfffffff0, 8);
  EXPECT_EQ(add(record, 0, "abcdefghi"), Added::full);
  EXPECT_EQ(add(record, 8, "i"), Added::full);
  EXPECT_EQ(add(record, 0x7fffffff, "far"), Added::full);
  EXPECT_TRUE(record.empty());
  EXPECT_EQ(add(record, 0, "abcdefgh"), Added::recorded);
  EXPECT_EQ(add(record, 6, "ghi"), Added::full);
  EXPECT_EQ(add(record, 6, "Xhi"), Added::conflict);
  EXPECT_EQ(record.room(record.anchor() + 6), 2);
  EXPECT_EQ(record.room(record.anchor() + 8), 0);
  EXPECT_EQ(record.room(record.anchor() + 900), 0);
  EXPECT_EQ(record.room(record.anchor() - 2), 10);
}

TEST(StreamRecord, BoundsItsPiecesAndStillGetsOn) {
  StreamRecord record(0, 1000);
  for (std::size_t i = 0; i < StreamRecord::piece_limit; ++i) {
    ASSERT_EQ(add(record, static_cast<std::int64_t>(1 + 2 * i), "b"), Added::recorded) << i;
  }
  EXPECT_EQ(add(record, 500, "b"), Added::full);
  EXPECT_EQ(add(record, 0, "a"), Added::recorded) << "what touches a piece needs none of its own";
  EXPECT_EQ(add(record, 2, "a"), Added::recorded);
  EXPECT_EQ(add(record, 500, "b"), Added::recorded);
  EXPECT_EQ(prefix(record), "abab");
}

// Against a map of positions, with random segments of two streams that differ in some places.
class Twin {
 public:
  explicit Twin(std::int64_t cap) : cap_(cap) {}

  Added add(std::int64_t position, std::string_view bytes) {
    std::map<std::int64_t, char> added;
    bool conflict = false, beyond = false;
    std::size_t known = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      const std::int64_t at = position + static_cast<std::int64_t>(i);
      if (at < 0) continue;
      auto found = values_.find(at);
      if (found == values_.end()) added[at] = bytes[i];
      if (found != values_.end()) ++known, conflict |= found->second != bytes[i];
      beyond |= at >= cap_;
    }
    if (added.empty() && known == 0) return Added::nothing;
    if (conflict) return Added::conflict;
    if (added.empty()) return Added::known;
    std::map<std::int64_t, char> after = values_;
    after.insert(added.begin(), added.end());
    if (beyond || (pieces(after) > StreamRecord::piece_limit && pieces(after) > pieces(values_))) return Added::full;
    values_ = std::move(after);
    return Added::recorded;
  }

  std::string prefix() const {
    std::string out;
    for (auto [at, value] : values_) {
      if (at != static_cast<std::int64_t>(out.size())) break;
      out += value;
    }
    return out;
  }

 private:
  static std::size_t pieces(const std::map<std::int64_t, char>& values) {
    std::size_t count = 0;
    for (auto [at, value] : values) count += !values.contains(at - 1);
    return count;
  }

  std::int64_t cap_;
  std::map<std::int64_t, char> values_;
};

TEST(StreamRecordTwin, AgreesOnRandomSegments) {
  std::mt19937 random(3);
  auto below = [&](std::size_t limit) { return random() % limit; };
  for (int round = 0; round < 300; ++round) {
    const std::size_t cap = 1 + below(400), longest = 1 + below(40);
    const auto anchor = static_cast<std::uint32_t>(0xffffffff - below(300));
    StreamRecord record(anchor, cap);
    Twin twin(static_cast<std::int64_t>(cap));
    std::string streams[2];
    for (std::size_t i = 0; i < 600; ++i) streams[0] += static_cast<char>('a' + below(26));
    streams[1] = streams[0];
    for (int i = 0; i < 20; ++i) streams[1][below(600)] = 'X';
    for (int step = 0; step < 150; ++step) {
      const std::size_t begin = below(500), length = below(longest);
      const std::string bytes = streams[below(8) == 0].substr(begin, length);
      const std::int64_t position = static_cast<std::int64_t>(begin) - 20;
      ASSERT_EQ(add(record, position, bytes), twin.add(position, bytes)) << "round " << round << " step " << step;
      ASSERT_EQ(prefix(record), twin.prefix()) << "round " << round << " step " << step;
    }
  }
}

}  // namespace
}  // namespace flow

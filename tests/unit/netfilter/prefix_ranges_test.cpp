#include "netfilter/prefix_ranges.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <random>

namespace {

using base::IpAddress;
using base::IpPrefix;
using netfilter::AddressRange;
using netfilter::flatten;
using netfilter::PrefixValue;
using netfilter::to_prefixes;
using netfilter::to_string;

PrefixValue entry(const char* prefix, std::uint32_t value) {
  return {*IpPrefix::parse(prefix), value};
}

std::string text(const std::vector<AddressRange>& ranges) {
  std::string all;
  for (const AddressRange& range : ranges)
    all += (all.empty() ? "" : " ") + to_string(range) + "=" + std::to_string(range.value);
  return all;
}

TEST(PrefixRanges, InnerPrefixesCutOuterOnes) {
  EXPECT_EQ(text(flatten({entry("10.0.0.0/8", 1), entry("10.1.0.0/16", 2), entry("10.1.2.3", 3)})),
            "10.0.0.0/16=1 10.1.0.0-10.1.2.2=2 10.1.2.3=3 10.1.2.4-10.1.255.255=2 10.2.0.0-10.255.255.255=1");
}

TEST(PrefixRanges, NeighboursWithOneValueAreOneRange) {
  EXPECT_EQ(text(flatten({entry("10.0.0.0/9", 1), entry("10.128.0.0/9", 1)})), "10.0.0.0/8=1");
  EXPECT_EQ(text(flatten({entry("10.0.0.0/8", 1), entry("10.3.0.0/16", 1)})), "10.0.0.0/8=1");
}

TEST(PrefixRanges, TheFirstOfEqualPrefixesWins) {
  EXPECT_EQ(text(flatten({entry("10.0.0.0/8", 1), entry("10.0.0.0/8", 2)})), "10.0.0.0/8=1");
}

TEST(PrefixRanges, WholeFamiliesAndTheirLastAddress) {
  EXPECT_EQ(
      text(flatten({entry("0.0.0.0/0", 1), entry("255.255.255.255", 2), entry("::/0", 3), entry("ffff::/16", 4)})),
      "0.0.0.0-255.255.255.254=1 255.255.255.255=2 ::-fffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff=3 ffff::/16=4");
  EXPECT_EQ(text(flatten({entry("0.0.0.0/0", 1), entry("::/0", 1)})), "0.0.0.0/0=1 ::/0=1");
}

// The obvious twin: look at every prefix, keep the longest (the first of equal ones).
std::optional<std::uint32_t> longest(const std::vector<PrefixValue>& prefixes, const IpAddress& address) {
  const PrefixValue* best = nullptr;
  for (const PrefixValue& candidate : prefixes)
    if (candidate.prefix.contains(address) && (!best || candidate.prefix.length() > best->prefix.length()))
      best = &candidate;
  if (!best) return std::nullopt;
  return best->value;
}

IpAddress nth_address(bool v6, bool at_the_end, unsigned n) {
  if (!v6) return IpAddress::v4((at_the_end ? 0xffffff00u : 0u) | n);
  std::array<std::uint8_t, 16> bytes{};
  if (at_the_end) bytes.fill(0xff);
  bytes[15] = static_cast<std::uint8_t>(n);
  return IpAddress::v6(bytes);
}

TEST(PrefixRanges, AgreeWithTheLongestPrefixEverywhere) {
  std::mt19937 generator(1);
  auto random = [&] { return static_cast<unsigned>(generator()); };
  for (int round = 0; round < 400; round++) {
    bool v6 = random() % 2, at_the_end = random() % 2;  // both edges of the address space
    int width = v6 ? 128 : 32;
    std::vector<PrefixValue> prefixes;
    for (unsigned i = 0, count = random() % 12; i < count; i++) {
      int length = width - static_cast<int>(random() % 9);
      if (random() % 16 == 0) length = 0;
      prefixes.push_back({IpPrefix::masked(nth_address(v6, at_the_end, random() % 256), length), random() % 3});
    }
    std::vector<AddressRange> ranges = flatten(prefixes);
    for (std::size_t i = 1; i < ranges.size(); i++) {
      ASSERT_LT(ranges[i - 1].last, ranges[i].first);
      ASSERT_FALSE(ranges[i - 1].last + 1 == ranges[i].first && ranges[i - 1].value == ranges[i].value) << "not joined";
    }
    for (unsigned n = 0; n < 256; n++) {
      IpAddress address = nth_address(v6, at_the_end, n);
      std::optional<std::uint32_t> found;
      for (const AddressRange& range : ranges)
        if (range.first <= netfilter::bits_of(address) && netfilter::bits_of(address) <= range.last)
          found = range.value;
      ASSERT_EQ(found, longest(prefixes, address)) << "round " << round << ", " << address.to_string();
    }
    for (const AddressRange& range : ranges) {
      netfilter::AddressBits next = range.first;
      for (const IpPrefix& prefix : to_prefixes(range)) {
        ASSERT_EQ(netfilter::bits_of(prefix.address()), next) << to_string(range);
        next = netfilter::last_of(prefix) + 1;
      }
      ASSERT_EQ(next, static_cast<netfilter::AddressBits>(range.last + 1)) << to_string(range);
    }
  }
}

TEST(PrefixRanges, RangesBecomeTheFewestPrefixes) {
  std::vector<AddressRange> ranges = flatten({entry("10.0.0.0/8", 1), entry("10.0.0.0", 2)});
  EXPECT_EQ(to_prefixes(ranges.back()).size(), 24u);  // /9 ... /32
  EXPECT_EQ(to_prefixes(flatten({entry("::/0", 1)}).front()).front().to_string(), "::/0");
}

}  // namespace

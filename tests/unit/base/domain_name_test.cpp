#include "base/domain_name.hpp"

#include <gtest/gtest.h>

namespace base {
namespace {

std::string repeated(std::string_view text, int times) {
  std::string all;
  while (times-- > 0) all += text;
  return all;
}

TEST(DomainName, IsComparedInLowerCaseWithoutItsTrailingDot) {
  for (const char* spelling : {"www.example.org", "WWW.Example.ORG", "www.example.org.", "wWw.eXample.org."}) {
    auto name = DomainName::parse(spelling);
    ASSERT_TRUE(name) << spelling;
    EXPECT_EQ(name->text(), "www.example.org");
  }
}

TEST(DomainName, TakesWhatRealNamesHold) {
  for (const char* good : {"localhost", "a", "_dmarc.example.org", "-x.example.org", "x-.example", "3com.com",
                           "1.2.3.x", "xn--bcher-kva.de", "192.0.2.1.in-addr.arpa", "0x7f.0x1"})
    EXPECT_TRUE(DomainName::parse(good)) << good;
}

TEST(DomainName, RefusesWhatIsNone) {
  using namespace std::string_view_literals;
  for (std::string_view bad : {""sv, "."sv, ".."sv, ".example.org"sv, "example..org"sv, "example.org.."sv,
                               "exa mple.org"sv, "exam/ple.org"sv, "example.org:80"sv, "example.org\0.com"sv, "\0"sv,
                               "b\xc3\xbc"
                               "cher.de"sv,
                               "*.example.org"sv, "example.org\n"sv, "user@example.org"sv, "[::1]"sv})
    EXPECT_FALSE(DomainName::parse(bad)) << bad;
}

TEST(DomainName, AnAddressInAnyOfItsSpellingsIsNoName) {
  for (const char* address : {"192.0.2.1", "192.0.2.1.", "127.1", "2130706433", "1", "example.1", "0177.0.0.1"})
    EXPECT_FALSE(DomainName::parse(address)) << address;
}

// RFC 1035 2.3.4.
TEST(DomainName, LabelsHave63OctetsAndNames253) {
  EXPECT_TRUE(DomainName::parse(repeated("a", 63) + ".org"));
  EXPECT_FALSE(DomainName::parse(repeated("a", 64) + ".org"));
  std::string longest = repeated("abcdefg.", 31) + "abcde";
  ASSERT_EQ(longest.size(), 253u);
  EXPECT_TRUE(DomainName::parse(longest));
  EXPECT_TRUE(DomainName::parse(longest + "."));
  EXPECT_FALSE(DomainName::parse(longest + "f"));
}

TEST(DomainName, IsWithinItselfAndItsAncestorsOnLabelBoundaries) {
  DomainName name = *DomainName::parse("www.example.org");
  for (const char* ancestor : {"www.example.org", "example.org", "org"})
    EXPECT_TRUE(name.is_within(ancestor)) << ancestor;
  for (const char* other : {"", "ample.org", "ww.example.org", "a.www.example.org", "example.com", ".org", "rg"})
    EXPECT_FALSE(name.is_within(other)) << other;
}

TEST(DomainName, ParentsEndWithTheEmptyName) {
  EXPECT_EQ(parent_of("www.example.org"), "example.org");
  EXPECT_EQ(parent_of("org"), "");
  EXPECT_EQ(parent_of(""), "");
}

}  // namespace
}  // namespace base

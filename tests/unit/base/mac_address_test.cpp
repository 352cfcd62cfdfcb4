#include "base/mac_address.hpp"

#include <gtest/gtest.h>

namespace base {
namespace {

TEST(MacAddress, IsReadInBothSpellingsAndWrittenInOne) {
  for (const char* text : {"02:ab:CD:00:0f:F0", "02-AB-cd-00-0F-f0"}) {
    auto mac = MacAddress::parse(text);
    ASSERT_TRUE(mac) << text;
    EXPECT_EQ(mac->to_string(), "02:ab:cd:00:0f:f0");
  }
}

TEST(MacAddress, RefusesWhatIsNone) {
  for (const char* bad : {"", "02:ab:cd:00:0f", "02:ab:cd:00:0f:f0:11", "02:ab:cd:00:0f:g0", "02:ab-cd:00:0f:f0",
                          "02-ab-cd-00-0f:f0", "02ab.cd00.0ff0", "2:ab:cd:00:0f:f00", "02:ab:cd:00:0f:+0",
                          "02:ab:cd:00:0f: 0", "02:ab:cd:00:0f:0x", "02_ab_cd_00_0f_f0", "-2:ab:cd:00:0f:f0"})
    EXPECT_FALSE(MacAddress::parse(bad)) << bad;
}

}  // namespace
}  // namespace base

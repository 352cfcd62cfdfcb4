#include "base/endpoint.hpp"

#include <gtest/gtest.h>

namespace base {
namespace {

TEST(Endpoint, IsReadAndWrittenInOneForm) {
  for (const char* text : {"192.0.2.1:443", "[2001:db8::1]:443", "0.0.0.0:0", "[::]:65535"}) {
    auto endpoint = Endpoint::parse(text);
    ASSERT_TRUE(endpoint) << text;
    EXPECT_EQ(endpoint->to_string(), text);
  }
}

TEST(Endpoint, RefusesOtherForms) {
  for (const char* bad :
       {"", ":", "192.0.2.1", "192.0.2.1:", ":443", "192.0.2.1:65536", "192.0.2.1:-1", "192.0.2.1:+1", "192.0.2.1: 1",
        "192.0.2.1:1x", "[192.0.2.1]:443", "2001:db8::1:443", "[2001:db8::1]", "[2001:db8::1]443", "[]:443",
        "[2001:db8::1:443", "example.org:443", "192.0.2.1:99999999999999999999"})
    EXPECT_FALSE(Endpoint::parse(bad)) << bad;
}

TEST(Endpoint, AMappedAddressIsTheIPv4Address) {
  EXPECT_EQ(Endpoint::parse("[::ffff:192.0.2.1]:80")->to_string(), "192.0.2.1:80");
}

}  // namespace
}  // namespace base

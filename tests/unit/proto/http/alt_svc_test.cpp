// HTTP/3 is taken out of Alt-Svc, and nothing else.
#include "proto/http/alt_svc.hpp"

#include <gtest/gtest.h>

namespace {

using proto::http::without_h3;

TEST(AltSvc, OnlyAlternativesOverQuicGo) {
  struct {
    const char *value, *left;  // null: nothing
  } cases[] = {
      {"h3=\":443\"; ma=86400", nullptr},
      {"h3=\":443\"; ma=86400, h3-29=\":443\"; ma=86400", nullptr},
      {"h3=\":443\", h2=\":443\"; ma=60; persist=1", "h2=\":443\"; ma=60; persist=1"},
      {"h2=\"alt.example:8000\" , h3=\":443\";ma=1,http%2F1.1=\":80\"", "h2=\"alt.example:8000\", http%2F1.1=\":80\""},
      {"h3-Q050=\":443\",h3-T051=\":443\",hq=\":443\",hq-interop=\":1\"", nullptr},
      {"quic=\":443\"; ma=2592000; v=\"46,43\",h2=\":443\"", "h2=\":443\""},
      {"h2=\":443\"; note=\"a, h3=\\\"x\\\", b\", h3=\":443\"", "h2=\":443\"; note=\"a, h3=\\\"x\\\", b\""},
      {"h%33=\":443\",%68%33=\":443\",%683-29=\":443\"", nullptr},
      {"H3=\":443\"", nullptr},
      {" h3 =\":443\"", nullptr},
      {"h3", nullptr},
      {",,h3=\":443\",,", nullptr},
      {",h2=\":1\",,h3=\":443\",w=\":2\",", "h2=\":1\", w=\":2\""},
      // Left as they were written, byte for byte.
      {"clear", "clear"},
      {"", ""},
      {"h2=\":443\"  ;ma=5 ,h2c=\":80\"", "h2=\":443\"  ;ma=5 ,h2c=\":80\""},
      {"h33=\":443\",h3x=\":1\",quicx=\":1\",hqx=\":1\",xh3=\":2\"",
       "h33=\":443\",h3x=\":1\",quicx=\":1\",hqx=\":1\",xh3=\":2\""},
      {"h%2533=\":443\",h%3=\":1\",h%zz=\":1\"", "h%2533=\":443\",h%3=\":1\",h%zz=\":1\""},
      {"h2=\"h3=:443, h3=", "h2=\"h3=:443, h3="},
      {"h2=\"\\", "h2=\"\\"},
  };
  for (auto [value, left] : cases) {
    auto got = without_h3(value);
    EXPECT_EQ(got.has_value(), left != nullptr) << value;
    if (got && left) {
      EXPECT_EQ(*got, left) << value;
    }
  }
}

}  // namespace

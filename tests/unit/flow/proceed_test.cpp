#include "flow/proceed.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace flow {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Proceed, ReadsAFormAsBrowsersSendIt) {
  auto form =
      parse_proceed("rule=think+twice&url=http%3A%2F%2Fa.example%2F%3Fx%3D1%26y%3D%2522&until=17&seal=ab&code=48-1+2");
  ASSERT_TRUE(form);
  EXPECT_EQ(form->rule, "think twice");
  EXPECT_EQ(form->url, "http://a.example/?x=1&y=%22");
  EXPECT_EQ(form->good_until, 17);
  EXPECT_EQ(form->seal, "ab");
  EXPECT_EQ(form->code, "48-1 2");
}

TEST(Proceed, IsNoFormWithoutWhatMatters) {
  for (const char* body : {"", "rule=a", "rule=a&url=b&until=1", "rule=&url=b&seal=c", "rule=a&url=b&seal=c&until=x",
                           "rule=a&url=b&seal=c&until=-1", "&&&==%"})
    EXPECT_FALSE(parse_proceed(body)) << body;
}

TEST(Proceed, EscapesWhatOthersWrote) {
  ProceedForm form{"a\"><script>", "http://x.example/?'&<b>", "", "00", 5};
  std::string html = proceed_html(form, false);
  EXPECT_THAT(html, HasSubstr("value=\"a&quot;&gt;&lt;script&gt;\""));
  EXPECT_THAT(html, HasSubstr("value=\"http://x.example/?&#39;&amp;&lt;b&gt;\""));
  EXPECT_THAT(html, HasSubstr("action=\"/.well-known/sluice/proceed\""));
  EXPECT_THAT(html, Not(HasSubstr("name=\"code\"")));
  EXPECT_THAT(proceed_html(form, true), HasSubstr("name=\"code\""));
}

}  // namespace
}  // namespace flow

#include "base/text_template.hpp"

#include <gtest/gtest.h>

#include <array>

namespace base {
namespace {

constexpr std::array<std::string_view, 2> names = {"url", "reason"};

std::string render(std::string_view page, std::string_view url, std::string_view reason = "because") {
  auto parsed = TextTemplate::parse(page, names);
  if (!parsed) return "error: " + parsed.error().message;
  std::array<std::pair<std::string_view, std::string_view>, 2> values = {{{"url", url}, {"reason", reason}}};
  return parsed->render_html(values);
}

TEST(TextTemplate, FillsItsHoles) {
  EXPECT_EQ(render("<p>{{url}}: {{ reason }}</p>{{url}}", "u"), "<p>u: because</p>u");
  EXPECT_EQ(render("no hole", "u"), "no hole");
  EXPECT_EQ(render("", "u"), "");
  EXPECT_EQ(render("a } b }} c { d", "u"), "a } b }} c { d");
}

TEST(TextTemplate, EscapesValuesAndNothingElse) {
  EXPECT_EQ(render("<b>{{url}}</b>", "<script>'\"&"), "<b>&lt;script&gt;&#39;&quot;&amp;</b>");
}

TEST(TextTemplate, AValueIsNeverReadAsAHole) {
  EXPECT_EQ(render("{{url}}", "{{reason}}"), "{{reason}}");
}

TEST(TextTemplate, ANameWithoutAValueRendersAsNothing) {
  EXPECT_EQ(TextTemplate::parse("[{{url}}]", names)->render_html({}), "[]");
}

TEST(TextTemplate, ErrorsSayWhereAndWhatWasExpected) {
  EXPECT_EQ(render("a\nbc{{uri}}", ""), "error: 2:3: unknown name 'uri', expected one of url, reason");
  EXPECT_EQ(render("{{url", ""), "error: 1:1: '{{' is never closed, expected '}}'");
  EXPECT_EQ(render("{{}}", ""), "error: 1:1: unknown name '', expected one of url, reason");
}

}  // namespace
}  // namespace base

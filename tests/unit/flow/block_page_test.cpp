#include "flow/block_page.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/flow/world.hpp"

namespace flow::model {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

struct BlockPage : testing::Test {
  BlockPage() {
    snapshot->zone.name = "Europe/Paris";
    snapshot->zone.changes = {{0, 3600}, {1774746000, 7200}};  // summer time begins
    subject.method = "GET";
    subject.url = proto::http::Url::from_request("http", "games.example", "/<b>?a=1&b='2'");
    subject.name = base::DomainName::parse("games.example");
    subject.verdict.outcome = policy::Outcome::block;
    subject.verdict.reason = policy::Reason::rule;
    subject.verdict.rule = policy::RuleId{0};
  }
  std::string response(std::string_view why = {}) {
    return block_response(subject,
                          {*snapshot, opening.client, opening.tuple, "0123456789abc", world.surroundings.now, why});
  }
  void use(std::string_view page) {
    static constexpr std::string_view names[] = {"what", "why",  "rule", "id",    "client",
                                                 "url",  "host", "time", "group", "category"};
    snapshot->block_page = *base::TextTemplate::parse(page, names);
  }
  static std::string body_of(const std::string& response) { return response.substr(response.find("\r\n\r\n") + 4); }

  World world;
  Opening opening = world.opening(80);
  std::shared_ptr<policy::Snapshot> snapshot = model::snapshot({rule("games & co", policy::Action::block)});
  Subject subject;
};

TEST_F(BlockPage, FillsEveryHoleAndEscapesIt) {
  use("{{what}}|{{why}}|{{rule}}|{{id}}|{{client}}|{{url}}|{{host}}|{{time}}|{{group}}|{{category}}");
  std::string body = body_of(response());
  EXPECT_THAT(body, HasSubstr("|0123456789abc|10.20.0.5|"));
  EXPECT_THAT(body, HasSubstr("|games &amp; co|"));
  EXPECT_THAT(body, HasSubstr("Blocked by the rule"));
  EXPECT_THAT(body, HasSubstr("|games.example|2026-03-29 14:05 (Europe/Paris)|default|"));
  EXPECT_THAT(body, Not(HasSubstr("<b>")));
  EXPECT_THAT(body, HasSubstr("a=1&amp;b="));
}

TEST_F(BlockPage, LengthIsTrueAndNothingKeepsIt) {
  use("<p>{{why}}</p>");
  std::string answer = response();
  EXPECT_THAT(answer, testing::StartsWith("HTTP/1.1 403 Forbidden\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\nContent-Length: " + std::to_string(body_of(answer).size()) + "\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\nCache-Control: no-store\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\nConnection: close\r\n"));
  EXPECT_THAT(answer, HasSubstr("text/html; charset=utf-8"));
}

TEST_F(BlockPage, HeadHasTheSameHeadAndNoPage) {
  use("<p>{{why}}</p>");
  std::string get = response();
  subject.method = "HEAD";
  EXPECT_EQ(response(), get.substr(0, get.find("\r\n\r\n") + 4));
}

TEST_F(BlockPage, WithoutATemplateItIsPlainText) {
  std::string answer = response();
  EXPECT_THAT(answer, HasSubstr("text/plain"));
  EXPECT_THAT(answer, EndsWith("\nBlocked by the rule 'games & co'.\nDecision: 0123456789abc\n"));
}

TEST_F(BlockPage, ReasonOfItsOwnIsSaid) {
  EXPECT_THAT(response("Because."), HasSubstr("\nBecause.\n"));
}

TEST(WhySentence, TellsWhatRuleAndVerdictSay) {
  auto policy = snapshot({rule("games", policy::Action::warn)});
  policy::Verdict verdict;
  verdict.reason = policy::Reason::rule;
  verdict.rule = policy::RuleId{0};
  verdict.outcome = policy::Outcome::warn;
  EXPECT_EQ(why_sentence(*policy, verdict), "Blocked by the rule 'games', which asks for a confirmation.");
  verdict.reason = policy::Reason::malformed;
  verdict.rule = policy::no_rule;
  EXPECT_EQ(why_sentence(*policy, verdict), "The request breaks the rules of its protocol.");
}

}  // namespace
}  // namespace flow::model

#include "daemon/gateway/grants.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/code_hash.hpp"
#include "daemon/keeper/code_store.hpp"
#include "tests/unit/rules/list_folder.hpp"

namespace sluiced {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class GrantsTest : public testing::Test {
 protected:
  GrantsTest() {
    for (auto [name, action] : {std::pair{"block", policy::Action::block}, std::pair{"warn", policy::Action::warn},
                                std::pair{"code", policy::Action::code}}) {
      policy::Rule rule;
      rule.name = name;
      rule.action = action;
      rule.minutes = 5;
      snapshot_.rules.push_back(rule);
    }
    snapshot_.devices = {"tablet"};
    client_.address = *base::IpAddress::parse("192.0.2.7");
  }
  flow::ProceedForm sealed(const char* rule) {
    flow::ProceedForm form;
    form.rule = rule;
    form.url = "http://a.example/";
    grants_.seal(form, snapshot_, client_, now_);
    return form;
  }
  std::vector<std::uint32_t> cleared(base::WallTime at) {
    grants_.look_up(snapshot_, client_, at);
    std::vector<std::uint32_t> ids;
    for (policy::RuleId id : client_.cleared) ids.push_back(id.value);
    return ids;
  }
  control::Json code(const char* digits, const char* rule, std::int64_t lasts, std::int64_t uses) {
    std::int64_t now = std::chrono::floor<std::chrono::seconds>(now_).time_since_epoch().count();
    return {{"hash", hash_of_code(digits)}, {"rule", rule}, {"until", now + lasts}, {"uses", uses}};
  }

  std::vector<std::string> used_;
  Grants grants_{[this](const std::string& hash) { used_.push_back(hash); }};
  policy::Snapshot snapshot_;
  policy::Client client_;
  base::WallTime now_{1'800'000'000s};
};

TEST_F(GrantsTest, AClickHoldsForItsMinutesAndItsClient) {
  flow::ProceedForm form = sealed("warn");
  EXPECT_EQ(grants_.proceed(form, snapshot_, client_, now_), "");
  EXPECT_THAT(cleared(now_), ElementsAre(1));
  EXPECT_THAT(cleared(now_ + 299s), ElementsAre(1));
  EXPECT_THAT(cleared(now_ + 300s), IsEmpty());
  client_.address = *base::IpAddress::parse("192.0.2.8");
  EXPECT_THAT(cleared(now_), IsEmpty());
  EXPECT_FALSE(grants_.forget_expired(now_ + 299s));
  EXPECT_TRUE(grants_.forget_expired(now_ + 300s));
  EXPECT_FALSE(grants_.forget_expired(now_ + 300s));
}

TEST_F(GrantsTest, ADeviceIsTheSameAtEveryAddress) {
  client_.device = policy::DeviceId{0};
  flow::ProceedForm form = sealed("warn");
  client_.address = *base::IpAddress::parse("2001:db8::7");
  EXPECT_EQ(grants_.proceed(form, snapshot_, client_, now_), "");
  client_.address = *base::IpAddress::parse("2001:db8::8");
  EXPECT_THAT(cleared(now_), ElementsAre(1));
  client_.device.reset();
  EXPECT_THAT(cleared(now_), IsEmpty());
}

TEST_F(GrantsTest, AFormIsForItsClientRuleAddressAndTime) {
  auto refused = [&](flow::ProceedForm form, base::WallTime at) {
    return !grants_.proceed(form, snapshot_, client_, at).empty() && form.seal.empty();
  };
  flow::ProceedForm form = sealed("warn");
  EXPECT_TRUE(refused(form, now_ + 601s));
  flow::ProceedForm other = form;
  other.url = "http://b.example/";
  EXPECT_TRUE(refused(other, now_));
  other = form;
  other.rule = "code";
  EXPECT_TRUE(refused(other, now_));
  other = form;
  ++other.good_until;
  EXPECT_TRUE(refused(other, now_));
  EXPECT_TRUE(refused(sealed("block"), now_)) << "no click gets past a block";
  EXPECT_TRUE(refused(sealed("gone"), now_));
  client_.address = *base::IpAddress::parse("192.0.2.8");
  EXPECT_TRUE(refused(form, now_));
  Grants restarted{[](const std::string&) {}};
  client_.address = *base::IpAddress::parse("192.0.2.7");
  EXPECT_NE(restarted.proceed(form, snapshot_, client_, now_), "");
}

TEST_F(GrantsTest, ACodeIsOfItsRuleCountedAndTakenBack) {
  EXPECT_FALSE(grants_.adopt_codes(
      control::Json::array({code("4821-7730", "code", 100, 1), code("1111-1111", "other", 100, -1)})));
  flow::ProceedForm form = sealed("code");
  form.code = "1111 1111";
  EXPECT_THAT(grants_.proceed(form, snapshot_, client_, now_), HasSubstr("not good"));
  EXPECT_FALSE(form.seal.empty()) << "the page is shown again";
  form.code = " 48 21 77 30 ";
  EXPECT_EQ(grants_.proceed(form, snapshot_, client_, now_), "");
  EXPECT_THAT(used_, ElementsAre(hash_of_code("48217730")));
  EXPECT_THAT(cleared(now_ + 99s), ElementsAre(2));
  EXPECT_THAT(cleared(now_ + 100s), IsEmpty());
  EXPECT_THAT(grants_.proceed(form, snapshot_, client_, now_), HasSubstr("not good")) << "used up";
  EXPECT_TRUE(grants_.adopt_codes(control::Json::array()));
  EXPECT_THAT(cleared(now_), IsEmpty());
}

TEST_F(GrantsTest, AUseIsNotBroughtBackByNewsFromBefore) {
  control::Json codes = control::Json::array({code("11111111", "code", 3600, 1)});
  ASSERT_FALSE(grants_.adopt_codes(codes));
  flow::ProceedForm form = sealed("code");
  form.code = "11111111";
  ASSERT_EQ(grants_.proceed(form, snapshot_, client_, now_), "");
  codes.push_back(code("22222222", "code", 3600, 1));  // made before the keeper has heard of the use
  grants_.adopt_codes(codes);
  form = sealed("code");
  form.code = "11111111";
  EXPECT_THAT(grants_.proceed(form, snapshot_, client_, now_), HasSubstr("not good"));
  form.code = "22222222";
  EXPECT_EQ(grants_.proceed(form, snapshot_, client_, now_), "");
}

TEST_F(GrantsTest, GuessingWaits) {
  grants_.adopt_codes(control::Json::array({code("4821-7730", "code", 10'000, -1)}));
  flow::ProceedForm form = sealed("code");
  form.code = "0";
  for (int i = 0; i < 5; ++i) EXPECT_THAT(grants_.proceed(form, snapshot_, client_, now_), HasSubstr("not good"));
  form.code = "48217730";
  EXPECT_THAT(grants_.proceed(form, snapshot_, client_, now_), HasSubstr("Too many"));
  EXPECT_EQ(grants_.proceed(form, snapshot_, client_, now_ + 599s), "Too many wrong codes. Try again in ten minutes.");
  now_ += 601s;
  form = sealed("code");
  form.code = "48217730";
  EXPECT_EQ(grants_.proceed(form, snapshot_, client_, now_), "");
}

TEST_F(GrantsTest, CodesOutliveTheStoreAndDamageCostsThem) {
  ListFolder folder;
  std::string code;
  {
    CodeStore store(folder.path());
    control::Request request{"code new", {{"rule", "code"}, {"seconds", "60"}, {"uses", "2"}, {"note", "x"}}};
    control::Reply made = store.answer(request, {"code"}, "uid 7", now_);
    ASSERT_EQ(made.exit, 0) << made.text;
    code = made.data["code"];
    store.used(hash_of_code(code));
    EXPECT_EQ(store.answer({"code new", {{"rule", "no"}, {"seconds", "60"}}}, {"code"}, "uid 7", now_).exit, 1);
    EXPECT_EQ(store.answer({"code new", {{"rule", "code"}, {"seconds", "0"}}}, {"code"}, "uid 7", now_).exit, 2);
  }
  CodeStore again(folder.path());
  control::Json codes = control::Json::parse(again.for_gateway(now_));
  ASSERT_EQ(codes.size(), 1u);
  EXPECT_EQ(codes[0]["hash"], hash_of_code(code));
  EXPECT_EQ(codes[0]["uses"], 1);
  EXPECT_EQ(again.for_gateway(now_ + 60s), "[]");
  folder.write("codes.json", "[{\"hash\": 7");
  EXPECT_EQ(CodeStore(folder.path()).for_gateway(now_), "[]");
}

flow::RefusedName refused(std::string name, std::string rule, policy::Outcome outcome, base::WallTime when) {
  flow::RefusedName made;
  made.name = std::move(name);
  made.rule = std::move(rule);
  made.outcome = outcome;
  made.when = when;
  return made;
}

std::vector<std::string> names(const std::vector<flow::RefusedName>& all) {
  std::vector<std::string> found;
  for (const auto& each : all) found.push_back(each.name);
  return found;
}

TEST_F(GrantsTest, TellsWhatWasRefusedLately) {
  auto note = [&](const char* name, const char* rule, policy::Outcome outcome, base::WallTime when) {
    grants_.note_refused(snapshot_, client_, refused(name, rule, outcome, when));
  };
  note("a.example", "block", policy::Outcome::block, now_);
  note("b.example", "warn", policy::Outcome::warn, now_);
  note("c.example", "warn", policy::Outcome::warn, now_ + 60s);
  note("b.example", "warn", policy::Outcome::warn, now_ + 61s);  // once more: it is the newest now
  auto lately = [&](base::WallTime at) { return names(grants_.refused_lately(snapshot_, client_, at)); };
  EXPECT_THAT(lately(now_ + 61s), ElementsAre("b.example", "c.example", "a.example"));
  EXPECT_THAT(lately(now_ + 901s), ElementsAre("b.example", "c.example"));
  grants_.forget_old_refusals(now_ + 1000s);
  EXPECT_THAT(lately(now_), IsEmpty());

  note("d.example", "code", policy::Outcome::code, now_);
  client_.address = *base::IpAddress::parse("192.0.2.8");
  EXPECT_THAT(lately(now_), IsEmpty());
}

TEST_F(GrantsTest, TellsNothingThatHoldsNoMore) {
  grants_.note_refused(snapshot_, client_, refused("a.example", "warn", policy::Outcome::warn, now_));
  grants_.note_refused(snapshot_, client_, refused("b.example", "code", policy::Outcome::quota, now_));
  auto lately = [&] { return names(grants_.refused_lately(snapshot_, client_, now_)); };
  EXPECT_THAT(lately(), ElementsAre("a.example"));  // that quota is not spent any more
  client_.spent.push_back({policy::RuleId{2}, now_});
  client_.cleared.push_back(policy::RuleId{1});
  EXPECT_THAT(lately(), ElementsAre("b.example"));
}

TEST_F(GrantsTest, RemembersSoManyPeople) {
  for (std::uint32_t i = 0; i < 2001; ++i) {
    client_.address = base::IpAddress::v4(0x0a000000 + i);
    grants_.note_refused(snapshot_, client_, refused("a.example", "warn", policy::Outcome::warn, now_));
  }
  EXPECT_THAT(grants_.refused_lately(snapshot_, client_, now_), IsEmpty());
  client_.address = base::IpAddress::v4(0x0a000000);
  EXPECT_THAT(names(grants_.refused_lately(snapshot_, client_, now_)), ElementsAre("a.example"));
}

}  // namespace
}  // namespace sluiced

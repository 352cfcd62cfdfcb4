#include "tls-intercept/learned.hpp"

#include <gtest/gtest.h>

namespace {

using tls_intercept::Learned;
using tls_intercept::Refusal;

const std::string phone = "02:00:00:00:00:01", laptop = "02:00:00:00:00:02";
constexpr std::int64_t noon = 1'780'000'000;

struct LearnedTest : ::testing::Test {
  Learned learned;
  void enrol(const std::string& device) { learned.passed_check(device, noon); }
  bool bypass_after(std::size_t count, Refusal how, std::int64_t apart = 1) {
    bool learnt = false;
    for (std::size_t i = 0; i < count; ++i)
      learnt |=
          learned.refused(phone, "app.example", how, noon + static_cast<std::int64_t>(i) * apart).bypass.has_value();
    return learnt;
  }
};

TEST_F(LearnedTest, AlertsAboutTheCertificateAndNoOthers) {
  for (int alert : {42, 43, 44, 45, 46, 48, 49}) EXPECT_TRUE(tls_intercept::is_about_certificate(alert)) << alert;
  for (int alert : {0, 10, 40, 47, 50, 70, 80, 90, 121})
    EXPECT_FALSE(tls_intercept::is_about_certificate(alert)) << alert;
}

TEST_F(LearnedTest, TheCheckEnrolsAndSoDoSeveralNamesButNotOne) {
  EXPECT_FALSE(learned.took(phone, "a.example", noon));
  EXPECT_FALSE(learned.took(phone, "a.example", noon)) << "one name, however often: a clicked-away warning";
  EXPECT_FALSE(learned.took(phone, "b.example", noon));
  EXPECT_FALSE(learned.enrolled(phone));
  EXPECT_TRUE(learned.took(phone, "c.example", noon));
  EXPECT_TRUE(learned.enrolled(phone));
  EXPECT_TRUE(learned.passed_check(laptop, noon));
  EXPECT_FALSE(learned.passed_check(laptop, noon)) << "no news";
  EXPECT_TRUE(learned.enrolled(laptop));
}

TEST_F(LearnedTest, AnEnrolledDeviceThatRefusesOneNameHasItBypassedForItselfAlone) {
  enrol(phone);
  enrol(laptop);
  EXPECT_TRUE(bypass_after(3, Refusal::alert));
  EXPECT_TRUE(learned.bypassed(phone, "app.example", noon + 10));
  EXPECT_FALSE(learned.bypassed(laptop, "app.example", noon + 10));
  EXPECT_FALSE(learned.bypassed(phone, "other.example", noon + 10));
  EXPECT_FALSE(learned.bypassed(phone, "app.example", noon + Learned::bypass_life + 10)) << "it ends";
}

TEST_F(LearnedTest, SilentEndsCountLessAndNotAtAllOnceTheNameWasTaken) {
  enrol(phone);
  EXPECT_FALSE(bypass_after(4, Refusal::silent));
  EXPECT_TRUE(learned.refused(phone, "app.example", Refusal::silent, noon + 60).bypass);
  learned.took(laptop, "app.example", noon);
  enrol(laptop);
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(learned.refused(laptop, "app.example", Refusal::silent, noon).bypass);
}

TEST_F(LearnedTest, ADeviceThatIsNotEnrolledTeachesNothing) {
  EXPECT_FALSE(bypass_after(50, Refusal::alert));
}

TEST_F(LearnedTest, RefusalsFarApartDoNotAddUpAndASuccessForgetsThem) {
  enrol(phone);
  EXPECT_FALSE(bypass_after(10, Refusal::alert, Learned::window));
  enrol(laptop);
  EXPECT_FALSE(learned.refused(laptop, "app.example", Refusal::alert, noon).bypass);
  EXPECT_FALSE(learned.refused(laptop, "app.example", Refusal::alert, noon).bypass);
  learned.took(laptop, "app.example", noon);
  EXPECT_FALSE(learned.refused(laptop, "app.example", Refusal::alert, noon).bypass);
}

TEST_F(LearnedTest, NameAfterNameRefusedIsACaThatIsGone) {
  enrol(phone);
  for (int i = 0; i < 4; ++i)
    EXPECT_FALSE(learned.refused(phone, "n" + std::to_string(i) + ".example", Refusal::alert, noon).standing);
  EXPECT_TRUE(learned.refused(phone, "n4.example", Refusal::alert, noon).standing);
  EXPECT_FALSE(learned.enrolled(phone));
}

TEST_F(LearnedTest, WhatWasKeptComesBackAndARevokedBypassDoesNot) {
  enrol(phone);
  bypass_after(3, Refusal::alert);
  Learned later;
  later.adopt(learned.enrolled_devices(), learned.bypasses(noon));
  EXPECT_TRUE(later.enrolled(phone));
  EXPECT_TRUE(later.bypassed(phone, "app.example", noon + 5));
  later.adopt(learned.enrolled_devices(), {});
  EXPECT_FALSE(later.bypassed(phone, "app.example", noon + 5));
}

TEST_F(LearnedTest, MemoryIsBounded) {
  for (std::size_t i = 0; i < 3 * Learned::most_devices; ++i)
    learned.passed_check("device " + std::to_string(i), noon + static_cast<std::int64_t>(i));
  EXPECT_LE(learned.enrolled_devices().size(), Learned::most_devices);
  EXPECT_TRUE(learned.enrolled("device " + std::to_string(3 * Learned::most_devices - 1))) << "the latest stay";
}

}  // namespace

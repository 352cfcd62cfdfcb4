// Between an allowed hello and the origin's answer, and what follows a HelloRetryRequest.
#include "flow/states/answering.hpp"

#include <gtest/gtest.h>

#include "tests/unit/flow/model_driver.hpp"
#include "tests/unit/flow/playbook.hpp"
#include "tests/unit/flow/world.hpp"
#include "tests/unit/proto/tls/answer_builder.hpp"

namespace flow::model {
namespace {

using hello_builder::record;

const std::string school = client_hello("school.example"), games = client_hello("games.example");
const std::string retry = hello_builder::hello_retry_request();
const std::string answer = hello_builder::in_records(hello_builder::server_hello());
const std::string ccs = record("\x01", 20), early_data = record("early data", 23);
const std::string between = ccs + early_data + ccs;

const char* const awaits_answer = "disarm deadline\narm idle 7440s\nread client stream\nread origin stream";
const char* const splices = "\ndisarm deadline\narm idle 7440s\nsplice client\nsplice origin";

std::string count(const char* what, std::size_t bytes) {
  return std::string(what) + " " + std::to_string(bytes);
}

// A flow whose first hello, for school.example, has reached the origin; what is said then, byte by byte if need be.
struct Tls : Driver {
  explicit Tls(World& world) : Driver(world.opening(443), world.surroundings) {
    Driver::send(Side::client, school);
    accept();
  }
  // In two pieces.
  void send(Side side, std::string_view bytes, std::size_t cut = 0) {
    if (cut > 0) Driver::send(side, bytes.substr(0, cut));
    Driver::send(side, bytes.substr(cut));
  }
  bool tunnelled() const { return spliced(Side::client) && spliced(Side::origin); }
  // Refused, with this alert behind what the client had got; nothing but `passed` has reached the origin.
  void expect_alert(std::uint8_t description, std::string_view passed, std::string_view had_got = {}) const {
    EXPECT_TRUE(closed());
    EXPECT_EQ(got(Side::origin), school + std::string(passed));
    EXPECT_EQ(got(Side::client),
              std::string(had_got) + std::string("\x15\x03\x03\x00\x02\x02", 6) + static_cast<char>(description));
    ASSERT_EQ(notes().size(), 1u);
    EXPECT_EQ(notes()[0].action, "block");
    EXPECT_EQ(unread(Side::client), 0u) << "would be answered by a reset, which overtakes the alert";
    EXPECT_EQ(violation(), "");
  }
};
constexpr std::uint8_t access_denied = 49, decode_error = 50;

TEST(Answering, AnAnswerIsPassedOnAndTheRestIsSpliced) {
  World world;
  Playbook play(world.opening(443), world.surroundings);
  play.start("arm deadline 3s\nread client peek")
      .client(school, "read client off\nconnect\narm deadline 30s")
      .step(Connected{}, "origin is there", awaits_answer)
      .client(school, count("forward client", school.size()))
      .origin(answer.substr(0, 11), "")
      .origin(answer, count("forward origin", answer.size()) + splices)
      .step(Spliced{Side::origin, true}, "origin ends", "arm idle 300s")
      .step(Spliced{Side::client, true}, "client ends", "note allow no_rule\nclose");
  EXPECT_EQ(play.record().name, "school.example");
}

TEST(Answering, ARetryIsFollowedByAnotherHello) {
  World world;
  Playbook play(world.opening(443), world.surroundings);
  play.start("arm deadline 3s\nread client peek")
      .client(school, "read client off\nconnect\narm deadline 30s")
      .step(Connected{}, "origin is there", awaits_answer)
      .client(school, count("forward client", school.size()))
      .origin(retry.substr(0, 42), "")
      .origin(retry, count("forward origin", retry.size()) + "\nread client stream")
      .origin(ccs, count("forward origin", ccs.size()))
      .client(ccs.substr(0, 4), "")
      .client(ccs + school.substr(0, 1), count("forward client", ccs.size()) + "\narm deadline 10s")
      .client(school.substr(0, 60), "")
      .client(school + early_data, count("forward client", school.size() + early_data.size()) + splices);
}

TEST(Answering, AnAnswerIsToldAtAnySplit) {
  for (std::size_t cut = 0; cut <= answer.size(); ++cut) {
    World world;
    Tls tls(world);
    tls.send(Side::origin, answer.substr(0, cut));
    ASSERT_EQ(tls.tunnelled(), cut >= 12) << cut;
    ASSERT_EQ(tls.got(Side::client), cut >= 12 ? answer.substr(0, cut) : "") << cut;
    tls.send(Side::origin, answer.substr(cut));
    tls.send(Side::client, "encrypted");
    ASSERT_TRUE(tls.tunnelled());
    ASSERT_EQ(tls.got(Side::client), answer);
    ASSERT_EQ(tls.got(Side::origin), school + "encrypted");
    ASSERT_EQ(tls.violation(), "");
  }
}

TEST(Answering, WhateverIsNoRetryIsAnAnswer) {
  for (const std::string& other : {record("\x02\x28", 21), std::string("HTTP/1.1 400 Bad Request\r\n"), early_data,
                                   record(std::string_view("\x01\x70", 2), 21) + answer}) {
    World world;
    Tls tls(world);
    tls.send(Side::origin, other);
    EXPECT_TRUE(tls.tunnelled());
    EXPECT_EQ(tls.got(Side::client), other);
  }
}

TEST(Answering, WarningsWithoutEndAreRefused) {
  World world;
  Tls tls(world);
  std::string warnings;
  while (warnings.size() < 1100) warnings += record(std::string_view("\x01\x70", 2), 21);
  tls.send(Side::origin, warnings);
  EXPECT_TRUE(tls.over() && !tls.closed());
  EXPECT_EQ(tls.got(Side::client), "");
  ASSERT_EQ(tls.notes().size(), 1u);
  EXPECT_EQ(tls.notes()[0].reason, "malformed");
}

// Nothing else waits: 0-RTT data that is already here, and what is still on its way.
TEST(Answering, EarlyDataDoesNotWait) {
  World world;
  Driver driver(world.opening(443), world.surroundings);
  driver.send(Side::client, school + ccs);
  driver.accept();
  EXPECT_EQ(driver.got(Side::origin), school + ccs);
  std::string sent = school + ccs;
  for (char byte : early_data + record(std::string(20000, 'e'), 23) + record("", 23) + early_data) {
    driver.send(Side::client, {&byte, 1});
    sent += byte;
    ASSERT_LT(sent.size() - driver.got(Side::origin).size(), 5u) << "less than a record's header";
  }
  EXPECT_EQ(driver.got(Side::origin), sent);
  EXPECT_EQ(driver.violation(), "");
}

TEST(Answering, AHelloForAnotherNameAfterARetryIsRefusedAtAnySplit) {
  for (std::size_t record_size : {16384, 30, 1}) {
    const std::string second = client_hello("games.example", record_size);
    for (const std::string& before : {std::string(), ccs, between}) {
      for (std::size_t cut = 0; cut < before.size() + second.size(); ++cut) {
        World world;
        Tls tls(world);
        tls.send(Side::origin, retry);
        tls.send(Side::client, before + second, cut);
        tls.expect_alert(access_denied, before, retry);
        ASSERT_EQ(tls.notes()[0].name, "games.example");
        ASSERT_EQ(tls.notes()[0].rule, "no games");
        ASSERT_FALSE(HasFailure()) << "cut at " << cut;
      }
    }
  }
}

TEST(Answering, ARetryIsToldAtAnySplitAndInAnyRecords) {
  for (std::size_t record_size : {16384, 7, 1}) {
    const std::string cut_retry =
        hello_builder::in_records(hello_builder::server_hello(hello_builder::retry_random()), record_size);
    for (std::size_t cut = 0; cut <= cut_retry.size(); ++cut) {
      World world;
      Tls tls(world);
      tls.send(Side::origin, cut_retry, cut);
      ASSERT_EQ(tls.got(Side::client), cut_retry);
      tls.send(Side::client, games);
      tls.expect_alert(access_denied, "", cut_retry);
      ASSERT_FALSE(HasFailure()) << "cut at " << cut;
    }
  }
}

TEST(Answering, AnAllowedSecondHelloMakesATunnelAtAnySplit) {
  const std::string second = ccs + school;
  for (std::size_t cut = 0; cut <= second.size(); ++cut) {
    World world;
    Tls tls(world);
    tls.send(Side::origin, retry + ccs);
    tls.send(Side::client, second, cut);
    ASSERT_TRUE(tls.tunnelled()) << cut;
    tls.send(Side::origin, answer);
    tls.send(Side::client, "encrypted");
    ASSERT_EQ(tls.got(Side::origin), school + second + "encrypted");
    ASSERT_EQ(tls.got(Side::client), retry + ccs + answer);
    tls.end(Side::client);
    tls.end(Side::origin);
    ASSERT_EQ(tls.notes().size(), 1u);
    ASSERT_EQ(tls.notes()[0].action, "allow");
    ASSERT_EQ(tls.notes()[0].bytes_up, tls.got(Side::origin).size());
    ASSERT_EQ(tls.notes()[0].bytes_down, tls.got(Side::client).size());
    ASSERT_EQ(tls.violation(), "");
  }
}

TEST(Answering, TheSecondHelloIsWhatIsJudgedAndLogged) {
  World world;
  Tls tls(world);
  tls.send(Side::origin, retry);
  tls.send(Side::client, client_hello("other.example"));
  tls.abort(Side::origin);
  ASSERT_EQ(tls.notes().size(), 1u);
  EXPECT_EQ(tls.notes()[0].name, "other.example");

  policy::Conditions conditions;
  conditions.not_to = hosts({"school.example"});
  World school_only({rule("school only", policy::Action::block, conditions)});
  Tls nameless(school_only);
  nameless.send(Side::origin, retry);
  nameless.send(Side::client, client_hello(""));
  nameless.expect_alert(access_denied, "", retry);
  EXPECT_EQ(nameless.notes()[0].rule, "school only");
}

// A client that knows what the origin will ask need not wait for it.
TEST(Answering, ASecondHelloBeforeTheRetryWaitsAtAnySplit) {
  for (std::size_t cut = 1; cut <= between.size() + games.size(); ++cut) {
    World world;
    Driver driver(world.opening(443), world.surroundings);
    driver.send(Side::client, school + (between + games).substr(0, cut));
    driver.accept();
    driver.send(Side::client, (between + games).substr(cut));
    ASSERT_EQ(driver.got(Side::origin), school + between) << cut;
    ASSERT_FALSE(driver.over());
    driver.send(Side::origin, retry);
    ASSERT_TRUE(driver.closed());
    ASSERT_EQ(driver.got(Side::origin), school + between) << cut;
    ASSERT_EQ(driver.notes().size(), 1u);
    ASSERT_EQ(driver.notes()[0].rule, "no games");
    ASSERT_EQ(driver.violation(), "");
  }
}

TEST(Answering, ASecondHelloThatIsNotAskedForPassesWithTheAnswer) {
  World world;
  for (bool retried : {false, true}) {
    Tls tls(world);
    tls.send(Side::client, ccs + school + early_data);
    EXPECT_EQ(tls.got(Side::origin), school + ccs);
    tls.send(Side::origin, retried ? retry : answer);
    EXPECT_TRUE(tls.tunnelled());
    EXPECT_EQ(tls.got(Side::origin), school + ccs + school + early_data);
    EXPECT_EQ(tls.violation(), "");
  }
}

TEST(Answering, WhileASecondHelloWaitsTheClientIsNotRead) {
  World world;
  Playbook play(world.opening(443), world.surroundings);
  play.start("arm deadline 3s\nread client peek")
      .client(school, "read client off\nconnect\narm deadline 30s")
      .step(Connected{}, "origin is there", awaits_answer)
      .client(school + ccs + games.substr(0, 6),
              count("forward client", school.size() + ccs.size()) + "\nread client off")
      .origin(retry, count("forward origin", retry.size()) + "\nread client stream")
      .client(games,
              count("consume client", games.size()) + "\nsend client 7 bytes\nnote block rule 'no games'\nclose");
}

TEST(Answering, AnythingElseBehindAHelloIsRefused) {
  const std::string server_hello = hello_builder::in_records(hello_builder::server_hello());
  for (const std::string& odd : {std::string("GET / HTTP/1.1\r\n"), record("heartbeat", 24), server_hello, record(""),
                                 games.substr(0, 5) + "\x03", std::string("\x16\x02", 2)}) {
    for (const std::string& before : {std::string(), between}) {
      World world;
      Tls early(world);
      early.send(Side::client, before + odd);
      early.expect_alert(decode_error, before);
      EXPECT_EQ(early.notes()[0].reason, "malformed");
      Tls late(world);
      late.send(Side::origin, retry);
      late.send(Side::client, before + odd);
      late.expect_alert(decode_error, before, retry);
      EXPECT_FALSE(HasFailure()) << odd;
    }
  }
}

TEST(Answering, AClientThatEndsEndsTheTunnelAsAnyOther) {
  World world;
  for (const std::string& said : {std::string(), retry, answer}) {
    Tls tls(world);
    tls.send(Side::origin, said);
    tls.send(Side::client, ccs);
    tls.end(Side::client);
    EXPECT_TRUE(tls.got_end(Side::origin) && !tls.over());
    tls.send(Side::origin, record("\x02\x28", 21));
    tls.end(Side::origin);
    EXPECT_TRUE(tls.closed());
    EXPECT_EQ(tls.got(Side::origin), school + ccs);
    EXPECT_EQ(tls.got(Side::client), said + record("\x02\x28", 21));
    ASSERT_EQ(tls.notes().size(), 1u);
    EXPECT_EQ(tls.notes()[0].action, "allow");
    EXPECT_EQ(tls.violation(), "");
  }
  Driver at_once(world.opening(443), world.surroundings);
  at_once.send(Side::client, school);
  at_once.end(Side::client);
  at_once.accept();
  EXPECT_EQ(at_once.got(Side::origin), school);
  EXPECT_TRUE(at_once.got_end(Side::origin) && !at_once.over());
  EXPECT_EQ(at_once.violation(), "");
}

TEST(Answering, ASecondHelloThatEndsInTheMiddleIsMalformed) {
  World world;
  for (bool retried_first : {false, true}) {
    for (std::size_t length = 1; length < games.size(); ++length) {
      Tls tls(world);
      if (retried_first) tls.send(Side::origin, retry);
      tls.send(Side::client, games.substr(0, length));
      tls.end(Side::client);
      if (!retried_first) tls.send(Side::origin, retry);
      tls.expect_alert(decode_error, "", retry);
      ASSERT_FALSE(HasFailure()) << length;
    }
  }
}

TEST(Answering, AnOriginThatEndsWithoutAnAnswerEndsTheFlow) {
  World world;
  for (const std::string& said : {std::string(), answer.substr(0, 8), retry.substr(0, 40), retry, retry + ccs}) {
    Tls tls(world);
    tls.send(Side::origin, said);
    tls.end(Side::origin);
    EXPECT_TRUE(tls.closed());
    EXPECT_EQ(tls.got(Side::client), said);
    EXPECT_EQ(tls.got(Side::origin), school);
    EXPECT_EQ(tls.violation(), "");
  }
}

// With its answer it may: the half-close is passed on, and the client's side goes on.
TEST(Answering, AnOriginThatEndsWithItsAnswerHasAnswered) {
  World world;
  Playbook play(world.opening(443), world.surroundings);
  play.start("arm deadline 3s\nread client peek")
      .client(school, "read client off\nconnect\narm deadline 30s")
      .step(Connected{}, "origin is there", awaits_answer)
      .origin(answer, count("forward origin", answer.size()) + splices, true);
}

TEST(Answering, TimeIsTheTunnelsAndForASecondHelloAsForTheFirst) {
  World world;
  Tls waiting(world);
  EXPECT_FALSE(waiting.armed(Timer::deadline));
  EXPECT_TRUE(waiting.armed(Timer::idle));
  waiting.send(Side::origin, retry);
  EXPECT_FALSE(waiting.armed(Timer::deadline));
  waiting.send(Side::client, ccs + school.substr(0, 20));
  EXPECT_TRUE(waiting.armed(Timer::deadline));
  Tls whole(world);
  whole.send(Side::origin, retry);
  whole.send(Side::client, ccs + school, 20);
  EXPECT_FALSE(whole.armed(Timer::deadline));
  waiting.expire(Timer::deadline);
  EXPECT_TRUE(waiting.over() && !waiting.closed());
  ASSERT_EQ(waiting.notes().size(), 1u);
  EXPECT_EQ(waiting.notes()[0].reason, "timeout");
  Tls silent(world);
  silent.expire(Timer::idle);
  EXPECT_TRUE(silent.over() && !silent.closed());
}

TEST(Answering, ANewPolicyIsInForceAtOnce) {
  policy::Client client = World().opening(443).client;
  policy::Conditions conditions;
  conditions.to = hosts({"school.example"});
  policy::Rule holidays = rule("holidays", policy::Action::block, conditions), keeping = holidays;
  keeping.live_keep = true;
  for (bool retried : {false, true}) {
    World world;
    Tls ended(world), kept(world);
    if (retried) ended.send(Side::origin, retry), kept.send(Side::origin, retry);
    world.use({holidays});
    ended.change_policy(client);
    EXPECT_TRUE(ended.over() && !ended.closed());
    world.use({keeping});
    kept.change_policy(client);
    EXPECT_FALSE(kept.over());
    world.use({no_games(), keeping});
    kept.change_policy(client);
    if (retried) kept.send(Side::client, games);
    EXPECT_EQ(kept.over(), retried);
  }
}

TEST(Answering, AClientThatSpeaksLateIsReadFurtherLikeAnyOther) {
  World world;
  Driver driver(world.opening(443), world.surroundings);
  driver.expire(Timer::deadline);
  driver.accept();
  driver.send(Side::client, school.substr(0, 9));
  driver.send(Side::client, school.substr(9));
  EXPECT_EQ(driver.got(Side::origin), school);
  driver.send(Side::origin, retry);
  driver.send(Side::client, ccs + games);
  EXPECT_TRUE(driver.closed());
  EXPECT_EQ(driver.got(Side::origin), school + ccs);
  EXPECT_EQ(driver.violation(), "");
}

TEST(Answering, WhereNoHelloWasJudgedNothingIsWaitedFor) {
  World world;
  world.group().tls = policy::TlsMode::off;
  Tls off(world);
  EXPECT_TRUE(off.tunnelled());
  Driver other(world.opening(443), world.surroundings);
  other.send(Side::client, "SSH-2.0-x\r\n");
  other.accept();
  EXPECT_TRUE(other.spliced(Side::client) && other.spliced(Side::origin));
}

}  // namespace
}  // namespace flow::model

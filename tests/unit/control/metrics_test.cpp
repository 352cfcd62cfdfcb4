// The exposition: what is known has a sample, what is not has none, and no label can break a line.
#include "control/metrics.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/text.hpp"

namespace control {
namespace {

using testing::HasSubstr;
using testing::Not;

// A status as the gateway answers it, with everything in it.
Json whole_status() {
  return {{"version", "0.1.0"},
          {"interception", {{"signer", true}, {"leaves_minted", 7}, {"enrolled", {"a", "b"}}, {"bypasses", 3}}},
          {"uptime_s", 61},
          {"rules", 4},
          {"groups", 2},
          {"list_entries", 1000000},
          {"clock_before_build_date", false},
          {"connections", 5},
          {"accepted", 50},
          {"refused_by_limit", 1},
          {"accept_errors", 0},
          {"bytes_up", 10},
          {"bytes_down", 18446744073709551615u},
          {"kernel_lane",
           {{"running", 8},
            {"undecided", 1},
            {"allowed", 20},
            {"blocked", 3},
            {"unknown", 0},
            {"unreadable", 0},
            {"refused_by_limit", 0},
            {"timed_out", 2},
            {"unlabelled", 0}}},
          {"records", {{"allow", 30}, {"block", 6}, {"warn", 0}, {"code", 0}, {"abort", 1}}},
          {"grants", 2},
          {"log_lines_lost", 0},
          {"heartbeat", "ok"},
          {"workers", 2},
          {"complete", true},
          {"warnings", {"one"}}};
}

MetricsInput input_of(Json status) {
  MetricsInput input;
  input.gateway = std::move(status);
  input.keeper = {{"log_lines_lost", 9}, {"log_trouble", true}, {"lists_in_trouble", 1}};
  input.restarts = {{"gateway", 1}, {"keeper", 0}};
  return input;
}

// Reads text as a scraper does; a family's samples must stand together below one HELP and one TYPE.
std::map<std::string, std::string> samples(const std::string& text) {
  std::map<std::string, std::string> found;
  std::set<std::string> families;
  std::string family;
  for (std::string_view line : base::split(text, '\n')) {
    if (line.empty()) continue;
    if (line.starts_with("# TYPE ")) {
      family = line.substr(7, line.find(' ', 7) - 7);
      EXPECT_TRUE(families.insert(family).second) << family << " is there twice";
      bool counts = line.ends_with(" counter");
      EXPECT_TRUE(counts || line.ends_with(" gauge")) << line;
      EXPECT_EQ(counts, family.ends_with("_total")) << line;
      continue;
    }
    if (line.starts_with("# HELP ")) {
      EXPECT_GT(line.size(), line.find(' ', 7) + 10) << "no help: " << line;
      continue;
    }
    std::size_t blank = line.rfind(' ');
    std::string series(line.substr(0, blank));
    EXPECT_EQ(series.substr(0, series.find('{')), family);
    EXPECT_TRUE(found.emplace(series, line.substr(blank + 1)).second) << series << " is there twice";
  }
  return found;
}

TEST(Metrics, EverythingKnownIsThere) {
  auto seen = samples(exposition(input_of(whole_status())));
  std::map<std::string, std::string> expected = {
      {"sluice_build_info{version=\"" SLUICE_VERSION "\"}", "1"},
      {"sluice_up", "1"},
      {"sluice_uptime_seconds", "61"},
      {"sluice_process_restarts_total{process=\"gateway\"}", "1"},
      {"sluice_heartbeat_ok", "1"},
      {"sluice_clock_before_build_date", "0"},
      {"sluice_groups", "2"},
      {"sluice_list_entries", "1000000"},
      {"sluice_policy_warnings", "1"},
      {"sluice_lists_in_trouble", "1"},
      {"sluice_grants", "2"},
      {"sluice_connections{lane=\"proxy\"}", "5"},
      {"sluice_connections{lane=\"kernel\"}", "8"},
      {"sluice_flows_total{lane=\"kernel\",outcome=\"blocked\"}", "3"},
      {"sluice_access_records_total{action=\"block\"}", "6"},
      {"sluice_proxied_bytes_total{direction=\"down\"}", "18446744073709551615"},
      {"sluice_devices_enrolled", "2"},
      {"sluice_certificates_signed_total", "7"},
      {"sluice_log_lines_lost_total{process=\"keeper\"}", "9"},
      {"sluice_log_trouble", "1"}};
  for (const auto& [series, value] : expected) EXPECT_EQ(seen[series], value) << series;
}

TEST(Metrics, WhatNobodyKnowsIsLeftOut) {
  Json status = whole_status();
  status["kernel_lane"] = nullptr;
  status["interception"] = nullptr;
  status["heartbeat"] = "cannot be renewed";
  std::string text = exposition(input_of(status));
  auto seen = samples(text);
  EXPECT_EQ(seen["sluice_heartbeat_ok"], "0");
  EXPECT_THAT(text, Not(HasSubstr("kernel")));
  EXPECT_THAT(text, Not(HasSubstr("sluice_signer_up")));
  EXPECT_THAT(text, Not(HasSubstr("sluice_bytes_total")));    // no accounting
  EXPECT_THAT(text, Not(HasSubstr("sluice_store_trouble")));  // nor a store
}

TEST(Metrics, ASilentGatewayIsAGapAndNotAReset) {
  Json halved = whole_status();
  halved["complete"] = false;
  for (const Json& status : {Json(nullptr), halved}) {
    std::string text = exposition(input_of(status));
    auto seen = samples(text);
    EXPECT_EQ(seen["sluice_up"], "0");
    EXPECT_EQ(seen["sluice_log_lines_lost_total{process=\"keeper\"}"], "9");
    EXPECT_THAT(text, Not(HasSubstr("sluice_proxied_bytes_total")));
    EXPECT_THAT(text, Not(HasSubstr("process=\"gateway\"} 0")));
  }
}

TEST(Metrics, AccountingHasBytesByDirection) {
  Json status = whole_status();
  status["accounting"] = {{"conntrack_entries", 40}, {"dumps", 3},   {"events_lost", 0},       {"bytes_up", 100},
                          {"bytes_down", 900},       {"clients", 6}, {"unattributed_bytes", 5}};
  auto seen = samples(exposition(input_of(status)));
  EXPECT_EQ(seen["sluice_bytes_total{direction=\"up\"}"], "100");
  EXPECT_EQ(seen["sluice_bytes_total{direction=\"down\"}"], "900");
  EXPECT_EQ(seen["sluice_unattributed_bytes_total"], "5");
  EXPECT_EQ(seen["sluice_clients"], "6");
  EXPECT_EQ(seen["sluice_conntrack_dumps_total"], "3");
}

TEST(Metrics, GroupsBeyondAHundredAreOne) {
  Json status = whole_status(), groups = Json::array();
  for (int i = 0; i < 103; ++i)
    groups.push_back({{"name", "g" + std::to_string(i)}, {"bytes_up", i}, {"bytes_down", 1}});
  status["groups"] = groups;
  auto seen = samples(exposition(input_of(status)));
  EXPECT_EQ(seen["sluice_groups"], "103");
  EXPECT_EQ(seen["sluice_group_bytes_total{group=\"g99\",direction=\"up\"}"], "99");
  EXPECT_EQ(seen.count("sluice_group_bytes_total{group=\"g100\",direction=\"up\"}"), 0u);
  EXPECT_EQ(seen["sluice_group_bytes_total{group=\"(other)\",direction=\"up\"}"], std::to_string(100 + 101 + 102));
  EXPECT_EQ(seen["sluice_group_bytes_total{group=\"(other)\",direction=\"down\"}"], "3");
}

TEST(Metrics, ClientsOnlyWhereTheyAreAskedForAndNoMoreThanThat) {
  MetricsInput input = input_of(whole_status());
  input.top = {{"clients",
                {{{"user", "alice"}, {"device", "phone"}, {"group", "staff"}, {"bytes_up", 1}, {"bytes_down", 10}},
                 {{"user", "alice"}, {"device", "laptop"}, {"group", "staff"}, {"bytes_up", 2}, {"bytes_down", 20}},
                 {{"user", ""}, {"device", "tv \"new\"\\\n"}, {"group", "home"}, {"bytes_up", 0}, {"bytes_down", 50}},
                 {{"client", "10.0.0.9"}, {"group", "home"}, {"bytes_up", 1}, {"bytes_down", 1}}}}};
  EXPECT_THAT(exposition(input), Not(HasSubstr("client=")));
  input.clients = 2;
  auto seen = samples(exposition(input));
  EXPECT_EQ(seen["sluice_client_bytes_total{client=\"alice\",group=\"staff\",direction=\"down\"}"], "30");
  EXPECT_EQ(seen["sluice_client_bytes_total{client=\"tv \\\"new\\\"\\\\\\n\",group=\"home\",direction=\"down\"}"],
            "50");
  EXPECT_EQ(seen.count("sluice_client_bytes_total{client=\"10.0.0.9\",group=\"home\",direction=\"down\"}"), 0u);
}

TEST(Metrics, ValuesOfAnotherShapeAreNoDanger) {
  Json status = whole_status();
  status["kernel_lane"] = {1, 2, 3};
  status["interception"] = "broken";
  status["accounting"] = {{"bytes_up", {{"deep", 1}}}};
  status["groups"] = {1, "two", {{"name", 3}, {"bytes_up", "x"}}};
  auto seen = samples(exposition(input_of(status)));
  EXPECT_EQ(seen["sluice_up"], "1");
  EXPECT_EQ(seen.count("sluice_bytes_total{direction=\"up\"}"), 0u);
}

}  // namespace
}  // namespace control

#include "control/protocol.hpp"

#include <gtest/gtest.h>

#include <string>

namespace control {
namespace {

using namespace std::string_view_literals;

TEST(Request, ComesBackAsItWasWritten) {
  Request request{"explain", {{"client", "10.20.0.7"}, {"target", "https://example.org/\"\n\\\xc3\xbc"}}};
  std::string line = to_line(request);
  EXPECT_EQ(line.find('\n'), line.npos);
  auto read = parse_request(line);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->verb, request.verb);
  EXPECT_EQ(read->args, request.args);
}

TEST(Request, NeedsNoArguments) {
  auto request = parse_request(R"({"verb":"status"})");
  ASSERT_TRUE(request);
  EXPECT_EQ(request->verb, "status");
  EXPECT_TRUE(request->args.empty());
}

// The keeper reads what any local user of its group sends: the answer is an error, never an exception.
TEST(Request, OfAnyOtherShapeIsAnError) {
  for (std::string_view bad : {""sv,
                               "status"sv,
                               "{"sv,
                               "null"sv,
                               "1"sv,
                               "\"status\""sv,
                               "[]"sv,
                               R"(["verb","status"])"sv,
                               "{}"sv,
                               R"({"verb":null})"sv,
                               R"({"verb":1})"sv,
                               R"({"verb":["status"]})"sv,
                               R"({"verb":{"a":"b"}})"sv,
                               R"({"Verb":"status"})"sv,
                               R"({"verb":"status"} x)"sv,
                               R"({"verb":"status"}{"verb":"down"})"sv,
                               R"({"verb":"status","args":null})"sv,
                               R"({"verb":"status","args":1})"sv,
                               R"({"verb":"status","args":"x"})"sv,
                               R"({"verb":"status","args":["a","b"]})"sv,
                               R"({"verb":"status","args":{"a":1}})"sv,
                               R"({"verb":"status","args":{"a":null}})"sv,
                               R"({"verb":"status","args":{"a":{}}})"sv,
                               "{\"verb\":\"sta\xfftus\"}"sv,
                               "{\"verb\":\"status\"\0}"sv,
                               R"({"verb":"\ud800"})"sv,
                               R"({"verb":1e999})"sv}) {
    auto request = parse_request(bad);
    ASSERT_FALSE(request) << bad;
    EXPECT_EQ(request.error().fault, base::Fault::malformed);
  }
}

// As deep as a request may be long; a reader that recursed would be out of stack.
TEST(Request, NestedAsDeepAsItIsLongIsAnError) {
  std::string brackets(request_limit / 2, '[');
  EXPECT_FALSE(parse_request(brackets));
  std::string closed = brackets + std::string(request_limit / 2, ']');
  EXPECT_FALSE(parse_request(closed));
  EXPECT_FALSE(parse_request(R"({"verb":"status","args":)" + closed + "}"));
  EXPECT_FALSE(parse_request(R"({"verb":"status","args":{"a":)" + closed + "}}"));
  EXPECT_FALSE(parse_request(R"({"verb":)" + closed + "}"));
  EXPECT_TRUE(parse_request(R"({"verb":"status","more":)" + closed + "}")) << "unknown members are skipped";
}

TEST(Reply, ComesBackAsItWasWritten) {
  Reply reply{1, "BLOCKED\n", {{"refused", true}, {"lists", {"a", "b"}}}};
  auto read = parse_reply(to_line(reply));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->exit, 1);
  EXPECT_EQ(read->text, "BLOCKED\n");
  EXPECT_EQ(read->data, reply.data);
}

TEST(Reply, IsUtf8WhateverIsToldInIt) {
  auto read = parse_reply(to_line(Reply{0, "name \xff\xfe", {{"name", "\xc3"}}}));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->text, "name \xef\xbf\xbd\xef\xbf\xbd");
}

TEST(Reply, OfAnyOtherShapeIsAnError) {
  for (std::string_view bad :
       {""sv, "null"sv, "[]"sv, "{}"sv, R"({"exit":0})"sv, R"({"text":"x"})"sv, R"({"exit":"0","text":"x"})"sv,
        R"({"exit":0.5,"text":"x"})"sv, R"({"exit":true,"text":"x"})"sv, R"({"exit":0,"text":null})"sv,
        R"({"exit":-1,"text":"x"})"sv, R"({"exit":256,"text":"x"})"sv, R"({"exit":18446744073709551615,"text":"x"})"sv})
    EXPECT_FALSE(parse_reply(bad)) << bad;
}

TEST(Reply, WithoutDataHasAnEmptyObject) {
  auto read = parse_reply(R"({"exit":0,"text":""})");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->data, Json::object());
}

}  // namespace
}  // namespace control

// Two ends talk in memory. Hostile peers are in h2_hostile_test.cpp.
#include "proto/http/h2.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/proto/http/h2_peer.hpp"

namespace proto::http {
namespace {

using h2_peer::get;
using h2_peer::ok;
using h2_peer::Pair;
using h2_peer::post;
using testing::ElementsAre;
using testing::IsEmpty;

TEST(H2, request_and_response_with_bodies_and_trailers_however_they_are_split) {
  for (std::size_t at_once : {1u, 7u, 1u << 20}) {
    Pair pair;
    pair.at_once = at_once;
    std::int32_t id = pair.client.request(post(), false);
    ASSERT_EQ(id, 1);
    pair.client.send(id, base::as_bytes("ques"));
    pair.client.send(id, base::as_bytes("tion"));
    pair.client.trailers(id, {{"checksum", "1"}});
    EXPECT_EQ(pair.client.unsent(id), 8u);
    pair.talk();
    EXPECT_EQ(pair.client.unsent(id), 0u);
    EXPECT_EQ(pair.heard_by_client.sent[id], 8u);
    EXPECT_EQ(pair.heard_by_server.data[id], "question");
    EXPECT_THAT(pair.heard_by_server.take(),
                ElementsAre("1 request :method=POST :scheme=https :authority=school.example :path=/",
                            "1 trailers checksum=1 ends"));

    ASSERT_TRUE(pair.server.headers(id, ok(), false));
    pair.talk();  // nothing to say yet is not the end
    pair.server.send(id, base::as_bytes("answer"));
    pair.talk();
    EXPECT_EQ(pair.server.open_streams(), 1u);
    pair.server.trailers(id, {{"grpc-status", "0"}});
    pair.talk();
    EXPECT_EQ(pair.heard_by_client.data[id], "answer");
    EXPECT_THAT(pair.heard_by_client.take(),
                ElementsAre("1 response :status=200", "1 trailers grpc-status=0 ends", "1 closed 0"));
    EXPECT_THAT(pair.heard_by_server.take(), ElementsAre("1 closed 0"));
    EXPECT_EQ(pair.server.open_streams() + pair.client.open_streams(), 0u);
    EXPECT_EQ(pair.heard_by_client.settings, 1);
    EXPECT_EQ(pair.heard_by_server.settings, 1);
  }
}

TEST(H2, an_end_comes_with_headers_with_the_last_data_or_alone) {
  Pair pair;
  std::int32_t bare = pair.client.request(get(), true), full = pair.client.request(post(), false),
               late = pair.client.request(post(), false);
  pair.client.send(full, base::as_bytes("all"));
  pair.client.finish(full);
  pair.client.send(late, base::as_bytes("all"));
  pair.talk();
  pair.client.finish(late);
  pair.talk();
  auto& heard = pair.heard_by_server;
  EXPECT_TRUE(heard.heard("1 request :method=GET :scheme=https :authority=school.example :path=/ ends"));
  EXPECT_TRUE(heard.heard("3 data ends"));
  EXPECT_FALSE(heard.heard("3 end"));
  EXPECT_TRUE(heard.heard("5 end"));
  EXPECT_FALSE(heard.heard("5 data ends"));
  EXPECT_FALSE(pair.server.headers(7, ok(), true));
  EXPECT_TRUE(pair.server.headers(bare, ok(), true));
  EXPECT_FALSE(pair.server.headers(bare, ok(), true));  // once
  pair.talk();
  EXPECT_THAT(pair.heard_by_client.take(), ElementsAre("1 response :status=200 ends", "1 closed 0"));
}

TEST(H2, interim_responses_come_before_the_final_one) {
  Pair pair;
  std::int32_t id = pair.client.request(get(), true);
  pair.talk();
  EXPECT_TRUE(pair.server.interim(id, {{":status", "103"}, {"link", "</a.css>"}}));
  EXPECT_TRUE(pair.server.headers(id, ok(), true));
  EXPECT_FALSE(pair.server.interim(id, {{":status", "103"}}));
  pair.talk();
  EXPECT_THAT(pair.heard_by_client.take(),
              ElementsAre("1 interim :status=103 link=</a.css>", "1 response :status=200 ends", "1 closed 0"));
}

TEST(H2, a_101_resets_the_stream) {
  Pair pair;
  std::int32_t id = pair.client.request(get(), true);
  pair.talk();
  pair.server.interim(id, {{":status", "101"}});
  pair.talk();
  EXPECT_THAT(pair.heard_by_client.take(), ElementsAre("1 closed 1"));
}

TEST(H2, either_side_resets) {
  Pair pair;
  std::int32_t first = pair.client.request(post(), false), second = pair.client.request(post(), false);
  pair.client.send(first, base::as_bytes("never seen"));
  pair.client.send(second, base::as_bytes("seen"));
  pair.client.reset(first, 8);
  pair.talk();
  EXPECT_THAT(pair.heard_by_client.take(), ElementsAre("1 closed 8"));
  pair.server.reset(second, 2);
  pair.server.send(second, base::as_bytes("lost"));
  EXPECT_EQ(pair.server.unsent(second), 0u);
  pair.talk();
  EXPECT_TRUE(pair.heard_by_server.heard("3 closed 2"));
  EXPECT_THAT(pair.heard_by_client.take(), ElementsAre("3 closed 2"));
  EXPECT_EQ(pair.server.open_streams() + pair.client.open_streams(), 0u);
  EXPECT_FALSE(pair.server.headers(second, ok(), true));
}

TEST(H2, a_sender_stalls_at_the_window_until_bytes_are_consumed) {
  Pair pair;
  std::int32_t id = pair.client.request(post(), false);
  std::string body(h2_stream_window * 3, 'x');
  pair.client.send(id, base::as_bytes(body));
  pair.talk();
  auto& got = pair.heard_by_server.data[id];
  EXPECT_EQ(got.size(), h2_stream_window);
  EXPECT_EQ(pair.client.unsent(id), h2_stream_window * 2);
  pair.server.consumed(id, h2_stream_window);
  pair.talk();
  EXPECT_EQ(got.size(), h2_stream_window * 2);
  pair.server.consumed(id, 10 * h2_stream_window);  // more than there was
  pair.talk();
  EXPECT_EQ(got.size(), h2_stream_window * 3);
  pair.client.send(id, base::as_bytes(body));
  pair.talk();
  EXPECT_EQ(got.size(), h2_stream_window * 3);
  pair.server.consumed(id, 1);  // the excess is not kept for later
  pair.talk();
  EXPECT_EQ(got.size(), h2_stream_window * 3);
}

TEST(H2, streams_share_the_window_of_the_connection_and_gone_ones_give_it_back) {
  Pair pair;
  pair.talk();
  std::string body(h2_stream_window, 'x');
  auto received = [&] {
    std::size_t sum = 0;
    for (const auto& [id, data] : pair.heard_by_server.data) sum += data.size();
    return sum;
  };
  std::vector<std::int32_t> ids;
  for (int i = 0; i < 6; ++i) {
    ids.push_back(pair.client.request(post(), false));
    pair.client.send(ids.back(), base::as_bytes(body));
  }
  pair.talk();
  EXPECT_EQ(received(), h2_connection_window);
  for (std::int32_t id : ids) pair.client.reset(id, 8);
  pair.talk();
  EXPECT_EQ(pair.server.open_streams(), 0u);
  std::int32_t next = pair.client.request(post(), false);
  pair.client.send(next, base::as_bytes(body));
  pair.talk();
  EXPECT_EQ(pair.heard_by_server.data[next].size(), 0u);  // what was received is not yet consumed
  for (std::int32_t id : ids) pair.server.consumed(id, pair.heard_by_server.data[id].size());
  pair.talk();
  EXPECT_EQ(pair.heard_by_server.data[next].size(), body.size());
}

TEST(H2, the_window_of_the_connection_does_not_leak_into_resets_of_ours) {
  Pair pair;
  std::string body(h2_stream_window, 'x');
  for (int i = 0; i < 40; ++i) {
    std::int32_t id = pair.client.request(post(), false);
    pair.client.send(id, base::as_bytes(body));
    Pair::carry(pair.client, pair.server, 5000);
    pair.server.reset(id, 8);
    pair.talk();
    pair.server.consumed(id, pair.heard_by_server.data[id].size());
    ASSERT_GT(pair.heard_by_server.data[id].size(), 0u) << i;
  }
}

TEST(H2, many_streams_wait_for_their_turn) {
  Pair pair;
  pair.talk();
  for (int i = 0; i < 250; ++i) ASSERT_GT(pair.client.request(get("/" + std::to_string(i)), true), 0);
  EXPECT_EQ(pair.client.open_streams(), 250u);
  int answered = 0;
  while (answered < 250) {
    pair.talk();
    ASSERT_LE(pair.server.open_streams(), h2_concurrent_streams);
    auto events = pair.heard_by_server.take();
    int before = answered;
    for (const std::string& event : events)
      if (event.find("request") != event.npos) answered += pair.server.headers(std::stoi(event), ok(), true);
    ASSERT_GT(answered, before);
  }
  pair.talk();
  EXPECT_EQ(pair.client.open_streams() + pair.server.open_streams(), 0u);
}

TEST(H2, a_request_that_waits_its_turn_can_be_reset) {
  Pair pair;
  pair.talk();
  for (std::uint32_t i = 0; i < h2_concurrent_streams; ++i) pair.client.request(get(), true);
  std::int32_t waiting = pair.client.request(post(), false);
  pair.talk();
  pair.client.reset(waiting, 8);
  pair.talk();
  EXPECT_THAT(pair.heard_by_client.take(), ElementsAre(std::to_string(waiting) + " closed 8"));
  EXPECT_TRUE(pair.server.headers(1, ok(), true));
  pair.talk();
  EXPECT_EQ(pair.heard_by_server.fields_of.count(waiting), 0u);
  EXPECT_THAT(pair.heard_by_client.take(), ElementsAre("1 response :status=200 ends", "1 closed 0"));
}

TEST(H2, extended_connect_only_where_it_is_allowed) {
  std::vector<H2Field> websocket = {{":method", "CONNECT"},
                                    {":protocol", "websocket"},
                                    {":scheme", "https"},
                                    {":authority", "school.example"},
                                    {":path", "/chat"}};
  Pair pair;
  pair.talk();
  EXPECT_FALSE(pair.client.peer_allows_connect_protocol());
  EXPECT_LT(pair.client.request(websocket, false), 0);
  pair.server.allow_connect_protocol();
  pair.server.allow_connect_protocol();
  pair.talk();
  EXPECT_EQ(pair.heard_by_client.settings, 2);
  EXPECT_TRUE(pair.client.peer_allows_connect_protocol());
  std::int32_t id = pair.client.request(websocket, false);
  ASSERT_GT(id, 0);
  pair.talk();
  ASSERT_EQ(pair.heard_by_server.events.size(), 1u);
  EXPECT_TRUE(pair.server.headers(id, ok(), false));
  pair.server.send(id, base::as_bytes("frame"));
  pair.client.send(id, base::as_bytes("other"));
  pair.talk();
  EXPECT_EQ(pair.heard_by_client.data[id], "frame");
  EXPECT_EQ(pair.heard_by_server.data[id], "other");
}

TEST(H2, goaway_lets_streams_end_and_refuses_new_ones) {
  Pair pair;
  pair.talk();
  for (std::uint32_t i = 0; i < h2_concurrent_streams; ++i) pair.client.request(get(), true);
  std::int32_t waiting = pair.client.request(get(), true);
  pair.talk();
  pair.heard_by_client.take();
  pair.server.go_away(0);
  pair.talk();
  EXPECT_THAT(pair.heard_by_client.take(), ElementsAre("goaway 199 0", std::to_string(waiting) + " closed 7"));
  EXPECT_LT(pair.client.request(get(), true), 0);
  EXPECT_FALSE(pair.server.wants_end());
  EXPECT_FALSE(pair.client.wants_end());
  for (std::int32_t id = 1; id < waiting; id += 2) EXPECT_TRUE(pair.server.headers(id, ok(), true)) << id;
  pair.talk();
  EXPECT_TRUE(pair.server.wants_end());
  EXPECT_TRUE(pair.client.wants_end());
}

TEST(H2, goaway_with_an_error_is_the_end) {
  Pair pair;
  pair.client.request(get(), true);
  pair.talk();
  pair.server.go_away(2);
  EXPECT_FALSE(pair.server.wants_end());
  pair.talk();
  EXPECT_TRUE(pair.server.wants_end());
  EXPECT_TRUE(pair.heard_by_client.heard("goaway 1 2"));
}

TEST(H2, sensitive_fields_stay_so) {
  Pair pair;
  auto fields = get();
  fields.push_back({"authorization", "secret", true});
  pair.client.request(fields, true);
  pair.talk();
  EXPECT_EQ(pair.heard_by_server.fields_of[1], fields);
}

TEST(H2, white_space_around_a_value_is_cut_off_in_responses_and_refused_in_requests) {
  Pair pair;
  auto fields = get();
  fields.push_back({"x", "a "});
  pair.client.request(fields, true);
  std::int32_t id = pair.client.request(get(), true);
  pair.talk();
  EXPECT_THAT(pair.heard_by_client.take(), ElementsAre("1 closed 1"));
  pair.server.headers(id, {{":status", "200"}, {"x", " \ta b "}, {"y", "  "}}, true);
  pair.talk();
  EXPECT_TRUE(pair.heard_by_client.heard("3 response :status=200 x=a b y= ends"));
}

TEST(H2, the_largest_head_that_comes_in_can_be_sent_on) {
  Pair pair;
  auto fields = ok();
  while (fields.size() < 199) fields.push_back({"x" + std::to_string(fields.size()), std::string(280, '~')});
  std::int32_t id = pair.client.request(get(), true);
  pair.talk();
  ASSERT_TRUE(pair.server.headers(id, fields, true));
  pair.talk();
  EXPECT_EQ(pair.heard_by_client.fields_of[id], fields);
}

TEST(H2, a_head_that_cannot_be_sent_resets_its_stream) {
  Pair pair;
  std::int32_t id = pair.client.request(get(), true);
  pair.talk();
  pair.server.headers(id, {{":status", "200"}, {"x", std::string(200'000, '~')}}, false);
  pair.talk();
  EXPECT_THAT(pair.heard_by_client.take(), ElementsAre("1 closed 2"));
  EXPECT_EQ(pair.server.open_streams(), 0u);
}

TEST(H2, a_handler_may_answer_from_inside) {
  struct Answering : h2_peer::Recorder {
    void on_headers(std::int32_t stream, Kind, std::vector<H2Field>, bool) override {
      session->headers(stream, ok(), false);
      session->send(stream, base::as_bytes("1"));
    }
    void on_sent(std::int32_t stream, std::size_t) override {
      if (++rounds < 5) return session->send(stream, base::as_bytes("1"));
      session->finish(stream);
    }
    H2Session* session = nullptr;
    int rounds = 0;
  } answering;
  h2_peer::Recorder heard;
  H2Session server(H2Session::Role::server, answering), client(H2Session::Role::client, heard);
  answering.session = &server;
  client.request(get(), true);
  for (int i = 0; i < 10; ++i) {
    Pair::carry(client, server, 100);
    Pair::carry(server, client, 100);
  }
  EXPECT_EQ(heard.data[1], "11111");
  EXPECT_TRUE(heard.heard("1 closed 0"));
}

TEST(H2, output_is_about_as_long_as_asked) {
  Pair pair;
  std::int32_t id = pair.client.request(post(), false);
  pair.client.send(id, base::as_bytes(std::string(60'000, 'x')));
  pair.talk();
  EXPECT_TRUE(pair.client.output(1 << 20).empty());
  pair.client.send(id, base::as_bytes(std::string(100'000, 'x')));
  EXPECT_TRUE(pair.client.output(0).empty());
  std::size_t first = pair.client.output(1).size();
  EXPECT_GT(first, 1u);
  EXPECT_LE(first, 16'384u + 9);
  EXPECT_EQ(pair.client.unsent(id), 100'000 + 9 - first);
}

}  // namespace
}  // namespace proto::http

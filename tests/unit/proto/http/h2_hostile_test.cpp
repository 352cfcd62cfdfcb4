// Peers that break the protocol or flood: the stream or the connection ends, and what is kept stays small.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/proto/http/h2_peer.hpp"

namespace proto::http {
namespace {

using namespace h2_peer;  // NOLINT(google-build-using-namespace): its frames
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr std::uint32_t protocol_error = 1, frame_size_error = 6, refused_stream = 7, compression_error = 9, calm = 11;

// A session and what it said.
struct End {
  explicit End(H2Session::Role role) : session(role, heard) {}
  bool hear(std::string_view bytes) {
    bool whole = session.receive(base::as_bytes(bytes));
    for (std::string out; !(out = session.output(1 << 16)).empty();) said += out;
    return whole;
  }
  std::int64_t goaway_error() const { return last_error(said, goaway); }
  std::int64_t reset_error() const { return last_error(said, rst_stream); }

  Recorder heard;
  H2Session session;
  std::string said;
};

struct Server : End {
  Server() : End(H2Session::Role::server) { hear(opening()); }
};
struct Client : End {
  Client() : End(H2Session::Role::client) {
    hear(frame(settings, 0, 0));
    session.request(get(), true);
    session.request(post(), false);
    hear("");
  }
};

std::string request(std::uint32_t stream, std::uint8_t flags = end_headers | end_stream,
                    std::string_view block = get_block()) {
  return frame(headers, flags, stream, block);
}
const std::string ok_block = "\x88";

// The connection breaks with `error`, at once and however the bytes are split; nothing is heard of afterwards.
template <class Who>
void expect_broken(const std::string& bytes, std::uint32_t error, const char* what) {
  for (std::size_t at_once : {bytes.size(), std::size_t{1}}) {
    Who who;
    std::size_t before = who.heard.events.size();
    bool whole = true;
    for (std::size_t at = 0; at < bytes.size() && whole; at += at_once)
      whole = who.hear(std::string_view(bytes).substr(at, at_once));
    EXPECT_FALSE(whole) << what;
    EXPECT_EQ(who.goaway_error(), error) << what;
    EXPECT_TRUE(who.session.wants_end()) << what;
    EXPECT_FALSE(who.hear(request(1001))) << what;
    EXPECT_THAT(who.heard.events, SizeIs(before)) << what;
  }
}

TEST(H2Hostile, what_is_no_preface_breaks_a_server) {
  for (std::string_view bytes : {"GET / HTTP/1.1\r\nHost: school.example\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
                                 "\x16\x03\x01\x02\x00\x01\x00\x01\xfc"}) {
    End server(H2Session::Role::server);
    EXPECT_FALSE(server.hear(bytes));
    EXPECT_EQ(server.goaway_error(), protocol_error);
    EXPECT_TRUE(server.session.wants_end());
    EXPECT_FALSE(server.hear(opening()));
  }
  End server(H2Session::Role::server);
  EXPECT_FALSE(server.hear(std::string(preface) + frame(ping, 0, 0, "12345678")));  // SETTINGS come first
}

TEST(H2Hostile, frames_that_break_the_connection) {
  expect_broken<Server>(frame(settings, 0, 0, "12345"), frame_size_error, "SETTINGS of 5 bytes");
  expect_broken<Server>(frame(data, 0, 1, "x"), protocol_error, "DATA on an idle stream");
  expect_broken<Server>(request(2), protocol_error, "an even stream");
  expect_broken<Server>(frame(continuation, 4, 1, get_block()), protocol_error, "CONTINUATION of nothing");
  expect_broken<Server>(request(1, end_headers, "\xff\xff\xff\xff\xff\xff"), compression_error, "HPACK that overflows");
  expect_broken<Server>(request(1, end_headers, "\xfe"), compression_error, "an index of nothing");
  expect_broken<Server>(number(16'385, 3) + frame(data, 0, 1).substr(3), frame_size_error, "a frame too large");
  expect_broken<Server>(frame(window_update, 0, 0, number(0x7fffffff, 4)), 3, "a window that overflows");
  expect_broken<Server>(frame(push_promise, end_headers, 1, number(2, 4) + get_block()), protocol_error,
                        "a client's push");
  expect_broken<Client>(frame(goaway, 0, 0, "1234"), frame_size_error, "a short GOAWAY");
  expect_broken<Client>(frame(headers, end_headers, 2, ok_block), protocol_error, "a response nobody asked for");
}

TEST(H2Hostile, nothing_comes_between_headers_and_continuation) {
  Server server;
  EXPECT_FALSE(server.hear(request(1, end_stream) + frame(ping, 0, 0, "12345678")));
  EXPECT_EQ(server.goaway_error(), protocol_error);
  EXPECT_THAT(server.heard.events, IsEmpty());
}

TEST(H2Hostile, a_long_head_in_continuations_that_arrive_in_pieces_is_none) {
  Server server;
  std::string block = get_block(), sent;
  while (block.size() < 39'000) block += literal(std::string(100, 'a'), std::string(100, 'b'));
  for (std::size_t at = 0, piece = 10'000; at < block.size(); at += piece)
    sent += frame(at == 0 ? headers : continuation, at + piece >= block.size() ? end_headers : 0, 1,
                  block.substr(at, piece));
  for (std::size_t at = 0; at < sent.size(); at += 1400)
    ASSERT_TRUE(server.hear(std::string_view(sent).substr(at, 1400)));
  EXPECT_THAT(server.heard.events, SizeIs(1));
}

TEST(H2Hostile, a_push_promise_breaks_a_client_before_and_after_its_settings_are_acknowledged) {
  std::string promise = frame(push_promise, end_headers, 1, number(2, 4) + get_block());
  expect_broken<Client>(promise, protocol_error, "before");
  expect_broken<Client>(frame(settings, ack, 0) + promise, protocol_error, "after");
}

TEST(H2Hostile, messages_that_reset_their_stream_and_no_other) {
  struct {
    const char* what;
    std::string bytes;
  } cases[] = {
      {"no :path", request(1, 5, "\x82\x87" + literal(":authority", "a"))},
      {":method twice", request(1, 5, "\x82" + get_block())},
      {"an unknown pseudo-header", request(1, 5, get_block().insert(0, literal(":x", "a")))},
      {"a late pseudo-header", request(1, 5, "\x82\x87" + literal("a", "b") + "\x84")},
      {":status of a request", request(1, 5, "\x88" + get_block())},
      {"an upper-case name", request(1, 5, get_block() + literal("Host", "a"))},
      {"a name with a blank", request(1, 5, get_block() + literal("a b", "a"))},
      {"a name with a colon", request(1, 5, get_block() + literal("a:b", "a"))},
      {"a value with CR LF", request(1, 5, get_block() + literal("a", "b\r\nc: d"))},
      {"a value with NUL", request(1, 5, get_block() + literal("a", std::string_view("\0", 1)))},
      {"connection", request(1, 5, get_block() + literal("connection", "close"))},
      {"transfer-encoding", request(1, 5, get_block() + literal("transfer-encoding", "chunked"))},
      {"upgrade", request(1, 5, get_block() + literal("upgrade", "h2c"))},
      {"te: gzip", request(1, 5, get_block() + literal("te", "gzip"))},
      {"content-length twice",
       request(1, 4, get_block() + literal("content-length", "1") + literal("content-length", "1"))},
      {"content-length without a body", request(1, 5, get_block() + literal("content-length", "1"))},
      {":protocol not allowed", request(1, 4, get_block() + literal(":protocol", "websocket"))},
      {"a blank in :path", request(1, 5, "\x82\x87" + literal(":path", "/ HTTP/1.1"))},
  };
  for (const auto& c : cases) {
    Server server;
    EXPECT_TRUE(server.hear(c.bytes)) << c.what;
    EXPECT_EQ(server.reset_error(), protocol_error) << c.what;
    EXPECT_THAT(server.heard.events, IsEmpty()) << c.what;
    EXPECT_EQ(server.session.open_streams(), 0u) << c.what;
    EXPECT_TRUE(server.hear(request(3))) << c.what;
    EXPECT_THAT(server.heard.events, SizeIs(1)) << c.what;
  }
}

TEST(H2Hostile, a_body_that_is_not_as_long_as_announced_never_looks_whole) {
  for (std::string body : {"abc", "abcde"})
    for (bool split : {false, true}) {
      Server server;
      std::string sent = request(1, end_headers, get_block() + literal("content-length", "4")) +
                         frame(data, end_stream, 1, body) + request(3);
      for (std::size_t at = 0; at < sent.size(); at += split ? 1 : sent.size())
        EXPECT_TRUE(server.hear(std::string_view(sent).substr(at, split ? 1 : sent.size())));
      EXPECT_EQ(server.reset_error(), protocol_error);
      EXPECT_TRUE(server.heard.heard("1 closed 1"));
      EXPECT_FALSE(server.heard.heard("1 data ends"));
      EXPECT_FALSE(server.heard.heard("1 end"));
      EXPECT_THAT(server.heard.events, SizeIs(3));
    }
}

TEST(H2Hostile, trailers_hold_no_pseudo_headers_and_are_the_end) {
  for (const std::string& trailers : {frame(headers, 5, 1, "\x84"), frame(headers, 4, 1, literal("a", "b"))}) {
    Server server;
    EXPECT_TRUE(server.hear(request(1, end_headers) + frame(data, 0, 1, "x") + trailers));
    EXPECT_EQ(server.reset_error(), protocol_error);
    EXPECT_TRUE(server.heard.heard("1 closed 1"));
  }
}

TEST(H2Hostile, rapid_reset_ends_the_connection_and_a_browser_that_leaves_a_page_does_not) {
  Server server;
  std::uint32_t stream = 1;
  auto rush = [&](int count) {
    bool whole = true;
    for (int i = 0; i < count && whole; ++i, stream += 2)
      whole = server.hear(request(stream) + frame(rst_stream, 0, stream, number(8, 4)));
    return whole;
  };
  EXPECT_TRUE(rush(500));
  EXPECT_EQ(server.session.open_streams(), 0u);
  EXPECT_FALSE(rush(10'000));
  EXPECT_LT(stream, 2u * 2000);
  EXPECT_NE(server.goaway_error(), -1);
  EXPECT_TRUE(server.session.wants_end());
}

TEST(H2Hostile, making_us_reset_ends_the_connection_too) {
  Server server;
  bool whole = true;
  std::uint32_t stream = 1;
  for (; stream < 20'000 && whole; stream += 2)
    whole = server.hear(request(stream, 5, get_block() + literal("te", "x")));
  EXPECT_FALSE(whole);
  EXPECT_LT(stream, 2u * 1100);
  EXPECT_EQ(server.goaway_error(), calm);
}

TEST(H2Hostile, resets_of_our_own_are_no_fault_of_the_peer) {
  Server server;
  for (std::uint32_t stream = 1; stream < 6000; stream += 2) {
    ASSERT_TRUE(server.hear(request(stream)));
    server.session.reset(static_cast<std::int32_t>(stream), 2);
    ASSERT_TRUE(server.hear("")) << stream;
  }
}

TEST(H2Hostile, more_streams_than_allowed_are_refused) {
  Server server;
  std::string all;
  for (std::uint32_t i = 0; i < h2_concurrent_streams; ++i) all += request(1 + 2 * i);
  EXPECT_TRUE(server.hear(all));
  EXPECT_THAT(server.heard.events, SizeIs(h2_concurrent_streams));
  EXPECT_TRUE(server.hear(request(1001)));  // our SETTINGS are not yet acknowledged
  EXPECT_EQ(server.reset_error(), refused_stream);
  EXPECT_THAT(server.heard.events, SizeIs(h2_concurrent_streams));
  EXPECT_EQ(server.session.open_streams(), h2_concurrent_streams);
  EXPECT_TRUE(server.hear(frame(settings, ack, 0)));
  EXPECT_FALSE(server.hear(request(1003)));
}

TEST(H2Hostile, a_continuation_flood_ends_the_connection) {
  for (std::string_view piece : {std::string_view(), std::string_view("\x82", 1)}) {
    Server server;
    std::string flood = request(1, 0);
    for (int i = 0; i < 1000; ++i) flood += frame(continuation, 0, 1, piece);
    EXPECT_FALSE(server.hear(flood));
    EXPECT_EQ(server.goaway_error(), calm);
    EXPECT_THAT(server.heard.events, IsEmpty());
  }
}

TEST(H2Hostile, a_header_bomb_resets_its_stream) {
  // One field of 4000 bytes is put into the table, and then named by one byte, again and again.
  std::string value(3'900, 'x');
  std::string entry = std::string("\x40\x01x") + "\x7f" + static_cast<char>((3'900 - 127) % 128 + 128) +
                      static_cast<char>((3'900 - 127) / 128) + value;
  std::string bomb = get_block() + entry + std::string(12'000, '\xbe');
  Server server;
  EXPECT_TRUE(server.hear(request(1, 5, bomb)));
  EXPECT_EQ(server.reset_error(), calm);
  EXPECT_THAT(server.heard.events, IsEmpty());
  EXPECT_TRUE(server.hear(request(3, 5, get_block() + "\xbe")));  // the table is still right
  ASSERT_THAT(server.heard.events, SizeIs(1));
  EXPECT_EQ(server.heard.fields_of[3].back().value, value);
}

TEST(H2Hostile, two_hundred_fields_are_enough) {
  auto with_fields = [](std::size_t count) {
    std::string block = get_block();
    for (std::size_t i = 4; i < count; ++i) block += literal("a", "");
    return block;
  };
  Server server;
  EXPECT_TRUE(server.hear(request(1, 5, with_fields(200)) + request(3, 5, with_fields(201))));
  EXPECT_THAT(server.heard.fields_of[1], SizeIs(200));
  EXPECT_THAT(server.heard.events, SizeIs(1));
  EXPECT_EQ(server.reset_error(), calm);
}

TEST(H2Hostile, acknowledgements_that_nobody_takes_end_the_connection) {
  for (const std::string& asked : {frame(ping, 0, 0, "12345678"), frame(settings, 0, 0)}) {
    Server server;
    std::string flood;
    for (int i = 0; i < 10'000; ++i) flood += asked;
    bool whole = true;
    std::size_t at = 0;
    for (; at < flood.size() && whole; at += 1000)
      whole = server.session.receive(base::as_bytes(std::string_view(flood).substr(at, 1000)));
    EXPECT_FALSE(whole);
    EXPECT_LT(at, 25'000u);  // 16 KiB of answers are staged, and 200 wait
    std::string said = server.session.output(1 << 20);
    EXPECT_LT(said.size(), 22'000u);
    EXPECT_EQ(last_error(said, goaway), calm);
    EXPECT_TRUE(server.session.wants_end());
  }
}

TEST(H2Hostile, one_who_reads_may_ping_for_ever) {
  Server server;
  for (int i = 0; i < 10'000; ++i) ASSERT_TRUE(server.hear(frame(ping, 0, 0, "12345678")));
}

TEST(H2Hostile, interim_responses_have_a_limit) {
  Client client;
  std::string interim = frame(headers, end_headers, 1, literal(":status", "103"));
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(client.hear(interim));
  EXPECT_EQ(client.reset_error(), calm);
  EXPECT_THAT(client.heard.events, SizeIs(65));
  EXPECT_EQ(client.heard.events.back(), "1 closed 11");
}

TEST(H2Hostile, responses_that_reset_their_stream) {
  struct {
    const char* what;
    std::string block;
  } cases[] = {
      {"no status", literal("a", "b")},
      {"status of two digits", literal(":status", "20")},
      {"status with a sign", literal(":status", "+20")},
      {"a method", ok_block + literal(":method", "GET")},
      {"transfer-encoding", ok_block + literal("transfer-encoding", "chunked")},
      {"a value with LF", ok_block + literal("a", "b\nc")},
      {"101", literal(":status", "101")},
  };
  for (const auto& c : cases) {
    Client client;
    EXPECT_TRUE(client.hear(frame(headers, end_headers, 1, c.block))) << c.what;
    EXPECT_EQ(client.reset_error(), protocol_error) << c.what;
    EXPECT_THAT(client.heard.events, ElementsAre("1 closed 1")) << c.what;
  }
}

TEST(H2Hostile, padding_and_dropped_data_are_given_back_to_the_window) {
  Server server;
  server.hear(request(1, end_headers));
  std::string padding = frame(data, padded, 1, '\xff' + std::string(255, '\0'));
  for (int i = 0; i < 20'000; ++i) ASSERT_TRUE(server.hear(padding)) << i;  // 5 MB
  server.session.reset(1, 8);
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(server.hear(frame(data, 0, 1, std::string(10'000, 'x')))) << i;
  EXPECT_TRUE(server.heard.data.empty());
}

TEST(H2Hostile, the_rest_of_a_frame_after_a_reset_is_given_back_to_the_window) {
  Server server;
  std::string body(16'000, 'x');
  for (std::uint32_t stream = 1; stream < 600; stream += 2) {  // 4 MB
    std::string sent = request(stream, end_headers) + frame(data, 0, stream, body);
    std::size_t half = sent.size() - 15'000;
    ASSERT_TRUE(server.hear(std::string_view(sent).substr(0, half))) << stream;
    auto id = static_cast<std::int32_t>(stream);
    server.session.reset(id, 8);
    server.session.consumed(id, 1000);
    ASSERT_TRUE(server.hear(std::string_view(sent).substr(half))) << stream;
    ASSERT_EQ(server.heard.data[id].size(), 1000u);
  }
}

TEST(H2Hostile, more_than_the_window_resets_the_stream) {
  Server server;
  server.hear(frame(settings, ack, 0) + request(1, end_headers));
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(server.hear(frame(data, 0, 1, std::string(10'000, 'x')))) << i;
  EXPECT_EQ(server.reset_error(), 3);
  EXPECT_LE(server.heard.data[1].size(), h2_stream_window + 10'000);
}

TEST(H2Hostile, garbage_ends_and_never_grows) {
  std::uint32_t state = 1;
  for (int round = 0; round < 300; ++round) {
    Server server;
    bool whole = true;
    for (int i = 0; i < 10'000 && whole; ++i) {  // most of it is the payload of frames of unknown types
      std::string bytes;
      for (int j = 0; j < 100; ++j) bytes += static_cast<char>((state = state * 1'664'525 + 1'013'904'223) >> 24);
      whole = server.hear(bytes);
    }
    EXPECT_FALSE(whole);
    EXPECT_NE(server.goaway_error(), -1);
    EXPECT_LT(server.said.size(), 10'000u);
  }
}

}  // namespace
}  // namespace proto::http

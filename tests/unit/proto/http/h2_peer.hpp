// For tests of HTTP/2: a handler that writes down what it hears, two sessions that talk in memory, and frames by hand.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "proto/http/h2.hpp"

namespace h2_peer {

using proto::http::H2Field;
using proto::http::H2Handler;
using proto::http::H2Session;

// One line an event: "1 request :method=GET ... ends". Data is collected by stream instead.
struct Recorder : H2Handler {
  virtual ~Recorder() = default;
  void on_headers(std::int32_t stream, Kind kind, std::vector<H2Field> fields, bool ends) override {
    constexpr const char* names[] = {"request", "response", "interim", "trailers"};
    std::string line = std::to_string(stream) + " " + names[static_cast<int>(kind)];
    for (const H2Field& field : fields) line += " " + field.name + "=" + field.value + (field.sensitive ? "!" : "");
    events.push_back(line + (ends ? " ends" : ""));
    fields_of[stream] = std::move(fields);
  }
  void on_data(std::int32_t stream, base::Bytes bytes, bool ends) override {
    data[stream] += base::as_text(bytes);
    if (ends) events.push_back(std::to_string(stream) + " data ends");
  }
  void on_end(std::int32_t stream) override { events.push_back(std::to_string(stream) + " end"); }
  void on_sent(std::int32_t stream, std::size_t bytes) override { sent[stream] += bytes; }
  void on_closed(std::int32_t stream, std::uint32_t error) override {
    events.push_back(std::to_string(stream) + " closed " + std::to_string(error));
  }
  void on_settings() override { ++settings; }
  void on_goaway(std::int32_t last, std::uint32_t error) override {
    events.push_back("goaway " + std::to_string(last) + " " + std::to_string(error));
  }

  std::vector<std::string> take() { return std::exchange(events, {}); }
  bool heard(std::string_view line) const {
    for (const std::string& event : events)
      if (event == line) return true;
    return false;
  }

  std::vector<std::string> events;
  std::map<std::int32_t, std::string> data;
  std::map<std::int32_t, std::size_t> sent;
  std::map<std::int32_t, std::vector<H2Field>> fields_of;
  int settings = 0;
};

// A client and a server whose output is the other's input.
struct Pair {
  Recorder heard_by_client, heard_by_server;
  H2Session client{H2Session::Role::client, heard_by_client};
  H2Session server{H2Session::Role::server, heard_by_server};
  std::size_t at_once = 1 << 20;  // bytes a receive(); small ones split frames anywhere

  static bool carry(H2Session& from, H2Session& to, std::size_t at_once) {
    std::string bytes = from.output(1 << 16);
    for (std::size_t at = 0; at < bytes.size(); at += at_once)
      to.receive(base::as_bytes(std::string_view(bytes).substr(at, at_once)));
    return !bytes.empty();
  }
  // Until both are silent.
  void talk() {
    for (bool more = true; more;) {
      more = carry(client, server, at_once);
      more |= carry(server, client, at_once);
    }
  }
};

inline std::vector<H2Field> get(std::string path = "/") {
  return {{":method", "GET"}, {":scheme", "https"}, {":authority", "school.example"}, {":path", std::move(path)}};
}
inline std::vector<H2Field> post() {
  return {{":method", "POST"}, {":scheme", "https"}, {":authority", "school.example"}, {":path", "/"}};
}
inline std::vector<H2Field> ok() {
  return {{":status", "200"}};
}

// Frames by hand (RFC 9113 4.1).
inline constexpr std::string_view preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
enum Type : std::uint8_t {
  data = 0,
  headers = 1,
  rst_stream = 3,
  settings = 4,
  push_promise = 5,
  ping = 6,
  goaway = 7,
  window_update = 8,
  continuation = 9
};
enum Flag : std::uint8_t { end_stream = 1, ack = 1, end_headers = 4, padded = 8 };

inline std::string number(std::uint32_t value, int bytes) {
  std::string out;
  while (bytes-- > 0) out += static_cast<char>(value >> (8 * bytes));
  return out;
}
inline std::string frame(std::uint8_t type, std::uint8_t flags, std::uint32_t stream, std::string_view payload = {}) {
  return number(static_cast<std::uint32_t>(payload.size()), 3) + number(type, 1) + number(flags, 1) +
         number(stream, 4) + std::string(payload);
}
// HPACK without compression: literals that are not indexed, shorter than 127 bytes.
inline std::string literal(std::string_view name, std::string_view value) {
  return std::string(1, '\0') + static_cast<char>(name.size()) + std::string(name) + static_cast<char>(value.size()) +
         std::string(value);
}
inline std::string get_block() {
  return "\x82\x87\x84" + literal(":authority", "school.example");  // GET, https, /
}
inline std::string opening() {  // of a client
  return std::string(preface) + frame(settings, 0, 0);
}

// The error code of the last GOAWAY or RST_STREAM in what a session says, or -1.
inline std::int64_t last_error(std::string_view output, std::uint8_t type) {
  std::int64_t error = -1;
  if (output.substr(0, preface.size()) == preface) output.remove_prefix(preface.size());
  auto read = [&](std::size_t at, std::size_t bytes) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i) value = value << 8 | static_cast<std::uint8_t>(output[at + i]);
    return value;
  };
  while (output.size() >= 9) {
    std::size_t length = read(0, 3);
    if (static_cast<std::uint8_t>(output[3]) == type) error = read(type == goaway ? 13 : 9, 4);
    output.remove_prefix(std::min(output.size(), 9 + length));
  }
  return error;
}

}  // namespace h2_peer

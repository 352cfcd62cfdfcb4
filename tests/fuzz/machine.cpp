// Random lives of one connection: the input is a script of what two peers, the clock and the admin do. The model driver
// checks every promise of flow/command.hpp (nothing consumed twice, nothing after the end, no byte for a leg that is
// not open); here is checked that a flow ends when everybody has gone, that it is noted as often as it was judged, and
// that no hello with a blocked name reaches the origin: neither first nor after a HelloRetryRequest.
//
// With TLS inspected, handshakes end as the script says, and the bytes after that are those inside: HTTP/1 and HTTP/2 as
// both sides may write it once it is decrypted.
//
// One step is a byte of what to do, and for bytes to send a byte that chooses a phrase or a length of raw ones.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/byte_reader.hpp"
#include "flow/machine.hpp"
#include "policy/snapshot.hpp"
#include "proto/http/h1.hpp"
#include "proto/tls/client_hello.hpp"
#include "proto/tls/server_answer.hpp"
#include "tests/unit/flow/model_driver.hpp"
#include "tests/unit/flow/world.hpp"
#include "tests/unit/proto/tls/answer_builder.hpp"

namespace {

using flow::Side;
using flow::Timer;
using flow::model::Driver;

void require(bool promise) {
  if (!promise) std::abort();
}

void require_kept(const Driver& driver) {
  if (driver.violation().empty()) return;
  std::fprintf(stderr, "broken promise: %s\n", driver.violation().c_str());
  std::abort();
}

// HTTP/2 by hand (RFC 9113 4.1, RFC 7541 6.2.2).
namespace h2 {
const std::string preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
std::string frame(int type, int flags, int stream, std::string payload) {
  std::string head{static_cast<char>(payload.size() >> 16),
                   static_cast<char>(payload.size() >> 8),
                   static_cast<char>(payload.size()),
                   static_cast<char>(type),
                   static_cast<char>(flags),
                   0,
                   0,
                   0,
                   static_cast<char>(stream)};
  return head + payload;
}
std::string literal(int index, const std::string& value) {
  return std::string{static_cast<char>(index), static_cast<char>(value.size())} + value;
}
std::string request(int stream, const std::string& host, const std::string& path, bool ends) {
  return frame(1, ends ? 5 : 4, stream, "\x83\x87" + literal(1, host) + literal(4, path));
}
}  // namespace h2

const std::string client_phrases[] = {
    flow::model::client_hello("school.example"),
    flow::model::client_hello("games.example", 40),
    flow::model::client_hello(""),
    "SSH-2.0-x\r\n",
    "GET /a HTTP/1.1\r\nHost: school.example\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: games.example\r\n\r\n",
    "HEAD / HTTP/1.0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: school.example\r\nContent-Length: 5\r\n\r\n12345",
    "POST / HTTP/1.1\r\nHost: school.example\r\nContent-Length: 70000\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: school.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: school.example\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
    "GET /ws HTTP/1.1\r\nHost: school.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "CONNECT games.example:443 HTTP/1.1\r\nHost: games.example:443\r\n\r\n",
    "5\r\nhello\r\n0\r\n\r\n",
    std::string(70000, 'u'),
    flow::model::client_hello("games.example"),
    flow::model::client_hello("school.example", 7),
    hello_builder::record("\x01", 20),
    hello_builder::record("early data", 23),
    hello_builder::record(std::string(40, '\x16'), 23).substr(0, 20),
    h2::preface + h2::frame(4, 0, 0, ""),
    h2::request(1, "school.example", "/a", true),
    h2::request(1, "games.example", "/a", true),
    h2::request(3, "school.example", "/up", false),
    h2::frame(0, 1, 3, "body"),
    h2::frame(0, 0, 3, std::string(9000, 'u')),
    h2::frame(8, 0, 0, std::string("\x00\x10\x00\x00", 4)),
    h2::frame(3, 0, 1, std::string("\x00\x00\x00\x08", 4)),
};
const std::string origin_phrases[] = {
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\nContent-Length: 3\r\n\r\nzip",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "5\r\nhello\r\n0\r\n\r\n",
    std::string(70000, 'd'),
    hello_builder::hello_retry_request(),
    hello_builder::hello_retry_request().substr(0, 40),
    hello_builder::hello_retry_request().substr(40),
    hello_builder::in_records(hello_builder::server_hello()),
    h2::frame(4, 0, 0, std::string("\x00\x08\x00\x00\x00\x01", 6)),
    h2::frame(1, 4, 1, "\x88"),
    h2::frame(1, 5, 1, "\x88"),
    h2::frame(1, 4, 3, "\x88"),
    h2::frame(0, 1, 1, "answer"),
    h2::frame(0, 0, 1, std::string(9000, 'd')),
    h2::frame(7, 0, 0, std::string("\x00\x00\x00\x01\x00\x00\x00\x00", 8)),
    h2::frame(5, 4, 1, std::string("\x00\x00\x00\x02", 4) + "\x82\x84\x87"),
};

std::string_view phrase(base::ByteReader& script, std::span<const std::string> phrases) {
  std::size_t choice = script.u8();
  if (choice < phrases.size()) return phrases[choice];
  std::size_t length = std::min<std::size_t>(choice - phrases.size(), script.remaining());
  return base::as_text(script.take(length));
}

// Whether these bytes, which reached the origin, begin with a hello that names what is blocked.
bool begins_with_games(std::string_view bytes, std::size_t& length) {
  auto parsed = proto::tls::parse_client_hello(base::as_bytes(bytes));
  auto* hello = std::get_if<proto::tls::ClientHello>(&parsed);
  length = hello ? hello->stream_length : 0;
  return hello && hello->server_name && hello->server_name->text() == "games.example";
}

// `got`: by the origin, of a client that spoke first. `said`: by the origin.
void require_no_games(std::string_view got, std::string_view said) {
  std::size_t length = 0;
  require(!begins_with_games(got, length));
  if (length == 0) return;
  auto answer = proto::tls::read_server_answer(base::as_bytes(said));
  auto* told = std::get_if<proto::tls::ServerAnswer>(&answer);
  if (!told || *told != proto::tls::ServerAnswer::hello_retry_request) return;
  got.remove_prefix(length);
  while (got.size() >= 5 && (got[0] == 20 || got[0] == 21 || got[0] == 23))
    got.remove_prefix(std::min(got.size(), 5 + std::size_t{static_cast<std::uint8_t>(got[3])} * 256 +
                                               std::size_t{static_cast<std::uint8_t>(got[4])}));
  require(!begins_with_games(got, length));
}

std::vector<policy::Rule> rules() {
  policy::Conditions archives, large;
  archives.response_type = {"application/zip"};
  large.larger_than = 300;
  large.to = flow::model::hosts({"small.example"});
  return {flow::model::no_games(), flow::model::rule("no archives", policy::Action::block, archives),
          flow::model::rule("small only", policy::Action::block, large)};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  base::ByteReader script(base::Bytes(data, size));
  std::uint8_t settings = script.u8();
  flow::model::World world(rules());
  if (settings & 1) world.surroundings.unknown_protocol = flow::UnknownProtocol::block;
  if (settings & 2) world.group().tls = policy::TlsMode::off;
  bool inspected = (settings & 8) != 0 && !(settings & 2);
  if (inspected) world.inspect();
  if (settings & 16) world.devices.trusts = false;
  flow::Opening opening = world.opening(settings & 4 ? 443 : 80);

  bool client_spoke = false, held_to_it = !(settings & 2) && !inspected;  // to its rules, all the time
  std::string said;                                                       // by the origin
  Driver driver(opening, world.surroundings);
  for (int steps = 0; steps < 200 && script.ok() && script.remaining() > 0; ++steps) {
    switch (script.u8() % 14) {
      case 0:
      case 1: {
        std::string_view bytes = phrase(script, client_phrases);
        driver.send(Side::client, bytes);
        client_spoke |= !bytes.empty();
        break;
      }
      case 2:
      case 3: {
        std::string_view bytes = phrase(script, origin_phrases);
        if (!client_spoke && !bytes.empty()) held_to_it = false;  // a tunnel, if the client stays silent
        driver.send(Side::origin, bytes);
        said += bytes;
        break;
      }
      case 4:
        driver.accept();
        break;
      case 5:
        driver.refuse();
        break;
      case 6:
        driver.end(Side::client);
        break;
      case 7:
        driver.end(Side::origin);
        break;
      case 8:
        driver.abort(script.u8() & 1 ? Side::client : Side::origin);
        break;
      case 9:
        driver.expire(Timer::deadline);
        break;
      case 10:
        driver.expire(Timer::idle);
        break;
      case 11:
        held_to_it = false;
        world.use(script.u8() & 1 ? rules() : flow::model::no_rules);
        if (settings & 2) world.group().tls = policy::TlsMode::off;
        if (inspected) world.inspect();
        driver.change_policy(opening.client);
        break;
      case 12: {
        Side side = driver.securing(Side::origin) ? Side::origin : Side::client;
        std::uint8_t how = script.u8();
        driver.secure(side, how & 1 ? "h2" : how & 2 ? "http/1.1" : "");
        break;
      }
      case 13: {
        Side side = driver.securing(Side::origin) ? Side::origin : Side::client;
        driver.fail_tls(side, static_cast<flow::TlsFailed::Why>(script.u8() % 6));
        break;
      }
    }
    require_kept(driver);
    driver.machine().label();
  }

  // Everybody leaves: nothing may keep the flow.
  driver.end(Side::client);
  driver.refuse();
  driver.end(Side::origin);
  driver.fail_tls(Side::origin, flow::TlsFailed::Why::gone);
  driver.fail_tls(Side::client, flow::TlsFailed::Why::gone);
  driver.expire(Timer::deadline);
  driver.expire(Timer::idle);
  require(driver.over());
  require_kept(driver);
  if (held_to_it) require_no_games(driver.got(Side::origin), said);
  for (const flow::AccessRecord& record : driver.notes()) {
    require(!record.action.empty() && !record.reason.empty() && !record.id.empty());
    require(record.bytes_up <= driver.got(Side::origin).size());
    require(record.bytes_down <= driver.got(Side::client).size());
    flow::to_json(record);
    flow::to_squid(record);
  }
  return 0;
}

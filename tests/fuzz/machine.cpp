// Random lives of one connection: the input is a script of what two peers, the clock and the admin do. The model driver
// checks every promise of flow/command.hpp (nothing consumed twice, nothing after the end, no byte for a leg that is
// not open); here is checked that a flow ends when everybody has gone, that it is noted as often as it was judged, and
// that no hello with a blocked name reaches the origin: neither first nor after a HelloRetryRequest.
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
  flow::Opening opening = world.opening(settings & 4 ? 443 : 80);

  bool client_spoke = false, held_to_it = !(settings & 2);  // to its rules, all the time
  std::string said;                                         // by the origin
  Driver driver(opening, world.surroundings);
  for (int steps = 0; steps < 200 && script.ok() && script.remaining() > 0; ++steps) {
    switch (script.u8() % 12) {
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
        driver.change_policy(opening.client);
        break;
    }
    require_kept(driver);
    driver.machine().label();
  }

  // Everybody leaves: nothing may keep the flow.
  driver.end(Side::client);
  driver.refuse();
  driver.end(Side::origin);
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

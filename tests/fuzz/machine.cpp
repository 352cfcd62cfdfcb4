// Random lives of one connection: the input is a script of what two peers, the clock and the admin do. The model driver
// checks every promise of flow/command.hpp (nothing consumed twice, nothing after the end, no byte for a leg that is
// not open); here is checked that a flow ends when everybody has gone, that it is noted as often as it was judged, and
// that a blocked name never reaches the origin.
//
// One step is a byte of what to do, and for bytes to send a byte that chooses a phrase or a length of raw ones.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/byte_reader.hpp"
#include "flow/machine.hpp"
#include "policy/snapshot.hpp"
#include "proto/http/h1.hpp"
#include "tests/unit/flow/model_driver.hpp"
#include "tests/unit/flow/world.hpp"

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
};

std::string_view phrase(base::ByteReader& script, std::span<const std::string> phrases) {
  std::size_t choice = script.u8();
  if (choice < phrases.size()) return phrases[choice];
  std::size_t length = std::min<std::size_t>(choice - phrases.size(), script.remaining());
  return base::as_text(script.take(length));
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

  Driver driver(opening, world.surroundings);
  for (int steps = 0; steps < 200 && script.ok() && script.remaining() > 0; ++steps) {
    switch (script.u8() % 12) {
      case 0:
      case 1:
        driver.send(Side::client, phrase(script, client_phrases));
        break;
      case 2:
      case 3:
        driver.send(Side::origin, phrase(script, origin_phrases));
        break;
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
  for (const flow::AccessRecord& record : driver.notes()) {
    require(!record.action.empty() && !record.reason.empty() && !record.id.empty());
    require(record.bytes_up <= driver.got(Side::origin).size());
    require(record.bytes_down <= driver.got(Side::client).size());
    flow::to_json(record);
    flow::to_squid(record);
  }
  return 0;
}

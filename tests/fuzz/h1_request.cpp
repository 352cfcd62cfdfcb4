// Request heads under any bytes. What is accepted has one reading: written anew it stays as it is, it has a URL that
// can be judged, a beginning of it is not a head, sniff() lets it through to us, and the second reader agrees.
#include "proto/http/h1.hpp"

#include <cstdlib>

#include "proto/http/sniff.hpp"
#include "proto/http/url.hpp"
#include "tests/unit/proto/http/readings_agree.hpp"

namespace {

using namespace proto::http;  // NOLINT(google-build-using-namespace): what is tested

void require(bool promise) {
  if (!promise) std::abort();
}

void check(const RequestHead& head, base::Bytes input) {
  std::string first = serialize(head);
  auto again = parse_request(base::as_bytes(first));
  require(again.index() == 0);
  const auto& copy = std::get<0>(again);
  require(serialize(copy) == first && copy.length == first.size());
  require(copy.method == head.method && copy.target == head.target && copy.authority == head.authority);
  require(copy.body.kind == head.body.kind && copy.body.length == head.body.length);
  require(copy.upgrade != Upgrade::other);
  // A path that origins read in two ways has no URL (flow answers 400); every other has one.
  bool two_readings = head.target.find("//") != head.target.npos || head.target.find("%2") != head.target.npos;
  require(head.authority.empty() || head.method == "CONNECT" || two_readings ||
          Url::from_request("http", head.authority, head.target));
  require(parse_request(input.first(head.length - 1)).index() == 1);
  require(sniff(input) == Protocol::http);
#if SLUICE_SECOND_READER
  require(readings_agree::disagreement_on_request(base::as_text(input)).empty());
  require(readings_agree::disagreement_on_request(first).empty());
#endif
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  base::Bytes input{data, size};
  auto parse = parse_request(input);
  if (auto* head = std::get_if<RequestHead>(&parse)) check(*head, input);
  return 0;
}

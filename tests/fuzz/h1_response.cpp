// Response heads under any bytes. What is accepted has one reading: written anew it stays as it is, a beginning of it
// is not a head, and the second reader agrees.
#include "proto/http/h1.hpp"

#include <cstdlib>

#include "tests/unit/proto/http/readings_agree.hpp"

namespace {

using namespace proto::http;  // NOLINT(google-build-using-namespace): what is tested

void require(bool promise) {
  if (!promise) std::abort();
}

void check(const ResponseHead& head, base::Bytes input, std::string_view method) {
  std::string first = serialize(head);
  auto again = parse_response(base::as_bytes(first), method);
  require(again.index() == 0);
  const auto& copy = std::get<0>(again);
  require(serialize(copy) == first && copy.length == first.size());
  require(copy.status == head.status && copy.content_type == head.content_type);
  require(copy.body.kind == head.body.kind && copy.body.length == head.body.length);
  require(parse_response(input.first(head.length - 1), method).index() == 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  base::Bytes input{data, size};
  for (std::string_view method : {"GET", "HEAD", "CONNECT"}) {
    auto parse = parse_response(input, method);
    if (auto* head = std::get_if<ResponseHead>(&parse)) check(*head, input, method);
  }
#if SLUICE_SECOND_READER
  require(readings_agree::disagreement_on_response(base::as_text(input)).empty());
#endif
  return 0;
}

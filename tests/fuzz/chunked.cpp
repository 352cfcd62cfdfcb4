// Chunked bodies under any bytes: where the input is split changes nothing, and a body that we and the second reader
// both see the end of ends at the same byte and has the same data.
#include <cstdlib>
#include <string>

#include "proto/http/h1.hpp"
#include "tests/unit/proto/http/second_reader.hpp"

namespace {

using proto::http::ChunkedBody;

void require(bool promise) {
  if (!promise) std::abort();
}

void check_bytewise(base::Bytes input, const ChunkedBody& whole, const ChunkedBody::Progress& expected) {
  ChunkedBody body;
  ChunkedBody::Progress progress;
  std::size_t consumed = 0;
  for (; consumed < input.size(); ++consumed) {
    progress = body.feed(input.subspan(consumed, 1));
    if (progress.consumed == 0) break;
  }
  require(consumed == expected.consumed && body.body_bytes() == whole.body_bytes());
  require(progress.complete == expected.complete && progress.malformed == expected.malformed);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  base::Bytes input{data, size};
  ChunkedBody body;
  auto progress = body.feed(input);
  require(progress.consumed <= size && !(progress.complete && progress.malformed));
  require(progress.complete || progress.malformed || progress.consumed == size);
  check_bytewise(input, body, progress);
#if SLUICE_SECOND_READER
  std::string head = "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n";
  auto theirs = second_reader::read_request(head + std::string(base::as_text(input.first(progress.consumed))), true);
  if (progress.complete && theirs.error.empty()) {
    require(theirs.message_complete && theirs.body.size() == body.body_bytes());
  }
  if (!progress.complete && !progress.malformed) require(!theirs.message_complete);
#endif
  return 0;
}

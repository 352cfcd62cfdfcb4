// First bytes of any kind: an answer is never taken back, and comes before the limit.
#include "proto/http/sniff.hpp"

#include <cstdlib>
#include <string>

namespace {

using namespace proto::http;  // NOLINT(google-build-using-namespace): what is tested

void require(bool promise) {
  if (!promise) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  base::Bytes input{data, size};
  Protocol last = Protocol::need_more;
  for (std::size_t length = 0; length <= size; length += 1 + length / 16) {
    Protocol now = sniff(input.first(length));
    require(last == Protocol::need_more || now == last);
    last = now;
  }
  std::string long_line(base::as_text(input));
  long_line.resize(sniff_limit, 'a');
  require(sniff(base::as_bytes(long_line)) != Protocol::need_more);
  return 0;
}

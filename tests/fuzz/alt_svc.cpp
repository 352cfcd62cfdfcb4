// Alt-Svc fields of any bytes: what is left is a part of what came, holds no alternative over QUIC any more, and does not
// change when it is read again.
#include "proto/http/alt_svc.hpp"

#include <cstdlib>

#include "base/bytes.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view value = base::as_text({data, size});
  auto left = proto::http::without_h3(value);
  if (!left) return 0;
  if (left->size() > 2 * size) std::abort();  // a blank after each comma
  if (left->find("h3=") == 0 || left->find("h3-") == 0) std::abort();
  if (proto::http::without_h3(*left) != left) std::abort();
  return 0;
}

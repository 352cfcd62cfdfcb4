#include "flow/states/behind_hello.hpp"

#include <algorithm>
#include <cstdint>

#include "proto/tls/record.hpp"

namespace flow {
namespace {

// RFC 8446 5.1: change_cipher_spec, alert, application_data. The origin steps over them on its way to a second hello
// (RFC 8446 D.4, 4.2.10), or ends the connection.
bool is_stepped_over(std::uint8_t record_type) {
  return record_type == 20 || record_type == 21 || record_type == 23;
}

}  // namespace

std::size_t BehindHello::take(base::Bytes bytes) {
  std::size_t taken = 0;
  for (;;) {
    std::size_t count = std::min(passing_, bytes.size());
    passing_ -= count;
    taken += count;
    bytes = bytes.subspan(count);
    if (bytes.size() < proto::tls::record_header_size || stops_at(bytes)) return taken;
    passing_ = proto::tls::record_header_size + (std::size_t{bytes[3]} << 8 | bytes[4]);
  }
}

bool BehindHello::stops_at(base::Bytes left) {
  return !is_stepped_over(left[0]);
}

}  // namespace flow

// Lease files of any bytes:
//   - each address once, host names fit to be shown
//   - cut anywhere, a file tells what its whole lines tell
#include "proto/dhcp/leases.hpp"

#include <cstdlib>

#include "base/bytes.hpp"
#include "base/text.hpp"

namespace {

void require(bool promise) {
  if (!promise) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text = base::as_text({data, size});
  auto file = proto::dhcp::parse_leases(text);
  for (std::size_t i = 0; i < file.leases.size(); ++i) {
    const proto::dhcp::Lease& lease = file.leases[i];
    require(i == 0 || file.leases[i - 1].address < lease.address);
    require(lease.hostname.size() <= 63 && base::is_printable_utf8(lease.hostname) && lease.expires >= 0);
  }
  auto whole = proto::dhcp::parse_leases(text.substr(0, text.rfind('\n') + 1));
  require(whole.leases == file.leases && whole.skipped == file.skipped);
  return 0;
}

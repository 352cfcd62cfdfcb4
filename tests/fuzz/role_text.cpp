// What roles tell each other as JSON, with any bytes in its place: a role that was taken over is no friend. What is accepted is what
// the honest role could have said: written anew it is the same.
#include <cstdlib>

#include "accounting/batch_text.hpp"
#include "base/bytes.hpp"
#include "daemon/identity_text.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text = base::as_text({data, size});
  if (auto identities = sluiced::parse_identities(text)) {
    std::string first = to_text(*identities);
    auto again = sluiced::parse_identities(first);
    if (!again || to_text(*again) != first) std::abort();
  }
  if (auto batch = accounting::parse_batch(text)) {
    std::string first = accounting::to_text(*batch);
    auto again = accounting::parse_batch(first);
    if (!again || accounting::to_text(*again) != first) std::abort();
  }
  return 0;
}

// Any bytes as a time zone's file: whatever is taken must be a table in order, with offsets that a clock can have.
#include "rules/zone.hpp"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto zone = rules::parse_zone("Fuzz/Zone", {data, size});
  if (!zone) return 0;
  for (std::size_t i = 0; i < zone->changes.size(); ++i) {
    if (i != 0 && zone->changes[i].from < zone->changes[i - 1].from) std::abort();
    if (std::abs(zone->changes[i].offset_seconds) > 7 * 86400) std::abort();
  }
  return 0;
}

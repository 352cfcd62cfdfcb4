// What a local user may send to the control socket, and what a daemon answers. Nothing throws, and what was understood
// is understood the same once it has been written anew.
#include <algorithm>
#include <cstdlib>

#include "control/explain.hpp"
#include "control/protocol.hpp"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view line(reinterpret_cast<const char*>(data), size);
  if (auto request = control::parse_request(line)) {
    std::string written = control::to_line(*request);
    require(written.find('\n') == written.npos);
    auto again = control::parse_request(written);
    require(again && again->verb == request->verb && again->args == request->args);
    // explain's arguments, as the gateway reads them.
    static const policy::Zone paris{"Europe/Paris", {{-1'000'000'000, 3600}, {1774746000, 7200}, {1792890000, 3600}}};
    for (const auto& [key, value] : request->args)
      if (auto time = control::parse_time(value, paris, base::WallTime(std::chrono::seconds(1'800'000'000))))
        require(!control::format_time(*time, paris).empty());
  }
  // A reply comes from a daemon, which does not nest deeper than this; writing and copying are recursive.
  constexpr std::ptrdiff_t deepest = 100;
  if (std::count_if(line.begin(), line.end(), [](char c) { return c == '[' || c == '{'; }) > deepest) return 0;
  if (auto reply = control::parse_reply(line)) {
    auto again = control::parse_reply(control::to_line(*reply));
    require(again && again->exit == reply->exit && again->text == reply->text);
  }
  return 0;
}

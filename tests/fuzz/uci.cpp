// Any text as /etc/config/sluice. What is made without an error builds, and everything that is wrong is said of a section or a
// line of what was written, never of what was made from it.
#include <cstdlib>

#include "rules/uci_toml.hpp"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  rules::UciPlaces places;
  places.devices = {{"lan", "br-lan"}, {"guest", "br-guest"}};
  rules::UciToml made = rules::uci_to_toml(text, places);
  for (const std::string& error : made.errors) require(error.starts_with("sluice") || error.starts_with("line "));
  if (!made.errors.empty()) return 0;

  rules::ConfigText config;
  config.directory = "/etc/sluice";
  config.sluice = {"sluice.toml", made.sluice};
  config.policy = {{"policy.toml", made.policy}};
  rules::Diagnostics diagnostics;
  rules::Loaded loaded = rules::build(config, {}, diagnostics);
  require(loaded.snapshot != nullptr);
  return 0;
}

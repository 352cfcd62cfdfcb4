// Any two texts as sluice.toml and policy.toml, and any bytes as a time zone, a block page or a packed configuration.
#include <algorithm>

#include "rules/load.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  if (auto unpacked = rules::unpack_config(text)) rules::pack_config(*unpacked);
  std::size_t cut = std::min(text.find('\0'), text.size());
  rules::ConfigText config;
  config.directory = "/etc/sluice";
  config.sluice = {"sluice.toml", "[network]\nlan = 'br-lan'\n"};
  config.policy = {{"policy.toml", std::string(text.substr(0, cut))}};
  std::string_view rest = cut < text.size() ? text.substr(cut + 1) : std::string_view();
  if (!rest.empty() && rest.front() == 'Z')
    config.zone = {"/zoneinfo/Z", std::string(rest.substr(1))};
  else if (!rest.empty() && rest.front() == 'B')
    config.block_page = {"block.html", std::string(rest.substr(1))};
  else if (!rest.empty())
    config.sluice.text = rest;
  rules::Diagnostics diagnostics;
  rules::build(config, {}, nullptr, diagnostics);
  rules::list_declarations(config, diagnostics);
  return 0;
}

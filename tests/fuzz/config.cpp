// Any text as sluice.toml and policy.toml (a form feed between them; one text alone is the
// policy), and any bytes as a packed
// configuration. What is built must be a policy that can be asked, and every diagnostic must say something.
#include <algorithm>
#include <cstdlib>

#include "policy/decide.hpp"
#include "rules/load.hpp"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  if (auto unpacked = rules::unpack_config(text)) require(rules::pack_config(*unpacked) == text);

  std::size_t cut = text.find('\f');
  rules::ConfigText config;
  config.directory = "/etc/sluice";
  config.sluice = {"sluice.toml", "[network]\nlan = ['br-lan']\n"};
  config.policy = {{"policy.toml", std::string(text.substr(0, cut))}};
  if (cut != text.npos) config.sluice.text = text.substr(cut + 1);

  rules::Diagnostics diagnostics;
  rules::list_declarations(config, {"state", ""}, diagnostics);
  rules::Loaded loaded = rules::build(config, {}, diagnostics);
  for (const rules::Diagnostic& each : diagnostics) require(!each.message.empty());
  require((loaded.snapshot == nullptr) == rules::has_errors(diagnostics));
  if (!loaded.snapshot) return 0;

  policy::Sighting sighting;
  sighting.address = base::IpAddress::v4(0x0a140007);
  policy::Client client = loaded.snapshot->clients.identify(sighting);
  require(client.group.value < loaded.snapshot->groups.size());
  policy::Facts facts;
  facts.client = &client;
  policy::Verdict verdict = policy::decide(*loaded.snapshot, facts);
  require(verdict.rule == policy::no_rule || verdict.rule.value < loaded.snapshot->rules.size());
  return 0;
}

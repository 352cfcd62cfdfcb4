// Loads a policy from text, as the tests of this folder do.
#pragma once

#include <fstream>
#include <iterator>
#include <string>

#include "rules/load.hpp"

namespace rules::testing {

inline const std::string plain_sluice = "[network]\nlan = [\"br-lan\", \"br-guest\"]\n";

struct Outcome {
  Loaded loaded;
  std::string said;  // every diagnostic on a line of its own
};

inline std::string lines_of(const Diagnostics& diagnostics) {
  std::string lines;
  for (const Diagnostic& diagnostic : diagnostics) lines += diagnostic.to_string() + "\n";
  return lines;
}

inline ConfigText config_of(std::string policy, std::string sluice = plain_sluice) {
  ConfigText config;
  config.directory = "/etc/sluice";
  config.sluice = {"sluice.toml", std::move(sluice)};
  config.policy = {{"policy.toml", std::move(policy)}};
  return config;
}

inline Outcome load(const ConfigText& config, base::Bytes image = {}) {
  Diagnostics diagnostics;
  Outcome outcome;
  outcome.loaded = build(config, {image, {}, nullptr}, diagnostics);
  outcome.said = lines_of(diagnostics);
  return outcome;
}
inline Outcome load(std::string policy) {
  return load(config_of(std::move(policy)));
}

inline std::string file_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace rules::testing

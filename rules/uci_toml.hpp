// OpenWrt's /etc/config/sluice as sluice.toml and policy.toml: what a home needs, in the router's own configuration language.
// docs/install-openwrt.md is the manual of its sections and options.
//
// How it stays right. The generator knows which option becomes which key, and how text becomes a TOML string, no more. What a
// value must look like is known by the readers of the TOML files alone: the generated text is built as any configuration is
// (without opening a file), and since each line remembers the option that it came from, what is wrong with it is said in UCI's
// words. So text that is returned without errors always passes `sluicectl check`, as far as that depends on no other file.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "rules/load.hpp"

namespace rules {

struct UciPlaces {
  std::map<std::string, std::string> devices;  // of networks: "lan" -> "br-lan"
  // Compiles the lists of the generated files, which gives categories their names. Empty: without lists.
  std::function<ListBytes(const ConfigText&, Diagnostics&)> compile;
};

struct UciToml {
  std::string sluice, policy;                 // the files' text; meaningless with errors
  std::vector<std::string> errors, warnings;  // "sluice.@rule[2].host: what, and what was expected"
};

UciToml uci_to_toml(std::string_view text, const UciPlaces& places);

}  // namespace rules

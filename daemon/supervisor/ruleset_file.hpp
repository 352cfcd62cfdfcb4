// RUN/ruleset.nft: the rules that are in the kernel, as nft reads them. A firewall that loads everything anew (OpenWrt's fw4,
// which flushes all tables) includes it, so that its restart does not leave a gap until we notice.
//
// Including it again changes nothing: the text replaces our table in one transaction. With the gateway dead it says what
// if_down says, once the heartbeat that fresh rules count for has expired (two seconds). It is there while rules of ours are:
// not before the first, not after a stop that leaves none.
#pragma once

#include <string>

namespace sluiced {

class RulesetFile {
 public:
  explicit RulesetFile(const std::string& run_folder) : path_(run_folder + "/ruleset.nft") {}
  void keep(const std::string& text);  // whole or not at all
  void remove();

 private:
  std::string path_, complaint_;
};

}  // namespace sluiced

// What was refused to whom lately where no page could be shown: what the gateway's own page tells (POLICY 10). In memory, for a
// quarter of an hour, a few names a person. Not locked: the owner sees to that.
#pragma once

#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include "flow/proceed.hpp"

namespace sluiced {

class RefusedNames {
 public:
  void note(const std::string& person, flow::RefusedName refused);
  // The newest first: what there may be a way past before what is simply blocked.
  std::vector<flow::RefusedName> of(const std::string& person, base::WallTime now) const;
  void forget_old(base::WallTime now);

 private:
  struct Kept {
    std::deque<flow::RefusedName> passable, blocked;  // the oldest first
  };
  std::unordered_map<std::string, Kept> kept_;
};

}  // namespace sluiced

// `sluicectl allow|block --client C [--to T] --for 30m`: rules for a while, between the "must" rules and the others
// (POLICY 3). They are rules like those of the files, read by the same reader, so that whatever a rule can name they can;
// the gateway holds them and builds its policy anew when one comes or ends, the keeper keeps them over restarts.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "control/protocol.hpp"

namespace sluiced {

class TemporaryRules {
 public:
  // A new one out of a request (client, to, seconds, who); the error is a reply's text. It is in force once the policy
  // has been built with it; if that fails, remove it again.
  base::Result<std::string> add(const control::Request& request, base::WallTime now);  // its name
  bool remove(const std::string& name);
  bool forget_expired(base::WallTime now);  // true: one has ended
  void forget_all() {
    rules_.clear();
    lessons_.clear();
  }
  bool empty() const { return rules_.empty() && lessons_.empty(); }
  // What lesson codes are for: a rule each, for those who have redeemed it. True: others than before.
  struct Lesson {
    std::string name, to;
    bool operator==(const Lesson&) const = default;
  };
  bool adopt_lessons(std::vector<Lesson> lessons);
  // As a rule names it: "arcade.test" is "host:arcade.test".
  static std::string target_of(const std::string& to);

  std::string to_toml() const;
  std::string to_text() const;
  bool adopt(const std::string& text);  // true: others than before
  control::Json to_json(base::WallTime now) const;

 private:
  struct Rule {
    std::string name, action, client, to, by;
    std::int64_t until = 0;
    bool operator==(const Rule&) const = default;
  };
  std::vector<Rule> rules_;
  std::vector<Lesson> lessons_;
};

}  // namespace sluiced

// Codes for `code` rules: made by `sluicectl code new`, kept by the keeper in STATE/codes/codes.json so that they outlive
// a restart. A code's digits are shown once and kept only as a hash.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "control/protocol.hpp"
#include "daemon/kept_text.hpp"

namespace sluiced {

class CodeStore {
 public:
  // Reads what is kept. A damaged file is said and counts as none.
  explicit CodeStore(const std::string& folder);

  // code new, code list, code revoke. `rules`: names of the rules that take codes, and after a tab the categories and
  // lists that there are. `who` made the request, for the log.
  control::Reply answer(const control::Request& request, const std::vector<std::string>& rules, const std::string& who,
                        base::WallTime now);
  // The gateway has taken one.
  void used(const std::string& hash);
  // What the gateway needs to know: [{"hash", "rule", "until", "uses"}]; without those that have ended.
  std::string for_gateway(base::WallTime now);

 private:
  struct Code {
    std::string hash, rule, note, made_by;
    std::int64_t until = 0;
    std::int64_t uses = -1;  // left; -1: any number
    std::string to;          // of a lesson code: what it opens; `rule` is its own then
    std::string hint;        // the last two digits, by which a person knows it again
  };
  control::Reply make(const control::Request& request, const std::vector<std::string>& rules, const std::string& who,
                      base::WallTime now);
  control::Reply list(base::WallTime now) const;
  control::Reply revoke(const control::Request& request, const std::string& who);
  void forget_ended(base::WallTime now);
  void save();

  KeptText kept_;
  std::vector<Code> codes_;
};

}  // namespace sluiced

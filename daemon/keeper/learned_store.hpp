// What devices have taught the gateway (tls-intercept/learned.hpp), kept by the keeper in STATE/learned/learned.json so that
// it outlives a restart: which devices trust our CA, and which names are not decrypted for which of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "control/protocol.hpp"
#include "daemon/kept_text.hpp"

namespace sluiced {

class LearnedStore {
 public:
  // Reads what is kept. A damaged file is said and counts as none.
  explicit LearnedStore(const std::string& folder);

  // A line of the gateway's: "enrolled\nDEVICE", "lost\nDEVICE", "bypass\nDEVICE\nNAME\nUNTIL".
  void learn(const std::string& lines);
  // bypass list, bypass revoke. True in `changed`: the gateway must be told.
  control::Reply answer(const control::Request& request, const std::string& who, base::WallTime now, bool& changed);
  std::string for_gateway(base::WallTime now);

 private:
  struct Bypass {
    std::string device, name;
    std::int64_t until = 0;
  };
  control::Json to_json() const;
  void save();

  KeptText kept_;
  std::vector<std::string> enrolled_;
  std::vector<Bypass> bypasses_;
};

}  // namespace sluiced

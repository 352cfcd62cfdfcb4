// What the meter has read last of each connection, in memory that outlives the gateway: a file that the supervisor holds
// (under RUN, which is memory). So a gateway that was killed leaves its successor where to go on, and nothing is counted
// twice.
//
// Two halves: the one that is not in force is written, and then put in force by one word. A SIGKILL at any moment leaves
// the old half or the new one. The baselines are written before what was counted is sent: a gateway that dies in between
// loses one interval, and never counts one twice.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "accounting/meter.hpp"
#include "base/result.hpp"
#include "base/sys/unique_fd.hpp"

namespace sluiced {

class MeterBaselines {
 public:
  // By the supervisor.
  static base::Result<base::sys::UniqueFd> open(const std::string& path);
  // By each gateway in its turn; never two at once.
  static base::Result<std::unique_ptr<MeterBaselines>> attach(int file);
  MeterBaselines(const MeterBaselines&) = delete;
  MeterBaselines& operator=(const MeterBaselines&) = delete;
  ~MeterBaselines();

  // False: there are none, or not all of them: the first dump is where counting begins.
  bool load(accounting::Meter& meter) const;
  void store(const accounting::Meter& meter);

 private:
  struct File;
  explicit MeterBaselines(File* file) : file_(file) {}
  File* file_;
};

}  // namespace sluiced

// One fetched list on the disk, and the step from one version to the next.
//
//   STATE/lists/NAME/current    what is compiled: a file, or a folder (an archive)
//                    previous   the version before, for `list rollback`
//                    incoming   a download on its way; removed at the next start
//                    state.json validators, when it was last asked for, what came of it, what the version holds
//
// A version goes live by two renames, current -> previous and incoming -> current. Cut off between them there is no
// `current`: recover() puts the previous one back.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"
#include "daemon/helper/fetch.hpp"
#include "rules/load.hpp"
#include "rules/update_guard.hpp"

namespace sluiced {

enum class UpdateResult { none, taken, unchanged, refused, failed, rolled_back };
const char* word_of(UpdateResult result);

struct ListState {
  base::WallTime last_check{}, last_change{}, last_trouble{};  // 1970: never
  UpdateResult result = UpdateResult::none;                    // of the last check
  std::string reason;                                          // of the last refusal or failure
  std::uint64_t failures = 0;                                  // in a row: the pause doubles
  std::string url;                                             // where the rest comes from: another one is asked anew
  Validators validators;
  std::uint64_t digest = 0;    // of the download that `current` came from
  std::uint64_t unwanted = 0;  // of the download that was rolled back: not taken again
  rules::ListContent content;  // of `current`
  bool has_content = false;
};

class FetchedList {
 public:
  FetchedList(std::string folder, rules::ListDeclaration list) : folder_(std::move(folder)), list_(std::move(list)) {}

  // Makes the folder, mends what a crash has left, reads state.json (a damaged one counts as none).
  base::Result<> recover();
  bool is_here() const;
  const rules::ListDeclaration& declaration() const { return list_; }
  const ListState& state() const { return state_; }

  // Asks the publisher, judges what came, and makes it current. Blocks. `refused`: rules::refused_targets.
  // True: there is a new version.
  bool update(const std::vector<std::string>& refused, bool force, base::WallTime now,
              const std::atomic<bool>& give_up);
  // The previous version becomes current again, and the one that was is not taken a second time.
  base::Result<> roll_back(base::WallTime now);

 private:
  std::string path(const char* name) const { return folder_ + "/" + name; }
  UpdateResult try_update(const std::vector<std::string>& refused, bool force, const std::atomic<bool>& give_up,
                          std::string& reason);
  base::Result<rules::ListContent> read_content(const std::string& at) const;
  base::Result<> promote();
  void write_state();

  std::string folder_;
  rules::ListDeclaration list_;
  ListState state_;
};

}  // namespace sluiced

// The compiled lists between two starts: STATE/lists.image (policy/domain_image.hpp), lists.sources (which line of
// which file; read by `explain` alone) and lists.inputs (rules/list_inputs.hpp: what both were made from).
//
// A new image is written beside the old one under a name of its own, checked, used, and only then kept: fsync of every
// file, rename, fsync of the folder, in a child, since a slow disk must not stop the supervisor. Whatever was cut off
// leaves files that the next start removes, or an image whose checksums do not agree with it, which is compiled again.
// Where nothing can be written (a full disk, a read-only one) the image lives in memory and is compiled at each start.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/sys/unique_fd.hpp"
#include "rules/load.hpp"

namespace sluiced {

// Read-only descriptors of an image and its source map. Empty ones hold nothing.
struct ListImages {
  base::sys::UniqueFd image, sources;
  std::string suffix;  // of the files that are not kept yet; empty: they are, or they are in memory
  std::string inputs;  // what they were made from
};

class ListStore {
 public:
  explicit ListStore(std::string state) : state_(std::move(state)) {}

  // Makes the folder if it is missing and removes what was left half written.
  void begin();
  // The kept image, if it was made from exactly these lists as they are now.
  std::optional<ListImages> find(const std::vector<rules::ListDeclaration>& lists) const;
  // The kept image, whatever it was made from: better than nothing when the lists cannot be read.
  std::optional<ListImages> last() const;

  // Two files to be written, of one new suffix.
  struct Writing {
    base::sys::UniqueFd image, sources;
    std::string suffix;
  };
  base::Result<Writing> create();
  // Opens them for reading; they are complete.
  base::Result<ListImages> reopen(const std::string& suffix) const;
  void discard(const std::string& suffix) const;
  // Gives the files their lasting names, in a child. The process id of the child; -1: there is nothing to be done.
  pid_t keep(ListImages& images) const;

 private:
  std::string path(const char* name, const std::string& suffix = "") const { return state_ + "/" + name + suffix; }
  std::optional<ListImages> open(const std::string& suffix) const;
  [[noreturn]] void keep_in_child(const ListImages& images) const;

  std::string state_;
};

}  // namespace sluiced

// Compiles lists in a child without privilege and puts the result where ListStore says.
//
// Lists come from strangers, and this is where their bytes are parsed. The child is nobody, may read files
// (CAP_DAC_READ_SEARCH) and nothing else, cannot start processes, and holds no descriptor of the files that are made:
// it writes image, source map and report into three pipes, and we copy. So whatever a list did to it, it can't change
// an image that has been checked. What it sends is taken as an image only by its checksums, and read only by the roles
// without privilege and by DomainIndex::open, which trusts nothing.
//
// Runs beside everything else on the caller's loop; one compilation at a time.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/sys/unique_fd.hpp"
#include "daemon/list_store.hpp"
#include "daemon/loop.hpp"
#include "rules/diagnostic.hpp"
#include "rules/load.hpp"

namespace sluiced {

struct CompiledLists {
  ListImages images;               // empty after an error
  rules::Diagnostics diagnostics;  // of the lists; with an error there are no images
};

class ListCompiler {
 public:
  ListCompiler(Loop& loop, ListStore& store);
  ~ListCompiler();
  ListCompiler(const ListCompiler&) = delete;
  ListCompiler& operator=(const ListCompiler&) = delete;

  using Done = std::function<void(CompiledLists)>;
  // `done` is called from the loop, never from within start(). Not while busy().
  void start(const std::vector<rules::ListDeclaration>& lists, Done done);
  bool busy() const { return child_ > 0; }
  // For whoever reaps children: true if it was ours.
  bool ended(pid_t pid, int status);

 private:
  // What comes out of one pipe, and where it goes.
  struct Pipe final : Watcher {
    ListCompiler* compiler = nullptr;
    base::sys::UniqueFd from, to;
    void ready(std::uint32_t) override { compiler->copy(*this); }
  };

  bool open_files();
  void copy(Pipe& pipe);
  bool write_all(Pipe& pipe, const char* bytes, std::size_t size);
  bool to_memory(Pipe& pipe);
  void finish();
  void fail(std::string what);
  void end_if_hung();

  Loop& loop_;
  ListStore& store_;
  Done done_;
  CompiledLists result_;
  std::array<Pipe, 3> pipes_;  // image, source map, report
  std::string suffix_;         // of the files being written; empty: memfds
  std::size_t open_pipes_ = 0;
  pid_t child_ = -1;
  base::Monotonic started_{};
  int status_ = -1;  // how the child ended, once somebody has told
  bool reaped_ = false;
};

// The same, waited for: at a start there is nothing else to do.
CompiledLists compile_and_wait(const std::vector<rules::ListDeclaration>& lists, ListStore& store);

}  // namespace sluiced

// Pipes for splice(2), borrowed only while bytes are on their way: ten thousand idle flows need none.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "base/sys/unique_fd.hpp"

namespace sluiced {

struct Pipe {
  base::sys::UniqueFd read_end, write_end;
  std::size_t filled = 0;  // bytes inside
};

class PipePool {
 public:
  // Null when the kernel refuses another (descriptors, pipe-user-pages-soft): the caller copies instead.
  std::unique_ptr<Pipe> borrow();
  // A pipe that still holds bytes is closed, never reused.
  void give_back(std::unique_ptr<Pipe> pipe);

 private:
  static constexpr std::size_t most_kept = 64;  // about as many flows as stall at once
  std::vector<std::unique_ptr<Pipe>> idle_;
};

}  // namespace sluiced

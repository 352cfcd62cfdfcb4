#include "daemon/gateway/pipe_pool.hpp"

#include <fcntl.h>
#include <unistd.h>

namespace sluiced {

std::unique_ptr<Pipe> PipePool::borrow() {
  if (!idle_.empty()) {
    auto pipe = std::move(idle_.back());
    idle_.pop_back();
    return pipe;
  }
  int ends[2];
  if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return nullptr;
  auto pipe = std::make_unique<Pipe>();
  pipe->read_end.reset(ends[0]);
  pipe->write_end.reset(ends[1]);
  return pipe;
}

void PipePool::give_back(std::unique_ptr<Pipe> pipe) {
  if (pipe && pipe->filled == 0 && idle_.size() < most_kept) idle_.push_back(std::move(pipe));
}

}  // namespace sluiced

#include "daemon/gateway/pipe_pool.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

namespace sluiced {
namespace {

TEST(PipePool, LendsAPipeAgain) {
  PipePool pool;
  auto pipe = pool.borrow();
  ASSERT_TRUE(pipe);
  Pipe* same = pipe.get();
  EXPECT_TRUE(fcntl(pipe->read_end.get(), F_GETFL) & O_NONBLOCK);
  pool.give_back(std::move(pipe));
  EXPECT_EQ(pool.borrow().get(), same);
}

// The bytes of one flow must never come out in another.
TEST(PipePool, NeverLendsAPipeThatHoldsBytes) {
  PipePool pool;
  auto pipe = pool.borrow();
  ASSERT_EQ(::write(pipe->write_end.get(), "secret", 6), 6);
  pipe->filled = 6;
  int its_end = pipe->read_end.get();
  pool.give_back(std::move(pipe));
  EXPECT_EQ(fcntl(its_end, F_GETFD), -1) << "closed";
  char buffer[8];
  EXPECT_EQ(::read(pool.borrow()->read_end.get(), buffer, sizeof buffer), -1);
}

TEST(PipePool, KeepsOnlySoMany) {
  PipePool pool;
  std::vector<std::unique_ptr<Pipe>> pipes;
  for (int i = 0; i < 100; ++i) pipes.push_back(pool.borrow());
  std::vector<int> ends;
  for (const auto& pipe : pipes) ends.push_back(pipe->read_end.get());
  for (auto& pipe : pipes) pool.give_back(std::move(pipe));
  int open = 0;
  for (int end : ends) open += fcntl(end, F_GETFD) != -1;
  EXPECT_GT(open, 0);
  EXPECT_LT(open, 100);
}

TEST(PipePool, WithoutDescriptorsThereIsNone) {
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none{0, before.rlim_max};
  PipePool pool;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  auto pipe = pool.borrow();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(pipe, nullptr);
  pool.give_back(nullptr);  // a caller need not ask
}

}  // namespace
}  // namespace sluiced

#include "base/sys/memory_file.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cerrno>
#include <numeric>
#include <vector>

namespace base::sys {
namespace {

TEST(MemoryFile, HoldsItsContentForEver) {
  std::vector<std::uint8_t> content(100000);
  std::iota(content.begin(), content.end(), std::uint8_t{0});
  auto file = make_memory_file("test", content);
  ASSERT_TRUE(file);
  EXPECT_EQ(::write(file->get(), "x", 1), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(::ftruncate(file->get(), 0), -1);
  EXPECT_EQ(fcntl(file->get(), F_ADD_SEALS, 0), -1) << "even the seals are final";
  EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file->get(), 0), MAP_FAILED);

  auto mapped = MappedFile::map(file->get());
  ASSERT_TRUE(mapped);
  file->reset();  // the mapping outlives the descriptor
  EXPECT_TRUE(std::equal(content.begin(), content.end(), mapped->bytes().begin(), mapped->bytes().end()));
}

TEST(MemoryFile, AMappingMovesWithItsOwner) {
  auto file = make_memory_file("test", as_bytes("text"));
  ASSERT_TRUE(file);
  MappedFile first = *MappedFile::map(file->get());
  MappedFile second(std::move(first));
  EXPECT_EQ(as_text(second.bytes()), "text");
  MappedFile third;
  third = std::move(second);
  EXPECT_EQ(as_text(third.bytes()), "text");
}

TEST(MemoryFile, MayBeEmpty) {
  auto file = make_memory_file("test", {});
  ASSERT_TRUE(file);
  auto mapped = MappedFile::map(file->get());
  ASSERT_TRUE(mapped);
  EXPECT_TRUE(mapped->bytes().empty());
}

TEST(MemoryFile, WhatIsNoFileIsAnEnvironmentError) {
  auto mapped = MappedFile::map(-1);
  ASSERT_FALSE(mapped);
  EXPECT_EQ(mapped.error().fault, Fault::environment);
}

}  // namespace
}  // namespace base::sys

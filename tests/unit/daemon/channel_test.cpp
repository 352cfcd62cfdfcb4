#include "daemon/channel.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

namespace sluiced {
namespace {

using State = Channel::State;

struct Ends {
  Ends() {
    auto pair = Channel::make_pair();
    EXPECT_TRUE(pair);
    a = std::move(pair->first);
    b = std::move(pair->second);
  }
  Channel a, b;
};

base::sys::UniqueFd file_holding(std::string_view text) {
  base::sys::UniqueFd file(memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(::write(file.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  return file;
}

std::string content(int file) {
  char buffer[64];
  ssize_t size = ::pread(file, buffer, sizeof buffer, 0);
  return size < 0 ? "error" : std::string(buffer, static_cast<std::size_t>(size));
}

TEST(Channel, KeepsMessagesApartAndInOrder) {
  Ends ends;
  ASSERT_TRUE(ends.a.send(MessageType::alive));
  ASSERT_TRUE(ends.a.send(MessageType::query, std::string_view("1\n{}\0x", 6)));
  ASSERT_TRUE(ends.b.send(MessageType::reply, "other way"));
  Message message;
  ASSERT_EQ(ends.b.receive(message), State::message);
  EXPECT_EQ(message.type, MessageType::alive);
  EXPECT_EQ(message.text, "");
  ASSERT_EQ(ends.b.receive(message), State::message);
  EXPECT_EQ(message.type, MessageType::query);
  EXPECT_EQ(message.text, std::string("1\n{}\0x", 6));
  EXPECT_EQ(ends.b.receive(message), State::empty);
  ASSERT_EQ(ends.a.receive(message), State::message);
  EXPECT_EQ(message.text, "other way");
}

TEST(Channel, CarriesTextOfAnyLength) {
  Ends ends;
  for (std::size_t size : {std::size_t{0}, std::size_t{1}, Channel::text_limit - 1, Channel::text_limit,
                           Channel::text_limit + 1, std::size_t{5'000'000}}) {
    std::string text(size, 'x');
    if (size > 0) text.back() = '!';
    ASSERT_TRUE(ends.a.send(MessageType::reply, text)) << size;
    Message message;
    ASSERT_EQ(ends.b.receive(message), State::message) << size;
    EXPECT_EQ(message.text, text) << size;
    EXPECT_TRUE(message.fds.empty()) << "the text's own descriptor is not the receiver's affair";
  }
}

TEST(Channel, DescriptorsTravelBesideTextOfAnyLength) {
  for (std::size_t size : {std::size_t{3}, Channel::text_limit + 1}) {
    Ends ends;
    base::sys::UniqueFd one = file_holding("one"), two = file_holding("two");
    ASSERT_TRUE(ends.a.send(MessageType::policy, std::string(size, 'x'), {one.get(), two.get()}));
    one.reset();
    two.reset();
    Message message;
    ASSERT_EQ(ends.b.receive(message), State::message);
    EXPECT_EQ(message.text.size(), size);
    ASSERT_EQ(message.fds.size(), 2u);
    EXPECT_EQ(content(message.fds[0].get()), "one");
    EXPECT_EQ(content(message.fds[1].get()), "two");
  }
}

TEST(Channel, RefusesMoreDescriptorsThanItCarries) {
  Ends ends;
  std::vector<int> most(Channel::most_fds);
  EXPECT_TRUE(ends.a.send(MessageType::policy, "", most));
  EXPECT_FALSE(
      ends.a.send(MessageType::policy, std::string(Channel::text_limit + 1, 'x'), most));  // a file is one more
  most.push_back(0);
  EXPECT_FALSE(ends.a.send(MessageType::policy, "", most));
  Message message;
  ASSERT_EQ(ends.b.receive(message), State::message);
  EXPECT_EQ(message.fds.size(), Channel::most_fds);
}

TEST(Channel, DescriptorsThatDoNotAllFitAreNone) {
  Ends ends;
  base::sys::UniqueFd one = file_holding("one"), next(dup(0));
  ASSERT_TRUE(ends.a.send(MessageType::policy, "text", {one.get(), one.get(), one.get()}));
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  rlimit few = before;
  few.rlim_cur = static_cast<rlim_t>(next.get()) + 1;  // room for this number, and for none behind it
  next.reset();
  Message message;
  setrlimit(RLIMIT_NOFILE, &few);
  State state = ends.b.receive(message);
  setrlimit(RLIMIT_NOFILE, &before);
  ASSERT_EQ(state, State::message);
  EXPECT_EQ(message.text, "text");
  EXPECT_TRUE(message.fds.empty()) << "a policy without its lists would block nothing";
}

TEST(Channel, CarriesAnyNumberOfDescriptorsInParts) {
  Ends ends;
  EXPECT_TRUE(ends.a.send_descriptors(MessageType::listeners, std::vector<int>(2 * Channel::most_fds + 1)));
  Message message;
  for (std::size_t count : {Channel::most_fds, Channel::most_fds, std::size_t{1}}) {
    ASSERT_EQ(ends.b.receive(message), State::message);
    EXPECT_EQ(message.type, MessageType::listeners);
    EXPECT_EQ(message.fds.size(), count);
  }
  EXPECT_EQ(ends.b.receive(message), State::empty);
  EXPECT_TRUE(ends.a.send_descriptors(MessageType::listeners, {}));
  EXPECT_EQ(ends.b.receive(message), State::empty);
}

TEST(Channel, AFullQueueIsSaidAndNotWaitedFor) {
  Ends ends;
  std::string text(30000, 'x');
  int sent = 0;
  while (sent < 100000 && ends.a.send(MessageType::access_lines, text)) ++sent;
  EXPECT_GT(sent, 0);
  EXPECT_LT(sent, 100000);
  Message message;
  for (int i = 0; i < sent; ++i) ASSERT_EQ(ends.b.receive(message), State::message);
  EXPECT_TRUE(ends.a.send(MessageType::access_lines, text)) << "there is room again";
}

TEST(Channel, WhatWasSentBeforeTheEndIsStillRead) {
  Ends ends;
  ASSERT_TRUE(ends.a.send(MessageType::access_lines, "last line\n"));
  ends.a.close();
  Message message;
  ASSERT_EQ(ends.b.receive(message), State::message);
  EXPECT_EQ(message.text, "last line\n");
  EXPECT_EQ(ends.b.receive(message), State::closed);
  EXPECT_FALSE(ends.b.send(MessageType::alive));
  EXPECT_FALSE(ends.a.send(MessageType::alive)) << "closed";
}

// A role that has been taken over writes to the socket itself: header bytes as it likes, any file as the text.
void send_raw(int socket, std::string header, int file) {
  iovec part{header.data(), header.size()};
  alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (file >= 0) {
    message.msg_control = space;
    message.msg_controllen = sizeof space;
    cmsghdr* control = CMSG_FIRSTHDR(&message);
    control->cmsg_level = SOL_SOCKET;
    control->cmsg_type = SCM_RIGHTS;
    control->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(control), &file, sizeof file);
  }
  ASSERT_GE(::sendmsg(socket, &message, 0), 0);
}

TEST(Channel, ATextFileThatItsSenderCouldStillChangeIsNotRead) {
  Ends ends;
  base::sys::UniqueFd unsealed = file_holding("text");
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  base::sys::UniqueFd read_end(pipe[0]), write_end(pipe[1]);
  for (int file : {unsealed.get(), read_end.get()}) {
    send_raw(ends.a.fd(), std::string("\x28\x01", 2), file);
    Message message;
    ASSERT_EQ(ends.b.receive(message), State::message);
    EXPECT_EQ(message.text, "");
    EXPECT_TRUE(message.fds.empty());
  }
}

TEST(Channel, OddHeadersDoNoHarm) {
  Ends ends;
  Message message;
  send_raw(ends.a.fd(), std::string("\xff\x01text", 6), -1);  // no such type, and no file where one is announced
  ASSERT_EQ(ends.b.receive(message), State::message);
  EXPECT_EQ(message.text, "text");
  send_raw(ends.a.fd(), "\x28", -1);  // half a header
  EXPECT_EQ(ends.b.receive(message), State::closed);
}

}  // namespace
}  // namespace sluiced

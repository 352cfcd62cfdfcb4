// What the load programs have in common: addresses, sockets, one epoll loop. Any failure ends the program with a message.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace load {

constexpr int batch = 256;               // events taken at once
constexpr std::size_t page_size = 1024;  // the body of a short answer

[[noreturn]] inline void fail(const char* what) {
  std::fprintf(stderr, "bench load: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}
template <typename T>
T must(T result, const char* what) {
  if (result < 0) fail(what);
  return result;
}

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;
};
inline Address parse_address(const char* text, const char* port) {
  Address address;
  const auto number = htons(static_cast<std::uint16_t>(std::atoi(port)));
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = number;
    address.length = sizeof *v4;
  } else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = number;
    address.length = sizeof *v6;
  } else {
    errno = EINVAL;
    fail(text);
  }
  return address;
}

inline int dial(const Address& address, bool blocking) {
  const int fd = must(socket(address.storage.ss_family, SOCK_STREAM | (blocking ? 0 : SOCK_NONBLOCK), 0), "socket");
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.length) < 0 && errno != EINPROGRESS)
    fail("connect");
  return fd;
}

inline double since(std::chrono::steady_clock::time_point begun) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
}

class Poller {
 public:
  Poller() : fd_(must(epoll_create1(0), "epoll_create1")) {}
  void add(int fd, std::uint32_t events) const {
    epoll_event event{events, {.fd = fd}};
    must(epoll_ctl(fd_, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
  }
  void change(int fd, std::uint32_t events) const {
    epoll_event event{events, {.fd = fd}};
    must(epoll_ctl(fd_, EPOLL_CTL_MOD, fd, &event), "epoll_ctl");
  }
  template <typename Handler>
  void wait(Handler&& handle) {
    // 30 s without any news is a stall, and an error.
    const int count = epoll_wait(fd_, events_, batch, 30'000);
    if (count == 0) errno = ETIMEDOUT;
    if (count == 0 || (count < 0 && errno != EINTR)) fail("epoll_wait");
    for (int i = 0; i < count; ++i) handle(events_[i].data.fd, events_[i].events);
  }

 private:
  int fd_;
  epoll_event events_[batch];
};

// As many descriptors as root allows.
inline void raise_limits() {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
}

}  // namespace load

// Load for the data-path benchmark (run.py): small servers and clients that hide as little of the gateway as possible.
//
//   bench_load serve short|http|hold|refuse ADDRESS PORT       until killed; prints "ready" when it listens
//   bench_load serve bulk ADDRESS PORT BYTES                   the same
//   bench_load serve quic ADDRESS PORT ANSWER                  the same
//   bench_load bulk    ADDRESS PORT HELLO BYTES                one connection, BYTES down
//   bench_load short   ADDRESS PORT HELLO COUNT CONCURRENT     connect, hello, 1 KiB back, closed by the server
//   bench_load latency ADDRESS PORT HELLO COUNT                the same one at a time, and how long each took
//   bench_load blocked ADDRESS PORT HELLO COUNT CONCURRENT     connect, hello, and be told no
//   bench_load http    ADDRESS PORT COUNT CONCURRENT           keep-alive GETs, 1 KiB back each
//   bench_load hold    ADDRESS PORT HELLO COUNT                COUNT idle connections until standard input ends
//   bench_load quic    ADDRESS PORT INITIALS COUNT CONCURRENT FIRST    two datagrams, one back; flow N from port FIRST + N
//
// HELLO is a file with a real ClientHello; INITIALS holds the two datagrams of one, of equal length, and ANSWER the one
// that comes back (initial.py). The bulk sender uses sendfile from a memory file and the receiver recv with MSG_TRUNC,
// so neither end touches the bytes. Everything else is one thread and one epoll. Each client prints one line of JSON.
// Any failure ends the program with a message: a benchmark with errors in it is no benchmark.

#include "bench/load.hpp"

#include <sys/mman.h>
#include <sys/sendfile.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace {

using namespace load;

constexpr std::size_t initials = 2;  // datagrams that carry one QUIC hello
constexpr std::string_view request =
    "GET /page HTTP/1.1\r\nHost: www.allowed.test\r\nUser-Agent: bench_load\r\nAccept: */*\r\n\r\n";

int listener(const Address& address, int kind = SOCK_STREAM) {
  const int fd = must(socket(address.storage.ss_family, kind, 0), "socket");
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  must(bind(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.length), "bind");
  if (kind == SOCK_STREAM) must(listen(fd, 4096), "listen");
  std::puts("ready");
  std::fflush(stdout);
  return fd;
}

std::string read_file(const char* path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

void send_all(int fd, std::string_view bytes) {  // small enough for any send buffer
  if (send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size())) fail("send");
}

// --- bulk ---------------------------------------------------------------------------------------------------------

int serve_bulk(const Address& address, std::uint64_t bytes) {
  constexpr off_t chunk = 64 << 20;
  const int memory = must(memfd_create("bulk", 0), "memfd_create");
  must(ftruncate(memory, chunk), "ftruncate");
  const std::string zeros(1 << 20, 'z');
  for (off_t at = 0; at < chunk; at += static_cast<off_t>(zeros.size()))
    must(pwrite(memory, zeros.data(), zeros.size(), at), "pwrite");
  for (const int server = listener(address);;) {
    const int fd = must(accept(server, nullptr, nullptr), "accept");
    char hello[4096];
    must(recv(fd, hello, sizeof hello, 0), "recv");
    for (std::uint64_t left = bytes; left > 0;) {
      off_t from = 0;
      const auto sent = sendfile(fd, memory, &from, std::min<std::uint64_t>(left, chunk));
      if (sent <= 0) break;  // the client says what is missing
      left -= static_cast<std::uint64_t>(sent);
    }
    close(fd);
  }
}

int client_bulk(const Address& address, const std::string& hello, std::uint64_t bytes) {
  const auto begun = std::chrono::steady_clock::now();
  const int fd = dial(address, true);
  send_all(fd, hello);
  std::uint64_t got = 0;
  // With MSG_TRUNC a TCP receive drops the bytes in the kernel; the buffer is never written.
  static char nowhere[1 << 20];
  while (const auto count = must(recv(fd, nowhere, sizeof nowhere, MSG_TRUNC), "recv"))
    got += static_cast<std::uint64_t>(count);
  if (got != bytes) {
    std::fprintf(stderr, "bench_load: %llu of %llu bytes came\n", static_cast<unsigned long long>(got),
                 static_cast<unsigned long long>(bytes));
    return 1;
  }
  std::printf("{\"seconds\": %.6f, \"bytes\": %llu}\n", since(begun), static_cast<unsigned long long>(got));
  return 0;
}

// --- the rest: one epoll loop ---------------------------------------------------------------------------------------

int serve_small(const Address& address, std::string_view mode) {
  const std::string page(page_size, 'p');
  const std::string answer =
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " + std::to_string(page_size) + "\r\n\r\n" + page;
  const int server = listener(address);
  const int poller = must(epoll_create1(0), "epoll_create1");
  const auto watch = [&](int fd) {
    epoll_event event{EPOLLIN, {.fd = fd}};
    must(epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
  };
  watch(server);
  epoll_event events[batch];
  for (;;) {
    const int count = epoll_wait(poller, events, batch, -1);
    for (int i = 0; i < count; ++i) {
      const int fd = events[i].data.fd;
      if (fd == server) {
        const int accepted = must(accept4(server, nullptr, nullptr, SOCK_NONBLOCK), "accept");
        const int on = 1;
        setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        watch(accepted);
        continue;
      }
      char buffer[16384];
      const auto got = recv(fd, buffer, sizeof buffer, 0);
      if (got <= 0) {
        close(fd);
      } else if (mode == "http") {  // requests are small and whole, one at a time
        send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
      } else if (mode == "refuse") {
        constexpr linger at_once{1, 0};  // closes by a reset
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close(fd);
      } else {
        send(fd, page.data(), mode == "hold" ? 7 : page.size(), MSG_NOSIGNAL);
        if (mode == "short") close(fd);
      }
    }
  }
}

// COUNT connections, CONCURRENT at a time: each says hello, and is closed once `over(fd)`, called when there is something
// to receive, says so.
template <typename Over>
void many(const Address& address, const std::string& hello, long count, long concurrent, Over&& over) {
  Poller poller;
  long started = 0, finished = 0;
  const auto start = [&] {
    poller.add(dial(address, false), EPOLLOUT);
    ++started;
  };
  while (started < std::min(count, concurrent)) start();
  while (finished < count) {
    poller.wait([&](int fd, std::uint32_t events) {
      if (events & EPOLLOUT) {
        send_all(fd, hello);
        poller.change(fd, EPOLLIN);
        return;
      }
      if (!over(fd)) return;
      close(fd);
      ++finished;
      if (started < count) start();
    });
  }
}

int client_short(const Address& address, const std::string& hello, long count, long concurrent) {
  const auto begun = std::chrono::steady_clock::now();
  std::unordered_map<int, std::size_t> got;
  many(address, hello, count, concurrent, [&](int fd) {
    char buffer[4096];
    const auto bytes = must(recv(fd, buffer, sizeof buffer, 0), "recv");
    got[fd] += static_cast<std::size_t>(bytes);
    if (bytes > 0) return false;
    if (got[fd] != page_size) errno = EPROTO, fail("short answer");
    got[fd] = 0;
    return true;
  });
  std::printf("{\"seconds\": %.6f, \"count\": %ld}\n", since(begun), count);
  return 0;
}

// However a connection ends, the client must have been told. Bytes that are no TLS alert are the origin's: it got through.
int client_blocked(const Address& address, const std::string& hello, long count, long concurrent) {
  const auto begun = std::chrono::steady_clock::now();
  long alerts = 0, resets = 0, closes = 0;
  many(address, hello, count, concurrent, [&](int fd) {
    char buffer[4096];
    const auto bytes = recv(fd, buffer, sizeof buffer, 0);
    if (bytes > 0) {
      if (buffer[0] != 0x15) errno = EPROTO, fail("a blocked connection got an answer");
      ++alerts;  // one record in one segment; its end follows
      return false;
    }
    if (bytes < 0 && errno != ECONNRESET) fail("recv");
    ++(bytes < 0 ? resets : closes);
    return true;
  });
  std::printf("{\"seconds\": %.6f, \"count\": %ld, \"alert\": %ld, \"reset\": %ld, \"closed\": %ld}\n", since(begun),
              count, alerts, resets, closes);
  return 0;
}

int client_latency(const Address& address, const std::string& hello, long count) {
  const auto begun = std::chrono::steady_clock::now();
  std::vector<double> took;
  for (long i = 0; i < count; ++i) {
    const auto from = std::chrono::steady_clock::now();
    const int fd = dial(address, true);
    send_all(fd, hello);
    char buffer[page_size + 1];
    for (std::size_t got = 0; got < page_size;) {
      const auto bytes = must(recv(fd, buffer, sizeof buffer, 0), "recv");
      if (bytes == 0) errno = EPROTO, fail("short answer");
      got += static_cast<std::size_t>(bytes);
    }
    took.push_back(since(from) * 1e6);
    if (must(recv(fd, buffer, sizeof buffer, 0), "recv") != 0) errno = EPROTO, fail("long answer");
    close(fd);
  }
  std::sort(took.begin(), took.end());
  std::printf("{\"seconds\": %.6f, \"count\": %ld, \"median\": %.1f, \"p99\": %.1f}\n", since(begun), count,
              took[took.size() / 2], took[took.size() * 99 / 100]);
  return 0;
}

int client_http(const Address& address, long count, long concurrent) {
  const auto begun = std::chrono::steady_clock::now();
  Poller poller;
  std::unordered_map<int, std::string> answers;
  long asked = 0, finished = 0;
  for (long i = 0; i < concurrent; ++i) {
    const int fd = dial(address, false);
    poller.add(fd, EPOLLOUT);
  }
  const auto complete = [](const std::string& answer) {
    const auto head = answer.find("\r\n\r\n");
    return head != std::string::npos && answer.size() >= head + 4 + page_size;
  };
  while (finished < count) {
    poller.wait([&](int fd, std::uint32_t events) {
      auto& answer = answers[fd];
      if (events & EPOLLOUT) {
        poller.change(fd, EPOLLIN);
      } else {
        char buffer[8192];
        const auto bytes = must(recv(fd, buffer, sizeof buffer, 0), "recv");
        if (bytes == 0) errno = ECONNRESET, fail("keep-alive connection closed");
        answer.append(buffer, static_cast<std::size_t>(bytes));
        if (!complete(answer)) return;
        if (!answer.starts_with("HTTP/1.1 200")) errno = EPROTO, fail("status");
        answer.clear();
        ++finished;
      }
      if (asked < count) {
        send_all(fd, request);
        ++asked;
      }
    });
  }
  std::printf("{\"seconds\": %.6f, \"count\": %ld}\n", since(begun), count);
  return 0;
}

int client_hold(const Address& address, const std::string& hello, long count) {
  std::vector<int> held;
  for (long i = 0; i < count; ++i) {
    const int fd = dial(address, true);
    send_all(fd, hello);
    char buffer[64];
    if (must(recv(fd, buffer, sizeof buffer, 0), "recv") == 0) errno = ECONNRESET, fail("held connection closed");
    held.push_back(fd);
  }
  std::puts("ready");
  std::fflush(stdout);
  char byte;
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
  for (const int fd : held)
    if (recv(fd, &byte, 1, MSG_DONTWAIT) >= 0 || errno != EAGAIN) fail("a held connection has ended");
  return 0;
}

// --- QUIC ---------------------------------------------------------------------------------------------------------

// One answer for each full set of Initials from a port: none if the gateway has dropped one of them.
int serve_quic(const Address& address, const std::string& answer) {
  const int fd = listener(address, SOCK_DGRAM);
  const int room = 8 << 20;
  must(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room), "SO_RCVBUFFORCE");
  std::vector<std::size_t> seen(65536);
  for (;;) {
    char buffer[2048];
    sockaddr_in6 from{};  // its port is where sockaddr_in has it
    socklen_t length = sizeof from;
    must(recvfrom(fd, buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from), &length), "recvfrom");
    auto& count = seen[from.sin6_port];
    if (++count < initials) continue;
    count = 0;
    must(sendto(fd, answer.data(), answer.size(), 0, reinterpret_cast<const sockaddr*>(&from), length), "sendto");
  }
}

int client_quic(const Address& address, const std::string& datagrams, long count, long concurrent, long first) {
  const auto begun = std::chrono::steady_clock::now();
  const auto size = datagrams.size() / initials;
  Poller poller;
  long started = 0, finished = 0;
  const auto start = [&] {
    auto from = parse_address(address.storage.ss_family == AF_INET ? "0.0.0.0" : "::", "0");
    // As above: both families have the port at one place.
    reinterpret_cast<sockaddr_in*>(&from.storage)->sin_port = htons(static_cast<std::uint16_t>(first + started));
    const int fd = must(socket(address.storage.ss_family, SOCK_DGRAM | SOCK_NONBLOCK, 0), "socket");
    must(bind(fd, reinterpret_cast<const sockaddr*>(&from.storage), from.length), "bind");
    must(connect(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.length), "connect");
    for (std::size_t i = 0; i < initials; ++i) send_all(fd, std::string_view(datagrams).substr(i * size, size));
    poller.add(fd, EPOLLIN);
    ++started;
  };
  while (started < std::min(count, concurrent)) start();
  while (finished < count) {
    poller.wait([&](int fd, std::uint32_t) {
      char buffer[2048];
      must(recv(fd, buffer, sizeof buffer, 0), "an allowed QUIC flow");  // ICMP port unreachable is an error here
      close(fd);
      ++finished;
      if (started < count) start();
    });
  }
  std::printf("{\"seconds\": %.6f, \"count\": %ld}\n", since(begun), count);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  raise_limits();

  const std::vector<const char*> arguments(argv + 1, argv + argc);
  const std::string_view mode = arguments.empty() ? "" : arguments[0];
  const auto number = [&](std::size_t i) { return std::atoll(arguments[i]); };
  if (mode == "serve" && arguments.size() >= 4) {
    const auto address = parse_address(arguments[2], arguments[3]);
    if (std::string_view(arguments[1]) == "bulk" && arguments.size() == 5)
      return serve_bulk(address, static_cast<std::uint64_t>(number(4)));
    if (std::string_view(arguments[1]) == "quic" && arguments.size() == 5)
      return serve_quic(address, read_file(arguments[4]));
    return serve_small(address, arguments[1]);
  }
  if (arguments.size() >= 4) {
    const auto address = parse_address(arguments[1], arguments[2]);
    if (mode == "bulk" && arguments.size() == 5)
      return client_bulk(address, read_file(arguments[3]), static_cast<std::uint64_t>(number(4)));
    if (mode == "short" && arguments.size() == 6)
      return client_short(address, read_file(arguments[3]), number(4), number(5));
    if (mode == "blocked" && arguments.size() == 6)
      return client_blocked(address, read_file(arguments[3]), number(4), number(5));
    if (mode == "latency" && arguments.size() == 5) return client_latency(address, read_file(arguments[3]), number(4));
    if (mode == "quic" && arguments.size() == 7)
      return client_quic(address, read_file(arguments[3]), number(4), number(5), number(6));
    if (mode == "http" && arguments.size() == 5) return client_http(address, number(3), number(4));
    if (mode == "hold" && arguments.size() == 5) return client_hold(address, read_file(arguments[3]), number(4));
  }
  std::fputs("bench_load: see the head of bench/load.cpp\n", stderr);
  return 2;
}

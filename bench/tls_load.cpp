// TLS clients for the interception benchmark (tls.py).
//
//   bench_tls full    ADDRESS PORT COUNT CONCURRENT FIRST NAMES   full handshake, GET /1k, close
//   bench_tls resumed ADDRESS PORT COUNT CONCURRENT FIRST NAMES   the same, each offering the last ticket that came
//   bench_tls hold    ADDRESS PORT COUNT                          COUNT idle connections until standard input ends
//   bench_tls bulk    ADDRESS PORT BYTES                          GET /bulk: one connection, BYTES down
//
// Connection N of the first two asks for n<FIRST + N % NAMES>.bench.test by SNI and Host; `hold` and `bulk` for
// n0.bench.test. Nothing is verified: that is the gateway's work, and tls.py has asked whether it does it. TLS 1.2 and
// 1.3, no ALPN, X25519 first; one thread and one epoll. A session is kept only in `resumed`, so `full` never resumes;
// `resumed` needs NAMES = 1, because a ticket belongs to a name. How many were in truth resumed is in the answer, and how
// many failed: one in fifty may, because some of what is measured loses some when it has much to do.

#include "bench/load.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <csignal>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace {

using namespace load;

struct Free {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL_SESSION* session) const { SSL_SESSION_free(session); }
};
using SslPtr = std::unique_ptr<SSL, Free>;
using ContextPtr = std::unique_ptr<SSL_CTX, Free>;

std::unique_ptr<SSL_SESSION, Free> last_session;

[[noreturn]] void fail_tls(const char* what) {
  const auto code = ERR_peek_error();
  std::fprintf(stderr, "bench_tls: %s: %s\n", what, code ? ERR_reason_error_string(code) : std::strerror(errno));
  std::exit(1);
}

ContextPtr context(bool resume) {
  ContextPtr made(SSL_CTX_new(TLS_client_method()));
  if (!made) fail_tls("SSL_CTX_new");
  SSL_CTX_set_verify(made.get(), SSL_VERIFY_NONE, nullptr);
  SSL_CTX_set_session_cache_mode(made.get(), SSL_SESS_CACHE_OFF);
  if (resume) {
    SSL_CTX_set_session_cache_mode(made.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(made.get(), [](SSL*, SSL_SESSION* session) {
      last_session.reset(session);
      return 1;  // ours now
    });
  }
  return made;
}

std::string name_of(long number) {
  return "n" + std::to_string(number) + ".bench.test";
}

std::string request_for(std::string_view path, const std::string& name) {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: " + name + "\r\nUser-Agent: bench_tls\r\nAccept: */*\r\n\r\n";
}

SslPtr attach(SSL_CTX* of, int fd, const std::string& name) {
  SslPtr ssl(SSL_new(of));
  if (!ssl || SSL_set_fd(ssl.get(), fd) != 1 || SSL_set_tlsext_host_name(ssl.get(), name.c_str()) != 1)
    fail_tls("SSL_new");
  return ssl;
}

bool complete(const std::string& answer) {
  const auto head = answer.find("\r\n\r\n");
  if (head == std::string::npos || answer.size() < head + 4 + page_size) return false;
  if (!answer.starts_with("HTTP/1.1 200")) errno = EPROTO, fail(answer.substr(0, answer.find('\r')).c_str());
  return true;
}

constexpr std::uint32_t broken = ~0U;

// One connection that asks once. `step` goes as far as the socket lets it.
class Flow {
 public:
  Flow(SSL_CTX* of, int fd, long number)
      : request_(request_for("/1k", name_of(number))), ssl_(attach(of, fd, name_of(number))) {
    if (last_session) SSL_set_session(ssl_.get(), last_session.get());
  }
  // 0 when the answer is whole, `broken` when it never will be, else what to wait for.
  std::uint32_t step() {
    ERR_clear_error();
    if (!asked_) {
      if (const int done = SSL_connect(ssl_.get()); done != 1) return wanted(done);
      // Small enough for any send buffer.
      if (SSL_write(ssl_.get(), request_.data(), static_cast<int>(request_.size())) <= 0) fail_tls("SSL_write");
      asked_ = true;
    }
    for (char buffer[16384]; !complete(answer_);) {
      const int got = SSL_read(ssl_.get(), buffer, sizeof buffer);
      if (got <= 0) return wanted(got);
      answer_.append(buffer, static_cast<std::size_t>(got));
    }
    return 0;
  }
  void end() { SSL_shutdown(ssl_.get()); }  // one way: close_notify, then the caller closes
  SSL* ssl() { return ssl_.get(); }

 private:
  std::uint32_t wanted(int result) {
    switch (SSL_get_error(ssl_.get(), result)) {
      case SSL_ERROR_WANT_READ:
        return EPOLLIN;
      case SSL_ERROR_WANT_WRITE:
        return EPOLLOUT;
      default:
        return broken;
    }
  }
  std::string request_, answer_;
  SslPtr ssl_;
  bool asked_ = false;
};

int client_many(const Address& address, bool resume, long count, long concurrent, long first, long names) {
  const auto shared = context(resume);
  Poller poller;
  std::unordered_map<int, Flow> flows;
  long started = 0, finished = 0, resumed = 0, failed = 0;
  std::string version, cipher;
  const auto start = [&] {
    const int fd = dial(address, false);
    flows.try_emplace(fd, shared.get(), fd, first + started % names);
    poller.add(fd, EPOLLOUT);
    ++started;
  };
  const auto begun = std::chrono::steady_clock::now();
  start();  // with `resume`, alone until there is a ticket
  while (finished < count) {
    poller.wait([&](int fd, std::uint32_t) {
      auto& flow = flows.at(fd);
      const auto events = flow.step();
      if (events != 0 && events != broken) {
        poller.change(fd, events);
        return;
      }
      if (events == broken) {
        if (++failed > count / 50) fail_tls("more than one connection of fifty failed; the last");
      } else {
        resumed += SSL_session_reused(flow.ssl());
        version = SSL_get_version(flow.ssl());
        cipher = SSL_get_cipher_name(flow.ssl());
        flow.end();
      }
      flows.erase(fd);
      close(fd);
      ++finished;
      while (started < count && started - finished < concurrent) start();
    });
  }
  std::printf(
      "{\"seconds\": %.6f, \"count\": %ld, \"resumed\": %ld, \"failed\": %ld, \"version\": \"%s\", \"cipher\": "
      "\"%s\"}\n",
      since(begun), count, resumed, failed, version.c_str(), cipher.c_str());
  return 0;
}

int client_hold(const Address& address, long count) {
  const auto shared = context(false);
  std::vector<Flow> held;
  std::vector<int> descriptors;
  for (long i = 0; i < count; ++i) {
    const int fd = dial(address, true);
    constexpr timeval patience{10, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    held.emplace_back(shared.get(), fd, 0);
    descriptors.push_back(fd);
    if (held.back().step() != 0) fail_tls("answer");
  }
  std::puts("ready");
  std::fflush(stdout);
  char byte;
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
  for (const int fd : descriptors) {  // a late ticket may lie there; an end may not
    char late[4096];
    ssize_t got = 0;
    while ((got = recv(fd, late, sizeof late, MSG_DONTWAIT)) > 0) {
    }
    if (got == 0 || errno != EAGAIN) errno = ECONNRESET, fail("a held connection has ended");
  }
  return 0;
}

int client_bulk(const Address& address, std::uint64_t bytes) {
  const auto shared = context(false);
  const int fd = dial(address, true);
  const auto begun = std::chrono::steady_clock::now();
  const auto ssl = attach(shared.get(), fd, name_of(0));
  const auto request = request_for("/bulk", name_of(0));
  if (SSL_connect(ssl.get()) != 1) fail_tls("handshake");
  if (SSL_write(ssl.get(), request.data(), static_cast<int>(request.size())) <= 0) fail_tls("SSL_write");
  static char buffer[1 << 16];
  std::string head;
  std::uint64_t got = 0;
  for (std::size_t end = std::string::npos; end == std::string::npos;) {
    const int count = SSL_read(ssl.get(), buffer, sizeof buffer);
    if (count <= 0) fail_tls("answer's head");
    head.append(buffer, static_cast<std::size_t>(count));
    end = head.find("\r\n\r\n");
    if (end != std::string::npos) got = head.size() - end - 4;
  }
  if (!head.starts_with("HTTP/1.1 200")) errno = EPROTO, fail(head.substr(0, head.find('\r')).c_str());
  while (got < bytes) {
    const int count = SSL_read(ssl.get(), buffer, sizeof buffer);
    if (count <= 0) fail_tls("bytes are missing");
    got += static_cast<std::uint64_t>(count);
  }
  std::printf("{\"seconds\": %.6f, \"bytes\": %llu, \"version\": \"%s\", \"cipher\": \"%s\"}\n", since(begun),
              static_cast<unsigned long long>(got), SSL_get_version(ssl.get()), SSL_get_cipher_name(ssl.get()));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  raise_limits();
  std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes without MSG_NOSIGNAL
  const std::vector<const char*> arguments(argv + 1, argv + argc);
  const std::string_view mode = arguments.empty() ? "" : arguments[0];
  const auto number = [&](std::size_t i) { return std::atol(arguments[i]); };
  if (arguments.size() >= 4) {
    const auto address = parse_address(arguments[1], arguments[2]);
    const bool resume = mode == "resumed";
    if ((resume || mode == "full") && arguments.size() == 7 && number(6) > 0 && (!resume || number(6) == 1))
      return client_many(address, resume, number(3), number(4), number(5), number(6));
    if (mode == "hold" && arguments.size() == 4) return client_hold(address, number(3));
    if (mode == "bulk" && arguments.size() == 4) return client_bulk(address, static_cast<std::uint64_t>(number(3)));
  }
  std::fputs("bench_tls: see the head of bench/tls_load.cpp\n", stderr);
  return 2;
}

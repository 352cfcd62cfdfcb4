#include "daemon/signer.hpp"

#include <poll.h>
#include <seccomp.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/text.hpp"
#include "daemon/log.hpp"
#include "daemon/loop.hpp"
#include "daemon/process.hpp"
#include "tls-intercept/ca.hpp"

namespace sluiced {
namespace {

// What is left once the key is here: messages on descriptors it has, memory, randomness, the clock, and the end.
base::Result<> close_the_doors() {
  static constexpr int allowed[] = {SCMP_SYS(read),          SCMP_SYS(write),
                                    SCMP_SYS(sendmsg),       SCMP_SYS(recvmsg),
                                    SCMP_SYS(close),         SCMP_SYS(poll),
                                    SCMP_SYS(ppoll),         SCMP_SYS(exit),
                                    SCMP_SYS(exit_group),    SCMP_SYS(rt_sigreturn),
                                    SCMP_SYS(brk),           SCMP_SYS(mmap),
                                    SCMP_SYS(munmap),        SCMP_SYS(mremap),
                                    SCMP_SYS(madvise),       SCMP_SYS(mprotect),
                                    SCMP_SYS(futex),         SCMP_SYS(getrandom),
                                    SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday),
                                    SCMP_SYS(time),          SCMP_SYS(restart_syscall),
                                    SCMP_SYS(getpid),        SCMP_SYS(fstat),
                                    SCMP_SYS(fcntl),         SCMP_SYS(rt_sigprocmask)};
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
  bool ready = filter != nullptr;
  for (int each : allowed) ready = ready && seccomp_rule_add(filter, SCMP_ACT_ALLOW, each, 0) == 0;
  ready = ready && seccomp_load(filter) == 0;
  if (filter != nullptr) seccomp_release(filter);
  if (!ready) return base::environment_error(std::string("seccomp: ") + std::strerror(errno));
  return base::Nothing{};
}

std::string read_all(int file) {
  std::string text;
  char buffer[4096];
  // Not read(): the file may have been read by the signer before us, and the place in it is shared.
  for (ssize_t size; (size = ::pread(file, buffer, sizeof buffer, static_cast<off_t>(text.size()))) > 0;) {
    text.append(buffer, static_cast<std::size_t>(size));
    if (text.size() > 256 * 1024) break;
  }
  explicit_bzero(buffer, sizeof buffer);
  return text;
}

}  // namespace

Signer::Signer(const Options&) : supervisor_(base::sys::UniqueFd(role_channel_fd)) {}

// The first message brings the key; the doors close behind it.
bool Signer::adopt(Message& message) {
  if (message.fds.size() < 2) return false;
  std::string certificate = read_all(message.fds[0].get()), key = read_all(message.fds[1].get());
  message.fds.clear();
  auto loaded = tls_intercept::load_ca(certificate, key, wall_seconds());
  explicit_bzero(key.data(), key.size());
  if (!loaded) {
    logging::error("the CA cannot be used: " + loaded.error().message);
    return false;
  }
  ca_ = std::move(*loaded);
  // Once, so that whatever OpenSSL opens or fetches at its first signature is there.
  auto trial_key = tls_intercept::make_leaf_key();
  if (!trial_key || !tls_intercept::mint(ca_, {"trial.invalid", 0}, trial_key->get(), wall_seconds())) return false;
  auto closed = close_the_doors();
  if (!closed) logging::error(closed.error().message);
  return closed.ok();
}

int Signer::run() {
  for (;;) {
    pollfd watched[2] = {{supervisor_.fd(), POLLIN, 0}, {gateway_ ? gateway_.fd() : -1, POLLIN, 0}};
    if (poll(watched, 2, -1) < 0 && errno != EINTR) return exit_failure;
    if (watched[0].revents != 0 && !hear_supervisor()) return exit_ok;
    if (watched[1].revents != 0) hear_gateway();
  }
}

bool Signer::hear_supervisor() {
  Message message;
  for (;;) {
    Channel::State state = supervisor_.receive(message);
    if (state == Channel::State::empty) return true;
    if (state == Channel::State::closed) return false;
    if (message.type == MessageType::authority && !adopt(message)) _exit(exit_failure);
    if (message.type == MessageType::peer && !message.fds.empty()) gateway_ = Channel(std::move(message.fds[0]));
  }
}

void Signer::hear_gateway() {
  Message message;
  for (;;) {
    Channel::State state = gateway_.receive(message);
    if (state == Channel::State::empty) return;
    if (state == Channel::State::closed) return gateway_.close();
    if (message.type == MessageType::leaf_key) {
      auto key = tls_intercept::read_public_key(message.text);
      leaf_key_ = key ? std::move(*key) : nullptr;
    }
    if (message.type != MessageType::sign) continue;
    auto fields = base::split(message.text, '\n');
    if (fields.size() != 3 || !ca_.key || !leaf_key_) continue;
    std::string number(fields[0]);
    auto end = base::parse_number(fields[2], 1ull << 40);
    auto leaf = tls_intercept::mint(ca_, {std::string(fields[1]), static_cast<std::int64_t>(end.value_or(0))},
                                    leaf_key_.get(), wall_seconds());
    if (!leaf) logging::warning(leaf.error().message);
    gateway_.send(MessageType::leaf, number + '\n' + (leaf ? *leaf : std::string{}));
  }
}

int run_signer(const Options& options) {
  return begin_unprivileged_role("signer", "sluice-signer") ? Signer(options).run() : exit_failure;
}

}  // namespace sluiced

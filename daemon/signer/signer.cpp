#include "daemon/signer/signer.hpp"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <openssl/crypto.h>

#include "base/text.hpp"
#include "daemon/log.hpp"
#include "daemon/loop.hpp"
#include "daemon/process.hpp"
#include "tls-intercept/ca.hpp"

namespace sluiced {
namespace {

constexpr int sign_of_life_ms = 1000;

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

// The first message brings the key. By then the doors are closed.
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
  // A signer that cannot sign behind those doors is told of now.
  auto trial_key = tls_intercept::make_leaf_key();
  bool signs = trial_key && tls_intercept::mint(ca_, {"trial.invalid", 0}, trial_key->get(), wall_seconds());
  if (!signs) logging::error("the CA's key signs nothing");
  return signs;
}

int Signer::run() {
  for (;;) {
    pollfd watched[2] = {{supervisor_ ? supervisor_.fd() : -1, POLLIN, 0}, {gateway_ ? gateway_.fd() : -1, POLLIN, 0}};
    if (poll(watched, 2, sign_of_life_ms) < 0 && errno != EINTR) return exit_failure;
    if (supervisor_) supervisor_.send(MessageType::alive);
    // After a restart in place it serves the gateway that stepped aside, for as long as that one has connections.
    if (watched[0].revents != 0 && !hear_supervisor()) supervisor_.close();
    if (!supervisor_ && !gateway_) return exit_ok;
    if (watched[1].revents != 0) hear_gateway();
  }
}

bool Signer::hear_supervisor() {
  Message message;
  for (;;) {
    Channel::State state = supervisor_.receive(message);
    if (state == Channel::State::empty) return true;
    if (state == Channel::State::closed) return false;
    if (message.type == MessageType::drain) _exit(exit_ok);
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
  OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, nullptr);  // while there are files
  return begin_unprivileged_role(Confined::signer, "signer", "sluice-signer", no_ports) ? Signer(options).run()
                                                                                        : exit_failure;
}

}  // namespace sluiced

// The gateway's side of interception: what it is given for it, and by whom. It begins with the first policy that needs a CA,
// and stays.
#include "base/sys/memory_file.hpp"
#include "daemon/gateway/gateway.hpp"
#include "daemon/log.hpp"

namespace sluiced {

void Gateway::meet_signer(Channel signer) {
  if (!interception_) {
    next_signer_ = std::move(signer);
    return;
  }
  if (interception_->signer_fd() >= 0) loop_.remove(interception_->signer_fd());
  interception_->adopt_signer(std::move(signer));
  loop_.add(interception_->signer_fd(), EPOLLIN, &signer_ear_);
}

// Once, when the first policy that needs a CA is about to come.
void Gateway::adopt_authorities(Message& message) {
  if (!interception_ && !message.fds.empty()) {
    auto begun = begin_interception(message.fds[0].get());
    if (!begun) logging::error("TLS cannot be inspected: " + begun.error().message);
  }
  if (interception_) interception_->adopt_authorities(message.text);
}

base::Result<> Gateway::begin_interception(int trust) {
  auto text = base::sys::MappedFile::map(trust);
  if (!text) return std::move(text).error();
  auto begun = Interception::begin(base::as_text(text->bytes()), [this](const std::string& news) {
    std::lock_guard lock(keeper_mutex_);
    if (keeper_) keeper_.send(MessageType::learned_news, news);
  });
  if (!begun) return std::move(begun).error();
  interception_ = std::move(*begun);
  signer_ear_.hear = [this] {
    int fd = interception_->signer_fd();
    if (!interception_->hear_signer()) loop_.remove(fd);
  };
  interception_->set_ask_helper([this](const std::string& url) {
    std::lock_guard lock(helper_mutex_);
    return helper_ && helper_.send(MessageType::fetch_issuer, url);
  });
  if (next_signer_) meet_signer(std::move(next_signer_));
  interception_->tend(wall_seconds());
  loop_.every(std::chrono::seconds(1), [this] { interception_->tend(wall_seconds()); });
  return base::Nothing{};
}

}  // namespace sluiced

// The supervisor's side of the local CA: read with the configuration, refused with it, handed on.
#include "daemon/log.hpp"
#include "daemon/supervisor/supervisor.hpp"

namespace sluiced {

void Supervisor::introduce_signer() {
  if (!gateway_.child || !signer_.child) return;
  auto pair = Channel::make_pair();
  if (!pair) return logging::error(pair.error().message);
  gateway_.child->channel.send(MessageType::signer_peer, {}, {pair->first.fd()});
  signer_.child->channel.send(MessageType::peer, {}, {pair->second.fd()});
}

base::Result<> Supervisor::read_authority(const rules::Settings& settings, const policy::Snapshot& snapshot) {
  fresh_authority_.reset();
  if (!wants_authority(snapshot)) return base::Nothing{};
  auto opened = open_authority(settings, options_.state);
  if (!opened) return std::move(opened).error();
  fresh_authority_ = std::move(*opened);
  return base::Nothing{};
}

// A signer takes one key in its life: another key, or a policy that needs none, ends it.
void Supervisor::adopt_authority() {
  bool other_key = !authority_ || !fresh_authority_ || authority_->current != fresh_authority_->current;
  bool news = !authority_ || !fresh_authority_ || authority_->text != fresh_authority_->text;
  authority_ = std::move(fresh_authority_);
  fresh_authority_.reset();
  if (news && authority_ && gateway_.child)
    gateway_.child->channel.send(MessageType::authorities, authority_->text, {authority_->trust.get()});
  if (!other_key || !signer_.child) return;
  loop_.remove(signer_.child->channel.fd());
  signer_.child->channel.send(MessageType::drain);  // at once: a closed channel alone is a restart in place
  signer_.child->channel.close();
}

}  // namespace sluiced

// The gateway's side of identity: what the helper and log-ins tell, and who must hear that somebody is somebody else now.
#include "daemon/gateway.hpp"
#include "daemon/log.hpp"

namespace sluiced {

void Gateway::meet_helper(Channel helper) {
  std::lock_guard lock(helper_mutex_);
  if (helper_) loop_.remove(helper_.fd());
  helper_ = std::move(helper);
  loop_.add(helper_.fd(), EPOLLIN, &helper_ear_);
}

void Gateway::hear_helper() {
  Message message;
  for (;;) {
    Channel::State state;
    {
      std::lock_guard lock(helper_mutex_);
      if (!helper_) return;
      state = helper_.receive(message);
      if (state == Channel::State::closed) {
        loop_.remove(helper_.fd());
        helper_.close();
      }
    }
    if (state == Channel::State::closed && interception_) interception_->helper_gone();
    if (state != Channel::State::message) return;
    if (message.type == MessageType::issuer && interception_) interception_->issuer_came(message.text);
  }
}

// A person who logs in is known to the rules, and to running flows, within half a second.
void Gateway::look_at_people() {
  if (!people_ || !snapshot_ || draining_) return;
  for (const policy::Session& ended : sightings_->tend()) {
    logging::notice("user " + ended.user + ": the session ends, somebody else is behind its address (" + ended.id +
                    ")");
    logins_->ended(ended.id);
  }
  logins_->forget_expired(wall_now());
  bool changed = people_->look(*snapshot_);
  tell_people();
  if (changed) put_in_force();
}

void Gateway::tell_people() {
  if (people_->members() == members_told_) return;
  if (supervisor_.send(MessageType::members, people_->members())) members_told_ = people_->members();
}

}  // namespace sluiced

// Who has logged in, told over the control socket by whatever people log in to (docs/identity.md): a page, a directory's
// script, an admin. The gateway holds them, because it alone sees whose MAC is behind an address; the keeper keeps them
// in STATE/logins, so that they outlive a restart.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "control/protocol.hpp"
#include "daemon/gateway/sightings.hpp"

namespace sluiced {

class Logins {
 public:
  // `changed` gets all of them as text, for the keeper.
  Logins(Sightings& sightings, std::function<void(const std::string&)> changed)
      : sightings_(sightings), changed_(std::move(changed)) {}

  // login, logout. args: client, user, roles (comma-separated), seconds, who (asked).
  control::Reply answer(const control::Request& request, base::WallTime now);
  void adopt(const std::string& text);  // as to_text() made it; anything else changes nothing
  std::string to_text() const;
  void ended(const std::string& id);  // somebody else is behind its address
  void forget_expired(base::WallTime now);

 private:
  control::Reply log_in(const control::Request& request, base::WallTime now);
  control::Reply log_out(const control::Request& request);
  void put_in_force(bool keep = true);

  Sightings& sightings_;
  std::function<void(const std::string&)> changed_;
  std::vector<policy::Session> sessions_;
};

}  // namespace sluiced

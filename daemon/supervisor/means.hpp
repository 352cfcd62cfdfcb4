// What a start needs besides the configuration's own sense: its user, our privileges, the secrets that it names. Looked at by
// the start, and by `--check` before a restart: what one takes the other must take.
#pragma once

#include "daemon/identity_settings.hpp"
#include "daemon/sandbox.hpp"
#include "rules/settings.hpp"

namespace sluiced {

struct Means {
  Account account;
  IdentitySettings identities;
};

inline base::Result<Means> means_to_run(const rules::Settings& settings) {
  auto account = look_up_account(settings.daemon.user);
  if (!account) return std::move(account).error();
  if (auto privileged = is_privileged_enough(*account); !privileged) return std::move(privileged).error();
  auto identities = read_identity_settings(settings.identity);
  if (!identities) return std::move(identities).error();
  return Means{*account, std::move(*identities)};
}

}  // namespace sluiced

// The supervisor's side of the roles' confinement: which files each may reach as the configuration is now, and a new start for a
// role that was confined to others. Landlock cannot be widened; a role that is sent away ends by itself, having written
// what it has, and its successor is started at once. Who asked for the reload has its answer before that.
#include "daemon/accounting_settings.hpp"
#include "daemon/log.hpp"
#include "daemon/supervisor/supervisor.hpp"

namespace sluiced {

using namespace std::chrono_literals;

constexpr base::Duration reach_period = 5s;  // a resolv.conf that was replaced is found out in this

Reach Supervisor::reach_of(const Role& role) const {
  if (&role == &keeper_)
    return keeper_reach(options_.state, settings_.log.access, store_path(settings_.accounting.store, options_.state));
  if (&role == &helper_) return helper_reach(options_.state, lease_files_);
  return {};
}

bool Supervisor::has_its_reach(const Role& role) const {
  Reach wanted = reach_of(role);
  return wanted == role.reach && wanted.identity() == role.taken;
}

void Supervisor::tend_reaches() {
  if (reload_ || restart_ || !announced_.empty() || loop_.now() < reaches_looked_at_ + reach_period) return;
  reaches_looked_at_ = loop_.now();
  for (Role* role : {&keeper_, &helper_}) {
    if (!role->child || !role->child->channel || has_its_reach(*role)) continue;
    logging::notice("files or folders of the " + role->name + " are others now: it is started again");
    send_away(*role);
  }
}

// It ends by itself.
void Supervisor::send_away(Role& role) {
  loop_.remove(role.child->channel.fd());
  role.child->channel.close();
}

void Supervisor::adopt_confinement(Role& role, const Message& message) {
  constexpr std::size_t longest = 64;
  if (message.type != MessageType::confined) return;
  role.confined = message.text.substr(0, std::min(message.text.find('\n'), longest));
  send_confinement();
}

void Supervisor::send_confinement() {
  if (!keeper_.child) return;
  std::string text;
  for (const Role* role : {&gateway_, &keeper_, &helper_, &signer_})
    if (role->child && !role->confined.empty()) text += role->name + " " + role->confined + "\n";
  keeper_.child->channel.send(MessageType::confinement, text);
}

}  // namespace sluiced

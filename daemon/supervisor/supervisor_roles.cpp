// The supervisor's roles: which are needed, starting them, and making each known to those that it talks to. What a role must
// know of the configuration goes with it.
#include <cstdlib>

#include "base/sys/memory_file.hpp"
#include "base/text.hpp"
#include "daemon/accounting_settings.hpp"
#include "daemon/identity_settings.hpp"
#include "daemon/log.hpp"
#include "daemon/supervisor/supervisor.hpp"

namespace sluiced {

using namespace std::chrono_literals;

base::Result<> Supervisor::start(Role& role) {
  setenv("SLUICE_USER", settings_.daemon.user.c_str(), 1);
  role.reach = reach_of(role);
  role.taken = role.reach.identity();
  put_into_environment(role.reach);
  auto child = start_role(options_, role.name);
  if (!child) return std::move(child).error();
  role.child = std::move(*child);
  role.started = role.alive = monotonic_now();
  ++role.starts;
  send_restarts();
  loop_.add(role.child->channel.fd(), EPOLLIN, &role.ear);
  if (&role == &keeper_) {
    if (live_) role.child->channel.send(MessageType::control_socket, {}, {control_.get()});
    send_log_settings();
    send_confinement();
    send_accounting_settings();
    introduce_predecessor();
  } else if (&role == &helper_) {
    role.child->channel.send(MessageType::policy, metrics_settings(), {bundle_.config.get()});
    if (!identity_sources_.empty()) role.child->channel.send(MessageType::identity_secrets, identity_sources_);
    introduce_helper();
    return base::Nothing{};
  } else if (&role == &signer_) {
    role.child->channel.send(MessageType::authority, {}, {authority_->certificate.get(), authority_->key.get()});
    introduce_signer();
    return base::Nothing{};
  } else {
    send_kernel_lane();
    if (baselines_) role.child->channel.send(MessageType::baselines, {}, {baselines_.get()});
    if (authority_) role.child->channel.send(MessageType::authorities, authority_->text, {authority_->trust.get()});
    introduce_signer();
    introduce_helper();
  }
  introduce();
  if (&role == &keeper_) introduce_helper();
  if (&role == &gateway_ && !waits_for_queues_) send_policy();  // last: it waits for what those who are introduced tell
  return base::Nothing{};
}

void Supervisor::introduce() {
  if (!gateway_.child || !keeper_.child) return;
  auto pair = Channel::make_pair();
  if (!pair) return logging::error(pair.error().message);
  gateway_.child->channel.send(MessageType::peer, {}, {pair->first.fd()});
  keeper_.child->channel.send(MessageType::peer, {}, {pair->second.fd()});
}

void Supervisor::introduce_helper() {
  if (!helper_.child) return;
  auto connect = [&](Role& other, MessageType here, MessageType there) {
    if (!other.child) return;
    auto pair = Channel::make_pair();
    if (!pair) return logging::error(pair.error().message);
    helper_.child->channel.send(here, {}, {pair->first.fd()});
    other.child->channel.send(there, {}, {pair->second.fd()});
  };
  connect(keeper_, MessageType::peer, MessageType::helper_peer);
  connect(gateway_, MessageType::gateway_peer, MessageType::helper_for_gateway);
}

bool Supervisor::is_needed(const Role& role) const {
  if (&role == &helper_) return needs_helper_;
  if (&role == &signer_) return authority_.has_value();
  return true;
}

void Supervisor::introduce_predecessor() {
  if (!predecessor_ || !keeper_.child) return;
  auto pair = Channel::make_pair();
  if (!pair) return logging::error(pair.error().message);
  predecessor_.send(MessageType::peer, {}, {pair->first.fd()});
  keeper_.child->channel.send(MessageType::predecessor, {}, {pair->second.fd()});
}

// After each change of the configuration.
void Supervisor::tend_helper() {
  rules::Diagnostics ignored;
  needs_helper_ = false;
  auto config = base::sys::MappedFile::map(bundle_.config.get());
  auto text = config ? rules::unpack_config(base::as_text(config->bytes())) : std::nullopt;
  if (text)
    for (const rules::ListDeclaration& list :
         rules::list_declarations(*text, {options_.state, rules::shipped_lists_folder()}, ignored))
      needs_helper_ |= list.update.has_value();
  needs_helper_ |=
      authority_.has_value() || has_identity_sources(settings_.identity) || !settings_.metrics.listen.empty();
  if (needs_helper_) {
    prepare_state_folder("lists", 0755);
    if (helper_.child) helper_.child->channel.send(MessageType::policy, metrics_settings(), {bundle_.config.get()});
  } else if (helper_.child) {
    send_away(helper_);
    if (keeper_.child) keeper_.child->channel.send(MessageType::helper_peer);
  }
}

void Supervisor::look_for_leases() {
  constexpr base::Duration pause = 5s;
  if (needs_helper_ || loop_.now() < leases_looked_for_ + pause) return;
  leases_looked_for_ = loop_.now();
  if (has_identity_sources(settings_.identity)) tend_helper();
}

std::string Supervisor::metrics_settings() const {
  return settings_.metrics.listen + " " + std::to_string(settings_.metrics.clients);
}

// For the metrics alone.
void Supervisor::send_restarts() {
  if (!keeper_.child) return;
  std::string text;
  for (const Role* role : {&gateway_, &keeper_, &helper_, &signer_})
    if (role->starts > 0) text += role->name + " " + std::to_string(role->starts - 1) + "\n";
  keeper_.child->channel.send(MessageType::restarts, text);
}

void Supervisor::hear_helper() {
  Message message;
  while (helper_.child) {
    Channel::State state = helper_.child->channel.receive(message);
    if (state == Channel::State::closed) loop_.remove(helper_.child->channel.fd());
    if (state != Channel::State::message) return;
    helper_.alive = monotonic_now();
    adopt_confinement(helper_, message);
    if (message.type == MessageType::lists_changed) ask_for_reload(Change::lists);
  }
}

// Labels count LAN interfaces by their place in the settings: other interfaces, other labels.
std::string Supervisor::labels_path() const {
  std::string path = options_.run + "/flow-labels";
  for (const std::string& interface : settings_.network.lan) path += '.' + interface;
  return path;
}

void Supervisor::send_kernel_lane() {
  if (labels_) gateway_.child->channel.send(MessageType::kernel_lane, {}, {labels_.get()});
}

void Supervisor::send_policy() {
  if (!gateway_.child) return;
  std::vector<int> listeners;
  for (const auto& each : inherited_listeners_) listeners.push_back(each.get());
  gateway_.child->channel.send_descriptors(MessageType::listeners, listeners);
  inherited_listeners_.clear();
  std::vector<int> fds = {bundle_.config.get()};
  if (bundle_.lists.image && bundle_.lists.sources) {
    fds.push_back(bundle_.lists.image.get());
    fds.push_back(bundle_.lists.sources.get());
  }
  gateway_.child->channel.send(MessageType::policy, warnings_, std::move(fds));
}

void Supervisor::send_log_settings() {
  if (keeper_.child && has_its_reach(keeper_))
    keeper_.child->channel.send(MessageType::log_settings, settings_.log.level + "\n" + settings_.log.access);
}

void Supervisor::send_accounting_settings() {
  if (keeper_.child)
    keeper_.child->channel.send(MessageType::accounting_settings,
                                to_text(accounting_settings(settings_, snapshot_->zone, options_.state)));
}

}  // namespace sluiced

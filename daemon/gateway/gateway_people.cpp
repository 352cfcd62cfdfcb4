// The gateway's side of identity and accounting: what the helper and log-ins tell, and who must hear that somebody is somebody else now.
#include <poll.h>

#include <chrono>

#include "accounting/batch_text.hpp"
#include "daemon/gateway/gateway.hpp"
#include "daemon/identity_text.hpp"
#include "daemon/log.hpp"

namespace sluiced {
namespace {

constexpr base::Duration first_words_limit =
    std::chrono::seconds(1);  // a role that hangs holds nobody's traffic up for long

}  // namespace

void Gateway::meet_helper(Channel helper) {
  std::lock_guard lock(helper_mutex_);
  if (helper_) loop_.remove(helper_.fd());
  helper_told_ = false;
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
    if (message.type != MessageType::identities) continue;
    helper_told_ = true;
    if (sightings_)
      adopt_identities(message.text);
    else
      early_identities_ = message.text;
  }
}

void Gateway::adopt_identities(const std::string& text) {
  auto told = parse_identities(text);
  if (!told) return logging::error("what the helper tells of identities is damaged");
  sightings_->adopt_leases(told->leases);
  sightings_->adopt_sessions(policy::SessionSource::radius, std::move(told->sessions));
}

// Who judges before it knows who is logged in takes everybody for nobody: their group's rules would not hold for the
// moment after a crash. Both tell a new gateway all that they know, unasked.
void Gateway::learn_what_is_kept() {
  const base::Monotonic until = monotonic_now() + first_words_limit;
  for (;;) {
    bool keeper = keeper_ && !keeper_told_, helper = helper_ && !helper_told_;
    if (!keeper && !helper) return;
    auto left = std::chrono::ceil<std::chrono::milliseconds>(until - monotonic_now());
    if (left.count() <= 0) break;
    pollfd channels[] = {{keeper ? keeper_.fd() : -1, POLLIN, 0}, {helper ? helper_.fd() : -1, POLLIN, 0}};
    poll(channels, std::size(channels), static_cast<int>(left.count()));
    if (keeper) hear_keeper();
    if (helper) hear_helper();
  }
  logging::warning(std::string("who is logged in is not known yet: the ") + (keeper_told_ ? "helper" : "keeper") +
                   " does not answer; until it does people are judged by device and address");
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

// --- who used how much

void Gateway::begin_metering(const rules::Settings& settings) {
  MeterDriver::Parts parts{.lan = settings.network.lan,
                           .mark_mask = settings.network.mark_mask,
                           .interval = settings.accounting.interval,
                           .identification = *identification_,
                           .uses = uses_,
                           .quotas = quotas_,
                           .labels = labels_.get(),
                           .baselines = {},
                           .send = [this](const accounting::Batch& batch) {
                             std::lock_guard lock(keeper_mutex_);
                             return keeper_ && keeper_.send(MessageType::usage, accounting::to_text(batch));
                           }};
  if (baselines_file_) {
    auto baselines = MeterBaselines::attach(baselines_file_.get());
    if (!baselines) logging::warning(baselines.error().message);
    if (baselines) parts.baselines = std::move(*baselines);
  }
  auto meter = MeterDriver::open(std::move(parts));
  if (!meter) return logging::error("nothing is accounted: " + meter.error().message);
  meter_ = std::move(*meter);
  meter_ear_.hear = [this] {
    if (meter_) meter_->hear();  // an event may come with the message that took it away (step_aside)
  };
}

void Gateway::meter() {
  if (!meter_ || !snapshot_ || draining_) return;
  bool spent = meter_->tend(loop_.now(), wall_now());
  if (!hears_meter_ && meter_->fd() >= 0) hears_meter_ = loop_.add(meter_->fd(), EPOLLIN, &meter_ear_);
  if (quotas_.changed_since_told()) {
    std::lock_guard lock(keeper_mutex_);
    if (keeper_) keeper_.send(MessageType::spent, quotas_.to_text());
  }
  if (spent) put_in_force();
}

// --- what no lane looks at

void Gateway::begin_other_ports(const rules::Settings& settings) {
  auto opened = OtherPorts::open(settings, *identification_, uses_,
                                 [this](flow::CommandList notes) { publish(std::move(notes)); });
  if (!opened) return logging::error("rules hold on [network].ports only: " + opened.error().message);
  other_ports_ = std::move(*opened);
  other_ports_ear_.hear = [this] {
    if (other_ports_) other_ports_->hear();
  };
}

void Gateway::publish(flow::CommandList notes) {
  workers_[0]->post([worker = workers_[0].get(), notes = std::move(notes)] {
    for (const flow::Command& each : notes) {
      if (auto* note = std::get_if<flow::Note>(&each)) worker->note(note->record);
      if (auto* what = std::get_if<flow::Describe>(&each)) worker->describe(*what);
    }
  });
}

}  // namespace sluiced

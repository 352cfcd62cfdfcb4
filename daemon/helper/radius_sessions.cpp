#include "daemon/helper/radius_sessions.hpp"

#include <algorithm>
#include <iterator>

namespace sluiced {
namespace {

using namespace std::chrono_literals;
using proto::radius::Accounting;
using proto::radius::Status;

constexpr std::chrono::seconds without_interims = 12h;
constexpr std::chrono::seconds after_one_interim =
    1h;  // the first often comes early, when the NAS has learned an address
constexpr std::chrono::seconds least_patience = 10min;
constexpr int lost_interims = 3;
constexpr std::int64_t late = 300;        // seconds that Event-Timestamps of one session may be out of order
constexpr std::int64_t too_old = 86'400;  // seconds; an event that is older says nothing about now
constexpr std::chrono::seconds longest_limit = 30 * 24h;
constexpr base::Duration remembered = 24h;            // what has ended: as long as an event may be late
constexpr std::size_t most_nases = 4096;              // behind one proxy there may be many
constexpr std::int64_t clock_is_set = 1'577'836'800;  // 2020: before, ours is not, and nothing is late by it

// What names a NAS behind its source address. Its own address says nothing more than that.
std::string nas_key(const base::IpAddress& source, const std::string& nas) {
  std::string text = source.to_string();
  return nas.empty() || nas == text ? text : text + "/" + nas;
}

// Addresses of one family in a message are all of that family; of another it says nothing.
void replace_family(std::vector<base::IpAddress>& addresses, const std::vector<base::IpAddress>& told, bool v4) {
  auto of_family = [&](const base::IpAddress& address) { return address.is_v4() == v4; };
  if (std::none_of(told.begin(), told.end(), of_family)) return;
  std::erase_if(addresses, of_family);
  std::copy_if(told.begin(), told.end(), std::back_inserter(addresses), of_family);
  std::sort(addresses.begin(), addresses.end());
  addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
}

}  // namespace

RadiusSessions::Effect RadiusSessions::apply(const base::IpAddress& source, Accounting told, Moment now) {
  // A NAS whose clock is ahead by a day would make everything late that it says once it is right.
  bool is_ahead = told.event_time && now.wall >= clock_is_set && *told.event_time - too_old > now.wall;
  if (is_ahead) told.event_time.reset();
  if (told.status == Status::other) return Effect::nothing;
  if (told.status == Status::nas_on || told.status == Status::nas_off) return restart(source, told);
  std::string key = nas_key(source, told.nas), id = "radius " + key + " " + told.session;
  if (nases_.size() >= most_nases && !nases_.contains(key)) nases_.erase(nases_.begin());
  Nas& nas = nases_[key];
  if (is_late(id, nas, told, now)) return Effect::nothing;
  if (told.event_time && (!nas.latest || *told.event_time > *nas.latest)) nas.latest = told.event_time;
  return told.status == Status::stop ? stop(id, told, now) : begin_or_refresh(id, source, told, now);
}

bool RadiusSessions::is_late(const std::string& id, const Nas& nas, const Accounting& told, Moment now) const {
  const auto& event = told.event_time;
  if (event && now.wall >= clock_is_set && *event + too_old < now.wall) return true;
  if (event && nas.restarted && *event < *nas.restarted) return true;
  if (auto session = sessions_.find(id); session != sessions_.end())
    return event && session->second.event && *event + late < *session->second.event;
  auto ended = ended_.find(id);
  if (ended == ended_.end() || told.status == Status::stop) return false;
  if (ended->second.replaced && told.status == Status::interim) return true;
  return !event || !ended->second.event || *event <= *ended->second.event;
}

RadiusSessions::Effect RadiusSessions::begin_or_refresh(const std::string& id, const base::IpAddress& source,
                                                        const Accounting& told, Moment now) {
  auto found = sessions_.find(id);
  bool is_new = found == sessions_.end();
  if (is_new && sessions_.size() >= most_sessions) return Effect::full;
  Session session;
  if (!is_new) session = found->second;
  const Session before = session;
  if (is_new) {
    session.source = source;
    session.nas = told.nas;
    session.since = now.wall - std::min<std::int64_t>(told.delay, now.wall);
    session.started = now.monotonic;
  }
  if (!told.user.empty()) session.user = told.user;
  if (!told.roles.empty()) session.roles = told.roles;
  replace_family(session.addresses, told.addresses, true);
  replace_family(session.addresses, told.addresses, false);
  if (!told.prefixes.empty()) session.prefixes = told.prefixes;
  if (told.mac) session.mac = told.mac;
  if (told.event_time) session.event = std::max(session.event.value_or(0), *told.event_time);
  if (told.session_timeout.value_or(0) > 0)
    session.limit = std::min(std::chrono::seconds(*told.session_timeout), longest_limit);
  if (told.interim_interval) session.gap = std::chrono::seconds(*told.interim_interval);
  if (told.status == Status::interim) {
    if (session.interims > 0)
      session.gap = std::max(session.gap, std::chrono::ceil<std::chrono::seconds>(now.monotonic - session.heard));
    ++session.interims;
  }
  session.gap = std::min(session.gap, without_interims);
  session.heard = now.monotonic;

  bool ended = end_older(id, session, now);
  bool same = !is_new && before.user == session.user && before.roles == session.roles &&
              before.addresses == session.addresses && before.prefixes == session.prefixes && before.mac == session.mac;
  disown(id, before);
  own(id, session);
  sessions_[id] = std::move(session);
  ended_.erase(id);
  return same && !ended ? Effect::refreshed : Effect::changed;
}

// What this session has is nobody else's any more.
bool RadiusSessions::end_older(const std::string& id, const Session& now_there, Moment now) {
  bool any = false;
  auto take_from = [&](auto& owners, const auto& what) {
    auto owner = owners.find(what);
    if (owner == owners.end() || owner->second == id) return;
    auto older = sessions_.find(owner->second);
    remember_end(older->first, {std::max(older->second.event, now_there.event), now.monotonic, true});
    end(older);
    any = true;
  };
  if (now_there.mac) take_from(owners_of_macs_, *now_there.mac);
  for (const base::IpAddress& address : now_there.addresses) take_from(owners_, base::IpPrefix::of(address));
  for (const base::IpPrefix& prefix : now_there.prefixes) take_from(owners_, prefix);
  return any;
}

void RadiusSessions::own(const std::string& id, const Session& session) {
  if (session.mac) owners_of_macs_[*session.mac] = id;
  for (const base::IpAddress& address : session.addresses) owners_[base::IpPrefix::of(address)] = id;
  for (const base::IpPrefix& prefix : session.prefixes) owners_[prefix] = id;
}

void RadiusSessions::disown(const std::string& id, const Session& session) {
  auto give_up = [&](auto& owners, const auto& what) {
    auto owner = owners.find(what);
    if (owner != owners.end() && owner->second == id) owners.erase(owner);
  };
  if (session.mac) give_up(owners_of_macs_, *session.mac);
  for (const base::IpAddress& address : session.addresses) give_up(owners_, base::IpPrefix::of(address));
  for (const base::IpPrefix& prefix : session.prefixes) give_up(owners_, prefix);
}

RadiusSessions::Sessions::iterator RadiusSessions::end(Sessions::iterator session) {
  disown(session->first, session->second);
  return sessions_.erase(session);
}

RadiusSessions::Effect RadiusSessions::stop(const std::string& id, const Accounting& told, Moment now) {
  auto event = told.event_time;
  auto session = sessions_.find(id);
  bool was_there = session != sessions_.end();
  if (was_there) event = std::max(event, session->second.event);
  if (auto ended = ended_.find(id); ended != ended_.end()) event = std::max(event, ended->second.event);
  if (was_there) end(session);
  remember_end(id, {event, now.monotonic, false});  // its Start may still come
  return was_there ? Effect::changed : Effect::nothing;
}

RadiusSessions::Effect RadiusSessions::restart(const base::IpAddress& source, const Accounting& told) {
  std::string key = nas_key(source, told.nas);
  if (nases_.size() >= most_nases && !nases_.contains(key)) nases_.erase(nases_.begin());
  Nas& nas = nases_[key];
  if (told.event_time && nas.latest && *told.event_time + late < *nas.latest) return Effect::nothing;
  if (told.event_time) {
    nas.latest = std::max(nas.latest, told.event_time);
    nas.restarted = told.event_time;
  }
  bool any = false;
  for (auto each = sessions_.begin(); each != sessions_.end();) {
    bool is_of_nas = each->second.source == source && nas_key(source, each->second.nas) == key;
    any |= is_of_nas;
    each = is_of_nas ? end(each) : std::next(each);
  }
  std::erase_if(ended_, [&](const auto& each) { return each.first.starts_with("radius " + key + " "); });
  return any ? Effect::changed : Effect::nothing;
}

void RadiusSessions::remember_end(const std::string& id, Ended ended) {
  if (ended_.size() >= most_ended && !ended_.contains(id))
    ended_.erase(std::min_element(ended_.begin(), ended_.end(),
                                  [](const auto& a, const auto& b) { return a.second.at < b.second.at; }));
  ended_[id] = ended;
}

bool RadiusSessions::expire(base::Monotonic now) {
  std::erase_if(ended_, [&](const auto& each) { return now - each.second.at > remembered; });
  // Not remembered as ended: its next Interim tells that it lives, whatever has held it up.
  bool any = false;
  for (auto each = sessions_.begin(); each != sessions_.end();) {
    bool is_over = deadline(each->second) <= now;
    any |= is_over;
    each = is_over ? end(each) : std::next(each);
  }
  return any;
}

base::Monotonic RadiusSessions::deadline(const Session& session) const {
  if (timeout_) return session.heard + *timeout_;
  if (session.gap > 0s) return session.heard + std::max(lost_interims * session.gap, least_patience);
  if (session.interims > 0) return session.heard + after_one_interim;
  return session.started + session.limit.value_or(without_interims);
}

std::vector<policy::Session> RadiusSessions::sessions(Moment now) const {
  std::vector<policy::Session> all;
  for (const auto& [id, session] : sessions_) {
    bool is_somebody = !session.user.empty() || !session.roles.empty();
    bool is_somewhere = !session.addresses.empty() || !session.prefixes.empty() || session.mac;
    if (!is_somebody || !is_somewhere) continue;
    auto left = std::chrono::ceil<std::chrono::seconds>(deadline(session) - now.monotonic);
    policy::Session told{id,
                         policy::SessionSource::radius,
                         session.user,
                         session.roles,
                         session.addresses,
                         session.prefixes,
                         session.mac,
                         base::WallTime(std::chrono::seconds(session.since)),
                         base::WallTime(std::chrono::seconds(now.wall) + std::max<std::chrono::seconds>(left, 1s))};
    all.push_back(std::move(told));
  }
  return all;
}

}  // namespace sluiced

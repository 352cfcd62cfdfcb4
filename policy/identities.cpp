#include "policy/identities.hpp"

#include <algorithm>
#include <utility>

namespace policy {
namespace {

// A session told anew under its id is the same one only if it began at the same time.
std::string key_of(const Session& session) {
  return session.id + '@' + std::to_string(session.since.time_since_epoch().count());
}

bool runs(base::WallTime until, base::WallTime now) {
  return until == base::WallTime{} || until > now;
}

}  // namespace

// --- what is heard

void Identities::neighbour(const base::IpAddress& address, const base::MacAddress& mac, const std::string& interface,
                           base::WallTime now) {
  auto [known, is_new] = neighbours_.try_emplace(address, Neighbour{mac, interface, now});
  if (!is_new && known->second.mac == mac && known->second.interface == interface) return;
  if (!is_new) {
    if (known->second.mac != mac) known->second.since = now;
    known->second.mac = mac;
    known->second.interface = interface;
  }
  ++version_;
  compare(address, mac, false);
  drop_over();
}

// A device that sleeps is not gone for good: whoever answers next is compared with what was known.
void Identities::neighbour_gone(const base::IpAddress& address) {
  if (neighbours_.erase(address) > 0) ++version_;
}

void Identities::adopt_leases(const std::vector<Lease>& leases) {
  std::unordered_map<base::IpAddress, Lease> fresh;
  for (const Lease& lease : leases) fresh.insert_or_assign(lease.address, lease);
  if (fresh == leases_) return;
  leases_ = std::move(fresh);
  hostnames_.clear();
  for (const auto& [address, lease] : leases_)
    if (lease.mac && !lease.hostname.empty()) hostnames_.insert_or_assign(*lease.mac, lease.hostname);
  ++version_;
  // Where the kernel knows the neighbour it is believed, whatever the file says.
  for (Held& held : sessions_)
    for (auto& [address, binding] : held.bindings)
      if (binding.by_lease && !leases_.contains(address) && !neighbours_.contains(address)) binding.severed = true;
  for (const auto& [address, lease] : leases_)
    if (lease.mac && !neighbours_.contains(address)) compare(address, *lease.mac, true);
  drop_over();
}

void Identities::adopt_sessions(SessionSource source, std::vector<Session> sessions) {
  std::vector<Held> kept;
  std::map<std::string, Held*> known;
  for (Held& held : sessions_)
    if (held.session.source == source)
      known[key_of(held.session)] = &held;
    else
      kept.push_back(held);
  std::vector<std::string> still_dead;
  for (Session& session : sessions) {
    session.source = source;
    std::string key = key_of(session);
    if (std::find(dead_.begin(), dead_.end(), key) != dead_.end()) {
      still_dead.push_back(std::move(key));
      continue;
    }
    Held held{std::move(session), {}};
    if (auto before = known.find(key); before != known.end()) held.bindings = before->second->bindings;
    std::erase_if(held.bindings, [&](const auto& each) {
      return std::find(held.session.addresses.begin(), held.session.addresses.end(), each.first) ==
             held.session.addresses.end();
    });
    bind(held);
    kept.push_back(std::move(held));
  }
  // Of the other source nothing was told.
  for (const std::string& key : dead_)
    if (key.starts_with(source == SessionSource::radius ? "login " : "radius ")) still_dead.push_back(key);
  dead_ = std::move(still_dead);
  sessions_ = std::move(kept);
  ++version_;
  index();
  drop_over();
}

void Identities::expire(base::WallTime now) {
  std::size_t leases = std::erase_if(leases_, [&](const auto& each) { return !runs(each.second.until, now); });
  std::size_t sessions = std::erase_if(sessions_, [&](const Held& held) { return !runs(held.session.until, now); });
  if (leases + sessions == 0) return;
  ++version_;
  index();
}

// --- what is known

std::optional<base::MacAddress> Identities::mac_behind(const base::IpAddress& address, base::WallTime now) const {
  if (auto found = neighbours_.find(address); found != neighbours_.end()) return found->second.mac;
  if (auto found = leases_.find(address); found != leases_.end() && runs(found->second.until, now))
    return found->second.mac;
  return std::nullopt;
}

Sighting Identities::look_up(const base::IpAddress& address, base::WallTime now,
                             const std::optional<base::MacAddress>& sender) const {
  Sighting sighting;
  sighting.address = address;
  sighting.mac = mac_behind(address, now);
  if (!sighting.mac) sighting.mac = sender;
  if (auto found = neighbours_.find(address); found != neighbours_.end()) sighting.interface = found->second.interface;
  if (auto lease = leases_.find(address); lease != leases_.end() && runs(lease->second.until, now) &&
                                          (!lease->second.mac || lease->second.mac == sighting.mac))
    sighting.hostname = lease->second.hostname;
  if (sighting.hostname.empty() && sighting.mac)
    if (auto name = hostnames_.find(*sighting.mac); name != hostnames_.end()) sighting.hostname = name->second;
  if (const Held* held = session_of(address, sighting.mac, now)) {
    sighting.user = held->session.user;
    sighting.user_source = held->session.source;
    sighting.roles = held->session.roles;
  }
  return sighting;
}

base::WallTime Identities::since(const base::IpAddress& address, base::WallTime now) const {
  if (const Held* held = session_of(address, mac_behind(address, now), now)) return held->session.since;
  auto found = neighbours_.find(address);
  return found == neighbours_.end() ? base::WallTime{} : found->second.since;
}

// Of several the youngest: who came last is there.
const Identities::Held* Identities::session_of(const base::IpAddress& address,
                                               const std::optional<base::MacAddress>& mac, base::WallTime now) const {
  const Held* best = nullptr;
  auto consider = [&](const Held& held) {
    if (runs(held.session.until, now) && (!best || held.session.since > best->session.since)) best = &held;
  };
  auto [first, last] = by_address_.equal_range(address);
  for (auto each = first; each != last; ++each) {
    const Held& held = sessions_[each->second];
    const Binding& binding = held.bindings.at(address);
    if (!binding.severed && (!mac || !binding.mac || binding.mac == mac)) consider(held);
  }
  if (mac) {
    auto [from, to] = by_mac_.equal_range(*mac);
    for (auto each = from; each != to; ++each) consider(sessions_[each->second]);
  }
  for (std::size_t i : with_prefixes_)
    for (const base::IpPrefix& prefix : sessions_[i].session.prefixes)
      if (prefix.contains(address)) consider(sessions_[i]);
  return best;
}

std::vector<base::IpAddress> Identities::addresses() const {
  std::vector<base::IpAddress> all;
  for (const auto& [address, neighbour] : neighbours_) all.push_back(address);
  for (const auto& [address, lease] : leases_) all.push_back(address);
  for (const auto& [address, index] : by_address_) all.push_back(address);
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

std::vector<Session> Identities::take_ended() {
  return std::exchange(ended_, {});
}

// --- sessions and the MACs behind them

bool Identities::Held::is_over() const {
  if (session.mac || !session.prefixes.empty() || bindings.empty()) return false;
  return std::all_of(bindings.begin(), bindings.end(), [](const auto& each) { return each.second.severed; });
}

// Each address is bound to the MAC that the source names, else to the one that is behind it now.
void Identities::bind(Held& held) {
  for (const base::IpAddress& address : held.session.addresses) {
    Binding& binding = held.bindings[address];
    auto neighbour = neighbours_.find(address);
    auto lease = leases_.find(address);
    std::optional<base::MacAddress> behind;
    if (neighbour != neighbours_.end())
      behind = neighbour->second.mac;
    else if (lease != leases_.end())
      behind = lease->second.mac;
    if (!binding.mac) {
      binding.mac = held.session.mac ? held.session.mac : behind;
      binding.by_lease = binding.mac && !held.session.mac && neighbour == neighbours_.end();
    }
    if (behind && binding.mac && *behind != *binding.mac) binding.severed = true;
  }
}

void Identities::compare(const base::IpAddress& address, const base::MacAddress& mac, bool by_lease) {
  auto [first, last] = by_address_.equal_range(address);
  bool bound = false;
  for (auto each = first; each != last; ++each) {
    Binding& binding = sessions_[each->second].bindings.at(address);
    if (!binding.mac) {
      binding.mac = mac;
      binding.by_lease = by_lease;
      bound = true;
    } else if (*binding.mac != mac) {
      binding.severed = true;
      bound = true;
    }
  }
  if (bound) index();
}

void Identities::index() {
  by_address_.clear();
  by_mac_.clear();
  with_prefixes_.clear();
  for (std::size_t i = 0; i < sessions_.size(); ++i) {
    const Held& held = sessions_[i];
    std::vector<base::MacAddress> macs;
    if (held.session.mac) macs.push_back(*held.session.mac);
    for (const auto& [address, binding] : held.bindings) {
      by_address_.emplace(address, i);
      if (binding.mac && !binding.severed && !held.session.mac) macs.push_back(*binding.mac);
    }
    std::sort(macs.begin(), macs.end());
    macs.erase(std::unique(macs.begin(), macs.end()), macs.end());
    for (const base::MacAddress& mac : macs) by_mac_.emplace(mac, i);
    if (!held.session.prefixes.empty()) with_prefixes_.push_back(i);
  }
}

void Identities::drop_over() {
  bool any = false;
  for (const Held& held : sessions_) {
    if (!held.is_over()) continue;
    any = true;
    dead_.push_back(key_of(held.session));
    ended_.push_back(held.session);
  }
  if (!any) return;
  std::erase_if(sessions_, [](const Held& held) { return held.is_over(); });
  ++version_;
  index();
}

}  // namespace policy

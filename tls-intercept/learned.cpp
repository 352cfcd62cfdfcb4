#include "tls-intercept/learned.hpp"

#include <algorithm>

namespace tls_intercept {

bool is_about_certificate(int alert) {
  return (alert >= 42 && alert <= 46) || alert == 48 || alert == 49;
}

Learned::Device& Learned::device_of(const std::string& device, std::int64_t now) {
  auto found = devices_.find(device);
  if (found == devices_.end()) {
    if (devices_.size() >= most_devices) {
      auto oldest = std::min_element(devices_.begin(), devices_.end(),
                                     [](const auto& a, const auto& b) { return a.second.seen < b.second.seen; });
      devices_.erase(oldest);
    }
    found = devices_.emplace(device, Device{}).first;
  }
  found->second.seen = now;
  return found->second;
}

Learned::Name& Learned::name_of(Device& device, const std::string& name) {
  if (device.names.size() >= most_names && !device.names.contains(name)) device.names.erase(device.names.begin());
  return device.names[name];
}

bool Learned::enrolled(const std::string& device) const {
  auto found = devices_.find(device);
  return found != devices_.end() && found->second.enrolled;
}

bool Learned::refused_ever(const std::string& device) const {
  auto found = devices_.find(device);
  return found != devices_.end() && !found->second.refused_since.empty();
}

bool Learned::bypassed(const std::string& device, const std::string& name, std::int64_t now) const {
  if (bypasses_.empty()) return false;
  auto found = bypasses_.find({device, name});
  return found != bypasses_.end() && now < found->second;
}

bool Learned::took(const std::string& device, const std::string& name, std::int64_t now) {
  Device& who = device_of(device, now);
  who.took_last = now;
  who.refused_since.clear();
  Name& what = name_of(who, name);
  what.taken = true;
  what.alerts.clear();
  what.silent.clear();
  if (who.enrolled) return false;
  auto taken = std::count_if(who.names.begin(), who.names.end(), [](const auto& each) { return each.second.taken; });
  who.enrolled = static_cast<std::size_t>(taken) >= names_needed;
  return who.enrolled;
}

bool Learned::passed_check(const std::string& device, std::int64_t now) {
  Device& who = device_of(device, now);
  who.took_last = now;
  who.refused_since.clear();
  return !std::exchange(who.enrolled, true);
}

Learned::Change Learned::refused(const std::string& device, const std::string& name, Refusal how, std::int64_t now) {
  Device& who = device_of(device, now);
  Name& what = name_of(who, name);
  auto& times = how == Refusal::alert ? what.alerts : what.silent;
  std::erase_if(times, [&](std::int64_t time) { return time > now || now - time > window; });
  times.push_back(now);
  if (who.refused_since.size() < names_lost) who.refused_since.insert(name);

  Change change;
  if (who.enrolled && who.refused_since.size() >= names_lost) {
    who.enrolled = false;
    for (auto& [each, data] : who.names) data.taken = false;
    change.standing = true;
    return change;
  }
  bool takes_others = who.enrolled && who.took_last != 0 && now - who.took_last <= elsewhere;
  bool enough = how == Refusal::alert ? times.size() >= alerts_needed : times.size() >= silent_needed && !what.taken;
  if (!takes_others || !enough) return change;
  if (bypasses_.size() >= most_bypasses) std::erase_if(bypasses_, [&](const auto& each) { return each.second <= now; });
  if (bypasses_.size() >= most_bypasses) return change;
  times.clear();
  bypasses_[{device, name}] = now + bypass_life;
  change.bypass = Bypass{device, name, now + bypass_life};
  return change;
}

std::vector<std::string> Learned::enrolled_devices() const {
  std::vector<std::string> all;
  for (const auto& [device, data] : devices_)
    if (data.enrolled) all.push_back(device);
  return all;
}

std::vector<Bypass> Learned::bypasses(std::int64_t now) const {
  std::vector<Bypass> all;
  for (const auto& [key, until] : bypasses_)
    if (now < until) all.push_back({key.first, key.second, until});
  return all;
}

void Learned::adopt(const std::vector<std::string>& enrolled, const std::vector<Bypass>& bypasses) {
  for (auto& [device, data] : devices_) data.enrolled = false;
  for (const std::string& device : enrolled)
    if (devices_.size() < most_devices || devices_.contains(device)) devices_[device].enrolled = true;
  bypasses_.clear();
  for (const Bypass& each : bypasses) bypasses_[{each.device, each.name}] = each.until;
}

}  // namespace tls_intercept

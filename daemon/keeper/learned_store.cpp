#include "daemon/keeper/learned_store.hpp"

#include <algorithm>

#include "base/json.hpp"
#include "base/text.hpp"
#include "daemon/log.hpp"

namespace sluiced {
namespace {

using control::Json;
using control::Reply;

constexpr std::size_t most_devices = 4096, most_bypasses = 10000;

}  // namespace

LearnedStore::LearnedStore(const std::string& folder) : kept_(folder + "/learned.json") {
  if (kept_.text().empty()) return;
  try {
    Json all = base::parse_json(kept_.text());
    enrolled_ = all.at("enrolled").get<std::vector<std::string>>();
    for (const Json& each : all.at("bypasses"))
      bypasses_.push_back({each.at("device"), each.at("name"), each.at("until")});
  } catch (const Json::exception& error) {
    logging::warning(folder + "/learned.json is damaged, and begins anew: " + error.what());
    enrolled_.clear();
    bypasses_.clear();
  }
}

void LearnedStore::learn(const std::string& lines) {
  auto fields = base::split(lines, '\n');
  if (fields.size() < 2) return;
  std::string device(fields[1]);
  auto known = std::find(enrolled_.begin(), enrolled_.end(), device);
  if (fields[0] == "enrolled" && known == enrolled_.end()) {
    if (enrolled_.size() >= most_devices) enrolled_.erase(enrolled_.begin());
    enrolled_.push_back(device);
  } else if (fields[0] == "lost" && known != enrolled_.end()) {
    enrolled_.erase(known);
  } else if (fields[0] == "bypass" && fields.size() == 4) {
    auto until = base::parse_number(fields[3], 1ull << 40);
    std::string name(fields[2]);
    std::erase_if(bypasses_, [&](const Bypass& each) { return each.device == device && each.name == name; });
    if (!until || bypasses_.size() >= most_bypasses) return;
    bypasses_.push_back({device, name, static_cast<std::int64_t>(*until)});
  } else {
    return;
  }
  save();
}

Reply LearnedStore::answer(const control::Request& request, const std::string& who, base::WallTime now, bool& changed) {
  std::erase_if(bypasses_, [&](const Bypass& each) { return each.until <= base::seconds_of(now); });
  if (request.verb == "bypass list") {
    Reply reply;
    reply.data = to_json();
    for (const Bypass& each : bypasses_)
      reply.text += each.name + "  for " + each.device + ", " +
                    std::to_string((each.until - base::seconds_of(now)) / 3600) + " h left\n";
    if (bypasses_.empty()) reply.text = "nothing is left undecrypted because a device asked for it\n";
    reply.text += std::to_string(enrolled_.size()) + " devices trust the local CA\n";
    return reply;
  }
  std::string name = request.argument("name"), device = request.argument("client");
  if (request.verb != "bypass revoke" || name.empty())
    return {2, "sluicectl: no such verb\n", {{"error", "no such verb"}}};
  std::size_t count = std::erase_if(
      bypasses_, [&](const Bypass& each) { return each.name == name && (device.empty() || each.device == device); });
  if (count == 0) return {1, "sluicectl: no bypass for '" + name + "'\n", {{"error", "not found"}}};
  changed = true;
  save();
  logging::notice("bypass for " + name + " revoked by " + who);
  return {0, std::to_string(count) + " revoked; new connections are decrypted again\n", {{"revoked", count}}};
}

std::string LearnedStore::for_gateway(base::WallTime now) {
  std::erase_if(bypasses_, [&](const Bypass& each) { return each.until <= base::seconds_of(now); });
  return to_json().dump();
}

Json LearnedStore::to_json() const {
  Json bypasses = Json::array();
  for (const Bypass& each : bypasses_)
    bypasses.push_back({{"device", each.device}, {"name", each.name}, {"until", each.until}});
  return {{"enrolled", enrolled_}, {"bypasses", std::move(bypasses)}};
}

void LearnedStore::save() {
  kept_.write(to_json().dump());
}

}  // namespace sluiced

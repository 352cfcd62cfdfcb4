#include "accounting/batch_text.hpp"

#include <nlohmann/json.hpp>

#include "base/json.hpp"

namespace accounting {
namespace {

using Json = nlohmann::json;

Json to_json(const Counts& counts) {
  return {counts.bytes_up, counts.bytes_down, counts.packets_up, counts.packets_down};
}

Counts counts_of(const Json& json) {
  return {json.at(0).get<std::uint64_t>(), json.at(1).get<std::uint64_t>(), json.at(2).get<std::uint64_t>(),
          json.at(3).get<std::uint64_t>()};
}

}  // namespace

std::string to_text(const Batch& batch) {
  Json usages = Json::array(), interfaces = Json::array();
  for (const Usage& usage : batch.usages)
    usages.push_back({usage.who.user, usage.who.device, usage.who.client, usage.who.group, usage.what.categories,
                      usage.what.host, usage.what.action, to_json(usage.counts)});
  for (const InterfaceUsage& interface : batch.interfaces)
    interfaces.push_back({interface.name, to_json(interface.counts)});
  Json all = {{"time", batch.time.time_since_epoch().count()}, {"usages", usages}, {"interfaces", interfaces}};
  return all.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<Batch> parse_batch(std::string_view text) {
  Json all = base::parse_json(text);
  try {
    Batch batch;
    batch.time = base::WallTime(std::chrono::milliseconds(all.at("time").get<std::int64_t>()));
    for (const Json& each : all.at("usages"))
      batch.usages.push_back({{each.at(0), each.at(1), each.at(2), each.at(3)},
                              {each.at(4), each.at(5), each.at(6)},
                              counts_of(each.at(7))});
    for (const Json& each : all.at("interfaces"))
      batch.interfaces.push_back({each.at(0).get<std::string>(), counts_of(each.at(1))});
    return batch;
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

}  // namespace accounting

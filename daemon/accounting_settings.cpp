#include "daemon/accounting_settings.hpp"

#include <filesystem>

#include <nlohmann/json.hpp>

namespace sluiced {

using Json = nlohmann::json;

std::string store_path(const std::string& path, const std::string& state) {
  if (path == "off") return {};
  std::filesystem::path file = rules::in_state(path, state);
  std::filesystem::path folder = std::filesystem::path(state + "/").lexically_normal();
  if ((file.parent_path() / "").lexically_normal() != folder) return file;
  return state + "/usage/" + file.filename().string();
}

AccountingSettings accounting_settings(const rules::Settings& settings, const policy::Zone& zone,
                                       const std::string& state) {
  const rules::Settings::Accounting& of = settings.accounting;
  AccountingSettings made;
  made.store.path = store_path(of.store, state);
  made.store.keep = {of.keep_minute, of.keep_hour, of.keep_day, of.keep_month};
  made.store.max_bytes = of.max_size;
  made.store.hosts = of.hosts;
  made.flush = of.flush;
  made.zone = zone;
  return made;
}

std::string to_text(const AccountingSettings& settings) {
  Json keep = Json::array(), changes = Json::array();
  for (std::chrono::seconds each : settings.store.keep) keep.push_back(each.count());
  for (const policy::Zone::Change& change : settings.zone.changes)
    changes.push_back({change.from, change.offset_seconds});
  return Json{{"path", settings.store.path},
              {"keep", keep},
              {"max_bytes", settings.store.max_bytes},
              {"hosts", settings.store.hosts},
              {"flush", settings.flush.count()},
              {"zone", settings.zone.name},
              {"changes", changes}}
      .dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<AccountingSettings> parse_accounting_settings(const std::string& text) {
  try {
    Json all = Json::parse(text);
    AccountingSettings settings;
    settings.store.path = all.at("path");
    for (std::size_t i = 0; i < settings.store.keep.size(); ++i)
      settings.store.keep[i] = std::chrono::seconds(all.at("keep").at(i).get<std::int64_t>());
    settings.store.max_bytes = all.at("max_bytes");
    settings.store.hosts = all.at("hosts");
    settings.flush = std::chrono::seconds(all.at("flush").get<std::int64_t>());
    settings.zone.name = all.at("zone");
    for (const Json& change : all.at("changes")) settings.zone.changes.push_back({change.at(0), change.at(1)});
    return settings;
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

}  // namespace sluiced

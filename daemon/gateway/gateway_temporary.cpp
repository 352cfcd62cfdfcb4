// The gateway's side of temporary rules: each that comes or ends makes the policy anew, out of the same files and lists.
#include "base/text.hpp"
#include "daemon/diagnostic_text.hpp"
#include "daemon/gateway/gateway.hpp"
#include "daemon/log.hpp"

namespace sluiced {

base::Result<> Gateway::rebuild() {
  rules::Diagnostics diagnostics;
  rules::Loaded loaded = open_bundle(bundle_, diagnostics, temporary_.to_toml());
  if (!loaded.snapshot) return base::malformed(told_errors(diagnostics));
  snapshot_ = std::move(loaded.snapshot);
  put_in_force();
  tell_keeper_of_code_rules();
  std::lock_guard lock(keeper_mutex_);
  if (keeper_) keeper_.send(MessageType::temporary_rules, temporary_.to_text());
  return base::Nothing{};
}

bool Gateway::adopt_lessons(const control::Json& codes) {
  std::vector<TemporaryRules::Lesson> lessons;
  for (const control::Json& code : codes)
    if (code.is_object() && !code.value("to", "").empty()) lessons.push_back({code.value("rule", ""), code["to"]});
  if (!temporary_.adopt_lessons(lessons) || !snapshot_) return false;
  if (rebuild()) return true;
  // What one of them is for is no more, a category, say: the others are as good as before.
  std::vector<TemporaryRules::Lesson> good;
  for (TemporaryRules::Lesson& each : lessons) {
    good.push_back(std::move(each));
    temporary_.adopt_lessons(good);
    rules::Diagnostics diagnostics;
    if (open_bundle(bundle_, diagnostics, temporary_.to_toml()).snapshot) continue;
    logging::warning("the code for " + good.back().to + " opens nothing any more: " + told_errors(diagnostics));
    good.pop_back();
  }
  temporary_.adopt_lessons(std::move(good));
  (void)rebuild();
  return true;
}

std::optional<std::string> Gateway::answer_temporary(const std::string& line) {
  auto request = control::parse_request(line);
  if (!request || !snapshot_) return std::nullopt;
  auto refuse = [](int exit, const std::string& why) { return control::to_line(control::refusal(exit, why)); };
  if (request->verb == "quotas forget") {  // the keeper's, when a person is erased
    for (const char* kind : {"user ", "device ", ""}) quotas_.forget(kind + request->argument("name"));
    return control::to_line({0, "", control::Json::object()});
  }
  if (request->verb == "grants revoke") {
    std::string name = request->argument("name");
    if (!temporary_.remove(name)) return refuse(1, "there is no '" + name + "'; sluicectl grants shows what there is");
    if (auto built = rebuild(); !built) return refuse(1, built.error().message);
    logging::notice("'" + name + "' was taken back by " + request->argument("who"));
    return control::to_line({0, "'" + name + "' is taken back\n", {{"revoked", name}}});
  }
  if (request->verb != "allow" && request->verb != "block") return std::nullopt;
  auto name = temporary_.add(*request, wall_now());
  if (!name) return refuse(2, name.error().message);
  if (auto built = rebuild(); !built) {
    temporary_.remove(*name);
    return refuse(2, built.error().message);
  }
  std::string what = request->argument("to").empty() ? "everything" : request->argument("to");
  logging::notice("'" + *name + "': " + request->verb + " " + what + " for " + request->argument("client") + ", " +
                  request->argument("seconds") + " s, by " + request->argument("who"));
  return control::to_line(
      {0,
       "'" + *name + "': " + request->verb + " " + what + " for " + request->argument("client") + "\n",
       {{"name", *name}, {"client", request->argument("client")}, {"to", request->argument("to")}}});
}

}  // namespace sluiced

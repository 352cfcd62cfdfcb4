// The supervisor's loading and reloading: everything is built before anything changes.
#include "daemon/diagnostic_text.hpp"
#include "daemon/log.hpp"
#include "daemon/supervisor.hpp"

namespace sluiced {

base::Result<> Supervisor::load() {
  rules::Diagnostics diagnostics;
  bundle_ = read_bundle(options_.config, options_.state, diagnostics);
  rules::Loaded loaded;
  if (!rules::has_errors(diagnostics)) loaded = open_bundle(bundle_, diagnostics);
  log_lines(tell(diagnostics), rules::has_errors(diagnostics) ? logging::Level::error : logging::Level::warning);
  if (rules::has_errors(diagnostics) || !loaded.snapshot)
    return base::malformed("the configuration in " + options_.config + " has errors; nothing was changed");
  settings_ = std::move(loaded.settings);
  snapshot_ = std::move(loaded.snapshot);
  warnings_ = tell(diagnostics);
  logging::set_level(settings_.log.level);
  return base::Nothing{};
}

control::Reply Supervisor::reload() {
  auto refuse = [](std::string text) {
    control::Reply reply{2, text + "nothing was changed\n", {{"error", text}}};
    return reply;
  };
  rules::Diagnostics diagnostics;
  Bundle bundle = read_bundle(options_.config, options_.state, diagnostics);
  rules::Loaded loaded;
  if (!rules::has_errors(diagnostics)) loaded = open_bundle(bundle, diagnostics);
  if (rules::has_errors(diagnostics) || !loaded.snapshot) return refuse(tell(diagnostics));
  std::string restart;
  for (const std::string& key : rules::needs_restart(settings_, loaded.settings))
    restart += "needs restart: " + key + "\n";
  if (!restart.empty()) return refuse(restart);

  auto adopted = ruleset_.adopt(loaded.settings, *loaded.snapshot, gateway_lives());
  if (!adopted) return refuse("ruleset: " + adopted.error().message + "\n");
  beat_now();
  std::string before = snapshot_->digest;
  std::size_t rules_before = snapshot_->rules.size();
  std::uint64_t entries_before = snapshot_->index.entries();
  bundle_ = std::move(bundle);
  settings_ = std::move(loaded.settings);
  snapshot_ = std::move(loaded.snapshot);
  warnings_ = tell(diagnostics);
  logging::set_level(settings_.log.level);
  send_policy();
  prepare_log_directory();
  send_log_settings();

  control::Reply reply;
  reply.text = warnings_;
  if (before == snapshot_->digest) {
    reply.text += "reloaded: nothing has changed\n";
  } else {
    reply.text += "reloaded: policy " + before + " -> " + snapshot_->digest + ", " + std::to_string(rules_before) +
                  " -> " + plural(snapshot_->rules.size(), "rule") + ", " + std::to_string(entries_before) + " -> " +
                  std::to_string(snapshot_->index.entries()) + " list entries\n";
  }
  reply.data = {{"policy_before", before},
                {"policy", snapshot_->digest},
                {"rules", snapshot_->rules.size()},
                {"list_entries", snapshot_->index.entries()}};
  return reply;
}

int run_boot(const Options& options) {
  rules::Diagnostics diagnostics;
  Bundle bundle = read_bundle(options.config, options.state, diagnostics);
  rules::Loaded loaded;
  if (!rules::has_errors(diagnostics)) loaded = open_bundle(bundle, diagnostics);
  if (rules::has_errors(diagnostics) || !loaded.snapshot) {
    log_lines(tell(diagnostics), logging::Level::error);
    return exit_bad_input;
  }
  auto done = apply_closed_part(loaded.settings, *loaded.snapshot);
  if (done) return exit_ok;
  logging::error(done.error().message);
  return exit_failure;
}

}  // namespace sluiced

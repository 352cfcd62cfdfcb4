// The supervisor's loading and reloading: everything is built before anything changes.
//
//   asked -> the files' text is read -> the lists are compiled, unless nothing about them has changed -> built
//         -> ruleset and gateway adopt it -> whoever asked is answered once the gateway judges by it
//
// Compiling takes seconds for millions of names, so it runs beside everything else; whoever asks meanwhile has the next
// one.
#include <fcntl.h>
#include <sys/wait.h>

#include <utility>

#include "base/sys/memory_file.hpp"
#include "daemon/diagnostic_text.hpp"
#include "daemon/log.hpp"
#include "daemon/supervisor.hpp"
#include "rules/list_inputs.hpp"

namespace sluiced {

// --- at a start

base::Result<> Supervisor::load() {
  rules::Diagnostics diagnostics;
  bundle_ = read_bundle(options_.config, options_.state, store_, diagnostics);
  rules::Loaded loaded;
  if (!rules::has_errors(diagnostics)) loaded = open_bundle(bundle_, diagnostics);
  log_lines(tell(diagnostics), rules::has_errors(diagnostics) ? logging::Level::error : logging::Level::warning);
  if (rules::has_errors(diagnostics) || !loaded.snapshot) {
    store_.discard(bundle_.lists.suffix);
    return base::malformed("the configuration in " + options_.config + " has errors; nothing was changed");
  }
  settings_ = std::move(loaded.settings);
  snapshot_ = std::move(loaded.snapshot);
  warnings_ = tell(diagnostics);
  logging::set_level(settings_.log.level);
  store_.keep(bundle_.lists);
  auto authority = read_authority(settings_, *snapshot_);
  if (!authority) return authority;
  authority_ = std::move(fresh_authority_);
  fresh_authority_.reset();
  return base::Nothing{};
}

// --- while running

void Supervisor::ask_for_reload(Change change, std::optional<std::string> number, bool by_signal) {
  std::optional<Reload>& reload = reload_ ? next_reload_ : reload_;
  bool waits = reload_.has_value();
  if (!reload) reload.emplace();
  if (change == Change::files) reload->change = change;
  if (number) reload->numbers.push_back(std::move(*number));
  reload->by_signal |= by_signal;
  if (!waits) begin_reload();
}

void Supervisor::begin_reload() {
  std::vector<rules::ListDeclaration> lists;
  if (reload_->change == Change::files) {
    ConfigRead read = read_config(options_.config, options_.state, reload_->diagnostics);
    reload_->text = std::move(read.text);
    lists = std::move(read.lists);
  } else {
    auto config = base::sys::MappedFile::map(bundle_.config.get());
    auto text = config ? rules::unpack_config(base::as_text(config->bytes())) : std::nullopt;
    if (!text) return refuse_reload("the configuration in force cannot be read\n");
    reload_->text = std::move(*text);
    lists =
        rules::list_declarations(reload_->text, {options_.state, rules::shipped_lists_folder()}, reload_->diagnostics);
  }
  if (rules::has_errors(reload_->diagnostics)) return refuse_reload(tell(reload_->diagnostics));
  if (rules::inputs_are_unchanged(bundle_.lists.inputs, lists))
    if (auto images = lists_in_force()) return finish_reload(std::move(*images));
  compiler_.start(lists, [this](CompiledLists compiled) {
    rules::Diagnostics& all = reload_->diagnostics;
    all.insert(all.end(), compiled.diagnostics.begin(), compiled.diagnostics.end());
    if (rules::has_errors(all)) return refuse_reload(tell(all));
    finish_reload(std::move(compiled.images));
  });
}

std::optional<ListImages> Supervisor::lists_in_force() const {
  auto again = [](const base::sys::UniqueFd& fd) { return base::sys::UniqueFd(fcntl(fd.get(), F_DUPFD_CLOEXEC, 0)); };
  ListImages lists{again(bundle_.lists.image), again(bundle_.lists.sources), {}, bundle_.lists.inputs};
  if (!lists.image || !lists.sources) return std::nullopt;
  return lists;
}

void Supervisor::finish_reload(ListImages lists) {
  std::string suffix = lists.suffix;
  auto refuse = [&](std::string why) {
    store_.discard(suffix);
    refuse_reload(std::move(why));
  };
  rules::Diagnostics& diagnostics = reload_->diagnostics;
  Bundle bundle = make_bundle(reload_->text, std::move(lists), diagnostics);
  rules::Loaded loaded;
  if (!rules::has_errors(diagnostics)) loaded = open_bundle(bundle, diagnostics);
  if (rules::has_errors(diagnostics) || !loaded.snapshot) return refuse(tell(diagnostics));
  std::string restart;
  for (const std::string& key : rules::needs_restart(settings_, loaded.settings))
    restart += "needs restart: " + key + "\n";
  if (!restart.empty()) return refuse(restart);
  if (auto authority = read_authority(loaded.settings, *loaded.snapshot); !authority)
    return refuse(authority.error().message + "\n");

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
  adopt_authority();
  send_policy();
  if (reload_->change == Change::files) tend_helper();
  store_.keep(bundle_.lists);
  prepare_log_directory();
  send_log_settings();
  send_accounting_settings();  // the zone may have changed

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
  end_reload(std::move(reply));
}

void Supervisor::refuse_reload(std::string why) {
  control::Reply reply{exit_bad_input, why + "nothing was changed\n", {{"error", why}}};
  end_reload(std::move(reply));
}

void Supervisor::end_reload(control::Reply reply) {
  Reload done = std::move(*reload_);
  reload_ = std::exchange(next_reload_, std::nullopt);
  if (done.by_signal || done.change == Change::lists)
    log_lines(reply.text, reply.exit == exit_ok ? logging::Level::notice : logging::Level::error);
  for (std::string& number : done.numbers) {
    if (reply.exit == exit_ok)
      announced_.push_back({std::move(number), snapshot_->digest, reply});
    else
      answer(number, reply);
  }
  // Not from here: whoever asked for this one is on the stack.
  if (reload_) loop_.defer([this] { begin_reload(); });
}

// --- before interfaces come up

int run_boot(const Options& options) {
  rules::Diagnostics diagnostics;
  ListStore store(options.state);
  store.begin();
  Bundle bundle = read_bundle(options.config, options.state, store, diagnostics);
  rules::Loaded loaded;
  if (!rules::has_errors(diagnostics)) loaded = open_bundle(bundle, diagnostics);
  if (rules::has_errors(diagnostics) || !loaded.snapshot) {
    log_lines(tell(diagnostics), logging::Level::error);
    store.discard(bundle.lists.suffix);
    return exit_bad_input;
  }
  if (pid_t child = store.keep(bundle.lists); child > 0) waitpid(child, nullptr, 0);
  auto done = apply_closed_part(loaded.settings, *loaded.snapshot);
  if (done) return exit_ok;
  logging::error(done.error().message);
  return exit_failure;
}

}  // namespace sluiced

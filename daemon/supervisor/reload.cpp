// The supervisor's loading and reloading: everything is built before anything changes.
//
//   asked -> the files' text is read -> the lists are compiled, unless nothing about them has changed -> built
//         -> ruleset and gateway adopt it -> whoever asked is answered once the gateway judges by it
//
// Compiling takes seconds for millions of names, so it runs beside everything else; whoever asks meanwhile has the next
// one.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <utility>

#include "base/sys/memory_file.hpp"
#include "daemon/diagnostic_text.hpp"
#include "daemon/kept_text.hpp"
#include "daemon/log.hpp"
#include "daemon/supervisor/means.hpp"
#include "daemon/supervisor/supervisor.hpp"
#include "rules/list_inputs.hpp"

namespace sluiced {

namespace {

// What was in force last, for a boot that finds the admin's files with an error in them.
std::string last_good_path(const std::string& state) {
  return state + "/policy.last";
}

void keep_last_good(const std::string& state, const Bundle& bundle) {
  auto config = base::sys::MappedFile::map(bundle.config.get());
  if (!config) return;
  KeptText kept(last_good_path(state));
  std::string text(base::as_text(config->bytes()));
  if (kept.text() != text) kept.write(text);
}

}  // namespace

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
  keep_last_good(options_.state, bundle_);
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
  if (!reload) reload = Reload{};
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
  if (stopping_) return refuse("the daemon is stopping\n");
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

  hear_gateway();  // building has taken its time: whether it lives is asked now
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
  if (before != snapshot_->digest) keep_last_good(options_.state, bundle_);
  prepare_log_directory();
  reaches_looked_at_ = {};
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

// --- without running: before interfaces come up, and before a restart

namespace {

struct Trial {
  ListStore store;
  Bundle bundle;
  rules::Loaded loaded;
};

// Nullopt, and said: something is wrong with the files.
std::optional<Trial> try_files(const Options& options) {
  rules::Diagnostics diagnostics;
  Trial trial{ListStore(options.state), {}, {}};
  trial.store.begin();
  trial.bundle = read_bundle(options.config, options.state, trial.store, diagnostics);
  if (!rules::has_errors(diagnostics)) trial.loaded = open_bundle(trial.bundle, diagnostics);
  bool good = !rules::has_errors(diagnostics) && trial.loaded.snapshot;
  if (options.check || !good) log_lines(tell(diagnostics), good ? logging::Level::warning : logging::Level::error);
  if (good) return trial;
  trial.store.discard(trial.bundle.lists.suffix);
  return std::nullopt;
}

// Under the files that were in force last, and the lists as they were compiled last.
std::optional<Trial> last_good(const Options& options) {
  Trial trial{ListStore(options.state), {}, {}};
  trial.bundle.config.reset(::open(last_good_path(options.state).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  auto lists = trial.store.last();
  if (!trial.bundle.config || !lists) return std::nullopt;
  trial.bundle.lists = std::move(*lists);
  rules::Diagnostics ignored;
  trial.loaded = open_bundle(trial.bundle, ignored);
  if (!trial.loaded.snapshot || rules::has_errors(ignored)) return std::nullopt;
  logging::notice("the closed groups are those of the configuration that was in force last");
  return trial;
}

void keep_lists(Trial& trial) {
  if (pid_t child = trial.store.keep(trial.bundle.lists); child > 0) waitpid(child, nullptr, 0);
}

}  // namespace

int run_boot(const Options& options) {
  if (auto confined = confine_supervisor(); !confined) {
    logging::error(confined.error().message);
    return exit_failure;
  }
  auto trial = try_files(options);
  bool good = trial.has_value();
  if (!good) trial = last_good(options);
  if (!trial) return exit_bad_input;
  if (good) keep_lists(*trial);
  std::error_code error;
  std::filesystem::create_directories(options.run, error);
  // A daemon that lives has rules of its own, which are not to be replaced.
  base::sys::UniqueFd lock(open((options.run + "/sluiced.lock").c_str(), O_RDWR | O_CLOEXEC));
  if (lock && flock(lock.get(), LOCK_EX | LOCK_NB) != 0) return good ? exit_ok : exit_bad_input;
  auto done = apply_closed_part(trial->loaded.settings, *trial->loaded.snapshot, options.run);
  if (done) return good ? exit_ok : exit_bad_input;
  logging::error(done.error().message);
  return exit_failure;
}

int run_check(const Options& options) {
  constexpr unsigned check_limit_s = 600;  // lists have 300 to compile; whoever waits for a restart must hear some day
  alarm(check_limit_s);
  if (auto confined = confine_supervisor(); !confined) {
    logging::error(confined.error().message);
    return exit_failure;
  }
  auto trial = try_files(options);
  if (!trial) return exit_bad_input;
  keep_lists(*trial);
  if (auto means = means_to_run(trial->loaded.settings); !means) {
    logging::error(means.error().message);
    return exit_bad_input;
  }
  if (!wants_authority(*trial->loaded.snapshot)) return exit_ok;
  auto authority = open_authority(trial->loaded.settings, options.state);
  if (authority) return exit_ok;
  logging::error(authority.error().message);
  return exit_bad_input;
}

}  // namespace sluiced

#include "daemon/helper/helper.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <random>

#include "base/sys/memory_file.hpp"
#include "base/text.hpp"
#include "daemon/diagnostic_text.hpp"
#include "daemon/helper/fetch_issuer.hpp"
#include "daemon/log.hpp"
#include "daemon/process.hpp"

namespace sluiced {
namespace {

using namespace std::chrono_literals;
using control::Json;
using control::Reply;

constexpr base::Duration first_retry = 1min;
constexpr std::size_t most_issuers = 16;    // threads, until all of them have ended
constexpr off_t longest_history = 1 << 20;  // of updates.jsonl; then it begins anew and the old one is kept beside it

std::string time_text(base::WallTime time) {
  if (time == base::WallTime{}) return "";
  std::int64_t seconds = std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
  std::tm parts{};
  std::time_t value = seconds;
  gmtime_r(&value, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

double random_share() {
  static std::mt19937 generator(std::random_device{}());
  return std::uniform_real_distribution<>(0, 1)(generator);
}

bool is_trouble(UpdateResult result) {
  return result == UpdateResult::refused || result == UpdateResult::failed;
}

std::string last_trouble_text(const ListState& state) {
  return std::string(word_of(state.result)) + ": " + state.reason;
}

}  // namespace

Helper::Helper(const Options& options)
    : options_(options),
      supervisor_(base::sys::UniqueFd(role_channel_fd)),
      identities_(loop_, options.state, [this](const std::string& text) {
        return gateway_ && gateway_.send(MessageType::identities, text);
      }) {}

Helper::~Helper() {
  give_up_ = true;
  if (worker_.joinable()) worker_.join();
  for (std::thread& each : issuer_threads_) each.join();
}

int Helper::run() {
  supervisor_ear_.hear = [this] { hear_supervisor(); };
  keeper_ear_.hear = [this] { hear_keeper(); };
  loop_.add(supervisor_.fd(), EPOLLIN, &supervisor_ear_);
  loop_.every(1s, [this] { supervisor_.send(MessageType::alive); });
  loop_.every(200ms, [this] { tend(); });
  loop_.every(100ms, [this] { identities_.tend(); });
  loop_.run();
  return exit_ok;
}

void Helper::hear_supervisor() {
  Message message;
  for (;;) {
    Channel::State state = supervisor_.receive(message);
    if (state == Channel::State::empty) return;
    if (state == Channel::State::closed) return loop_.stop();
    if (message.type == MessageType::policy) {
      adopt_metrics(message.text);
      if (working_ != nullptr) {
        next_policy_ = std::make_unique<Message>(std::move(message));
      } else {
        adopt(message);
      }
    } else if (message.type == MessageType::peer && !message.fds.empty()) {
      if (keeper_) loop_.remove(keeper_.fd());
      keeper_ = Channel(std::move(message.fds[0]));
      loop_.add(keeper_.fd(), EPOLLIN, &keeper_ear_);
      trouble_.clear();
      send_trouble();
    } else if (message.type == MessageType::gateway_peer && !message.fds.empty()) {
      if (gateway_) loop_.remove(gateway_.fd());
      gateway_ = Channel(std::move(message.fds[0]));
      gateway_ear_.hear = [this] { hear_gateway(); };
      loop_.add(gateway_.fd(), EPOLLIN, &gateway_ear_);
      identities_.meet_gateway();
    } else if (message.type == MessageType::identity_secrets) {
      identities_.begin(message.text);
    }
  }
}

void Helper::hear_gateway() {
  Message message;
  while (gateway_) {
    Channel::State state = gateway_.receive(message);
    if (state == Channel::State::empty) return;
    if (state == Channel::State::closed) {
      loop_.remove(gateway_.fd());
      return gateway_.close();
    }
    if (message.type == MessageType::fetch_issuer) look_for_issuer(message.text);
  }
}

void Helper::look_for_issuer(const std::string& url) {
  if (issuers_running_ == 0) {
    for (std::thread& each : issuer_threads_) each.join();
    issuer_threads_.clear();
  }
  if (issuer_threads_.size() >= most_issuers) {
    gateway_.send(MessageType::issuer, url + "\n");
    return;
  }
  ++issuers_running_;
  issuer_threads_.emplace_back([this, url] {
    auto fetched = fetch_issuer(url);
    if (!fetched) logging::info("no intermediate certificate from " + url + ": " + fetched.error().message);
    loop_.post([this, url, bytes = fetched ? *fetched : std::string{}] {
      --issuers_running_;
      gateway_.send(MessageType::issuer, url + "\n" + bytes);
    });
  });
}

// The configuration in force: which lists there are, and what the rules refuse.
void Helper::adopt(const Message& message) {
  if (message.fds.empty()) return;
  auto mapped = base::sys::MappedFile::map(message.fds[0].get());
  auto text = mapped ? rules::unpack_config(base::as_text(mapped->bytes())) : std::nullopt;
  if (!text) return logging::error("the configuration came damaged");
  rules::Diagnostics ignored;  // told by the supervisor
  refused_ = rules::refused_targets(*text);
  for (const Waiting& each : std::exchange(waiting_, {}))
    reply(each.number, {1, "sluicectl: the configuration has changed meanwhile; ask again\n", {{"error", "reloaded"}}});
  lists_.clear();
  for (rules::ListDeclaration& list : rules::list_declarations(*text, {options_.state, ""}, ignored)) {
    if (!list.update) continue;
    std::string name = list.name;
    std::string folder = options_.state + "/lists/" + name;
    auto entry = std::make_unique<Entry>(Entry{FetchedList(folder, std::move(list)), {}, {}, {}, false});
    if (auto recovered = entry->list.recover(); !recovered) logging::error(recovered.error().message);
    entry->shown = entry->list.state();
    schedule(*entry);
    lists_.push_back(std::move(entry));
  }
  send_trouble();
}

// "ADDRESS:PORT N": where metrics are served, if anywhere, and how many clients may have series of their own. The place
// changes with a restart only.
void Helper::adopt_metrics(const std::string& settings) {
  auto fields = base::split(settings, ' ');
  if (fields.size() != 2) return;
  metrics_clients_ = fields[1];
  auto where = base::Endpoint::parse(fields[0]);
  if (metrics_ || !where) return;
  metrics_ = std::make_unique<MetricsEndpoint>(loop_, *where, [this](std::uint64_t number) {
    return keeper_.send(MessageType::metrics_wanted, std::to_string(number) + "\n" + metrics_clients_);
  });
}

Helper::Entry* Helper::find(const std::string& name) {
  for (auto& entry : lists_)
    if (entry->list.declaration().name == name) return entry.get();
  return nullptr;
}

// --- when

void Helper::schedule(Entry& entry) {
  const ListState& state = entry.list.state();
  base::Duration every = entry.list.declaration().update->every;
  base::Duration pause = every;
  if (state.failures > 0) {
    pause = first_retry;
    for (std::uint64_t i = 1; i < state.failures && pause < every; ++i) pause *= 2;
    pause = std::min(pause, every);
  }
  pause += std::chrono::duration_cast<base::Duration>(pause * (random_share() / 10));
  // A clock that was set back says nothing about what has passed since the last check.
  base::Duration passed = std::max<base::Duration>(wall_now() - state.last_check, base::Duration{});
  bool at_once = !entry.list.is_here() && state.failures == 0;
  entry.due = loop_.now() + (at_once ? base::Duration{} : std::max(pause - passed, base::Duration{}));
}

void Helper::tend() {
  if (working_ != nullptr) return;
  for (auto& entry : lists_)
    if (entry->force || !entry->waiting.empty() || loop_.now() >= entry->due) return work_on(*entry);
}

// --- one check

void Helper::work_on(Entry& entry) {
  working_ = &entry;
  if (worker_.joinable()) worker_.join();
  bool force = std::exchange(entry.force, false);
  worker_ = std::thread([this, &entry, force, refused = refused_] {
    bool changed = entry.list.update(refused, force, wall_now(), give_up_);
    loop_.post([this, &entry, changed] { finish(entry, changed); });
  });
}

void Helper::finish(Entry& entry, bool changed) {
  working_ = nullptr;
  entry.shown = entry.list.state();
  schedule(entry);
  tell_outcome(entry);
  if (changed) supervisor_.send(MessageType::lists_changed);
  entry.waiting.clear();
  const std::string& name = entry.list.declaration().name;
  std::erase_if(waiting_, [&](Waiting& each) {
    std::erase(each.lists, name);
    if (!each.lists.empty()) return false;
    Reply reply;
    Json lists = Json::array();
    for (const std::string& asked : each.asked) {
      Entry* done = find(asked);
      if (done == nullptr) continue;
      const ListState& state = done->shown;
      bool trouble = is_trouble(state.result);
      reply.text += asked + ": " + (trouble ? last_trouble_text(state) : word_of(state.result)) + "\n";
      lists.push_back({{"list", asked}, {"result", word_of(state.result)}, {"reason", trouble ? state.reason : ""}});
      if (trouble) reply.exit = 1;
    }
    reply.data = {{"lists", lists}};
    this->reply(each.number, reply);
    return true;
  });
  if (next_policy_) adopt(*std::exchange(next_policy_, nullptr));
}

void Helper::tell_outcome(const Entry& entry) {
  const ListState& state = entry.shown;
  std::string list = "list '" + entry.list.declaration().name + "': ";
  if (is_trouble(state.result))
    logging::warning(list + "the update is " + last_trouble_text(state) +
                     (entry.list.is_here() ? "; the version in force stays" : "; nothing is in force yet"));
  else if (state.result == UpdateResult::taken)
    logging::notice(list + "a new version with " + std::to_string(state.content.kept) + " entries");
  else
    logging::debug(list + word_of(state.result));
  if (state.result != UpdateResult::unchanged) write_history(entry);
  send_trouble();
}

// STATE/lists/updates.jsonl: what came of each update, for whoever asks later.
void Helper::write_history(const Entry& entry) {
  const ListState& state = entry.shown;
  Json line = {{"time", time_text(state.last_check)}, {"list", entry.list.declaration().name},
               {"result", word_of(state.result)},     {"reason", is_trouble(state.result) ? state.reason : ""},
               {"entries", state.content.kept},       {"categories", state.content.categories.size()}};
  std::string path = options_.state + "/lists/updates.jsonl";
  base::sys::UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644));
  struct stat status;
  if (!file || fstat(file.get(), &status) != 0) return;
  if (status.st_size > longest_history) {
    ::rename(path.c_str(), (path + ".1").c_str());
    file.reset(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644));
  }
  std::string text = line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  [[maybe_unused]] ssize_t written = ::write(file.get(), text.data(), text.size());  // the log has it too
}

// What `status` shows: lists whose last update came to nothing.
void Helper::send_trouble() {
  std::string trouble;
  for (const auto& entry : lists_)
    if (is_trouble(entry->shown.result))
      trouble += "list '" + entry->list.declaration().name + "': " + last_trouble_text(entry->shown) + "\n";
  if (trouble == trouble_ && !trouble.empty()) return;
  trouble_ = std::move(trouble);
  keeper_.send(MessageType::list_trouble, trouble_);
}

// --- questions

void Helper::hear_keeper() {
  Message message;
  while (keeper_) {
    Channel::State state = keeper_.receive(message);
    if (state == Channel::State::empty) return;
    if (state == Channel::State::closed) {
      loop_.remove(keeper_.fd());
      return keeper_.close();
    }
    std::size_t line_end = message.text.find('\n');
    if (line_end == message.text.npos) continue;
    if (message.type == MessageType::metrics && metrics_) {
      auto number = base::parse_number(std::string_view(message.text).substr(0, line_end), ~std::uint64_t{0});
      if (number) metrics_->page_came(*number, message.text.substr(line_end + 1));
    }
    if (message.type != MessageType::query) continue;
    auto request = control::parse_request(std::string_view(message.text).substr(line_end + 1));
    if (request) answer(message.text.substr(0, line_end), *request);
  }
}

void Helper::reply(const std::string& number, const Reply& reply) {
  keeper_.send(MessageType::reply, number + "\n" + control::to_line(reply));
}

void Helper::answer(const std::string& number, const control::Request& request) {
  if (request.verb == "list update") return ask_to_update(number, request);
  if (request.verb == "list rollback") return reply(number, roll_back(request));
  reply(number, stats());
}

Reply Helper::stats() const {
  Reply reply;
  Json lists = Json::array();
  for (const auto& entry : lists_) {
    const ListState& state = entry->shown;
    const rules::ListDeclaration& list = entry->list.declaration();
    auto left = std::chrono::ceil<std::chrono::seconds>(std::max(entry->due - loop_.now(), base::Duration{}));
    base::WallTime next = wall_now() + left;
    lists.push_back({{"list", list.name},
                     {"url", list.update->url},
                     {"entries", state.content.kept},
                     {"ignored", state.content.ignored},
                     {"categories", state.content.categories},
                     {"last_check", time_text(state.last_check)},
                     {"last_change", time_text(state.last_change)},
                     {"next_check", time_text(next)},
                     {"result", word_of(state.result)},
                     {"last_trouble", time_text(state.last_trouble)},
                     {"last_trouble_reason", state.reason}});
    reply.text += list.name + "  " + list.update->url + "\n";
    reply.text += "  entries      " + std::to_string(state.content.kept) + " in " +
                  plural(state.content.categories.size(), "file group") + ", " + std::to_string(state.content.ignored) +
                  " lines ignored\n";
    reply.text += "  last check   " + (state.last_check == base::WallTime{} ? "never" : time_text(state.last_check)) +
                  ": " + (is_trouble(state.result) ? last_trouble_text(state) : word_of(state.result)) + "\n";
    reply.text +=
        "  last change  " + (state.last_change == base::WallTime{} ? "never" : time_text(state.last_change)) + "\n";
    reply.text += "  next check   " + time_text(next) + "\n";
    if (state.last_trouble != base::WallTime{} && !is_trouble(state.result))
      reply.text += "  last trouble " + time_text(state.last_trouble) + ": " + state.reason + "\n";
  }
  reply.data = {{"lists", lists}};
  return reply;
}

void Helper::ask_to_update(const std::string& number, const control::Request& request) {
  auto argument = [&](const char* key) {
    auto found = request.args.find(key);
    return found == request.args.end() ? std::string{} : found->second;
  };
  Waiting waiting{number, {}, {}};
  std::vector<Entry*> entries;
  std::string names = argument("lists");
  for (std::string_view name : base::split(names, '\n')) {
    if (name.empty()) continue;
    Entry* entry = find(std::string(name));
    if (entry == nullptr) {
      std::string why = "no list '" + std::string(name) + "' with a url";
      return reply(number, {2, "sluicectl: " + why + "\n", {{"error", why}}});
    }
    entries.push_back(entry);
  }
  if (names.empty())
    for (auto& entry : lists_) entries.push_back(entry.get());
  for (Entry* entry : entries) {
    entry->force |= argument("force") == "yes";
    entry->waiting.push_back(number);
    waiting.lists.push_back(entry->list.declaration().name);
  }
  waiting.asked = waiting.lists;
  if (entries.empty()) return reply(number, {0, "no list has a url\n", {{"lists", Json::array()}}});
  waiting_.push_back(std::move(waiting));
}

Reply Helper::roll_back(const control::Request& request) {
  auto refuse = [](std::string why) { return Reply{1, "sluicectl: " + why + "\n", {{"error", why}}}; };
  auto name = request.args.find("list");
  Entry* entry = name == request.args.end() ? nullptr : find(name->second);
  if (entry == nullptr) return refuse("no such list with a url");
  if (working_ == entry) return refuse("it is being updated just now; try again");
  auto done = entry->list.roll_back(wall_now());
  if (!done) return refuse(done.error().message);
  entry->shown = entry->list.state();
  write_history(*entry);
  supervisor_.send(MessageType::lists_changed);
  logging::notice("list '" + name->second + "': rolled back to the version before");
  return {0,
          name->second + ": the version before is in force again\n",
          {{"list", name->second}, {"result", "rolled back"}}};
}

int run_helper(const Options& options) {
  return begin_unprivileged_role(Confined::helper, "helper", "sluice-helper", {}) ? Helper(options).run()
                                                                                  : exit_failure;
}

}  // namespace sluiced

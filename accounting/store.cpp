#include "accounting/store.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

namespace accounting {
namespace {

constexpr std::size_t most_files_aside = 2;

Seconds seconds_of(base::WallTime time) {
  return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
}

// "20261126T150121Z"
std::string stamp(base::WallTime now) {
  std::int64_t time = seconds_of(now), day = time - ((time % 86400) + 86400) % 86400, of_day = time - day;
  std::string date = Calendar::date(day);
  std::erase(date, '-');
  char text[16];
  std::snprintf(text, sizeof text, "T%02d%02d%02dZ", static_cast<int>(of_day / 3600),
                static_cast<int>(of_day / 60 % 60), static_cast<int>(of_day % 60));
  return date + text;
}

}  // namespace

Store::Store(StoreSettings settings, Calendar calendar, Ledger::Limits limits)
    : settings_(std::move(settings)), calendar_(std::move(calendar)), ledger_(limits) {}

void Store::flush(base::WallTime now, base::Monotonic uptime) {
  if (tables_ && tables_->database().has_moved()) {
    news_.push_back("the usage store " + settings_.path + " was moved or removed: a new one is begun");
    tables_.reset();
  }
  if (!suspicion_.empty()) move_aside(suspicion_, now);
  // Twice: damage may be found while writing. Not more often: a store that was just begun is not damaged.
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (!ready(now)) return;
    if (write()) break;
    StoreError error = tables_->database().error();
    if (error.damage != Damage::corrupt || fresh_) return failed(error);
    move_aside(error.message, now);
  }
  if (!tables_) return;
  if (!trouble_.empty()) news_.push_back("the usage store " + settings_.path + " is written again; nothing was lost");
  trouble_.clear();
  fresh_ = false;
  follow_clock(seconds_of(now), uptime);
  upkeep(seconds_of(now));
}

// The file is open and has our tables.
bool Store::ready(base::WallTime now) {
  for (int attempt = 0; attempt < 2 && !tables_; ++attempt) {
    std::error_code ignored;
    bool is_new = !std::filesystem::exists(settings_.path, ignored);
    Tables tables;
    auto error = tables.open(settings_.path);
    if (!error) {
      tables_ = std::move(tables);
      fresh_ = is_new;
    } else if (error->damage != Damage::corrupt || attempt > 0) {
      failed(*error);
      return false;
    } else {
      tables = {};
      move_aside(error->message, now);
    }
  }
  return tables_.has_value();
}

bool Store::write() {
  Transaction transaction(tables_->database());
  if (!transaction || !tables_->apply(ledger_, calendar_) || !transaction.commit()) return false;
  ledger_.clear();
  return true;
}

void Store::failed(const StoreError& error) {
  // What the descriptors belong to may be gone (another mount, a disk that came back). On a full disk they are kept:
  // there, none could be opened.
  if (error.damage != Damage::full) tables_.reset();
  say_trouble("the usage store " + settings_.path + " cannot be written: " + error.message +
              "; counts are kept in memory until it can");
}

void Store::say_trouble(const std::string& said) {
  if (said == trouble_) return;
  trouble_ = said;
  news_.push_back(said);
}

void Store::move_aside(const std::string& reason, base::WallTime now) {
  tables_.reset();
  suspicion_.clear();
  std::string aside = settings_.path + ".corrupt-" + stamp(now);
  if (::rename(settings_.path.c_str(), aside.c_str()) != 0)
    return say_trouble("the usage store " + settings_.path + " is damaged (" + reason +
                       ") and cannot be moved aside: " + std::strerror(errno) + "; counts are kept in memory");
  // What the file had not taken in yet belongs to it.
  ::rename((settings_.path + "-wal").c_str(), (aside + "-wal").c_str());
  ::unlink((settings_.path + "-shm").c_str());
  news_.push_back("the usage store " + settings_.path + " is damaged (" + reason + "): it is moved aside to " + aside +
                  " and a new one begun");
  std::vector<std::string> all = files_aside();
  for (std::size_t i = 0; i + most_files_aside < all.size(); ++i) {
    ::unlink(all[i].c_str());
    ::unlink((all[i] + "-wal").c_str());
  }
}

// Oldest first.
std::vector<std::string> Store::files_aside() const {
  std::filesystem::path path(settings_.path);
  std::string prefix = path.filename().string() + ".corrupt-";
  std::vector<std::string> found;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(path.parent_path(), error), end; !error && entry != end;
       entry.increment(error))
    if (std::string name = entry->path().filename(); name.starts_with(prefix) && !name.ends_with("-wal"))
      found.push_back(entry->path().string());
  std::sort(found.begin(), found.end());
  return found;
}

bool Store::with_ledger(const std::function<bool(Tables&)>& ask) {
  if (!tables_) {
    Tables tables;
    if (!tables.open(settings_.path)) tables_ = std::move(tables);  // damage is flush()'s to deal with
  }
  if (tables_) {
    {
      Transaction transaction(tables_->database());
      if (transaction && tables_->apply(ledger_, calendar_) && ask(*tables_)) return true;
    }
    // A disk that cannot be written may still be read; trouble() tells that the newest is missing then.
    if (ask(*tables_)) return true;
    StoreError error = tables_->database().error();
    if (error.damage == Damage::corrupt) suspicion_ = error.message;
    say_trouble("the usage store " + settings_.path + " cannot be read: " + error.message);
  }
  Tables memory;
  if (memory.open(":memory:")) return false;
  Transaction transaction(memory.database());
  return transaction && memory.apply(ledger_, calendar_) && ask(memory);
}

std::optional<Report> Store::usage(const Question& question) {
  std::optional<Report> answer;
  with_ledger([&](Tables& tables) {
    answer = report(tables, calendar_, question);
    return answer.has_value();
  });
  return answer;
}

}  // namespace accounting

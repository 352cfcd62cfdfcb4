#include "daemon/helper/fetched_list.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>

#include <nlohmann/json.hpp>

#include "base/sys/memory_file.hpp"
#include "base/sys/unique_fd.hpp"
#include "base/text.hpp"
#include "daemon/helper/unpack.hpp"
#include "daemon/log.hpp"
#include "policy/domain_index.hpp"

namespace sluiced {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr std::array<const char*, 6> words{"none", "taken", "unchanged", "refused", "failed", "rolled back"};

std::int64_t to_seconds(base::WallTime time) {
  return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
}
base::WallTime from_seconds(std::int64_t seconds) {
  return base::WallTime(std::chrono::seconds(seconds));
}

bool exists(const std::string& path) {
  std::error_code error;
  return fs::exists(fs::symlink_status(path, error));
}

void sync_folder(const std::string& path) {
  base::sys::UniqueFd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder) fsync(folder.get());
}

base::Error failed(const std::string& what) {
  return base::environment_error(what + ": " + std::strerror(errno));
}

// A page that says in a friendly way that there is no list: status 200, and text.
bool looks_like_page(const std::string& path, const std::string& content_type) {
  if (content_type.starts_with("text/html") || content_type.starts_with("application/xhtml")) return true;
  base::sys::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char bytes[512];
  ssize_t size = file ? ::read(file.get(), bytes, sizeof bytes) : 0;
  if (size <= 0) return false;
  std::string begin = base::to_lower(base::trim(std::string_view(bytes, static_cast<std::size_t>(size))));
  return begin.starts_with("<!doctype html") || begin.starts_with("<html") || begin.starts_with("<head");
}

std::uint64_t digest_of(int file) {
  auto mapped = base::sys::MappedFile::map(file);
  return mapped ? XXH3_64bits(mapped->bytes().data(), mapped->bytes().size()) : 0;
}

Json to_json(const ListState& state) {
  return {{"last_check", to_seconds(state.last_check)},
          {"last_change", to_seconds(state.last_change)},
          {"last_trouble", to_seconds(state.last_trouble)},
          {"result", word_of(state.result)},
          {"reason", state.reason},
          {"failures", state.failures},
          {"url", state.url},
          {"etag", state.validators.etag},
          {"last_modified", state.validators.last_modified},
          {"digest", state.digest},
          {"unwanted", state.unwanted},
          {"has_content", state.has_content},
          {"kept", state.content.kept},
          {"ignored", state.content.ignored},
          {"categories", state.content.categories},
          {"canaries", state.content.canaries}};
}

// Throws what Json throws where a value has another type.
ListState from_json(const Json& json) {
  ListState state;
  state.last_check = from_seconds(json.at("last_check"));
  state.last_change = from_seconds(json.at("last_change"));
  state.last_trouble = from_seconds(json.at("last_trouble"));
  std::string result = json.at("result");
  for (std::size_t i = 0; i < words.size(); ++i)
    if (result == words[i]) state.result = static_cast<UpdateResult>(i);
  state.reason = json.at("reason");
  state.failures = json.at("failures");
  state.url = json.at("url");
  state.validators = {json.at("etag"), json.at("last_modified")};
  state.digest = json.at("digest");
  state.unwanted = json.at("unwanted");
  state.has_content = json.at("has_content");
  state.content.kept = json.at("kept");
  state.content.ignored = json.at("ignored");
  state.content.categories = json.at("categories");
  state.content.canaries = json.at("canaries");
  return state;
}

}  // namespace

const char* word_of(UpdateResult result) {
  return words[static_cast<std::size_t>(result)];
}

bool FetchedList::is_here() const {
  return exists(path("current"));
}

base::Result<> FetchedList::recover() {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) return base::environment_error("cannot create " + folder_ + ": " + error.message());
  for (const char* left : {"incoming", "incoming.inner", "download", "state.json.new"})
    fs::remove_all(path(left), error);
  if (!is_here() && exists(path("previous"))) {
    fs::rename(path("previous"), path("current"), error);
    logging::notice("list '" + list_.name + "': an update was cut off; the version before it is back");
  }
  base::sys::UniqueFd file(::open(path("state.json").c_str(), O_RDONLY | O_CLOEXEC));
  auto text = file ? base::sys::MappedFile::map(file.get()) : base::Result<base::sys::MappedFile>(failed("open"));
  state_ = {};
  if (!file || !text) return base::Nothing{};
  try {
    state_ = from_json(Json::parse(base::as_text(text->bytes())));
  } catch (const Json::exception&) {
    logging::warning("list '" + list_.name + "': " + path("state.json") + " is damaged; the list is asked for anew");
  }
  if (!is_here()) state_.has_content = false;
  if (!is_here() || state_.url != list_.update->url) {
    state_.validators = {};
    state_.digest = 0;
    state_.last_check = {};
  }
  return base::Nothing{};
}

// A state that can't be written (a full disk) costs a needless question after the next start.
void FetchedList::write_state() {
  std::string text = to_json(state_).dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  std::string fresh = path("state.json.new");
  base::sys::UniqueFd file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
  bool written = file && ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                 fsync(file.get()) == 0;
  if (!written || ::rename(fresh.c_str(), path("state.json").c_str()) != 0)
    logging::warning("list '" + list_.name + "': " + path("state.json") +
                     " cannot be written: " + std::strerror(errno));
}

bool FetchedList::update(const std::vector<std::string>& refused, bool force, base::WallTime now,
                         const std::atomic<bool>& give_up) {
  std::string reason;
  UpdateResult result = try_update(refused, force, give_up, reason);
  if (give_up) return false;  // a stop is nobody's fault
  std::error_code error;
  fs::remove_all(path("download"), error);
  fs::remove_all(path("incoming"), error);
  state_.url = list_.update->url;
  state_.result = result;
  state_.last_check = now;
  if (result == UpdateResult::taken) state_.last_change = now;
  bool trouble = result == UpdateResult::refused || result == UpdateResult::failed;
  state_.failures = trouble ? state_.failures + 1 : 0;
  if (trouble) {
    state_.last_trouble = now;
    state_.reason = reason;
  }
  write_state();
  return result == UpdateResult::taken;
}

UpdateResult FetchedList::try_update(const std::vector<std::string>& refused, bool force,
                                     const std::atomic<bool>& give_up, std::string& reason) {
  auto fail = [&](UpdateResult result, std::string why) {
    reason = std::move(why);
    return result;
  };
  base::sys::UniqueFd file(::open(path("download").c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!file) return fail(UpdateResult::failed, failed("cannot create " + path("download")).message);
  bool fresh = force || !is_here();
  auto fetched = fetch(list_.update->url, fresh ? Validators{} : state_.validators, file.get(), {}, give_up);
  if (!fetched) return fail(UpdateResult::failed, fetched.error().message);
  if (fetched->unchanged) return UpdateResult::unchanged;
  std::uint64_t digest = digest_of(file.get());
  if (is_here() && digest == state_.digest && digest != 0 && !force) {
    state_.validators = fetched->validators;
    return UpdateResult::unchanged;
  }
  if (digest == state_.unwanted && digest != 0 && !force)
    return fail(UpdateResult::refused, "it is the version that was rolled back");
  auto unpacked = unpack(path("download"), path("incoming"), {});
  if (!unpacked) {
    bool its_fault = unpacked.error().fault == base::Fault::malformed;
    return fail(its_fault ? UpdateResult::refused : UpdateResult::failed, unpacked.error().message);
  }
  if (looks_like_page(path("incoming"), fetched->content_type))
    return fail(UpdateResult::refused, "it is a web page and no list");
  auto content = read_content(path("incoming"));
  if (!content) return fail(UpdateResult::refused, content.error().message);
  if (is_here() && !state_.has_content)  // state.json was lost
    if (auto old = read_content(path("current"))) state_.content = *old, state_.has_content = true;
  const rules::ListContent* before = is_here() && state_.has_content ? &state_.content : nullptr;
  if (auto why = rules::why_not(*list_.update, *content, before, refused, force))
    return fail(UpdateResult::refused, *why);
  if (auto promoted = promote(); !promoted) return fail(UpdateResult::failed, promoted.error().message);
  state_.validators = fetched->validators;
  state_.digest = digest;
  state_.content = std::move(*content);
  state_.has_content = true;
  return UpdateResult::taken;
}

base::Result<rules::ListContent> FetchedList::read_content(const std::string& at) const {
  rules::ListDeclaration candidate = list_;
  candidate.path = at;
  candidate.update.reset();
  rules::Diagnostics diagnostics;
  rules::ListImage image = rules::compile_lists({candidate}, diagnostics);
  for (const rules::Diagnostic& each : diagnostics)
    if (each.severity == rules::Severity::error) return base::malformed(each.message);
  auto index = policy::DomainIndex::open(image.bytes);
  if (!index) return std::move(index).error();
  return rules::content_of(*list_.update, image.reports, *index);
}

base::Result<> FetchedList::promote() {
  std::error_code error;
  fs::remove_all(path("previous"), error);
  if (is_here() && ::rename(path("current").c_str(), path("previous").c_str()) != 0) return failed("rename");
  if (::rename(path("incoming").c_str(), path("current").c_str()) != 0) {
    base::Error why = failed("rename");
    ::rename(path("previous").c_str(), path("current").c_str());
    return why;
  }
  sync_folder(folder_);
  return base::Nothing{};
}

base::Result<> FetchedList::roll_back(base::WallTime now) {
  if (!exists(path("previous"))) return base::environment_error("there is no version before the one in force");
  auto content = read_content(path("previous"));
  if (!content) return std::move(content).error();
  if (::rename(path("current").c_str(), path("incoming").c_str()) != 0 && errno != ENOENT) return failed("rename");
  if (::rename(path("previous").c_str(), path("current").c_str()) != 0) return failed("rename");
  sync_folder(folder_);
  std::error_code error;
  fs::remove_all(path("incoming"), error);
  state_.unwanted = state_.digest;
  state_.digest = 0;
  state_.validators = {};
  state_.content = std::move(*content);
  state_.has_content = true;
  state_.result = UpdateResult::rolled_back;
  state_.last_change = now;
  write_state();
  return base::Nothing{};
}

}  // namespace sluiced

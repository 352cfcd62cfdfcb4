#include "daemon/keeper/access_log.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "daemon/log.hpp"
#include "daemon/loop.hpp"

namespace sluiced {
namespace {

using namespace std::chrono_literals;

constexpr base::Duration retry_period = 10s;  // for a file that could not be opened

// "client" as SLUICE_CLIENT, and so on; what has no single value has no field. A line in squid's form has none.
logging::Fields journal_fields(std::string_view line) {
  logging::Fields fields;
  auto record = nlohmann::json::parse(line, nullptr, false);
  if (!record.is_object()) return fields;
  for (const auto& [key, value] : record.items()) {
    if (!value.is_primitive()) continue;
    std::string name = "SLUICE_" + key;
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
    fields.emplace_back(std::move(name), value.is_string() ? value.get<std::string>() : value.dump());
  }
  return fields;
}

}  // namespace

void AccessLog::open(const std::string& where) {
  if (where == where_ && (file_ || where == "off" || where == "syslog")) return;
  where_ = where;
  reopen();
}

void AccessLog::reopen() {
  file_.reset();
  torn_ = false;
  opened_ = monotonic_now();
  if (where_ == "off" || where_ == "syslog") trouble_.clear();
  if (where_ == "off" || where_ == "syslog") return;
  // O_NONBLOCK: a pipe that nobody reads is trouble to be told of, not something to wait for.
  file_.reset(::open(where_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640));
  if (!file_) return complain(std::string("cannot be opened: ") + std::strerror(errno));
  trouble_.clear();
}

void AccessLog::write(std::string_view lines) {
  if (where_ == "off") return;
  if (where_ == "syslog") return write_to_syslog(lines);
  auto count = [](std::string_view text) {
    return static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n'));
  };
  if (!file_ && monotonic_now() - opened_ > retry_period) reopen();
  if (!file_) {
    lost_ += count(lines);
    return;
  }
  std::string mended;
  std::string_view left = lines;
  if (torn_) left = mended.assign(1, '\n').append(lines);
  while (!left.empty()) {
    ssize_t written = ::write(file_.get(), left.data(), left.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      lost_ += std::min(count(left), count(lines));
      return complain(std::string("cannot be written: ") + std::strerror(errno) + "; lines are lost, traffic goes on");
    }
    auto size = static_cast<std::size_t>(written);
    if (size > 0) torn_ = left[size - 1] != '\n';
    left.remove_prefix(size);
  }
  all_is_well();
}

void AccessLog::write_to_syslog(std::string_view lines) {
  for (std::size_t start = 0; start < lines.size();) {
    std::size_t end = std::min(lines.find('\n', start), lines.size());
    std::string_view line = lines.substr(start, end - start);
    if (logging::to_the_journal("sluice", line, journal_fields(line))) {
      all_is_well();
    } else if (auto sent = syslog_.send(line); sent) {
      all_is_well();
    } else {
      ++lost_;
      complain(sent.error().message + "; lines are lost, traffic goes on");
    }
    start = end + 1;
  }
}

void AccessLog::all_is_well() {
  if (trouble_.empty()) return;
  logging::notice("access log " + where_ + " is written again; " + std::to_string(lost_) + " lines were lost so far");
  trouble_.clear();
}

void AccessLog::complain(const std::string& what) {
  if (trouble_ == what) return;
  trouble_ = what;
  logging::error("access log " + where_ + " " + what);
}

}  // namespace sluiced

#include "daemon/access_log.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "daemon/log.hpp"

namespace sluiced {

void AccessLog::open(const std::string& where) {
  if (where == where_ && (file_ || where == "off" || where == "syslog")) return;
  where_ = where;
  reopen();
}

void AccessLog::reopen() {
  file_.reset();
  torn_ = false;
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
    if (auto sent = syslog_.send(lines.substr(start, end - start)); sent) {
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

#include "daemon/supervisor/ruleset_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/sys/unique_fd.hpp"
#include "base/sys/write_all.hpp"
#include "daemon/log.hpp"

namespace sluiced {
namespace {

bool write_file(const std::string& path, std::string_view text) {
  base::sys::UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
  return file && base::sys::write_all(file.get(), text);
}

}  // namespace

void RulesetFile::keep(const std::string& text) {
  std::string fresh = path_ + ".new", complaint;
  if (!write_file(fresh, text) || ::rename(fresh.c_str(), path_.c_str()) != 0) {
    complaint =
        "cannot write " + path_ + ": " + std::strerror(errno) + "; a firewall's restart cannot include our rules";
    ::unlink(fresh.c_str());
    remove();  // an old one would be wrong
  }
  if (!complaint.empty() && complaint != complaint_) logging::warning(complaint);
  complaint_ = complaint;
}

void RulesetFile::remove() {
  ::unlink(path_.c_str());
}

}  // namespace sluiced

#include "daemon/lease_files.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <tuple>

#include "base/sys/unique_fd.hpp"
#include "daemon/diagnostic_text.hpp"
#include "daemon/log.hpp"

namespace sluiced {
namespace {

using namespace std::chrono_literals;

constexpr base::Duration longest_change = 1s;  // a file that changes all the time is read all the same
constexpr int most_tries = 8;                  // looks; two seconds of them

// Kea writes on into a new file while it cleans up what it had: both count (its ADMIN guide, "lease file cleanup").
std::vector<std::string> parts_of(const std::string& path) {
  if (!path.ends_with(".csv")) return {path};
  if (access((path + ".completed").c_str(), F_OK) == 0) return {path + ".completed", path};
  return {path + ".2", path + ".1", path};
}

// 0, or an errno.
int append_file(const std::string& path, std::string& text) {
  // O_NONBLOCK: a FIFO in a file's place must not hold us.
  base::sys::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat status;
  if (!file || fstat(file.get(), &status) != 0) return errno;
  if (!S_ISREG(status.st_mode)) return EINVAL;
  if (status.st_size > LeaseFiles::longest_file) return EFBIG;
  char buffer[65536];
  for (;;) {
    ssize_t count = ::read(file.get(), buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno;
    if (count == 0) return 0;
    text.append(buffer, static_cast<std::size_t>(count));
    if (text.size() > static_cast<std::size_t>(LeaseFiles::longest_file)) return EFBIG;
  }
}

auto time_of(const timespec& time) {
  return std::tuple(time.tv_sec, time.tv_nsec);
}

}  // namespace

const std::vector<std::string>& usual_lease_files() {
  static const std::vector<std::string> paths = {"/var/lib/misc/dnsmasq.leases",
                                                 "/tmp/dhcp.leases",
                                                 "/tmp/hosts/odhcpd",
                                                 "/var/lib/dhcp/dhcpd.leases",
                                                 "/var/lib/kea/kea-leases4.csv",
                                                 "/var/lib/kea/kea-leases6.csv"};
  return paths;
}

LeaseFiles::LeaseFiles(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    File file;
    file.path = path;
    files_.push_back(std::move(file));
  }
}

bool LeaseFiles::State::operator==(const State& other) const {
  return std::tuple(exists, time_of(written), size, inode) ==
         std::tuple(other.exists, time_of(other.written), other.size, other.inode);
}

LeaseFiles::State LeaseFiles::state_of(const std::string& path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0) return {};
  return {true, status.st_mtim, status.st_size, status.st_ino};
}

bool LeaseFiles::look(base::Monotonic now) {
  bool changed = false;
  for (File& file : files_) changed |= look_at(file, now);
  return changed;
}

bool LeaseFiles::look_at(File& file, base::Monotonic now) {
  State state = state_of(file.path);
  bool is_still = state == file.seen;
  file.seen = state;
  if (state == file.read && file.tries == 0) {
    file.changing_since = {};
    return false;
  }
  if (file.changing_since == base::Monotonic{}) file.changing_since = now;
  bool at_once = file.read == State{};  // the first time: nobody has anything to lose
  if (!is_still && !at_once && now - file.changing_since < longest_change) return false;
  file.changing_since = {};
  return read(file);
}

bool LeaseFiles::read(File& file) {
  State before = state_of(file.path);
  std::string text;
  int error = 0;
  if (before.exists)
    for (const std::string& part : parts_of(file.path)) {
      int failed = append_file(part, text);
      if (failed != 0 && (failed != ENOENT || part == file.path)) error = failed;
    }
  if (error != 0 && error != ENOENT) {
    say_once(file, std::string("cannot be read: ") + std::strerror(error));
    file.read = before;
    file.tries = 0;
    return false;  // what it said last holds, each lease until its end
  }
  auto parsed = proto::dhcp::parse_leases(text);
  bool looks_cut = before.exists && (parsed.cut || (text.empty() && !file.leases.empty()));
  file.tries = looks_cut && file.tries < most_tries ? file.tries + 1 : 0;
  file.read = before;
  if (looks_cut && file.tries > 0) {
    for (const proto::dhcp::Lease& old : file.leases) {
      bool is_there = std::any_of(parsed.leases.begin(), parsed.leases.end(),
                                  [&](const proto::dhcp::Lease& each) { return each.address == old.address; });
      if (!is_there) parsed.leases.push_back(old);
    }
    std::sort(parsed.leases.begin(), parsed.leases.end(),
              [](const auto& a, const auto& b) { return a.address < b.address; });
  } else if (parsed.skipped > 0) {
    say_once(file, "has " + plural(parsed.skipped, "line") + " that cannot be understood");
  } else {
    file.said = false;
  }
  bool changed = parsed.leases != file.leases;
  file.leases = std::move(parsed.leases);
  return changed;
}

void LeaseFiles::say_once(File& file, const std::string& what) {
  if (!std::exchange(file.said, true)) logging::warning("leases: " + file.path + " " + what);
}

std::vector<proto::dhcp::Lease> LeaseFiles::leases() const {
  std::vector<const File*> by_time;
  for (const File& file : files_) by_time.push_back(&file);
  std::stable_sort(by_time.begin(), by_time.end(),
                   [](const File* a, const File* b) { return time_of(a->read.written) < time_of(b->read.written); });
  std::map<base::IpAddress, proto::dhcp::Lease> all;
  for (const File* file : by_time)
    for (const proto::dhcp::Lease& lease : file->leases) all.insert_or_assign(lease.address, lease);
  std::vector<proto::dhcp::Lease> leases;
  for (auto& [address, lease] : all) leases.push_back(std::move(lease));
  return leases;
}

}  // namespace sluiced

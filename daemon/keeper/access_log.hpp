// The access log's file (or syslog). Lines come whole; a full disk costs lines, which are counted and said once, and
// never holds anything up: the traffic does not wait for its log.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/sys/unique_fd.hpp"
#include "base/time.hpp"
#include "daemon/keeper/syslog_socket.hpp"

namespace sluiced {

class AccessLog {
 public:
  explicit AccessLog(SyslogSocket syslog = SyslogSocket()) : syslog_(std::move(syslog)) {}

  // "off", "syslog" or a path. An unwritable path is said with its reason; lines are then lost until reopen() works, which write() tries
  // now and then.
  void open(const std::string& where);
  void reopen();  // after logrotate moved the file
  void write(std::string_view lines);
  std::uint64_t lost() const { return lost_; }
  const std::string& trouble() const { return trouble_; }  // empty: all is well

 private:
  void write_to_syslog(std::string_view lines);  // under systemd straight to the journal, each field a field of its own
  void complain(const std::string& what);
  void all_is_well();

  std::string where_ = "off";
  SyslogSocket syslog_;
  base::sys::UniqueFd file_;
  base::Monotonic opened_{};  // or tried to
  bool torn_ = false;         // the file's last line lacks its end: the disk was full
  std::uint64_t lost_ = 0;
  std::string trouble_;
};

}  // namespace sluiced

// Lines to the local syslog daemon, as what listens at /dev/log reads them: "<30>Nov 26 15:25:32 sluice[812]: line".
//
// That is the header of libc's syslog(3), not RFC 5424's: rsyslog, syslog-ng, journald, busybox and OpenWrt's logd all take
// it apart, and none of the last three reads a 5424 header from a local socket (it would become part of the message). A
// daemon that sends on speaks RFC 5424 to others.
//
// Unlike syslog(3) it tells of lines that are lost, and a syslog daemon that hangs holds us up once and for 200 ms, not
// for ever: its queue is short (net.unix.max_dgram_qlen, often 10), so that a burst is worth waiting for.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"
#include "base/sys/unique_fd.hpp"

namespace sluiced {

class SyslogSocket {
 public:
  explicit SyslogSocket(std::string path = "/dev/log") : path_(std::move(path)) {}

  // Opens the socket where that is needed, also after the syslog daemon has begun anew.
  base::Result<> send(std::string_view line);

 private:
  bool connect();

  std::string path_;
  base::sys::UniqueFd socket_;
  bool stalled_ = false;  // the last one waited in vain: the next does not wait
};

}  // namespace sluiced

// The lease files of DHCP servers, watched. Thin: it looks, reads, and has proto/dhcp say what is in them.
//
// A file is read when its time, size or inode has changed and has then been still for one look, or for a second in any
// case: servers write in place. One that looks cut (it ends inside a line, or has become empty) keeps the leases that it
// does not have any more, and is read again at the next looks; after some of them it is believed.
#pragma once

#include <sys/stat.h>

#include <map>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "proto/dhcp/leases.hpp"

namespace sluiced {

// Where servers keep them: dnsmasq (Debian, OpenWrt), odhcpd, ISC dhcpd, Kea.
const std::vector<std::string>& usual_lease_files();

class LeaseFiles {
 public:
  static constexpr off_t longest_file = 16 << 20;

  explicit LeaseFiles(const std::vector<std::string>& paths);

  // Call a few times a second. True: something is different.
  bool look(base::Monotonic now);
  // Of all files; of one address the lease in the file that was written last.
  std::vector<proto::dhcp::Lease> leases() const;

 private:
  struct State {  // of a file, as stat(2) tells it
    bool exists = false;
    timespec written{};
    off_t size = 0;
    ino_t inode = 0;
    bool operator==(const State& other) const;
  };
  struct File {
    std::string path;
    State read, seen;  // as it was when it was read; at the last look
    base::Monotonic changing_since{};
    int tries = 0;  // of reading it whole
    bool said = false;
    std::vector<proto::dhcp::Lease> leases;
  };
  static State state_of(const std::string& path);
  bool look_at(File& file, base::Monotonic now);
  bool read(File& file);
  void say_once(File& file, const std::string& what);

  std::vector<File> files_;
};

}  // namespace sluiced

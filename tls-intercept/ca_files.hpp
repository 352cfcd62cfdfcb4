// The CA on disk: where its files are, who may read them, how they come and go.
//
//   ca.crt ca.key        in force (paths of [tls_intercept])
//   next.crt next.key    prepared: devices are given this one already, `ca rotate` puts it into force
//   previous.crt         what was in force before the last rotation; its key is gone
//
// The last three lie beside ca.crt. Every file is written beside its place, synced, and then put there whole. What is cut
// off in the middle (power, a full disk) leaves either nothing to see or a state that the same verb finishes:
//
//   making     the key comes first. A key without a certificate was never in use; making says to remove it.
//   rotation   previous.crt, ca.key, ca.crt, then next.* goes. As long as next.crt is there, it begins again; if ca.crt says
//              the same as next.crt, only the tidying is left. In between ca.key and ca.crt may not belong together, which
//              loading refuses.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.hpp"
#include "base/sys/unique_fd.hpp"
#include "tls-intercept/ca.hpp"

namespace tls_intercept {

struct CaPaths {
  std::string certificate, key;
  std::string beside(const char* name) const;  // "next.crt": in the certificate's folder
  CaPaths next() const { return {beside("next.crt"), beside("next.key")}; }
};

// The key, open for reading, after its mode was checked: a key that others can read is refused, with the fix.
base::Result<base::sys::UniqueFd> open_key(const std::string& path);
base::Result<std::string> read_certificate_file(const std::string& path);
bool exists(const std::string& path);

// Both files, checked as load_ca does and named in what it says.
base::Result<Ca> load_ca_files(const CaPaths& paths, std::int64_t now);

// Writes both or neither; never over something that is there. The key is 0600, the certificate 0644; a folder that is
// missing is made, 0755.
base::Result<> write_ca(const CaPaths& paths, const CaText& text);
// next becomes current, current becomes previous.
base::Result<> rotate(const CaPaths& paths, std::int64_t now);

}  // namespace tls_intercept

// The CA on disk: where its files are, who may read them, how they come and go.
//
//   ca.crt ca.key        in force (paths of [tls_intercept])
//   next.crt next.key    prepared: devices are given this one already, `ca rotate` puts it into force
//   previous.crt         what was in force before the last rotation
#pragma once

#include <string>

#include "base/result.hpp"
#include "base/sys/unique_fd.hpp"
#include "tls-intercept/ca.hpp"

namespace tls_intercept {

struct CaPaths {
  std::string certificate, key;
  std::string beside(const char* name) const;  // "next.crt": in the certificate's folder
};

// The key, open for reading, after its mode was checked: a key that others can read is refused, with the fix.
base::Result<base::sys::UniqueFd> open_key(const std::string& path);
base::Result<std::string> read_certificate_file(const std::string& path);
bool exists(const std::string& path);

// Writes both or neither; never over something that is there. The key is 0600, the certificate 0644.
base::Result<> write_ca(const std::string& certificate_path, const std::string& key_path, const CaText& text);
// next becomes current, current becomes previous.
base::Result<> rotate(const CaPaths& paths);

}  // namespace tls_intercept

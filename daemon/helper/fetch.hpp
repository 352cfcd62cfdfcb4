// One download by libcurl, to a file: HTTP and HTTPS with certificates verified, a time limit, a size limit, and the
// validators of the last copy so that an unchanged one is not sent again (RFC 9110 13.1: If-None-Match,
// If-Modified-Since). Blocks; the caller gives it a thread.
//
// SSL_CERT_FILE in the environment replaces the system's bundle of certificates.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "base/result.hpp"

namespace sluiced {

struct Validators {
  std::string etag, last_modified;  // as the origin sent them; empty: none
};

struct Fetched {
  bool unchanged = false;  // 304: nothing was written
  std::uint64_t bytes = 0;
  std::string content_type;
  Validators validators;
};

struct FetchLimits {
  std::uint64_t bytes = 256u << 20;
  long seconds = 600;
  long slow_bytes_a_second = 256, slow_seconds = 60;  // slower than this for so long: given up
};

// Writes the body to `file` (from its start). The error says what went wrong: no connection, a certificate, a status,
// a limit. `give_up`, set from another thread, ends it within a second.
base::Result<Fetched> fetch(const std::string& url, const Validators& known, int file, const FetchLimits& limits,
                            const std::atomic<bool>& give_up);

}  // namespace sluiced

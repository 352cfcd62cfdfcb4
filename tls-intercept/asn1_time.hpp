// Times in certificates (RFC 5280 4.1.2.5) as numbers and as days.
#pragma once

#include <cstdint>
#include <string>

#include "tls-intercept/openssl_types.hpp"

namespace tls_intercept {

std::int64_t seconds_of(const ASN1_TIME* time);  // since 1970; 0 if it cannot be read
std::string date_of(const ASN1_TIME* time);      // "2026-03-01"; "an unknown day"

}  // namespace tls_intercept

#include "tls-intercept/asn1_time.hpp"

#include <cstdio>
#include <ctime>

namespace tls_intercept {

std::int64_t seconds_of(const ASN1_TIME* time) {
  tm broken{};
  return ASN1_TIME_to_tm(time, &broken) == 1 ? static_cast<std::int64_t>(timegm(&broken)) : 0;
}

std::string date_of(const ASN1_TIME* time) {
  tm broken{};
  if (ASN1_TIME_to_tm(time, &broken) != 1) return "an unknown day";
  char text[40];
  std::snprintf(text, sizeof text, "%04d-%02d-%02d", broken.tm_year + 1900, broken.tm_mon + 1, broken.tm_mday);
  return text;
}

}  // namespace tls_intercept

// The local certificate authority: making one, reading it, and the forms in which devices take its certificate.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "tls-intercept/openssl_types.hpp"

namespace tls_intercept {

struct Ca {
  X509Ptr certificate;
  PkeyPtr key;
};

struct CaOptions {
  std::string
      name;  // subject CN, at most 64 characters; empty: "sluice local CA" and random digits, so that no two are alike
  bool rsa = false;  // RSA-3072 for clients without ECDSA; else P-256
  int days = 3650;
  // DNS names that it may sign for, with what is below them; empty: all. Whoever steals the key of such a CA can pose as
  // nobody else: beside these it may sign for the gateway's own page only (its name, and private addresses).
  std::vector<std::string> permitted;
};

struct CaText {
  std::string certificate, key;  // PEM
};

// A self-signed root with a key of its own: critical basicConstraints (pathlen 0) and keyUsage, a subjectKeyIdentifier, a
// random serial, permitted names as critical nameConstraints (RFC 5280 4.2.1.10). `now`: seconds since 1970. Refused: a clock
// that was never set (devices would find the CA expired), a name or a domain that is none.
base::Result<CaText> make_ca(const CaOptions& options, std::int64_t now);

// Refused: not PEM, a key that belongs to another certificate, a certificate that is no CA's or has expired.
base::Result<Ca> load_ca(std::string_view certificate, std::string_view key, std::int64_t now);

struct CaDescription {
  std::string subject, fingerprint;  // the CN (without one the whole name); SHA-256, "AA:BB:..."
  std::string serial;                // hexadecimal
  bool is_ca = false;
  std::string key;                                          // "P-256", "RSA-3072"
  std::string not_before, not_after;                        // "2026-11-26"
  std::int64_t ends = 0;                                    // seconds since 1970
  std::vector<std::string> permitted, permitted_addresses;  // "school.example"; "10.0.0.0/8". Both empty: no constraint
};
base::Result<CaDescription> describe_ca(std::string_view certificate);

base::Result<std::string> ca_der(std::string_view certificate);
// Apple's configuration profile with the certificate as a root to trust. Its identifiers follow from the fingerprint, so
// that the same certificate is the same profile. `organisation`: whose profile it is, as devices show it; may be empty.
base::Result<std::string> ca_mobileconfig(std::string_view certificate, std::string_view organisation = {});

std::string base64(std::string_view bytes);

}  // namespace tls_intercept

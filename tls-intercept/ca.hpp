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
  std::string name;                    // subject CN; empty: "sluice local CA" and random digits, so that no two are alike
  bool rsa = false;                    // RSA-3072 for clients without ECDSA; else P-256
  int days = 3650;
  std::vector<std::string> permitted;  // DNS names that it may sign for, with what is below them; empty: all
};

struct CaText {
  std::string certificate, key;  // PEM
};

// A self-signed root with a key of its own: critical basicConstraints (pathlen 0) and keyUsage, a subjectKeyIdentifier, a
// random serial, permitted names as critical nameConstraints (RFC 5280 4.2.1.10). `now`: seconds since 1970.
base::Result<CaText> make_ca(const CaOptions& options, std::int64_t now);

// Refused: not PEM, a key that belongs to another certificate, a certificate that is no CA's or has expired.
base::Result<Ca> load_ca(std::string_view certificate, std::string_view key, std::int64_t now);

struct CaDescription {
  std::string subject, fingerprint;  // SHA-256, "AA:BB:..."
  std::string key;                   // "P-256", "RSA-3072"
  std::string not_before, not_after; // "2026-11-26"
  std::int64_t ends = 0;             // seconds since 1970
  std::vector<std::string> permitted;
};
base::Result<CaDescription> describe_ca(std::string_view certificate);

base::Result<std::string> ca_der(std::string_view certificate);
// Apple's configuration profile with the certificate as a root to trust. Its identifiers follow from the fingerprint, so
// that the same certificate is the same profile.
base::Result<std::string> ca_mobileconfig(std::string_view certificate);

}  // namespace tls_intercept

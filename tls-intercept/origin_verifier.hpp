// Whether an origin is who it says it is: what a browser would check, and what a proxy must check besides.
//
// Chain to the trust bundle with intermediates, purpose, time, signatures of 112 bits at least (so no SHA-1, no RSA below
// 2048), the name (RFC 6125: subjectAltName only, no partial wildcards), the stapled OCSP answer if there is one (RFC 6066
// 8) and that there is one if the certificate asks for it (RFC 7633). A chain that ends in a CA of our own is refused
// whatever the bundle says: nobody but us may sign with it, and we are not an origin (FACTS 6, row 2).
//
// Results that were good are remembered for a while by name and chain, because the same few origins are asked all day.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.hpp"
#include "tls-intercept/openssl_types.hpp"

namespace tls_intercept {

struct OriginAnswer {
  bool good = false;
  std::string fault;     // "its certificate ended on 2026-03-01", a part of a sentence about the site
  std::string missing;   // an http address where the missing intermediate may be had (AIA); empty: nothing would help
  std::string identity;  // of the certificate: its SHA-256, 32 bytes
  std::int64_t not_after = 0;
};

class OriginVerifier {
 public:
  // `bundle`: PEM certificates. `own`: PEM of every CA of this gateway (current, next, previous).
  static base::Result<std::unique_ptr<OriginVerifier>> open(std::string_view bundle);
  void set_own(const std::vector<std::string>& own);

  // What the origin showed in this handshake, for `name` (a host name or an address literal).
  OriginAnswer verify(SSL* ssl, const std::string& name, std::int64_t now);
  // An intermediate that was fetched: used for building chains, never trusted. False: not a CA certificate.
  bool add_intermediate(std::string_view der);

 private:
  OriginVerifier() = default;
  OriginAnswer check(SSL* ssl, X509* leaf, STACK_OF(X509) * chain, const std::string& name, std::int64_t now);
  bool is_own(STACK_OF(X509) * chain);

  StorePtr store_;
  std::mutex mutex_;
  std::vector<PkeyPtr> own_keys_;
  std::vector<X509Ptr> intermediates_;
  struct Known {
    std::int64_t until = 0;
  };
  std::unordered_map<std::string, Known> known_;  // by name and digest of the chain
};

}  // namespace tls_intercept

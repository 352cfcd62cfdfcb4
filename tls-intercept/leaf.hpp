// Leaf certificates: what the local CA signs for one name, so that a client may talk to us in the origin's place.
//
// One name each: browsers coalesce HTTP/2 connections over all names of a certificate (RFC 9113 9.1.1), and a connection
// is judged by one. As far as clients check, a leaf says what the origin's certificate says: the name and no later end.
// Never copied: must-staple (RFC 7633), which clients would hold against us, and anything that names the origin's CA.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "tls-intercept/ca.hpp"
#include "tls-intercept/openssl_types.hpp"

namespace tls_intercept {

inline constexpr std::int64_t leaf_backdated = 2 * 86400;  // seconds: clients' clocks are late
inline constexpr std::int64_t longest_leaf = 197 * 86400;  // seconds, the days before included
inline constexpr std::size_t longest_leaf_name = 253;      // bytes

struct LeafSpec {
  std::string name;            // a host name, or an address literal (without brackets)
  std::int64_t not_after = 0;  // seconds since 1970: the origin's; 0: none known. longest_leaf bounds it
};

// Signs a leaf for `public_key` (DER SubjectPublicKeyInfo), which is the gateway's own. The result is DER. Refused: what
// is neither a host name nor an address, an end in the past, a key that cannot be read.
base::Result<std::string> mint(const Ca& ca, const LeafSpec& spec, EVP_PKEY* public_key, std::int64_t now);

// The key pair of all leaves of one gateway process: P-256, in memory only.
base::Result<PkeyPtr> make_leaf_key();
std::string public_key_der(EVP_PKEY* key);
base::Result<PkeyPtr> read_public_key(std::string_view der);

}  // namespace tls_intercept

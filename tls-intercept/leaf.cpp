#include "tls-intercept/leaf.hpp"

#include <openssl/ec.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include "base/domain_name.hpp"
#include "base/ip_address.hpp"
#include "tls-intercept/asn1_time.hpp"

namespace tls_intercept {
namespace {

bool add_extension(X509* leaf, int nid, const void* value, bool critical) {
  return X509_add1_ext_i2d(leaf, nid, const_cast<void*>(value), critical ? 1 : 0, X509V3_ADD_DEFAULT) == 1;
}

// RFC 6125: the name, or the address, as subjectAltName. The subject stays empty, so the extension is critical (RFC 5280
// 4.2.1.6).
bool add_name(X509* leaf, const std::string& name) {
  GeneralNames names(GENERAL_NAMES_new());
  GENERAL_NAME* entry = GENERAL_NAME_new();
  if (!names || entry == nullptr) return false;
  if (ASN1_OCTET_STRING* address = a2i_IPADDRESS(name.c_str())) {
    GENERAL_NAME_set0_value(entry, GEN_IPADD, address);
  } else {
    ASN1_IA5STRING* text = ASN1_IA5STRING_new();
    ASN1_STRING_set(text, name.data(), static_cast<int>(name.size()));
    GENERAL_NAME_set0_value(entry, GEN_DNS, text);
  }
  sk_GENERAL_NAME_push(names.get(), entry);
  return add_extension(leaf, NID_subject_alt_name, names.get(), true);
}

bool add_usage(X509* leaf) {
  BitString usage(ASN1_BIT_STRING_new());
  ExtendedUsage extended(EXTENDED_KEY_USAGE_new());
  BasicConstraints constraints(BASIC_CONSTRAINTS_new());
  if (!usage || !extended || !constraints) return false;
  ASN1_BIT_STRING_set_bit(usage.get(), 0, 1);  // digitalSignature
  sk_ASN1_OBJECT_push(extended.get(), OBJ_nid2obj(NID_server_auth));
  return add_extension(leaf, NID_basic_constraints, constraints.get(), true) &&
         add_extension(leaf, NID_key_usage, usage.get(), true) &&
         add_extension(leaf, NID_ext_key_usage, extended.get(), false);
}

// The same bytes as the CA's subjectKeyIdentifier (FACTS 5.2).
bool add_authority(X509* leaf, const X509* ca) {
  const ASN1_OCTET_STRING* id = X509_get0_subject_key_id(const_cast<X509*>(ca));
  if (id == nullptr) return true;
  AuthorityKeyId authority(AUTHORITY_KEYID_new());
  if (!authority) return false;
  authority->keyid = ASN1_OCTET_STRING_dup(id);
  return add_extension(leaf, NID_authority_key_identifier, authority.get(), false);
}

bool set_serial(X509* leaf) {
  unsigned char bytes[16];
  if (RAND_bytes(bytes, sizeof bytes) != 1) return false;
  bytes[0] = static_cast<unsigned char>((bytes[0] & 0x7f) | 0x40);  // positive, and never shorter
  BignumPtr number(BN_bin2bn(bytes, sizeof bytes, nullptr));
  return number && BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(leaf)) != nullptr;
}

}  // namespace

base::Result<std::string> mint(const Ca& ca, const LeafSpec& spec, EVP_PKEY* public_key, std::int64_t now) {
  if (spec.name.empty() || spec.name.size() > longest_leaf_name ||
      (!base::DomainName::parse(spec.name) && !base::IpAddress::parse(spec.name)))
    return base::malformed("'" + spec.name.substr(0, longest_leaf_name) + "' is neither a host name nor an address");
  std::int64_t begin = std::max(now - leaf_backdated, seconds_of(X509_get0_notBefore(ca.certificate.get())));
  std::int64_t end = std::min(begin + longest_leaf, seconds_of(X509_get0_notAfter(ca.certificate.get())));
  if (spec.not_after != 0) end = std::min(end, spec.not_after);
  if (end <= now) return base::malformed("a certificate for '" + spec.name + "' would have ended already");

  X509Ptr leaf(X509_new());
  bool made = leaf && X509_set_version(leaf.get(), 2) == 1 && set_serial(leaf.get()) &&
              X509_set_issuer_name(leaf.get(), X509_get_subject_name(ca.certificate.get())) == 1 &&
              ASN1_TIME_set(X509_getm_notBefore(leaf.get()), begin) != nullptr &&
              ASN1_TIME_set(X509_getm_notAfter(leaf.get()), end) != nullptr &&
              X509_set_pubkey(leaf.get(), public_key) == 1 && add_usage(leaf.get()) &&
              add_name(leaf.get(), spec.name) && add_authority(leaf.get(), ca.certificate.get()) &&
              X509_sign(leaf.get(), ca.key.get(), EVP_sha256()) > 0;
  if (!made)
    return base::Error{base::Fault::bug, "cannot sign a certificate for '" + spec.name + "': " + openssl_error()};
  return to_der(leaf.get());
}

base::Result<PkeyPtr> make_leaf_key() {
  PkeyPtr key(EVP_EC_gen("P-256"));
  if (!key) return base::environment_error("cannot make a key: " + openssl_error());
  return key;
}

std::string public_key_der(EVP_PKEY* key) {
  unsigned char* bytes = nullptr;
  int size = i2d_PUBKEY(key, &bytes);
  std::string der(reinterpret_cast<char*>(bytes), size > 0 ? static_cast<std::size_t>(size) : 0);
  OPENSSL_free(bytes);
  return der;
}

base::Result<PkeyPtr> read_public_key(std::string_view der) {
  const unsigned char* at = reinterpret_cast<const unsigned char*>(der.data());
  PkeyPtr key(d2i_PUBKEY(nullptr, &at, static_cast<long>(der.size())));
  if (!key) return base::malformed("not a public key: " + openssl_error());
  return key;
}

}  // namespace tls_intercept

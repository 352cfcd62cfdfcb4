#include "tls-intercept/origin_verifier.hpp"

#include <openssl/pem.h>

#include <algorithm>
#include <cstdio>

#include "base/ip_address.hpp"
#include "tls-intercept/asn1_time.hpp"

namespace tls_intercept {
namespace {

constexpr std::int64_t remembered = 600;  // seconds that a good answer holds
constexpr std::size_t most_remembered = 20000;
constexpr std::size_t most_intermediates = 500;
constexpr int longest_chain = 10;
constexpr int security_level = 2;  // 112 bits
constexpr long clock_slack = 300;  // seconds, for OCSP answers

// The stack alone; what it points to is others'.
struct FreeStack {
  void operator()(STACK_OF(X509) * stack) const { sk_X509_free(stack); }
};

std::string digest_of(const X509* certificate) {
  unsigned char digest[32];
  unsigned size = 0;
  X509_digest(certificate, EVP_sha256(), digest, &size);
  return {reinterpret_cast<char*>(digest), size};
}

// In words for the person who reads the page. Certificates of a chain are told apart by their depth.
std::string fault_of(X509_STORE_CTX* context, const std::string& name) {
  int error = X509_STORE_CTX_get_error(context);
  X509* which = X509_STORE_CTX_get_current_cert(context);
  std::string whose = X509_STORE_CTX_get_error_depth(context) == 0 ? "its certificate" : "a certificate of its issuer";
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return whose + " has expired" + (which != nullptr ? " on " + date_of(X509_get0_notAfter(which)) : "");
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return whose + " is not valid before " + (which != nullptr ? date_of(X509_get0_notBefore(which)) : "a later day");
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return "its certificate is for another name than " + name;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
      return "its certificate is self-signed";
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      return "its certificate comes from an issuer that is not trusted (a self-signed root)";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      return "its certificate comes from an unknown issuer";
    case X509_V_ERR_CA_MD_TOO_WEAK:
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
      return whose + " uses weak cryptography (" + X509_verify_cert_error_string(error) + ")";
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return whose + " has a wrong signature";
    case X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION:
      return whose + " has an unknown critical extension";
    case X509_V_ERR_INVALID_PURPOSE:
      return whose + " is not meant for this use";
    default:
      return whose + " is not valid (" + X509_verify_cert_error_string(error) + ")";
  }
}

// The http address of authorityInformationAccess (RFC 5280 4.2.2.1).
std::string issuer_address(X509* certificate) {
  auto* access = static_cast<AUTHORITY_INFO_ACCESS*>(X509_get_ext_d2i(certificate, NID_info_access, nullptr, nullptr));
  std::string address;
  for (int i = 0; access != nullptr && i < sk_ACCESS_DESCRIPTION_num(access) && address.empty(); ++i) {
    const ACCESS_DESCRIPTION* each = sk_ACCESS_DESCRIPTION_value(access, i);
    if (OBJ_obj2nid(each->method) != NID_ad_ca_issuers || each->location->type != GEN_URI) continue;
    const ASN1_STRING* uri = each->location->d.uniformResourceIdentifier;
    std::string text(reinterpret_cast<const char*>(ASN1_STRING_get0_data(uri)),
                     static_cast<std::size_t>(ASN1_STRING_length(uri)));
    if (text.starts_with("http://") && text.size() < 1024) address = std::move(text);
  }
  AUTHORITY_INFO_ACCESS_free(access);
  return address;
}

bool asks_for_staple(X509* certificate) {
  auto* features = static_cast<TLS_FEATURE*>(X509_get_ext_d2i(certificate, NID_tlsfeature, nullptr, nullptr));
  bool asks = false;
  for (int i = 0; features != nullptr && i < sk_ASN1_INTEGER_num(features); ++i)
    asks |= ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features, i)) == TLSEXT_TYPE_status_request;
  TLS_FEATURE_free(features);
  return asks;
}

// Empty: nothing against it. A staple that cannot be read or is old says nothing, as for browsers: where the certificate
// asks for one, that is none (RFC 7633 4.2.3.1). Else what was good before a revocation would do for ever.
std::string revocation(SSL* ssl, X509* leaf, STACK_OF(X509) * chain, X509_STORE* store) {
  const unsigned char* bytes = nullptr;
  long size = SSL_get_tlsext_status_ocsp_resp(ssl, &bytes);
  bool stapled = bytes != nullptr && size > 0;
  std::string unproven;
  // A resumed session carries no staple: it was looked at when the session began.
  if (SSL_session_reused(ssl) == 0 && asks_for_staple(leaf))
    unproven = std::string("its certificate asks for a proof that it was not revoked, and the site sent none") +
               (stapled ? " that holds" : "");
  if (!stapled || chain == nullptr || sk_X509_num(chain) < 2) return unproven;
  OcspResponse response(d2i_OCSP_RESPONSE(nullptr, &bytes, size));
  OcspBasic basic(response ? OCSP_response_get1_basic(response.get()) : nullptr);
  if (!basic || OCSP_basic_verify(basic.get(), chain, store, 0) != 1) {
    ERR_clear_error();
    return unproven;
  }
  OcspId id(OCSP_cert_to_id(nullptr, leaf, sk_X509_value(chain, 1)));
  int status = 0, reason = 0;
  ASN1_GENERALIZEDTIME *revoked = nullptr, *updated = nullptr, *next = nullptr;
  if (!id || OCSP_resp_find_status(basic.get(), id.get(), &status, &reason, &revoked, &updated, &next) != 1)
    return unproven;
  if (status == V_OCSP_CERTSTATUS_REVOKED) return "its certificate was revoked by its issuer";
  bool holds = status == V_OCSP_CERTSTATUS_GOOD && OCSP_check_validity(updated, next, clock_slack, -1) == 1;
  ERR_clear_error();
  return holds ? "" : unproven;
}

}  // namespace

base::Result<std::unique_ptr<OriginVerifier>> OriginVerifier::open(std::string_view bundle) {
  std::unique_ptr<OriginVerifier> verifier(new OriginVerifier);
  verifier->store_.reset(X509_STORE_new());
  BioPtr bio(BIO_new_mem_buf(bundle.data(), static_cast<int>(bundle.size())));
  std::size_t count = 0;
  while (X509Ptr root{PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)})
    if (X509_STORE_add_cert(verifier->store_.get(), root.get()) == 1) ++count;
  ERR_clear_error();
  if (count == 0) return base::malformed("holds no certificate in PEM form");
  return verifier;
}

void OriginVerifier::set_own(const std::vector<std::string>& own) {
  std::vector<PkeyPtr> keys;
  for (const std::string& pem : own) {
    BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    if (X509Ptr ca{PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)})
      keys.emplace_back(X509_get_pubkey(ca.get()));
  }
  ERR_clear_error();
  std::lock_guard lock(mutex_);
  own_keys_ = std::move(keys);
  known_.clear();
}

bool OriginVerifier::add_intermediate(std::string_view der) {
  X509Ptr certificate = from_der(der);
  if (!certificate) {  // some hand out PEM
    BioPtr bio(BIO_new_mem_buf(der.data(), static_cast<int>(der.size())));
    certificate.reset(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  }
  ERR_clear_error();
  if (!certificate || X509_check_ca(certificate.get()) != 1) return false;
  std::lock_guard lock(mutex_);
  if (intermediates_.size() >= most_intermediates) intermediates_.erase(intermediates_.begin());
  intermediates_.push_back(std::move(certificate));
  return true;
}

bool OriginVerifier::is_own(STACK_OF(X509) * chain) {
  for (int i = 0; i < sk_X509_num(chain); ++i) {
    EVP_PKEY* key = X509_get0_pubkey(sk_X509_value(chain, i));
    for (const PkeyPtr& own : own_keys_)
      if (key != nullptr && EVP_PKEY_eq(key, own.get()) == 1) return true;
  }
  return false;
}

OriginAnswer OriginVerifier::verify(SSL* ssl, const std::string& name, std::int64_t now) {
  X509* leaf = SSL_get0_peer_certificate(ssl);
  if (leaf == nullptr || name.empty()) return {.fault = "it shows no certificate"};
  STACK_OF(X509)* chain = SSL_get_peer_cert_chain(ssl);
  std::string key = name + '\0';
  for (int i = 0; i < sk_X509_num(chain) && i < longest_chain; ++i) key += digest_of(sk_X509_value(chain, i));
  const unsigned char* staple = nullptr;
  if (SSL_get_tlsext_status_ocsp_resp(ssl, &staple) <= 0) staple = nullptr;

  std::lock_guard lock(mutex_);
  auto found = known_.find(key);
  if (found != known_.end() && now < found->second.until && now >= found->second.until - remembered &&
      staple == nullptr && !asks_for_staple(leaf))
    return {.good = true, .identity = digest_of(leaf), .not_after = seconds_of(X509_get0_notAfter(leaf))};
  OriginAnswer answer = check(ssl, leaf, chain, name, now);
  ERR_clear_error();
  if (!answer.good) return answer;
  if (known_.size() >= most_remembered) known_.clear();
  known_[key] = {std::min(now + remembered, answer.not_after)};
  return answer;
}

OriginAnswer OriginVerifier::check(SSL* ssl, X509* leaf, STACK_OF(X509) * chain, const std::string& name,
                                   std::int64_t now) {
  OriginAnswer answer;
  answer.identity = digest_of(leaf);
  answer.not_after = seconds_of(X509_get0_notAfter(leaf));
  std::unique_ptr<STACK_OF(X509), FreeStack> untrusted(sk_X509_new_null());
  for (int i = 1; i < sk_X509_num(chain); ++i) sk_X509_push(untrusted.get(), sk_X509_value(chain, i));
  for (const X509Ptr& each : intermediates_) sk_X509_push(untrusted.get(), each.get());

  StoreContextPtr context(X509_STORE_CTX_new());
  if (!context || X509_STORE_CTX_init(context.get(), store_.get(), leaf, untrusted.get()) != 1) {
    answer.fault = "its certificate cannot be checked here";
    return answer;
  }
  X509_VERIFY_PARAM* wanted = X509_STORE_CTX_get0_param(context.get());
  X509_STORE_CTX_set_purpose(context.get(), X509_PURPOSE_SSL_SERVER);
  X509_VERIFY_PARAM_set_time(wanted, static_cast<time_t>(now));
  X509_VERIFY_PARAM_set_depth(wanted, longest_chain);
  X509_VERIFY_PARAM_set_auth_level(wanted, security_level);
  X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  if (base::IpAddress::parse(name))
    X509_VERIFY_PARAM_set1_ip_asc(wanted, name.c_str());
  else
    X509_VERIFY_PARAM_set1_host(wanted, name.c_str(), name.size());

  bool built = X509_verify_cert(context.get()) == 1;
  STACK_OF(X509)* verified = X509_STORE_CTX_get0_chain(context.get());
  if ((verified != nullptr && is_own(verified)) || is_own(chain)) {
    answer.fault = "its certificate was signed by this gateway's own CA, which signs for no site";
    return answer;
  }
  if (!built) {
    answer.fault = fault_of(context.get(), name);
    int error = X509_STORE_CTX_get_error(context.get());
    bool lacks_issuer = error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
                        error == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE ||
                        error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT;
    if (lacks_issuer && verified != nullptr && sk_X509_num(verified) > 0)
      answer.missing = issuer_address(sk_X509_value(verified, sk_X509_num(verified) - 1));
    return answer;
  }
  answer.fault = revocation(ssl, leaf, verified, store_.get());
  answer.good = answer.fault.empty();
  return answer;
}

}  // namespace tls_intercept

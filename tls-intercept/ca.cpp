#include "tls-intercept/ca.hpp"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include <cstdio>

namespace tls_intercept {
namespace {

constexpr std::int64_t backdated = 2 * 86400;  // seconds
constexpr unsigned rsa_bits = 3072;

std::string text_of(BIO* bio) {
  char* bytes = nullptr;
  long size = BIO_get_mem_data(bio, &bytes);
  return {bytes, size > 0 ? static_cast<std::size_t>(size) : 0};
}

X509Ptr read_certificate(std::string_view pem) {
  BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  X509Ptr certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  ERR_clear_error();
  return certificate;
}

bool add(X509* certificate, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  bool added = extension != nullptr && X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

std::string hex(const unsigned char* bytes, std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) {
    char pair[3];
    std::snprintf(pair, sizeof pair, "%02X", bytes[i]);
    text += pair;
  }
  return text;
}

std::string digest_of(const X509* certificate) {
  unsigned char digest[32];
  unsigned size = 0;
  X509_digest(certificate, EVP_sha256(), digest, &size);
  return hex(digest, size);
}

std::string date_of(const ASN1_TIME* time) {
  tm broken{};
  ASN1_TIME_to_tm(time, &broken);
  char text[32];
  std::snprintf(text, sizeof text, "%04d-%02d-%02d", broken.tm_year + 1900, broken.tm_mon + 1, broken.tm_mday);
  return text;
}

std::int64_t seconds_of(const ASN1_TIME* time) {
  tm broken{};
  return ASN1_TIME_to_tm(time, &broken) == 1 ? static_cast<std::int64_t>(timegm(&broken)) : 0;
}

std::string base64(const std::string& bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                             reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(size));
  return text;
}

std::string xml_escaped(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else
      out += c;
  }
  return out;
}

std::string uuid_of(const std::string& digits) {
  return digits.substr(0, 8) + "-" + digits.substr(8, 4) + "-4" + digits.substr(13, 3) + "-8" + digits.substr(17, 3) +
         "-" + digits.substr(20, 12);
}

}  // namespace

base::Result<CaText> make_ca(const CaOptions& options, std::int64_t now) {
  auto failed = [&] { return base::environment_error("cannot make a CA: " + openssl_error()); };
  PkeyPtr key(options.rsa ? EVP_RSA_gen(rsa_bits) : EVP_EC_gen("P-256"));
  X509Ptr certificate(X509_new());
  unsigned char serial[16], digits[4];
  if (!key || !certificate || RAND_bytes(serial, sizeof serial) != 1 || RAND_bytes(digits, sizeof digits) != 1)
    return failed();
  serial[0] = static_cast<unsigned char>((serial[0] & 0x7f) | 0x40);
  std::string name = options.name.empty() ? "sluice local CA " + hex(digits, sizeof digits) : options.name;
  BignumPtr number(BN_bin2bn(serial, sizeof serial, nullptr));
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  std::string permitted;
  for (const std::string& each : options.permitted) permitted += (permitted.empty() ? "critical," : ",") + ("permitted;DNS:" + each);

  bool made =
      X509_set_version(certificate.get(), 2) == 1 &&
      BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate.get())) != nullptr &&
      X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(name.data()),
                                 static_cast<int>(name.size()), -1, 0) == 1 &&
      X509_set_issuer_name(certificate.get(), subject) == 1 &&
      ASN1_TIME_set(X509_getm_notBefore(certificate.get()), now - backdated) != nullptr &&
      ASN1_TIME_set(X509_getm_notAfter(certificate.get()), now + std::int64_t{options.days} * 86400) != nullptr &&
      X509_set_pubkey(certificate.get(), key.get()) == 1 &&
      add(certificate.get(), NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
      add(certificate.get(), NID_key_usage, "critical,keyCertSign,cRLSign") &&
      add(certificate.get(), NID_subject_key_identifier, "hash") &&
      (permitted.empty() || add(certificate.get(), NID_name_constraints, permitted)) &&
      X509_sign(certificate.get(), key.get(), EVP_sha256()) > 0;
  if (!made) return failed();

  CaText text;
  BioPtr out(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(out.get(), certificate.get());
  text.certificate = text_of(out.get());
  out.reset(BIO_new(BIO_s_secmem()));
  PEM_write_bio_PrivateKey(out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  text.key = text_of(out.get());
  if (text.certificate.empty() || text.key.empty()) return failed();
  return text;
}

base::Result<Ca> load_ca(std::string_view certificate, std::string_view key, std::int64_t now) {
  Ca ca;
  ca.certificate = read_certificate(certificate);
  if (!ca.certificate) return base::malformed("the certificate file holds no certificate in PEM form");
  BioPtr bio(BIO_new_mem_buf(key.data(), static_cast<int>(key.size())));
  ca.key.reset(PEM_read_bio_PrivateKey(bio.get(), nullptr, [](char*, int, int, void*) { return 0; }, nullptr));
  ERR_clear_error();
  if (!ca.key) return base::malformed("the key file holds no private key in PEM form without a passphrase");
  if (X509_check_private_key(ca.certificate.get(), ca.key.get()) != 1) {
    ERR_clear_error();
    return base::malformed("key and certificate do not belong together");
  }
  if (X509_check_ca(ca.certificate.get()) != 1) return base::malformed("the certificate is not a CA's");
  if (seconds_of(X509_get0_notAfter(ca.certificate.get())) <= now)
    return base::malformed("the certificate has expired on " + date_of(X509_get0_notAfter(ca.certificate.get())));
  return ca;
}

base::Result<CaDescription> describe_ca(std::string_view pem) {
  X509Ptr certificate = read_certificate(pem);
  if (!certificate) return base::malformed("no certificate in PEM form");
  CaDescription told;
  char name[256] = "";
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate.get()), NID_commonName, name, sizeof name);
  told.subject = name;
  std::string digits = digest_of(certificate.get());
  for (std::size_t i = 0; i < digits.size(); i += 2) told.fingerprint += (i != 0 ? ":" : "") + digits.substr(i, 2);
  EVP_PKEY* key = X509_get0_pubkey(certificate.get());
  char group[64] = "";
  std::size_t size = 0;
  if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA)
    told.key = "RSA-" + std::to_string(EVP_PKEY_get_bits(key));
  else if (EVP_PKEY_get_group_name(key, group, sizeof group, &size) == 1)
    told.key = std::string_view(group) == "prime256v1" ? "P-256" : group;
  told.not_before = date_of(X509_get0_notBefore(certificate.get()));
  told.not_after = date_of(X509_get0_notAfter(certificate.get()));
  told.ends = seconds_of(X509_get0_notAfter(certificate.get()));
  auto* constraints =
      static_cast<NAME_CONSTRAINTS*>(X509_get_ext_d2i(certificate.get(), NID_name_constraints, nullptr, nullptr));
  for (int i = 0; constraints != nullptr && i < sk_GENERAL_SUBTREE_num(constraints->permittedSubtrees); ++i) {
    const GENERAL_NAME* base = sk_GENERAL_SUBTREE_value(constraints->permittedSubtrees, i)->base;
    if (base->type != GEN_DNS) continue;
    told.permitted.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(base->d.dNSName)),
                                static_cast<std::size_t>(ASN1_STRING_length(base->d.dNSName)));
  }
  NAME_CONSTRAINTS_free(constraints);
  return told;
}

base::Result<std::string> ca_der(std::string_view pem) {
  X509Ptr certificate = read_certificate(pem);
  if (!certificate) return base::malformed("no certificate in PEM form");
  return to_der(certificate.get());
}

base::Result<std::string> ca_mobileconfig(std::string_view pem) {
  auto told = describe_ca(pem);
  auto der = ca_der(pem);
  if (!told || !der) return base::malformed("no certificate in PEM form");
  X509Ptr certificate = read_certificate(pem);
  std::string digits = digest_of(certificate.get()), name = xml_escaped(told->subject);
  auto entry = [](const char* key, const std::string& value) {
    return std::string("<key>") + key + "</key><string>" + value + "</string>\n";
  };
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
         "<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n"
         "<plist version=\"1.0\"><dict>\n<key>PayloadContent</key><array><dict>\n"
         "<key>PayloadContent</key><data>" + base64(*der) + "</data>\n" +
         entry("PayloadCertificateFileName", "sluice-ca.cer") + entry("PayloadDisplayName", name) +
         entry("PayloadIdentifier", "net.sluice.ca." + digits.substr(0, 16)) +
         entry("PayloadType", "com.apple.security.root") + entry("PayloadUUID", uuid_of(digits)) +
         "<key>PayloadVersion</key><integer>1</integer>\n</dict></array>\n" + entry("PayloadDisplayName", name) +
         entry("PayloadDescription", "Lets this network's gateway decrypt and check web pages.") +
         entry("PayloadIdentifier", "net.sluice.profile." + digits.substr(0, 16)) +
         entry("PayloadType", "Configuration") + entry("PayloadUUID", uuid_of(digits.substr(32))) +
         "<key>PayloadVersion</key><integer>1</integer>\n</dict></plist>\n";
}

}  // namespace tls_intercept

#include "tls-intercept/ca.hpp"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include <bit>
#include <cstdio>
#include <span>

#include "base/domain_name.hpp"
#include "base/ip_address.hpp"
#include "base/text.hpp"
#include "tls-intercept/asn1_time.hpp"

namespace tls_intercept {
namespace {

constexpr std::int64_t backdated = 2 * 86400;  // seconds
constexpr unsigned rsa_bits = 3072;
constexpr int most_days = 36500;
constexpr std::size_t longest_name = 64;               // characters; RFC 5280, ub-common-name
constexpr std::int64_t clock_was_set = 1'735'689'600;  // 2025: a router without a clock of its own boots in 1970
// What the gateway's own page is reached by (flow/portal_page.hpp): its name, and the addresses of inner networks.
constexpr const char* own_page =
    "permitted;DNS:sluice.lan,permitted;IP:10.0.0.0/255.0.0.0,permitted;IP:172.16.0.0/255.240.0.0,"
    "permitted;IP:192.168.0.0/255.255.0.0,permitted;IP:fc00::/fe00::,permitted;IP:fe80::/ffc0::";

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

bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

// XML 1.0 has no place for control characters, escaped or not.
std::string xml_escaped(std::string_view text) {
  std::string printable, out;
  for (char c : text)
    if (!is_control(c)) printable += c;
  base::append_html_escaped(out, printable);
  return out;
}

std::string utf8_of(const ASN1_STRING* text) {
  unsigned char* bytes = nullptr;
  int size = ASN1_STRING_to_UTF8(&bytes, text);
  std::string utf8(reinterpret_cast<char*>(bytes), size > 0 ? static_cast<std::size_t>(size) : 0);
  OPENSSL_free(bytes);
  return utf8;
}

// Of somebody else's CA the subject may be without a CN.
std::string subject_of(const X509* certificate) {
  const X509_NAME* name = X509_get_subject_name(certificate);
  int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  if (at >= 0) return utf8_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
  BioPtr out(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  return text_of(out.get());
}

std::string serial_of(const X509* certificate) {
  BignumPtr number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr));
  char* digits = number ? BN_bn2hex(number.get()) : nullptr;
  std::string text = digits != nullptr ? digits : "";
  OPENSSL_free(digits);
  return text;
}

// Address and mask, both 4 or both 16 bytes (RFC 5280 4.2.1.10), as a prefix. A mask with holes counts its bits.
std::string prefix_of(const ASN1_OCTET_STRING* constraint) {
  auto size = static_cast<std::size_t>(ASN1_STRING_length(constraint));
  const unsigned char* bytes = ASN1_STRING_get0_data(constraint);
  if (size != 8 && size != 32) return "?";
  int bits = 0;
  for (std::size_t i = size / 2; i < size; ++i) bits += std::popcount(bytes[i]);
  auto v4 = [&] {
    return base::IpAddress::v4(std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 |
                               std::uint32_t{bytes[2]} << 8 | bytes[3]);
  };
  auto address = size == 8 ? v4() : base::IpAddress::v6(std::span<const std::uint8_t, 16>(bytes, 16));
  return address.to_string() + "/" + std::to_string(bits);
}

std::string uuid_of(const std::string& digits) {
  return digits.substr(0, 8) + "-" + digits.substr(8, 4) + "-4" + digits.substr(13, 3) + "-8" + digits.substr(17, 3) +
         "-" + digits.substr(20, 12);
}

base::Result<> check(const CaOptions& options, std::int64_t now) {
  std::size_t characters = 0;
  for (char c : options.name) {
    if (is_control(c)) return base::malformed("a CA's name holds no control characters");
    if ((c & 0xc0) != 0x80) ++characters;  // not the second and later bytes of one in UTF-8
  }
  if (characters > longest_name) return base::malformed("a CA's name has at most 64 characters");
  if (options.days < 1 || options.days > most_days) return base::malformed("a CA is valid for 1 to 36500 days");
  for (const std::string& each : options.permitted)
    if (!base::DomainName::parse(each)) return base::malformed("'" + each + "' is not a domain name");
  if (now < clock_was_set)
    return base::environment_error("this machine's clock is not set, and a CA is valid by the clock; set it first");
  return base::Nothing{};
}

}  // namespace

base::Result<CaText> make_ca(const CaOptions& options, std::int64_t now) {
  if (auto checked = check(options, now); !checked) return std::move(checked).error();
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
  for (const std::string& each : options.permitted)
    permitted += "permitted;DNS:" + base::DomainName::parse(each)->text() + ",";
  if (!permitted.empty()) permitted = "critical," + permitted + own_page;

  bool made =
      X509_set_version(certificate.get(), X509_VERSION_3) == 1 &&
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
  ca.key.reset(PEM_read_bio_PrivateKey(
      bio.get(), nullptr, [](char*, int, int, void*) { return 0; }, nullptr));
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
  told.subject = subject_of(certificate.get());
  told.serial = serial_of(certificate.get());
  told.is_ca = X509_check_ca(certificate.get()) == 1;
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
    if (base->type == GEN_IPADD) told.permitted_addresses.push_back(prefix_of(base->d.iPAddress));
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

base::Result<std::string> ca_mobileconfig(std::string_view pem, std::string_view organisation) {
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
         "<key>PayloadContent</key><data>" +
         base64(*der) + "</data>\n" + entry("PayloadCertificateFileName", "sluice-ca.cer") +
         entry("PayloadDisplayName", name) + entry("PayloadIdentifier", "net.sluice.ca." + digits.substr(0, 16)) +
         entry("PayloadType", "com.apple.security.root") + entry("PayloadUUID", uuid_of(digits)) +
         "<key>PayloadVersion</key><integer>1</integer>\n</dict></array>\n" + entry("PayloadDisplayName", name) +
         entry("PayloadDescription", "Lets this network's gateway decrypt and check web pages.") +
         entry("PayloadIdentifier", "net.sluice.profile." + digits.substr(0, 16)) +
         (organisation.empty() ? "" : entry("PayloadOrganization", xml_escaped(organisation))) +
         entry("PayloadType", "Configuration") + entry("PayloadUUID", uuid_of(digits.substr(32))) +
         "<key>PayloadVersion</key><integer>1</integer>\n</dict></plist>\n";
}

std::string base64(std::string_view bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                             reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(size));
  return text;
}

}  // namespace tls_intercept

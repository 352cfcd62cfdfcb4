#include "tls-intercept/ca.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>

#include "tls-intercept/leaf.hpp"

namespace tls_intercept {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

constexpr std::int64_t day = 86400;
constexpr std::int64_t now = 1'790'000'000;  // 2026-09-21

CaText make(CaOptions options = {}) {
  auto made = make_ca(options, now);
  EXPECT_TRUE(made) << made.error().message;
  return made ? std::move(*made) : CaText{};
}

X509Ptr parse(const std::string& pem) {
  BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return X509Ptr(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
}

std::string refusal(const std::string& certificate, const std::string& key, std::int64_t time = now) {
  auto loaded = load_ca(certificate, key, time);
  return loaded ? "" : loaded.error().message;
}

// What OpenSSL at its strictest says of a leaf under this CA; X509_V_OK if a browser would take it.
int verified(const CaText& text, const std::string& name, std::int64_t time = now) {
  auto ca = load_ca(text.certificate, text.key, now);
  auto key = make_leaf_key();
  auto leaf = mint(*ca, {name, 0}, key->get(), now);
  EXPECT_TRUE(leaf);
  StorePtr store(X509_STORE_new());
  X509_STORE_add_cert(store.get(), ca->certificate.get());
  StoreContextPtr context(X509_STORE_CTX_new());
  X509Ptr certificate = from_der(*leaf);
  X509_STORE_CTX_init(context.get(), store.get(), certificate.get(), nullptr);
  X509_STORE_CTX_set_purpose(context.get(), X509_PURPOSE_SSL_SERVER);
  X509_VERIFY_PARAM* parameters = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_X509_STRICT);
  X509_VERIFY_PARAM_set_time(parameters, time);
  X509_verify_cert(context.get());
  return X509_STORE_CTX_get_error(context.get());
}

TEST(Ca, IsARootWithNothingBelowItButLeaves) {
  CaText text = make();
  X509Ptr certificate = parse(text.certificate);
  ASSERT_TRUE(certificate);
  EXPECT_EQ(X509_get_version(certificate.get()), X509_VERSION_3);
  EXPECT_EQ(X509_get_pathlen(certificate.get()), 0);
  EXPECT_EQ(X509_get_key_usage(certificate.get()), std::uint32_t{KU_KEY_CERT_SIGN | KU_CRL_SIGN});
  EXPECT_EQ(X509_get_signature_nid(certificate.get()), NID_ecdsa_with_SHA256);
  EXPECT_NE(X509_get0_subject_key_id(certificate.get()), nullptr);
  EXPECT_EQ(X509_NAME_cmp(X509_get_subject_name(certificate.get()), X509_get_issuer_name(certificate.get())), 0);
  for (int nid : {NID_basic_constraints, NID_key_usage}) {
    int at = X509_get_ext_by_NID(certificate.get(), nid, -1);
    ASSERT_GE(at, 0);
    EXPECT_EQ(X509_EXTENSION_get_critical(X509_get_ext(certificate.get(), at)), 1);
  }
  EXPECT_LT(X509_get_ext_by_NID(certificate.get(), NID_name_constraints, -1), 0);
  const ASN1_INTEGER* serial = X509_get0_serialNumber(certificate.get());
  EXPECT_EQ(ASN1_STRING_length(serial), 16);
  EXPECT_EQ(ASN1_STRING_type(serial), V_ASN1_INTEGER) << "negative";
  EXPECT_EQ(verified(text, "www.example.org"), X509_V_OK);
  EXPECT_EQ(verified(text, "192.0.2.1"), X509_V_OK);
}

TEST(Ca, NoTwoAreAlike) {
  auto first = describe_ca(make().certificate), second = describe_ca(make().certificate);
  ASSERT_TRUE(first && second);
  EXPECT_THAT(first->subject, MatchesRegex("sluice local CA [0-9A-F]{8}"));
  EXPECT_NE(first->subject, second->subject);
  EXPECT_NE(first->serial, second->serial);
  EXPECT_NE(first->fingerprint, second->fingerprint);
}

TEST(Ca, IsDescribed) {
  CaText text = make({.name = "École n° 3", .days = 30});
  auto told = describe_ca(text.certificate);
  ASSERT_TRUE(told);
  EXPECT_EQ(told->subject, "École n° 3");
  EXPECT_EQ(told->key, "P-256");
  EXPECT_TRUE(told->is_ca);
  EXPECT_EQ(told->not_before, "2026-09-19") << "two days back: clients' clocks are late";
  EXPECT_EQ(told->not_after, "2026-10-21");
  EXPECT_EQ(told->ends, now + 30 * day);
  EXPECT_TRUE(told->permitted.empty() && told->permitted_addresses.empty());
  EXPECT_THAT(told->fingerprint, MatchesRegex("([0-9A-F]{2}:){31}[0-9A-F]{2}"));
  EXPECT_THAT(told->serial, MatchesRegex("[0-9A-F]{32}"));
}

TEST(Ca, MayHaveAnRsaKey) {
  CaText text = make({.rsa = true});
  EXPECT_EQ(describe_ca(text.certificate)->key, "RSA-3072");
  EXPECT_EQ(X509_get_signature_nid(parse(text.certificate).get()), NID_sha256WithRSAEncryption);
  EXPECT_EQ(verified(text, "www.example.org"), X509_V_OK);
}

// The names, what is below them, and the gateway's own page; anything else is refused by whoever checks.
TEST(Ca, SignsForPermittedNamesOnly) {
  CaText text = make({.permitted = {"school.example", "UNI.example"}});
  X509Ptr certificate = parse(text.certificate);
  int at = X509_get_ext_by_NID(certificate.get(), NID_name_constraints, -1);
  ASSERT_GE(at, 0);
  EXPECT_EQ(X509_EXTENSION_get_critical(X509_get_ext(certificate.get(), at)), 1);
  for (const char* name : {"school.example", "www.school.example", "a.b.uni.example", "sluice.lan", "10.1.2.3",
                           "172.31.0.1", "192.168.1.1", "fd00::1", "fe80::1"})
    EXPECT_EQ(verified(text, name), X509_V_OK) << name;
  for (const char* name :
       {"bank.example", "myschool.example", "school.example.org", "example", "172.32.0.1", "192.0.2.1", "2001:db8::1"})
    EXPECT_EQ(verified(text, name), X509_V_ERR_PERMITTED_VIOLATION) << name;
  auto told = describe_ca(text.certificate);
  EXPECT_THAT(told->permitted, testing::ElementsAre("school.example", "uni.example", "sluice.lan"));
  EXPECT_THAT(told->permitted_addresses,
              testing::ElementsAre("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10"));
}

TEST(Ca, IsNotMadeOfWhatCannotHold) {
  auto refused = [](CaOptions options, std::int64_t time = now) {
    auto made = make_ca(options, time);
    return made ? std::string{} : made.error().message;
  };
  std::string longest;
  for (int i = 0; i < 64; ++i) longest += "é";
  EXPECT_EQ(refused({.name = longest}), "");
  EXPECT_THAT(refused({.name = longest + "e"}), HasSubstr("64 characters"));
  EXPECT_THAT(refused({.name = "two\nlines"}), HasSubstr("control"));
  EXPECT_NE(refused({.name = "\xff\xfe"}), "") << "not UTF-8";
  EXPECT_THAT(refused({.days = 0}), HasSubstr("days"));
  EXPECT_THAT(refused({.days = 36501}), HasSubstr("days"));
  EXPECT_EQ(refused({.days = 36500}), "") << "beyond 2049 years have four digits (RFC 5280 4.1.2.5)";
  EXPECT_THAT(refused({.permitted = {"ok.example", "a.example,excluded;DNS:b.example"}}), HasSubstr("not a domain"));
  EXPECT_THAT(refused({}, 86400), HasSubstr("clock"));
}

TEST(Ca, IsLoadedIfItCanSign) {
  CaText text = make({.days = 30}), other = make();
  auto loaded = load_ca(text.certificate, text.key, now);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(X509_check_private_key(loaded->certificate.get(), loaded->key.get()), 1);

  EXPECT_THAT(refusal(text.certificate, other.key), HasSubstr("do not belong together"));
  EXPECT_EQ(refusal(text.certificate, text.key, now + 30 * day - 1), "");
  EXPECT_THAT(refusal(text.certificate, text.key, now + 30 * day), HasSubstr("expired on 2026-10-21"));
  EXPECT_THAT(refusal("", text.key), HasSubstr("no certificate"));
  EXPECT_THAT(refusal(text.key, text.key), HasSubstr("no certificate"));
  EXPECT_THAT(refusal(text.certificate, ""), HasSubstr("no private key"));
  EXPECT_THAT(refusal(text.certificate, text.certificate), HasSubstr("no private key"));
  EXPECT_THAT(refusal(text.certificate.substr(0, text.certificate.size() / 2), text.key), HasSubstr("no certificate"));
  EXPECT_EQ(ERR_peek_error(), 0u) << "the next TLS handshake would take it for its own";
}

TEST(Ca, ALeafIsNoCa) {
  CaText text = make();
  auto ca = load_ca(text.certificate, text.key, now);
  auto key = make_leaf_key();
  auto leaf = mint(*ca, {"www.example.org", 0}, key->get(), now);
  X509Ptr certificate = from_der(*leaf);
  BioPtr pem(BIO_new(BIO_s_mem())), key_pem(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(pem.get(), certificate.get());
  PEM_write_bio_PrivateKey(key_pem.get(), key->get(), nullptr, nullptr, 0, nullptr, nullptr);
  auto text_of = [](BIO* bio) {
    char* bytes = nullptr;
    long size = BIO_get_mem_data(bio, &bytes);
    return std::string(bytes, static_cast<std::size_t>(size));
  };
  EXPECT_THAT(refusal(text_of(pem.get()), text_of(key_pem.get())), HasSubstr("not a CA"));
  EXPECT_FALSE(describe_ca(text_of(pem.get()))->is_ca);
}

// Asking for a passphrase would hang a daemon.
TEST(Ca, AKeyWithAPassphraseIsRefusedUnasked) {
  CaText text = make();
  auto ca = load_ca(text.certificate, text.key, now);
  BioPtr out(BIO_new(BIO_s_mem()));
  PEM_write_bio_PKCS8PrivateKey(out.get(), ca->key.get(), EVP_aes_128_cbc(), "secret", 6, nullptr, nullptr);
  char* bytes = nullptr;
  long size = BIO_get_mem_data(out.get(), &bytes);
  EXPECT_THAT(refusal(text.certificate, std::string(bytes, static_cast<std::size_t>(size))), HasSubstr("passphrase"));
}

TEST(Ca, DerIsTheSameCertificate) {
  CaText text = make();
  auto der = ca_der(text.certificate);
  ASSERT_TRUE(der);
  EXPECT_EQ(X509_cmp(from_der(*der).get(), parse(text.certificate).get()), 0);
  EXPECT_FALSE(ca_der("no certificate"));
}

TEST(Ca, AppleProfileIsTheSameEachTime) {
  CaText text = make({.name = "R&D <lab>"});
  auto profile = ca_mobileconfig(text.certificate, "R&D");
  ASSERT_TRUE(profile);
  EXPECT_EQ(*profile, *ca_mobileconfig(text.certificate, "R&D"));
  EXPECT_NE(*profile, *ca_mobileconfig(make({.name = "R&D <lab>"}).certificate, "R&D"));
  EXPECT_THAT(*profile, HasSubstr("<string>R&amp;D &lt;lab&gt;</string>"));
  EXPECT_THAT(*profile, HasSubstr("<key>PayloadOrganization</key><string>R&amp;D</string>"));
  EXPECT_THAT(*profile, HasSubstr(base64(*ca_der(text.certificate))));
  EXPECT_THAT(*ca_mobileconfig(text.certificate), Not(HasSubstr("PayloadOrganization")));
  EXPECT_FALSE(ca_mobileconfig("no certificate"));
}

TEST(Ca, Base64) {  // RFC 4648 10
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
}

}  // namespace
}  // namespace tls_intercept

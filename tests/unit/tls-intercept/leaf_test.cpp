#include "tls-intercept/ca.hpp"

#include <gtest/gtest.h>

#include "tls-intercept/leaf.hpp"

namespace {

using namespace tls_intercept;

constexpr std::int64_t now = 1'790'000'000, day = 86400;

Ca fresh(const CaOptions& options = {}) {
  auto text = make_ca(options, now);
  EXPECT_TRUE(text.ok());
  auto ca = load_ca(text->certificate, text->key, now);
  EXPECT_TRUE(ca.ok());
  return std::move(*ca);
}

std::int64_t seconds_of(const ASN1_TIME* time) {
  tm broken{};
  ASN1_TIME_to_tm(time, &broken);
  return timegm(&broken);
}

struct Leaf : ::testing::Test {
  Ca ca = fresh();
  PkeyPtr key = std::move(*make_leaf_key());
  X509Ptr leaf(const LeafSpec& spec) {
    auto der = mint(ca, spec, key.get(), now);
    EXPECT_TRUE(der.ok());
    return der ? from_der(*der) : nullptr;
  }
};

TEST_F(Leaf, IsOneNameForASomeMonthsAndVerifies) {
  auto made = leaf({"www.allowed.test", 0});
  EXPECT_EQ(X509_check_host(made.get(), "www.allowed.test", 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, nullptr), 1);
  EXPECT_EQ(X509_check_host(made.get(), "allowed.test", 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, nullptr), 0);
  EXPECT_EQ(X509_verify(made.get(), X509_get0_pubkey(ca.certificate.get())), 1);
  EXPECT_EQ(X509_check_purpose(made.get(), X509_PURPOSE_SSL_SERVER, 0), 1);
  EXPECT_EQ(X509_check_ca(made.get()), 0);
  EXPECT_EQ(EVP_PKEY_eq(X509_get0_pubkey(made.get()), key.get()), 1);
  EXPECT_NE(EVP_PKEY_eq(X509_get0_pubkey(made.get()), ca.key.get()), 1);
  EXPECT_EQ(seconds_of(X509_get0_notBefore(made.get())), now - 2 * day);
  EXPECT_EQ(seconds_of(X509_get0_notAfter(made.get())), now + 195 * day);
  EXPECT_NE(ASN1_INTEGER_cmp(X509_get0_serialNumber(made.get()), X509_get0_serialNumber(leaf({"x.test", 0}).get())), 0);
}

TEST_F(Leaf, NeverOutlivesTheOriginsOrTheCa) {
  EXPECT_EQ(seconds_of(X509_get0_notAfter(leaf({"x.test", now + 5 * day}).get())), now + 5 * day);
  ca = fresh({.days = 3});
  EXPECT_EQ(seconds_of(X509_get0_notAfter(leaf({"x.test", 0}).get())), now + 3 * day);
}

TEST_F(Leaf, AddressesAreAddresses) {
  EXPECT_EQ(X509_check_ip_asc(leaf({"192.0.2.7", 0}).get(), "192.0.2.7", 0), 1);
  EXPECT_EQ(X509_check_ip_asc(leaf({"2001:db8::7", 0}).get(), "2001:db8::7", 0), 1);
}

TEST_F(Leaf, NothingIsSignedForWhatIsNoName) {
  for (const char* name : {"", "*.test", "a b.test", "x.test\nDNS:y.test", "-", "a..b", "user@x.test"}) {
    bool signed_it = mint(ca, {name, 0}, key.get(), now).ok();
    EXPECT_EQ(signed_it, std::string_view(name) == "-") << name;
  }
  EXPECT_FALSE(mint(ca, {std::string(300, 'a'), 0}, key.get(), now).ok());
  EXPECT_FALSE(mint(ca, {"x.test", now - 1}, key.get(), now).ok()) << "an end in the past";
}

}  // namespace

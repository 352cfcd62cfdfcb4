#include "daemon/identity_settings.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

namespace sluiced {
namespace {

struct SecretFile {
  explicit SecretFile(const std::string& text, mode_t mode = 0600) {
    int fd = mkstemp(path.data());
    EXPECT_EQ(::write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
    fchmod(fd, mode);
    ::close(fd);
  }
  ~SecretFile() { unlink(path.c_str()); }
  std::string path = "/tmp/secret-XXXXXX";
};

rules::Settings::Identity radius(const std::string& path) {
  rules::Settings::Identity identity;
  identity.radius_listen = "[::]:1813";
  identity.radius_clients = {{*base::IpAddress::parse("10.0.0.2"), path}};
  return identity;
}

std::string secret_in(const std::string& text) {
  SecretFile file(text);
  auto read = read_identity_settings(radius(file.path));
  return read ? read->secrets.begin()->second : "refused";
}

TEST(IdentitySettings, TheSecretIsTheFirstLine) {
  EXPECT_EQ(secret_in("s3cret\n"), "s3cret");
  EXPECT_EQ(secret_in("s3cret"), "s3cret");
  EXPECT_EQ(secret_in("two words\r\nand more"), "two words");
  EXPECT_EQ(secret_in(std::string(128, 'x')), std::string(128, 'x'));
  EXPECT_EQ(secret_in(std::string(129, 'x')), "refused");
  EXPECT_EQ(secret_in(""), "refused");
  EXPECT_EQ(secret_in("\nx"), "refused");
  EXPECT_EQ(secret_in(std::string("a\0b", 3)), "refused");
}

TEST(IdentitySettings, ARefusalNamesTheFileAndNotTheSecret) {
  auto missing = read_identity_settings(radius("/tmp/no-such-secret"));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().fault, base::Fault::malformed);
  EXPECT_NE(missing.error().message.find("/tmp/no-such-secret"), std::string::npos);
  SecretFile open("s3cret", 0644);
  auto refused = read_identity_settings(radius(open.path));
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("chmod 600 " + open.path), std::string::npos);
  EXPECT_EQ(refused.error().message.find("s3cret"), std::string::npos);
}

TEST(IdentitySettings, TravelAsText) {
  IdentitySettings settings;
  settings.listen = base::Endpoint::parse("10.20.0.1:1813");
  settings.session_timeout = std::chrono::minutes(30);
  settings.lease_files = {"/var/lib/misc/my leases"};
  settings.secrets = {{*base::IpAddress::parse("10.0.0.2"), " two words "}, {*base::IpAddress::parse("fd00::2"), "x"}};
  auto read = parse_identity_settings(to_text(settings));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->listen, settings.listen);
  EXPECT_EQ(read->session_timeout, settings.session_timeout);
  EXPECT_EQ(read->lease_files, settings.lease_files);
  EXPECT_EQ(read->secrets, settings.secrets);
  for (const char* odd : {"listen", "listen 1\n", "x y\n", "client 10.0.0.2\n", "client x y\n", "timeout x\n", "\n"})
    EXPECT_FALSE(parse_identity_settings(odd)) << odd;
}

TEST(IdentitySettings, WithoutASourceThereIsNoWork) {
  rules::Settings::Identity identity;
  identity.leases_auto = false;
  EXPECT_FALSE(has_identity_sources(identity));
  EXPECT_TRUE(to_text(*read_identity_settings(identity)).empty());
  identity.leases = {"/x"};
  EXPECT_TRUE(has_identity_sources(identity));
  EXPECT_TRUE(has_identity_sources(radius("/x")));
}

}  // namespace
}  // namespace sluiced

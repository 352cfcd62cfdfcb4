#include "daemon/supervisor/authority.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>

#include "daemon/loop.hpp"
#include "tls-intercept/ca_files.hpp"

namespace sluiced {
namespace {

constexpr const char* system_trust = "/etc/ssl/certs/ca-certificates.crt";  // Debian, OpenWrt

constexpr const char* read_at_a_start =
    "; a service manager reads the CA's key once, at a start: systemctl restart sluiced";

// The fingerprint of the certificate that the credential was first seen with. It is as old as the service's start; the
// environment is what outlives a restart in place.
constexpr const char* credential_goes_with = "SLUICE_CREDENTIAL_GOES_WITH";

base::sys::UniqueFd open_file(const std::string& path) {
  return base::sys::UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

// The key as a service manager hands it to a daemon that may not read root's files (systemd.exec(5), LoadCredential=). What
// stands for a key that is not there is an empty line. Its mode is not looked at: access is by ACL, which shows as a mode.
base::sys::UniqueFd open_credential() {
  const char* folder = std::getenv("CREDENTIALS_DIRECTORY");
  if (folder == nullptr) return {};
  base::sys::UniqueFd file = open_file(std::string(folder) + "/ca.key");
  struct stat status;
  bool holds_something = file && fstat(file.get(), &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 1;
  return holds_something ? std::move(file) : base::sys::UniqueFd();
}

}  // namespace

bool wants_authority(const policy::Snapshot& snapshot) {
  return std::any_of(snapshot.groups.begin(), snapshot.groups.end(), [](const policy::Group& group) {
    return group.tls == policy::TlsMode::inspect || group.wants_page;
  });
}

base::Result<Authority> open_authority(const rules::Settings& settings, const std::string& state) {
  const rules::Settings::TlsIntercept& chosen = settings.tls_intercept;
  tls_intercept::CaPaths paths{rules::in_state(chosen.ca_cert, state), rules::in_state(chosen.ca_key, state)};
  if (!tls_intercept::exists(paths.certificate) && !tls_intercept::exists(paths.key))
    return base::malformed("a group has tls = \"inspect\" or block_page = \"https\", and there is no CA (" +
                           paths.certificate + "); make one with: sluicectl ca init");
  Authority authority;
  authority.key = open_credential();
  bool is_credential = static_cast<bool>(authority.key);
  if (!is_credential) {
    auto key = tls_intercept::open_key(paths.key);
    bool managed = std::getenv("CREDENTIALS_DIRECTORY") != nullptr;
    if (!key) return base::malformed(key.error().message + (managed ? read_at_a_start : ""));
    authority.key = std::move(*key);
  }
  authority.certificate = open_file(paths.certificate);
  auto current = tls_intercept::read_certificate_file(paths.certificate);
  if (!current || !authority.certificate)
    return base::malformed("cannot read the CA's certificate " + paths.certificate);

  // What can be told without the key; whether that belongs to it is the signer's to say.
  auto about = tls_intercept::describe_ca(*current);
  if (!about || !about->is_ca)
    return base::malformed(paths.certificate +
                           " is no CA's certificate in PEM form; sluicectl ca show tells what it is");
  if (about->ends <= wall_seconds())
    return base::malformed("the CA " + paths.certificate + " has expired on " + about->not_after +
                           "; make another: sluicectl ca init --next, give it to the devices, sluicectl ca rotate");

  if (is_credential) {
    setenv(credential_goes_with, about->fingerprint.c_str(), 0);
    if (about->fingerprint != std::getenv(credential_goes_with))
      return base::malformed(std::string("the CA's certificate has changed, and its key would be the old one") +
                             read_at_a_start);
  }

  std::string kinds = "current", certificates = *current + (current->ends_with('\n') ? "" : "\n");
  for (const char* kind : {"next", "previous"}) {
    auto other = tls_intercept::read_certificate_file(paths.beside((std::string(kind) + ".crt").c_str()));
    if (!other) continue;
    kinds += std::string(" ") + kind;
    certificates += *other;
  }
  authority.current = *current;
  authority.text = kinds + "\n" + certificates;

  bool system = chosen.trust == "system";
  std::string trust = system ? system_trust : chosen.trust;
  authority.trust = open_file(trust);
  if (!authority.trust)
    return base::malformed("tls_intercept.trust: " + trust + " cannot be read" +
                           (system ? " (install the package ca-certificates)" : ""));
  return authority;
}

}  // namespace sluiced

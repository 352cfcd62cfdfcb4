#include "daemon/authority.hpp"

#include <fcntl.h>

#include <algorithm>

#include "daemon/loop.hpp"
#include "tls-intercept/ca_files.hpp"

namespace sluiced {
namespace {

constexpr const char* system_trust = "/etc/ssl/certs/ca-certificates.crt";  // Debian, OpenWrt

base::sys::UniqueFd open_file(const std::string& path) {
  return base::sys::UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
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
  auto key = tls_intercept::open_key(paths.key);
  if (!key) return base::malformed(key.error().message);
  authority.key = std::move(*key);
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

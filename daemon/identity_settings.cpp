#include "daemon/identity_settings.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/sys/unique_fd.hpp"
#include "base/text.hpp"
#include "daemon/lease_files.hpp"

namespace sluiced {
namespace {

constexpr std::size_t longest_secret = 128;

base::Result<std::string> read_secret(const std::string& path) {
  auto refuse = [&](const std::string& why) { return base::malformed("the RADIUS secret " + path + " " + why); };
  base::sys::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat status;
  if (!file || fstat(file.get(), &status) != 0) return refuse(std::string("cannot be read: ") + std::strerror(errno));
  if (!S_ISREG(status.st_mode)) return refuse("is no file");
  if ((status.st_mode & 07) != 0) return refuse("can be read by everybody; mend it with: chmod 600 " + path);
  char buffer[longest_secret + 3];
  ssize_t count = ::read(file.get(), buffer, sizeof buffer);
  if (count < 0) return refuse(std::string("cannot be read: ") + std::strerror(errno));
  std::string_view text(buffer, static_cast<std::size_t>(count));
  text = text.substr(0, text.find('\n'));
  if (text.ends_with('\r')) text.remove_suffix(1);
  if (text.empty()) return refuse("is empty");
  if (text.size() > longest_secret) return refuse("is longer than 128 octets");
  if (text.find('\0') != text.npos) return refuse("holds a NUL");
  return std::string(text);
}

}  // namespace

base::Result<IdentitySettings> read_identity_settings(const rules::Settings::Identity& identity) {
  IdentitySettings settings;
  if (!identity.radius_listen.empty()) settings.listen = base::Endpoint::parse(identity.radius_listen);
  if (identity.radius_session_timeout > std::chrono::seconds(0))
    settings.session_timeout = identity.radius_session_timeout;
  settings.lease_files = identity.leases_auto ? usual_lease_files() : identity.leases;
  if (!settings.listen) return settings;
  for (const auto& [address, path] : identity.radius_clients) {
    auto secret = read_secret(path);
    if (!secret) return std::move(secret).error();
    settings.secrets[address] = std::move(*secret);
  }
  return settings;
}

bool has_identity_sources(const rules::Settings::Identity& identity) {
  if (!identity.radius_listen.empty() || !identity.leases.empty()) return true;
  const auto& usual = usual_lease_files();
  return identity.leases_auto && std::any_of(usual.begin(), usual.end(),
                                             [](const std::string& path) { return access(path.c_str(), F_OK) == 0; });
}

std::string to_text(const IdentitySettings& settings) {
  std::string text;
  if (settings.listen) text += "listen " + settings.listen->to_string() + "\n";
  if (settings.session_timeout) text += "timeout " + std::to_string(settings.session_timeout->count()) + "\n";
  for (const std::string& path : settings.lease_files) text += "leases " + path + "\n";
  for (const auto& [address, secret] : settings.secrets) text += "client " + address.to_string() + " " + secret + "\n";
  return text;
}

std::optional<IdentitySettings> parse_identity_settings(std::string_view text) {
  IdentitySettings settings;
  while (!text.empty()) {
    std::size_t end = text.find('\n'), space = text.find(' ');
    if (end == text.npos || space > end) return std::nullopt;
    std::string_view word = text.substr(0, space), rest = text.substr(space + 1, end - space - 1);
    text.remove_prefix(end + 1);
    if (word == "listen") {
      settings.listen = base::Endpoint::parse(rest);
      if (!settings.listen) return std::nullopt;
    } else if (word == "timeout") {
      auto seconds = base::parse_number(rest, 1u << 31);
      if (!seconds) return std::nullopt;
      settings.session_timeout = std::chrono::seconds(*seconds);
    } else if (word == "leases") {
      settings.lease_files.emplace_back(rest);
    } else if (word == "client") {
      std::size_t behind = rest.find(' ');
      auto address = base::IpAddress::parse(rest.substr(0, behind));
      if (!address || behind == rest.npos) return std::nullopt;
      settings.secrets[*address] = rest.substr(behind + 1);
    } else {
      return std::nullopt;
    }
  }
  return settings;
}

}  // namespace sluiced

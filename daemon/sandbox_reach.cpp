// Which files each role reaches, once confined. The gateway and the signer reach none.
//
// A rule of Landlock holds for the file that is at its path when it is made, and for what will be below a folder. So what
// others replace by a new file is reached by its folder where nothing else is in there, and where that would be /etc, the
// supervisor looks whether the file is still the one that the role took (Supervisor::tend_reaches) and starts the role
// again when it is not.
#include <cstdlib>
#include <filesystem>

#include "daemon/sandbox.hpp"

namespace sluiced {
namespace {

namespace fs = std::filesystem;

constexpr const char* variable = "SLUICE_REACH";

// What the C library reads when it resolves names and tells the time.
constexpr const char* of_libc[] = {"/etc/localtime", "/usr/share/zoneinfo", "/dev/null", "/dev/urandom"};
constexpr const char* of_names[] = {
    "/etc/resolv.conf", "/etc/hosts",     "/etc/nsswitch.conf", "/etc/host.conf",     "/etc/gai.conf",
    "/etc/services",    "/etc/protocols", "/etc/ld.so.cache",   "/etc/ld.so.preload", "/lib",
    "/lib64",           "/usr/lib",       "/usr/lib64",         "/usr/local/lib"};
constexpr const char* of_tls[] = {
    "/etc/ssl/certs",     "/etc/ssl/cert.pem",          "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/certs", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates"};

void add_folder_of(const std::string& file, std::vector<std::string>& folders) {
  std::string folder = fs::path(file).parent_path();
  if (!folder.empty()) folders.push_back(std::move(folder));
}

}  // namespace

Reach keeper_reach(const std::string& state, const std::string& log, const std::string& store) {
  Reach reach;
  reach.read.assign(std::begin(of_libc), std::end(of_libc));
  for (const char* each : {"codes", "learned", "logins", "quotas", "grants"}) reach.write.push_back(state + "/" + each);
  if (!store.empty()) add_folder_of(store, reach.write);
  if (log != "off" && log != "syslog") add_folder_of(log, reach.append);
  return reach;
}

Reach helper_reach(const std::string& state, const std::vector<std::string>& lease_files) {
  Reach reach;
  reach.write = {state + "/lists", state + "/identities"};
  reach.read.assign(std::begin(of_libc), std::end(of_libc));
  reach.read.insert(reach.read.end(), std::begin(of_names), std::end(of_names));
  reach.read.insert(reach.read.end(), std::begin(of_tls), std::end(of_tls));
  // resolv.conf is a link into a folder of its own (systemd-resolved, OpenWrt's /tmp/resolv.conf.d), written anew there.
  std::error_code error;
  fs::path resolver = fs::canonical("/etc/resolv.conf", error);
  if (!error && resolver.parent_path() != "/etc") reach.read.push_back(resolver.parent_path());
  if (const char* bundle = std::getenv("SSL_CERT_FILE"); bundle != nullptr) reach.read.emplace_back(bundle);
  for (const std::string& file : lease_files) add_folder_of(file, reach.read);  // servers write a new one and rename it
  return reach;
}

Reach compiler_reach(const std::vector<std::string>& lists) {
  Reach reach;
  reach.read = lists;
  reach.read.emplace_back("/etc/machine-id");
  reach.read.emplace_back("/dev/urandom");
  return reach;
}

void put_into_environment(const Reach& reach) {
  setenv(variable, reach.to_text().c_str(), 1);
}

Reach reach_of_environment() {
  const char* text = std::getenv(variable);
  return Reach::parse(text != nullptr ? text : "");
}

}  // namespace sluiced

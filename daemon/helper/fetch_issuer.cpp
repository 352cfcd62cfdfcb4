#include "daemon/helper/fetch_issuer.hpp"

#include <curl/curl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "base/ip_prefix.hpp"

namespace sluiced {
namespace {

constexpr long time_limit = 8;                 // seconds
constexpr std::size_t size_limit = 64 * 1024;  // bytes

const std::vector<base::IpPrefix>& special() {
  static const std::vector<base::IpPrefix> all = [] {
    std::vector<base::IpPrefix> prefixes;
    for (const char* text : {"0.0.0.0/8",       "10.0.0.0/8",     "100.64.0.0/10", "127.0.0.0/8",    "169.254.0.0/16",
                             "172.16.0.0/12",   "192.0.0.0/24",   "192.0.2.0/24",  "192.168.0.0/16", "198.18.0.0/15",
                             "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",   "::/3",           "4000::/2",
                             "8000::/1",        "2001::/23",      "2001:db8::/32", "2002::/16",      "3fff::/20"})
      if (auto prefix = base::IpPrefix::parse(text)) prefixes.push_back(*prefix);
    return prefixes;
  }();
  return all;
}

std::optional<base::IpAddress> address_of(const sockaddr* address) {
  if (address->sa_family == AF_INET)
    return base::IpAddress::v4(ntohl(reinterpret_cast<const sockaddr_in*>(address)->sin_addr.s_addr));
  if (address->sa_family == AF_INET6)
    return base::IpAddress::v6(reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr.s6_addr);
  return std::nullopt;
}

// Asked with the address itself, after the name was resolved: a name cannot mean one thing when checked and another when
// used.
curl_socket_t open_socket(void*, curlsocktype, curl_sockaddr* to) {
  auto address = address_of(&to->addr);
  if (!address || !is_public(*address)) return CURL_SOCKET_BAD;
  return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

std::size_t take(char* bytes, std::size_t, std::size_t count, void* user) {
  auto& body = *static_cast<std::string*>(user);
  if (body.size() + count > size_limit) return 0;
  body.append(bytes, count);
  return count;
}

}  // namespace

bool is_public(const base::IpAddress& address) {
  return std::none_of(special().begin(), special().end(),
                      [&](const base::IpPrefix& prefix) { return prefix.contains(address); });
}

base::Result<std::string> fetch_issuer(const std::string& url) {
  CURL* curl = curl_easy_init();
  if (curl == nullptr) return base::environment_error("libcurl cannot be set up");
  std::string body;
  char error[CURL_ERROR_SIZE] = "";
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(curl, CURLOPT_PROXY, "");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT, time_limit);
  curl_easy_setopt(curl, CURLOPT_MAXFILESIZE, static_cast<long>(size_limit));
  curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "sluice/" SLUICE_VERSION);
  CURLcode code = curl_easy_perform(curl);
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_cleanup(curl);
  if (code != CURLE_OK) return base::environment_error(error[0] != '\0' ? error : curl_easy_strerror(code));
  if (status != 200) return base::environment_error("status " + std::to_string(status));
  return body;
}

}  // namespace sluiced

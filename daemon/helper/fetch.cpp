#include "daemon/helper/fetch.hpp"

#include <curl/curl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <string_view>

#include "base/text.hpp"

namespace sluiced {
namespace {

constexpr long connect_seconds = 30;
constexpr long most_redirects = 5;
constexpr std::size_t longest_validator = 1024;

struct Closer {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

struct Transfer {
  CURL* curl = nullptr;
  int file = -1;
  std::uint64_t limit = 0;
  const std::atomic<bool>* give_up = nullptr;
  Fetched fetched;
  std::string trouble;  // of ours: libcurl only says that a callback failed
};

std::size_t take_body(char* bytes, std::size_t, std::size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  long status = 0;
  curl_easy_getinfo(transfer.curl, CURLINFO_RESPONSE_CODE, &status);
  if (status != 200) return size;  // an error's page: read and forgotten
  transfer.fetched.bytes += size;
  if (transfer.fetched.bytes > transfer.limit) {
    transfer.trouble = "it is larger than " + std::to_string(transfer.limit >> 20) + " MiB";
    return 0;
  }
  for (std::size_t left = size; left > 0;) {
    ssize_t written = ::write(transfer.file, bytes, left);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      transfer.trouble = std::string("write: ") + std::strerror(errno);
      return 0;
    }
    bytes += written;
    left -= static_cast<std::size_t>(written);
  }
  return size;
}

std::size_t take_header(char* bytes, std::size_t, std::size_t size, void* user) {
  auto& fetched = static_cast<Transfer*>(user)->fetched;
  std::string_view line(bytes, size);
  if (line.starts_with("HTTP/")) fetched.validators = {};  // a redirect's headers are not the file's
  std::size_t colon = line.find(':');
  if (colon == line.npos) return size;
  std::string name = base::to_lower(line.substr(0, colon));
  std::string_view value = base::trim(line.substr(colon + 1));
  if (value.size() > longest_validator) return size;
  if (name == "etag") fetched.validators.etag = value;
  if (name == "last-modified") fetched.validators.last_modified = value;
  if (name == "content-type") fetched.content_type = base::to_lower(value);
  return size;
}

int look_around(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<Transfer*>(user)->give_up->load() ? 1 : 0;
}

}  // namespace

base::Result<Fetched> fetch(const std::string& url, const Validators& known, int file, const FetchLimits& limits,
                            const std::atomic<bool>& give_up) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  std::unique_ptr<CURL, Closer> curl(curl_easy_init());
  if (!curl) return base::environment_error("libcurl could not be started");
  Transfer transfer{curl.get(), file, limits.bytes, &give_up, {}, {}};
  std::array<char, CURL_ERROR_SIZE> words{};
  std::unique_ptr<curl_slist, Closer> headers;
  auto add_header = [&](const std::string& line) { headers.reset(curl_slist_append(headers.release(), line.c_str())); };
  if (!known.etag.empty()) add_header("If-None-Match: " + known.etag);
  if (!known.last_modified.empty()) add_header("If-Modified-Since: " + known.last_modified);

  auto set = [&](auto option, auto value) { curl_easy_setopt(curl.get(), option, value); };
  bool secure = url.starts_with("https://");
  set(CURLOPT_URL, url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_REDIR_PROTOCOLS_STR, secure ? "https" : "http,https");  // TLS is never given up on the way
  set(CURLOPT_FOLLOWLOCATION, 1L);
  set(CURLOPT_MAXREDIRS, most_redirects);
  set(CURLOPT_SSL_VERIFYPEER, 1L);
  set(CURLOPT_SSL_VERIFYHOST, 2L);
  if (const char* bundle = std::getenv("SSL_CERT_FILE"); bundle != nullptr && *bundle != '\0')
    set(CURLOPT_CAINFO, bundle);
  set(CURLOPT_CONNECTTIMEOUT, connect_seconds);
  set(CURLOPT_TIMEOUT, limits.seconds);
  set(CURLOPT_LOW_SPEED_LIMIT, limits.slow_bytes_a_second);
  set(CURLOPT_LOW_SPEED_TIME, limits.slow_seconds);
  set(CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(limits.bytes));
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_HTTPHEADER, headers.get());
  set(CURLOPT_USERAGENT, "sluice/" SLUICE_VERSION);
  set(CURLOPT_ERRORBUFFER, words.data());
  set(CURLOPT_WRITEFUNCTION, take_body);
  set(CURLOPT_WRITEDATA, &transfer);
  set(CURLOPT_HEADERFUNCTION, take_header);
  set(CURLOPT_HEADERDATA, &transfer);
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_XFERINFOFUNCTION, look_around);
  set(CURLOPT_XFERINFODATA, &transfer);

  CURLcode code = curl_easy_perform(curl.get());
  if (!transfer.trouble.empty()) return base::environment_error(transfer.trouble);
  if (code == CURLE_FILESIZE_EXCEEDED)
    return base::environment_error("it is larger than " + std::to_string(limits.bytes >> 20) + " MiB");
  if (code != CURLE_OK)
    return base::environment_error(words[0] != '\0' ? std::string(words.data()) : curl_easy_strerror(code));
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  transfer.fetched.unchanged = status == 304 && (!known.etag.empty() || !known.last_modified.empty());
  if (status != 200 && !transfer.fetched.unchanged)
    return base::environment_error("the origin answered with status " + std::to_string(status));
  return transfer.fetched;
}

}  // namespace sluiced

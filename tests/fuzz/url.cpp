// URLs under any bytes: the normal form is its own normal form, and no disguise is left in its path.
#include "proto/http/url.hpp"

#include <cstdlib>

#include "base/bytes.hpp"
#include "base/domain_name.hpp"
#include "base/ip_address.hpp"

namespace {

using proto::http::Url;

void require(bool promise) {
  if (!promise) std::abort();
}

void check(const Url& url) {
  base::UrlView view = url.view();
  std::string path = std::string(view.path) + "/";
  require(path.starts_with('/') && path.find("/./") == path.npos && path.find("/../") == path.npos);
  for (char c : view.path) require(c > ' ' && c <= '~');
  require(proto::http::normalize_path(view.path) == view.path);
  auto name = base::DomainName::parse(view.host);
  auto address = base::IpAddress::parse(view.host);
  require(name ? name->text() == view.host : address && address->to_string() == view.host);
  require(view.port != 0 && (view.scheme == "http" || view.scheme == "https"));
  auto again = Url::parse(url.to_string());
  require(again && again->to_string() == url.to_string());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text = base::as_text({data, size});
  if (auto url = Url::parse(text)) check(*url);
  if (auto url = Url::from_request("https", "a.example", text)) check(*url);
  if (auto url = Url::from_request("http", text, "/")) check(*url);
  return 0;
}

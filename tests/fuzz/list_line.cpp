// Every format's line reader under any bytes. Whatever is taken for an entry must be in its compared form: read again,
// it is the same entry and nothing is left to convert.
#include "rules/list_line.hpp"

#include <cstdlib>

#include "base/text.hpp"
#include "rules/list_e2guardian.hpp"
#include "rules/list_rpz.hpp"

namespace {

using rules::LineFormat;

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view line = base::as_text({data, size});
  for (LineFormat format : {LineFormat::domains_exact, LineFormat::domains_with_subdomains, LineFormat::any_domains,
                            LineFormat::hosts, LineFormat::urls, LineFormat::expressions, LineFormat::addresses,
                            LineFormat::adguard, LineFormat::dnsmasq, LineFormat::unbound}) {
    std::vector<rules::LineEntry> entries;
    rules::parse_list_line(format, line, entries);
    for (const rules::LineEntry& entry : entries) {
      if (const auto* name = std::get_if<rules::NameEntry>(&entry.what)) {
        auto again = rules::parse_list_host(name->name.text());
        require(again && again->name == name->name && !again->converted);
      } else if (const auto* url = std::get_if<rules::ListUrl>(&entry.what)) {
        std::string host = url->host.find(':') == std::string::npos ? url->host : "[" + url->host + "]";
        auto again = rules::parse_list_url(host + url->rest);
        require(again && again->host == url->host && again->rest == url->rest && !again->converted);
      }
    }
  }
  (void)rules::cancelled_rule(line);
  rules::RpzReader rpz;
  rules::E2guardianReader sites("/l/sitelist", rules::E2guardianReader::Kind::sites),
      regexps("/l/regexpurllist", rules::E2guardianReader::Kind::expressions);
  std::vector<rules::LineEntry> entries;
  for (std::string_view part : base::split(line, '\n')) {
    rpz.read(part, entries);
    sites.read(part, entries);
    regexps.read(part, entries);
  }
  return 0;
}

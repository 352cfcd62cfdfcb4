#include "rules/list_e2guardian.hpp"

#include "base/text.hpp"

namespace rules {
namespace {

constexpr std::size_t most_words = 1000;
constexpr std::size_t longest_line = 64 * 1024;  // once words are put in

// The text between the first '<' and the next '>'.
std::string_view bracketed(std::string_view text) {
  std::size_t begin = text.find('<'), end = text.find('>', begin == text.npos ? 0 : begin);
  if (begin == text.npos || end == text.npos) return {};
  return text.substr(begin + 1, end - begin - 1);
}

}  // namespace

E2guardianReader::Kind E2guardianReader::kind_of(const std::string& path) {
  std::string name = base::to_lower(path.substr(path.rfind('/') + 1));
  auto has = [&](std::string_view part) { return name.find(part) != name.npos; };
  if (has("grey") || has("log") || has("sslsite")) return Kind::other;
  if (has("regexp") && has("url")) return Kind::expressions;
  if (has("siteip")) return Kind::addresses;
  if (has("urllist") || name == "urls") return Kind::urls;
  if (name == "expressions") return Kind::expressions;
  return (has("sitelist") && !has("regexp")) || name == "domains" ? Kind::sites : Kind::other;
}

E2guardianReader::E2guardianReader(const std::string& path, Kind kind)
    : folder_(path.substr(0, path.rfind('/') + 1)), kind_(kind) {}

std::string E2guardianReader::with_words(std::string_view text) const {
  std::string out(text);
  for (const auto& [word, value] : words_)
    for (std::size_t at = 0; (at = out.find(word, at)) != out.npos && out.size() < longest_line; at += value.size())
      out.replace(at, word.size(), value);
  return out;
}

E2guardianReader::Directive E2guardianReader::read(std::string_view line, std::vector<LineEntry>& out) {
  Directive directive;
  std::string_view text = base::trim(line);
  if (text.starts_with("#listcategory:")) {
    std::size_t begin = text.find('"'), end = text.rfind('"');
    if (begin < end && end != text.npos) directive.category = base::to_lower(text.substr(begin + 1, end - begin - 1));
    for (char& c : directive.category)
      if (c == ' ') c = '_';
    return directive;
  }
  directive.timed = text.starts_with("#time:");
  if (text.empty() || text.front() == '#') return directive;
  if (text.starts_with(".Include<")) {
    std::string path = with_words(bracketed(text));
    directive.include = path.starts_with('/') || path.empty() ? path : folder_ + path;
    return directive;
  }
  if (text.starts_with(".Define ")) {
    std::string_view rest = base::trim(text.substr(8));
    std::string name(rest.substr(0, rest.find_first_of(" \t<")));
    if (words_.size() < most_words && !name.empty()) words_["__" + name + "__"] = bracketed(rest);
    return directive;
  }
  std::string whole = words_.empty() ? std::string(text) : with_words(text);
  if (kind_ != Kind::sites && kind_ != Kind::other) {
    parse_list_line(kind_ == Kind::urls          ? LineFormat::urls
                    : kind_ == Kind::expressions ? LineFormat::expressions
                                                 : LineFormat::addresses,
                    whole, out);
    return directive;
  }
  std::string_view site = base::trim(std::string_view(whole).substr(0, whole.find('#')));
  if (site.empty()) return directive;
  if (site.starts_with("**")) {
    out.push_back(ignored("a blanket line, which e2guardian does not use any more", site));
    return directive;
  }
  LineEntry entry =
      parse_domain(site, site.starts_with('.') ? LineFormat::any_domains : LineFormat::domains_with_subdomains);
  if (std::holds_alternative<base::IpPrefix>(entry.what))
    entry = ignored("an address in a site list, which e2guardian does not use", site);
  out.push_back(std::move(entry));
  return directive;
}

}  // namespace rules

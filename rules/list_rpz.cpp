#include "rules/list_rpz.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace rules {
namespace {

constexpr std::size_t longest_record = 64 * 1024;

// Without comments; counts parentheses outside of quotes, and leaves them away.
std::string without_comment(std::string_view line, int& depth) {
  std::string out;
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    char c = line[i];
    if (c == '"') quoted = !quoted;
    if (c == ';' && !quoted) break;
    if (!quoted && (c == '(' || c == ')')) {
      depth += c == '(' ? 1 : -1;
      c = ' ';
    }
    out += c;
  }
  return out;
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  for (std::size_t at = 0; (at = text.find_first_not_of(" \t", at)) != text.npos;) {
    std::size_t end = std::min(text.find_first_of(" \t", at), text.size());
    words.emplace_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

// "24.0.2.0.192" or "128.1.zz.db8.2001": the prefix's length, then the address from its end.
std::optional<base::IpPrefix> reversed_prefix(std::string_view text) {
  std::vector<std::string_view> parts = base::split(text, '.');
  if (parts.size() < 3) return std::nullopt;
  std::string address;
  bool is_v4 = parts.size() == 5 && std::all_of(parts.begin() + 1, parts.end(), [](std::string_view part) {
                 return base::parse_number(part, 255).has_value();
               });
  for (std::size_t i = parts.size(); i-- > 1;) {
    if (!address.empty() && !address.ends_with("::")) address += is_v4 ? '.' : ':';
    if (parts[i] == "zz")
      address += address.ends_with(':') ? ":" : "::";
    else
      address += parts[i];
  }
  return base::IpPrefix::parse(address + "/" + std::string(parts[0]));
}

}  // namespace

void RpzReader::read(std::string_view line, std::vector<LineEntry>& out) {
  int depth = pending_.empty() ? 0 : 1;
  std::string text = without_comment(line, depth);
  bool begins_blank = !text.empty() && (text[0] == ' ' || text[0] == '\t');
  if (pending_.empty()) {
    pending_blank_ = begins_blank;
    pending_ = std::move(text);
  } else {
    pending_ += ' ' + text;
  }
  if (depth > 0 && pending_.size() < longest_record) {
    if (pending_.empty()) pending_ = " ";
    return;
  }
  std::string whole = std::exchange(pending_, {});
  record(whole, pending_blank_, out);
}

void RpzReader::record(const std::string& text, bool begins_blank, std::vector<LineEntry>& out) {
  std::vector<std::string> words = words_of(text);
  if (words.empty()) return;
  std::string first = base::to_lower(words[0]);
  if (first == "$origin" && words.size() > 1) {
    origin_ = base::to_lower(words[1]);
    if (origin_.ends_with('.')) origin_.pop_back();
    if (zone_.empty()) zone_ = origin_;  // later ones are below it
    return;
  }
  if (first.starts_with('$')) return;
  if (!begins_blank) {
    last_owner_ = first;
    words.erase(words.begin());
  }
  // [ttl] [class] type data
  auto is_ttl = [](const std::string& word) { return word[0] >= '0' && word[0] <= '9'; };
  while (!words.empty() && (is_ttl(words[0]) || base::to_lower(words[0]) == "in")) words.erase(words.begin());
  if (words.empty()) return out.push_back(ignored("not a zone file's record", text));
  std::string type = base::to_lower(words[0]);
  if (type == "soa") {  // of the zone itself
    if (zone_.empty() && last_owner_.ends_with('.')) zone_ = origin_ = last_owner_.substr(0, last_owner_.size() - 1);
    return;
  }
  if (type == "ns" || last_owner_ == "@") return;
  if (type != "cname" && type != "a" && type != "aaaa" && type != "txt")
    return out.push_back(ignored("a record that says nothing about blocking", text));

  std::string owner = last_owner_;
  if (owner.ends_with('.')) {
    owner.pop_back();
    if (!zone_.empty() && owner.ends_with("." + zone_))
      owner.resize(owner.size() - zone_.size() - 1);
    else if (!zone_.empty())
      return out.push_back(ignored("a name outside of the zone", text));
  } else if (origin_ != zone_ && origin_.ends_with("." + zone_)) {
    owner += "." + origin_.substr(0, origin_.size() - zone_.size() - 1);
  }
  std::string data = words.size() > 1 ? base::to_lower(words[1]) : "";
  bool passes = type == "cname" && (data == "rpz-passthru." || data == last_owner_ || data == owner + ".");
  bool blocks = data == "." || data == "*." || data == "rpz-drop.";
  if (data.empty()) return out.push_back(ignored("a record without data", text));
  if (type == "cname" && !blocks && !passes && data != "rpz-tcp-only.")
    return out.push_back(ignored("it leads to another name, which is no block", text));
  if (type == "cname" && data == "rpz-tcp-only.") return out.push_back(ignored("rpz-tcp-only", text));
  LineEntry entry;
  for (std::string_view trigger : {".rpz-client-ip", ".rpz-nsdname", ".rpz-nsip"})
    if (owner.ends_with(trigger))
      return out.push_back(ignored("a trigger about " + std::string(trigger.substr(5)), text));
  if (owner.ends_with(".rpz-ip")) {
    auto prefix = reversed_prefix(std::string_view(owner).substr(0, owner.size() - 7));
    if (!prefix) return out.push_back(ignored("not an address", text));
    entry = {*prefix};
  } else {
    bool below = owner.starts_with("*.");
    entry = parse_domain(below ? std::string_view(owner).substr(2) : std::string_view(owner), LineFormat::any_domains);
    if (auto* name = std::get_if<NameEntry>(&entry.what))
      name->scope = below ? ImageWriter::Scope::below : ImageWriter::Scope::self;
  }
  if (passes) entry.strength = ImageWriter::Strength::exception;
  out.push_back(std::move(entry));
}

}  // namespace rules

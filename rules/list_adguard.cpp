// Rules of AdGuard Home's DNS filtering syntax, and of Adblock lists as far as they are about hosts.
//
//   ||x^            x and all below it          |x^, |x|   x itself          x      x itself
//   ||*.x^, .x^     what is below x             ||x        a label of the name begins so ("||get-me-wow.")
//   /re/            an expression over the host; a pattern with * too
//   @@rule          an exception inside this list
//   $important      beats exceptions that are not important themselves
//   $denyallow=a|b  not for these and what is below them
//   $badfilter      cancels the same rule without it, wherever it stands in the list
//
// A rule with any other modifier is ignored whole: what it would do without the modifier is not what its author meant.
// So are rules that ask for what is not known here ($client, $dnstype ...), rules about paths, and cosmetic ones.
#include <algorithm>

#include "base/text.hpp"
#include "rules/list_line.hpp"

namespace rules {
namespace {

using Scope = ImageWriter::Scope;
using Strength = ImageWriter::Strength;

// A rule's parts: "@@", the pattern, and its modifiers.
struct Rule {
  bool exception = false;
  std::string_view pattern;
  std::vector<std::string_view> modifiers;
};

Rule cut(std::string_view text) {
  Rule rule;
  if (text.starts_with("@@")) {
    rule.exception = true;
    text.remove_prefix(2);
  }
  // Inside of an expression '$' is its end, not the beginning of modifiers.
  std::size_t from = text.starts_with('/') ? text.rfind('/') : 0;
  std::size_t dollar = text.find('$', from == text.npos ? 0 : from);
  rule.pattern = base::trim(text.substr(0, dollar));
  if (dollar == text.npos) return rule;
  for (std::string_view modifier : base::split(text.substr(dollar + 1), ','))
    if (!base::trim(modifier).empty()) rule.modifiers.push_back(base::trim(modifier));
  return rule;
}

bool is_cosmetic(std::string_view text) {
  for (std::string_view sign : {"##", "#@#", "#?#", "#$#", "#%#", "$$", "$@$"})
    if (text.find(sign) != text.npos) return true;
  return false;
}

bool is_host_text(std::string_view text) {
  return !text.empty() && text.find_first_of("*^|/:?=&% ") == text.npos;
}

// Over the host's name alone: '^' is its end, and '*' anything.
std::string expression_of(std::string_view pattern) {
  std::string out;
  if (pattern.starts_with("||")) {
    out = "(^|\\.)";
    pattern.remove_prefix(2);
  } else if (pattern.starts_with('|')) {
    out = "^";
    pattern.remove_prefix(1);
  }
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    char c = pattern[i];
    if (c == '*')
      out += ".*";
    else if (c == '^' || (c == '|' && i + 1 == pattern.size()))
      out += '$';
    else if (base::to_lower(c) >= 'a' && base::to_lower(c) <= 'z')
      out += c;
    else if ((c >= '0' && c <= '9') || c == '-' || c == '_')
      out += c;
    else
      out += std::string("\\") + c;
  }
  return out;
}

LineEntry named(std::string_view host, Scope scope) {
  LineEntry entry = parse_domain(host, LineFormat::any_domains);
  if (auto* name = std::get_if<NameEntry>(&entry.what)) name->scope = scope;
  return entry;
}

LineEntry pattern_entry(std::string_view pattern) {
  if (pattern.size() > 2 && pattern.front() == '/' && pattern.back() == '/')
    return parse_expression(pattern.substr(1, pattern.size() - 2), ImageWriter::Over::host);
  if (pattern.find_first_of("/?=&") != pattern.npos) return ignored("a rule about paths", pattern);
  // "||x^|" and "||x^*" end where "||x^" does: behind a host there is nothing.
  while (pattern.ends_with("^|") || pattern.ends_with("^*")) pattern.remove_suffix(1);
  std::string_view middle = pattern;
  bool at_label = middle.starts_with("||"), at_start = !at_label && middle.starts_with('|');
  if (at_label || at_start) middle.remove_prefix(at_label ? 2 : 1);
  bool at_end = middle.ends_with('^') || middle.ends_with('|');
  if (at_end) middle.remove_suffix(1);
  if (at_label && middle.starts_with('.')) return ignored("a pattern that no host has", pattern);
  std::size_t dot = middle.starts_with("*.") ? 2 : middle.starts_with('.') ? 1 : 0;
  if (dot > 0 && at_end && !at_start && is_host_text(middle.substr(dot)))
    return named(middle.substr(dot), Scope::below);
  if (is_host_text(middle)) {
    if (at_end && at_label) return named(middle, Scope::tree);
    if (at_end && at_start) return named(middle, Scope::self);
    if (!at_end && !at_label && !at_start && middle.find('.') != middle.npos && !middle.ends_with('.') &&
        !middle.starts_with('.'))
      return named(middle, Scope::self);
  }
  if (std::count_if(middle.begin(), middle.end(), [](char c) { return c != '*' && c != '.' && c != '^'; }) < 2)
    return ignored("a pattern that holds nearly everything", pattern);
  for (char c : pattern)
    if (static_cast<std::uint8_t>(c) >= 0x80 || c == ' ') return ignored("not a host pattern", pattern);
  return parse_expression(expression_of(pattern), ImageWriter::Over::host);
}

}  // namespace

void parse_adguard_line(std::string_view text, std::vector<LineEntry>& out) {
  if (text.starts_with('!') || (text.starts_with('[') && text.ends_with(']'))) return;
  if (is_cosmetic(text)) return out.push_back(ignored("a cosmetic rule", text));
  if (text.starts_with('#')) return;
  std::size_t word_end = text.find_first_of(" \t");
  if (word_end != text.npos && base::IpAddress::parse(text.substr(0, word_end)))
    return parse_hosts_line(base::trim(text.substr(0, text.find('#'))), out);

  Rule rule = cut(text);
  bool important = false;
  std::vector<base::DomainName> unless;
  for (std::string_view modifier : rule.modifiers) {
    std::string_view name = modifier.substr(0, modifier.find('='));
    if (modifier == "important") {
      important = true;
    } else if (modifier == "badfilter") {
      return;  // what it cancels was found before
    } else if (name == "denyallow" && name.size() < modifier.size()) {
      for (std::string_view host : base::split(modifier.substr(name.size() + 1), '|')) {
        auto parsed = parse_list_host(host);
        if (!parsed || parsed->name.empty()) return out.push_back(ignored("$denyallow with what is no host", text));
        unless.push_back(parsed->name);
      }
    } else {
      for (std::string_view known : {"client", "dnstype", "dnsrewrite", "ctag"})
        if (name == known) return out.push_back(ignored("$" + std::string(known) + ", which is not known here", text));
      return out.push_back(ignored("an unknown modifier, $" + std::string(name.substr(0, 40)), text));
    }
  }
  LineEntry entry = pattern_entry(rule.pattern);
  if (auto* why = std::get_if<IgnoredEntry>(&entry.what)) {
    if (!why->text.empty()) why->text = text;
    return out.push_back(std::move(entry));
  }
  if (!unless.empty() && !std::holds_alternative<NameEntry>(entry.what))
    return out.push_back(ignored("$denyallow of something that is no host name", text));
  entry.strength = rule.exception ? (important ? Strength::important_exception : Strength::exception)
                                  : (important ? Strength::important : Strength::plain);
  entry.unless = std::move(unless);
  out.push_back(std::move(entry));
}

std::string adguard_rule(std::string_view line) {
  Rule rule = cut(base::trim(line));
  std::sort(rule.modifiers.begin(), rule.modifiers.end());
  std::string text = (rule.exception ? "@@" : "") + std::string(rule.pattern);
  for (std::string_view modifier : rule.modifiers)
    if (modifier != "badfilter") text += "$" + std::string(modifier);
  return text;
}

std::string cancelled_rule(std::string_view line) {
  if (line.find("badfilter") == line.npos) return {};
  Rule rule = cut(base::trim(line));
  bool cancels = std::find(rule.modifiers.begin(), rule.modifiers.end(), "badfilter") != rule.modifiers.end();
  return cancels ? adguard_rule(line) : std::string();
}

}  // namespace rules

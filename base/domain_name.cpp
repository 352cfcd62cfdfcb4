#include "base/domain_name.hpp"

#include "base/ip_address.hpp"
#include "base/text.hpp"

namespace base {
namespace {

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

bool all_digits(std::string_view label) {
  return label.find_first_not_of("0123456789") == label.npos;
}

}  // namespace

std::optional<DomainName> DomainName::parse(std::string_view text) {
  if (!text.empty() && text.back() == '.') text.remove_suffix(1);
  if (text.empty() || text.size() > 253) return std::nullopt;
  std::string name = to_lower(text);
  std::size_t label_length = 0;
  for (char c : name) {
    if (c == '.') {
      if (label_length == 0) return std::nullopt;
      label_length = 0;
    } else if (!is_name_char(c) || ++label_length > 63) {
      return std::nullopt;
    }
  }
  if (label_length == 0) return std::nullopt;
  // A last label of digits only is an address in one of its spellings, never a name (WHATWG URL "ends in a number").
  std::size_t last_dot = name.rfind('.');
  if (all_digits(std::string_view(name).substr(last_dot == name.npos ? 0 : last_dot + 1))) return std::nullopt;
  return DomainName(std::move(name));
}

bool DomainName::is_within(std::string_view ancestor) const {
  if (ancestor.empty() || text_.size() < ancestor.size()) return false;
  if (!std::string_view(text_).ends_with(ancestor)) return false;
  return text_.size() == ancestor.size() || text_[text_.size() - ancestor.size() - 1] == '.';
}

}  // namespace base

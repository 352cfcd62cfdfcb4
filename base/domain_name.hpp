// A host name as it is compared: lower-case ASCII, no trailing dot, on label boundaries.
//
// Labels of 1 to 63 octets, 253 in all (RFC 1035 2.3.4). Letters, digits, '-' and '_' are accepted anywhere (real names
// break the letter-digit-hyphen rule); everything else is refused. International names are already in their A-label
// form here; rules/ converts what admins write.
#pragma once

#include <compare>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace base {

class DomainName {
 public:
  DomainName() = default;  // the empty name; parse() never returns it
  // Any case, one trailing dot allowed. An IPv4 address is not a name ("192.0.2.1", RFC 1123 2.1).
  static std::optional<DomainName> parse(std::string_view text);

  const std::string& text() const { return text_; }
  bool empty() const { return text_.empty(); }
  // True for the name itself and for everything below it.
  bool is_within(const DomainName& ancestor) const { return is_within(std::string_view(ancestor.text_)); }
  bool is_within(std::string_view ancestor) const;

  auto operator<=>(const DomainName&) const = default;

 private:
  explicit DomainName(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

// "www.example.org" -> "example.org" -> "org" -> "".
inline std::string_view parent_of(std::string_view name) {
  std::size_t dot = name.find('.');
  return dot == name.npos ? std::string_view{} : name.substr(dot + 1);
}

}  // namespace base

template <>
struct std::hash<base::DomainName> {
  std::size_t operator()(const base::DomainName& name) const noexcept { return std::hash<std::string>{}(name.text()); }
};

#include "rules/units.hpp"

#include <initializer_list>
#include <limits>
#include <utility>

#include "base/text.hpp"

namespace rules {
namespace {

using Units = std::initializer_list<std::pair<std::string_view, std::uint64_t>>;

// Digits, perhaps one blank, a unit: the product, if it is at most `largest`.
std::optional<std::uint64_t> scaled(std::string_view text, Units units, std::uint64_t largest) {
  std::size_t digits = text.find_first_not_of("0123456789");
  if (digits == text.npos) return std::nullopt;
  std::string_view unit = text.substr(digits);
  if (unit.starts_with(' ')) unit.remove_prefix(1);
  for (const auto& [name, factor] : units)
    if (unit == name) {
      auto number = base::parse_number(text.substr(0, digits), largest / factor);
      return number ? std::optional(*number * factor) : std::nullopt;
    }
  return std::nullopt;
}

constexpr std::uint64_t largest_signed = std::numeric_limits<std::int64_t>::max();
constexpr std::uint64_t ten_years = 3650ull * 86400;

}  // namespace

std::optional<std::uint64_t> parse_size(std::string_view text) {
  return scaled(text, {{"B", 1}, {"kB", 1000}, {"MB", 1000'000}, {"GB", 1000'000'000}, {"TB", 1000'000'000'000}},
                largest_signed);
}

std::optional<std::uint64_t> parse_rate(std::string_view text) {
  return scaled(text, {{"kbit", 1000}, {"Mbit", 1000'000}, {"Gbit", 1000'000'000}}, largest_signed);
}

std::optional<std::chrono::seconds> parse_duration(std::string_view text) {
  auto seconds = scaled(text, {{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}}, ten_years);
  if (!seconds) return std::nullopt;
  return std::chrono::seconds(static_cast<std::int64_t>(*seconds));
}

std::optional<unsigned> parse_percent(std::string_view text) {
  auto percent = scaled(text, {{"%", 1}}, 100'000);
  return percent ? std::optional(static_cast<unsigned>(*percent)) : std::nullopt;
}

}  // namespace rules

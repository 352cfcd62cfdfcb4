#include "control/terminal_text.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>

namespace control {
namespace {

struct Range {
  std::uint32_t first, last;
};

// Marks that sit on the character before them, variation selectors and joiners: no cell of their own.
constexpr auto without_width = std::to_array<Range>({{0x300, 0x36f},
                                                     {0x483, 0x489},
                                                     {0x591, 0x5bd},
                                                     {0x610, 0x61a},
                                                     {0x64b, 0x65f},
                                                     {0x93c, 0x93c},
                                                     {0x941, 0x948},
                                                     {0xe31, 0xe31},
                                                     {0xe34, 0xe3a},
                                                     {0xe47, 0xe4e},
                                                     {0x1ab0, 0x1aff},
                                                     {0x1dc0, 0x1dff},
                                                     {0x200c, 0x200d},
                                                     {0x20d0, 0x20ff},
                                                     {0xfe00, 0xfe0f},
                                                     {0xfe20, 0xfe2f}});
// East Asian wide and fullwidth (UAX 11), and emoji: two cells.
constexpr auto wide = std::to_array<Range>({{0x1100, 0x115f},
                                            {0x2e80, 0x303e},
                                            {0x3041, 0xa4cf},
                                            {0xa960, 0xa97f},
                                            {0xac00, 0xd7a3},
                                            {0xf900, 0xfaff},
                                            {0xfe30, 0xfe6f},
                                            {0xff00, 0xff60},
                                            {0xffe0, 0xffe6},
                                            {0x1f300, 0x1f64f},
                                            {0x1f680, 0x1f6ff},
                                            {0x1f900, 0x1faff},
                                            {0x20000, 0x3fffd}});
// Controls, what changes the direction of what follows (CVE-2021-42574), separators, invisible ones, private use, tags.
constexpr auto unfit = std::to_array<Range>({{0x0, 0x1f},
                                             {0x7f, 0x9f},
                                             {0xad, 0xad},
                                             {0x61c, 0x61c},
                                             {0x180e, 0x180e},
                                             {0x200b, 0x200b},
                                             {0x200e, 0x200f},
                                             {0x2028, 0x202e},
                                             {0x2060, 0x206f},
                                             {0xd800, 0xf8ff},
                                             {0xfeff, 0xfeff},
                                             {0xfff0, 0xfffb},
                                             {0xe0000, 0x10ffff}});

template <std::size_t n>
bool is_in(const std::array<Range, n>& ranges, std::uint32_t point) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [&](const Range& each) { return each.first <= point && point <= each.last; });
}

struct Glyph {
  std::string_view bytes;
  std::size_t cells = 1;
};

// Takes one character off the front. What is not to be shown is one '?'.
Glyph next(std::string_view& text) {
  auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  std::uint32_t point = byte(0);
  std::size_t length = point < 0x80 ? 1 : point < 0xc2 ? 0 : point < 0xe0 ? 2 : point < 0xf0 ? 3 : point < 0xf5 ? 4 : 0;
  if (length > 1) point &= 0xffu >> (length + 1);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) length = 0;
    point = point << 6 | (byte(i) & 0x3f);
  }
  bool overlong = (length == 3 && point < 0x800) || (length == 4 && (point < 0x10000 || point > 0x10ffff));
  bool bad = length == 0 || overlong || is_in(unfit, point);
  std::string_view bytes = bad ? "?" : text.substr(0, length);
  text.remove_prefix(std::max<std::size_t>(length, 1));
  if (bad) return {bytes, 1};
  return {bytes, is_in(without_width, point) ? 0u : is_in(wide, point) ? 2u : 1u};
}

// At most `width` cells of `text`; `used` says how many they are.
std::string cut(std::string_view text, std::size_t width, std::size_t& used) {
  std::string whole, shortened;
  std::size_t cells = 0, cells_shortened = 0;
  while (!text.empty()) {
    Glyph glyph = next(text);
    if (glyph.cells == 0 && whole.empty()) continue;  // it would sit on what stands before the column
    if (cells + glyph.cells > width) {
      used = cells_shortened + (width > 0 ? 1 : 0);
      return width > 0 ? shortened + "~" : "";
    }
    cells += glyph.cells;
    whole += glyph.bytes;
    if (cells + 1 <= width) {
      shortened = whole;
      cells_shortened = cells;
    }
    if (whole.size() > 16 * (width + 1)) break;  // a pile of marks on one character
  }
  used = cells;
  return whole;
}

}  // namespace

std::string fit(std::string_view text, std::size_t width, bool to_the_right) {
  std::size_t used = 0;
  std::string shown = cut(text, width, used);
  std::string padding(width - used, ' ');
  return to_the_right ? padding + shown : shown + padding;
}

std::string plain(std::string_view text, std::size_t most) {
  std::size_t used = 0;
  return cut(text, most, used);
}

std::string bytes_text(double bytes) {
  constexpr auto units = std::to_array<const char*>({"B", "kB", "MB", "GB", "TB", "PB", "EB"});
  if (!(bytes >= 0)) bytes = 0;  // NaN too
  std::size_t unit = 0;
  for (; bytes >= 999.5 && unit + 1 < units.size(); ++unit) bytes /= 1000;
  char text[48];
  int decimals = unit == 0 || bytes >= 99.95 ? 0 : bytes >= 9.995 ? 1 : 2;
  std::snprintf(text, sizeof text, "%.*f %s", decimals, bytes, units[unit]);
  return text;
}

}  // namespace control

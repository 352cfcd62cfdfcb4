#include "rules/shape.hpp"

#include <algorithm>
#include <optional>

#include "rules/table_reader.hpp"
#include "rules/units.hpp"

namespace rules {
namespace {

constexpr std::uint64_t least_rate = 64'000;             // a full frame takes 190 ms: slower is no network
constexpr std::uint64_t largest_rate = 100'000'000'000;  // above it the kernel's arithmetic is coarse
constexpr std::uint64_t longest_burst_s = 60;            // HTB remembers no longer silence

std::uint64_t read_rate(TableReader& reader, std::string_view key, Diagnostics& diagnostics) {
  auto text = reader.string(key);
  if (!text) return 0;
  auto rate = parse_rate(text->value);
  if (!rate) {
    error(diagnostics, text->place, "'" + text->value + "' is not a rate, expected \"20Mbit\"");
  } else if (*rate < least_rate || *rate > largest_rate) {
    error(diagnostics, text->place, "'" + text->value + "' is not from 64kbit to 100Gbit");
  } else {
    return *rate;
  }
  return 0;
}

// Bytes: a size, or what the rate takes this long for.
std::optional<std::uint64_t> read_burst(const Text& text, std::uint64_t rate) {
  auto time = parse_duration(text.value);
  auto size = parse_size(text.value);
  if (!time && !size) return std::nullopt;
  if (rate == 0) return 0;
  // Anything too long is as wrong as anything longer.
  return size ? *size : std::min<std::uint64_t>(time->count(), 2 * longest_burst_s) * (rate / 8);
}

}  // namespace

policy::Shape read_shape(const Member& member, Diagnostics& diagnostics) {
  TableReader reader(member, diagnostics);
  policy::Shape shape;
  shape.down = read_rate(reader, "down", diagnostics);
  shape.up = read_rate(reader, "up", diagnostics);
  shape.per = reader
                  .choice<policy::ShapePer>("per", {{"user", policy::ShapePer::user},
                                                    {"device", policy::ShapePer::device},
                                                    {"address", policy::ShapePer::address},
                                                    {"group", policy::ShapePer::group}})
                  .value_or(shape.per);
  if (auto text = reader.string("burst")) {
    shape.down_burst = read_burst(*text, shape.down).value_or(0);
    shape.up_burst = read_burst(*text, shape.up).value_or(0);
    if (!read_burst(*text, least_rate))
      error(diagnostics, text->place,
            "'" + text->value + "' is no burst, expected a time at the rate (\"2s\") or a size (\"5MB\")");
    else if (shape.down_burst > longest_burst_s * shape.down / 8 || shape.up_burst > longest_burst_s * shape.up / 8)
      error(diagnostics, text->place, "'" + text->value + "' is more than a minute of the rate");
  }
  if (!reader.has("down") && !reader.has("up") && member.value.kind == Node::Kind::table)
    error(diagnostics, member.place, "'shape' limits nothing: it needs down or up");
  reader.finish();
  return shape;
}

}  // namespace rules

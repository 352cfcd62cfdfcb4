// Peeling, as in the paper's algorithm 1: a position that only one key uses can be given that key's fingerprint last of
// all; taking the key away leaves other positions with one key. If this ends with no key left, filling in the reverse
// order makes every key's three bytes agree. With 1.125 positions a key it nearly always does; else another seed is tried.
//
// Of each position only the number of its keys, the exclusive or of their hashes, and the exclusive or of which of the
// three it is to them are kept: enough to name the last one.
#include "rules/fuse_builder.hpp"

#include <algorithm>
#include <cmath>

namespace rules {
namespace {

constexpr int most_tries = 100;
constexpr std::uint32_t longest_segment = 1u << 18;

policy::FuseShape shape_for(std::size_t count) {
  double n = static_cast<double>(count);
  policy::FuseShape shape;
  shape.segment_length =
      std::min(longest_segment, 1u << static_cast<unsigned>(std::floor(std::log(n) / std::log(3.33) + 2.25)));
  double factor = std::max(1.125, 0.875 + 0.25 * std::log(1e6) / std::log(n));
  auto capacity = static_cast<std::uint64_t>(std::round(n * factor));
  std::uint64_t segments = (capacity + shape.segment_length - 1) / shape.segment_length;
  shape.segment_count = segments <= 2 ? 1 : static_cast<std::uint32_t>(segments - 2);
  return shape;
}

class Peeling {
 public:
  explicit Peeling(const policy::FuseShape& shape, std::size_t count)
      : shape_(shape), keys_(shape.table_size()), which_(shape.table_size()), order_(count), order_which_(count) {}

  bool run(const std::function<std::uint64_t(std::size_t)>& key) {
    std::size_t count = order_.size();
    for (std::size_t i = 0; i < count; ++i) {
      std::uint64_t hash = shape_.hash(key(i));
      auto positions = shape_.positions(hash);
      for (unsigned j = 0; j < 3; ++j) {
        which_[positions[j]] += 4;
        if (which_[positions[j]] < 4) return false;  // 64 keys at one position: the counter has no room
        toggle(positions[j], hash, j);
      }
    }
    std::vector<std::uint32_t> alone;
    for (std::uint32_t i = 0; i < which_.size(); ++i)
      if (which_[i] >> 2 == 1) alone.push_back(i);
    std::size_t taken = 0;
    while (!alone.empty()) {
      std::uint32_t position = alone.back();
      alone.pop_back();
      if (which_[position] >> 2 != 1) continue;
      std::uint64_t hash = keys_[position];
      unsigned mine = which_[position] & 3;
      order_[taken] = hash;
      order_which_[taken++] = static_cast<std::uint8_t>(mine);
      auto positions = shape_.positions(hash);
      for (unsigned j = 0; j < 3; ++j) {
        which_[positions[j]] -= 4;
        toggle(positions[j], hash, j);
        if (j != mine && which_[positions[j]] >> 2 == 1) alone.push_back(positions[j]);
      }
    }
    return taken == count;
  }

  std::vector<std::uint8_t> fill() {
    keys_ = {};
    which_ = {};
    std::vector<std::uint8_t> table(shape_.table_size());
    for (std::size_t i = order_.size(); i-- > 0;) {
      auto positions = shape_.positions(order_[i]);
      std::uint8_t value = policy::FuseShape::fingerprint(order_[i]);
      for (unsigned j = 0; j < 3; ++j)
        if (j != order_which_[i]) value ^= table[positions[j]];
      table[positions[order_which_[i]]] = value;
    }
    return table;
  }

 private:
  void toggle(std::uint32_t position, std::uint64_t hash, unsigned which) {
    keys_[position] ^= hash;
    which_[position] ^= static_cast<std::uint8_t>(which);
  }

  policy::FuseShape shape_;
  std::vector<std::uint64_t> keys_;
  std::vector<std::uint8_t> which_;  // the number of keys times 4, and which of the three
  std::vector<std::uint64_t> order_;
  std::vector<std::uint8_t> order_which_;
};

}  // namespace

std::optional<FuseTable> build_fuse(std::size_t count, std::uint64_t seed,
                                    const std::function<std::uint64_t(std::size_t)>& key) {
  if (count < 2) return std::nullopt;
  policy::FuseShape shape = shape_for(count);
  for (int i = 0; i < most_tries; ++i) {
    seed = seed * 0x9e3779b97f4a7c15ULL + 0x2545f4914f6cdd1dULL;
    shape.seed = seed;
    Peeling peeling(shape, count);
    if (peeling.run(key)) return FuseTable{shape, peeling.fill()};
  }
  return std::nullopt;
}

}  // namespace rules

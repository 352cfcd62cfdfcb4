#include "flow/decision_id.hpp"

namespace flow {
namespace {

// The finisher of splitmix64 (Steele, Lea, Flood 2014): one to one on 64 bits, which is all that uniqueness needs.
std::uint64_t scramble(std::uint64_t x) {
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 27) * 0x94d049bb133111eb;
  return x ^ x >> 31;
}

}  // namespace

std::string decision_id(std::uint64_t seed, std::uint64_t number) {
  static constexpr char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
  std::string text(13, '0');  // 13 * 5 >= 64 bits
  std::uint64_t value = scramble(scramble(seed) + number);
  for (auto digit = text.rbegin(); digit != text.rend(); ++digit, value >>= 5) *digit = digits[value & 31];
  return text;
}

}  // namespace flow

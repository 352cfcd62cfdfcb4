// Indices into one Snapshot's tables. They mean nothing across snapshots: names do.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "base/ids.hpp"

namespace policy {

using GroupId = base::StrongId<struct GroupTag>;  // 0 is always `default`
using RuleId = base::StrongId<struct RuleTag>;    // position in walking order
using DeviceId = base::StrongId<struct DeviceTag>;
using ScheduleId = base::StrongId<struct ScheduleTag>;
using TagId = base::StrongId<struct TagTag>;  // a category ("category:games") or a list ("list:staff_ok")

inline constexpr GroupId default_group{0};

// A set of small ids as bits, of a fixed capacity so that it lives on the stack; loading refuses more.
template <class Id, std::size_t capacity>
class IdSet {
 public:
  static constexpr std::size_t limit = capacity;
  void insert(Id id) { words_[id.value / 64] |= std::uint64_t{1} << (id.value % 64); }
  bool contains(Id id) const { return words_[id.value / 64] >> (id.value % 64) & 1; }
  void insert(const IdSet& other) {
    for (std::size_t i = 0; i < words_.size(); ++i) words_[i] |= other.words_[i];
  }
  bool intersects(const IdSet& other) const {
    for (std::size_t i = 0; i < words_.size(); ++i)
      if (words_[i] & other.words_[i]) return true;
    return false;
  }
  bool empty() const { return *this == IdSet{}; }
  template <class Visitor>
  void for_each(Visitor visit) const {
    for (std::size_t i = 0; i < words_.size(); ++i)
      for (std::uint64_t word = words_[i]; word != 0; word &= word - 1)
        visit(Id{static_cast<std::uint32_t>(i * 64 + static_cast<std::size_t>(std::countr_zero(word)))});
  }
  bool operator==(const IdSet&) const = default;

 private:
  std::array<std::uint64_t, capacity / 64> words_{};
};

using TagSet = IdSet<TagId, 512>;            // categories and lists together
using ScheduleSet = IdSet<ScheduleId, 128>;  // the schedules that are active at a moment

}  // namespace policy

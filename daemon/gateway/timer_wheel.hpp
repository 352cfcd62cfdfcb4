// Timers for many thousands of flows: a wheel of slots, each a list of flows to look at when the slot comes round.
//
// A flow sits in at most one slot. Arming never moves an entry to a later slot: when its slot comes, the owner is asked
// (due()) what it really waits for and is put away again if that is still ahead. So an idle timer that is pushed back
// by every byte costs nothing per byte. Resolution is one slot (64 ms); a time beyond one revolution (about 131 s) is
// looked at once a revolution.
#pragma once

#include <array>
#include <cstddef>

#include "base/time.hpp"

namespace sluiced {

class TimerWheel {
 public:
  // The intrusive part of whatever is timed.
  struct Entry {
    Entry* previous = nullptr;
    Entry* next = nullptr;
    base::Monotonic at{};  // when its slot comes round; meaningless outside the wheel
    bool waiting() const { return next != nullptr; }
  };

  explicit TimerWheel(base::Monotonic now);

  // Makes sure `entry` is looked at no later than `when` (a slot's width later, to be exact).
  void arm(Entry& entry, base::Monotonic when);
  static void disarm(Entry& entry);

  // Takes every entry whose slot has come out of the wheel and hands it to `due(Entry&)`, which may arm() it again,
  // disarm others, or destroy it.
  template <class Due>
  void advance(base::Monotonic now, Due due) {
    while (current_ + slot_width <= now) {
      current_ += slot_width;
      Entry* head = &slots_[slot_of(current_)];
      Entry batch;  // what is armed meanwhile must not be seen in this pass
      splice(*head, batch);
      while (batch.next != &batch) {
        Entry& entry = *batch.next;
        disarm(entry);
        due(entry);
      }
    }
  }

  static constexpr base::Duration slot_width = std::chrono::milliseconds(64);

 private:
  static constexpr std::size_t slot_count = 2048;
  static std::size_t slot_of(base::Monotonic time) {
    return static_cast<std::size_t>(time.time_since_epoch() / slot_width) % slot_count;
  }
  static void splice(Entry& from, Entry& to);

  std::array<Entry, slot_count> slots_;
  base::Monotonic current_;
};

}  // namespace sluiced

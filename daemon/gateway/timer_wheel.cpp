#include "daemon/gateway/timer_wheel.hpp"

#include <algorithm>

namespace sluiced {

TimerWheel::TimerWheel(base::Monotonic now)
    : current_(base::Monotonic(now.time_since_epoch() / slot_width * slot_width)) {
  for (Entry& slot : slots_) slot.previous = slot.next = &slot;
}

void TimerWheel::arm(Entry& entry, base::Monotonic when) {
  when = std::clamp(when, current_ + slot_width, current_ + slot_width * static_cast<long>(slot_count - 1));
  if (entry.waiting()) {
    if (entry.at <= when) return;
    disarm(entry);
  }
  Entry& slot = slots_[slot_of(when + slot_width - base::Duration(1))];
  entry.at = when;
  entry.previous = slot.previous;
  entry.next = &slot;
  slot.previous->next = &entry;
  slot.previous = &entry;
}

void TimerWheel::disarm(Entry& entry) {
  if (!entry.waiting()) return;
  entry.previous->next = entry.next;
  entry.next->previous = entry.previous;
  entry.previous = entry.next = nullptr;
}

void TimerWheel::splice(Entry& from, Entry& to) {
  to.previous = to.next = &to;
  if (from.next == &from) return;
  to.next = from.next;
  to.previous = from.previous;
  to.next->previous = &to;
  to.previous->next = &to;
  from.previous = from.next = &from;
}

}  // namespace sluiced

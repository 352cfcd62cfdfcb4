// From readings of counters to what was moved between them. Pure: the owner (daemon/meter_driver) reads the kernel.
//
// Each flow's counters only grow and are never zeroed, so that any other reader sees them as if we were not there. A
// growth is the difference to the last reading of the same flow. When is it the same one? The owner's key says so, made of
// the tuple, the kernel's id and the time the flow began; where a kernel tells no beginning, counters that have become
// smaller tell that another flow has taken the place.
//
//   read(), in a dump     growth since the last reading; a flow that was not known has moved all it counts
//   ended(), by an event  the growth up to the end, and the flow is forgotten
//   end_dump()            a flow that two dumps in a row have not shown ended without an event (a socket buffer ran
//                         over): forgotten; what it moved after its last reading is lost, and counted as such
//
// A start without memory of earlier readings is different: what is there then has moved most of its bytes before
// anybody counted, so the first dump only notes them (first_dump()). A dump leaves out what has timed out and was not
// cleared away yet; its end is told later, and the owner knows it by when it began (Began::before). With memory
// (adopt(): a killed gateway's baselines) nothing counts twice and what flowed meanwhile counts once.
#pragma once

#include <cstdint>
#include <functional>
#include <unordered_map>

#include "accounting/usage.hpp"

namespace accounting {

class Meter {
 public:
  using Key = std::uint64_t;

  // Readings until the next end_dump() are taken as where counting begins.
  void first_dump() { priming_ = true; }
  // A reading of an earlier life.
  void adopt(Key flow, const Counts& counts) { flows_[flow] = {counts, 0}; }

  // When a flow began that is not known: after counting did, and all it has moved is growth; or before, and nothing is.
  enum class Began { before, after };

  void begin_dump() { ++dump_; }
  Counts read(Key flow, const Counts& now, Began began = Began::after);
  Counts ended(Key flow, const Counts& last, Began began = Began::after);
  // How many flows have vanished without their end having been told.
  std::size_t end_dump();

  std::size_t size() const { return flows_.size(); }
  void for_each(const std::function<void(Key, const Counts&)>& each) const {
    for (const auto& [key, flow] : flows_) each(key, flow.counts);
  }

 private:
  struct Flow {
    Counts counts;
    std::uint32_t seen = 0;  // in which dump
  };
  static constexpr std::uint32_t patience = 2;  // dumps

  std::unordered_map<Key, Flow> flows_;
  std::uint32_t dump_ = 0;
  bool priming_ = false;
};

// What is in `now` and was not in `before`.
Counts growth(const Counts& before, const Counts& now);

}  // namespace accounting

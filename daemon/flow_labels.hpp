// Theory: flow_labels.cpp. What is known of each running flow of the kernel lane, in memory that outlives the gateway.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/domain_name.hpp"
#include "base/endpoint.hpp"
#include "base/result.hpp"
#include "base/sys/unique_fd.hpp"
#include "base/time.hpp"

namespace sluiced {

struct FlowLabel {
  base::FiveTuple tuple;
  std::uint8_t lan = 0;  // an index into [network] lan
  bool ech_offered = false;
  bool tls = true;                       // false: something else was spoken, and let through
  std::optional<base::DomainName> name;  // nullopt: its hello had none
  base::WallTime began{};                // whole milliseconds
  bool operator==(const FlowLabel&) const = default;
};

// Slot numbers by the hash of their flow: open addressing, linear probing, doubled when three quarters are full.
class SlotIndex {
 public:
  void insert(std::uint32_t hash, std::uint32_t slot);
  void erase(std::uint32_t hash, std::uint32_t slot);
  // The first slot with this hash for which `is_it(slot)`.
  template <class IsIt>
  std::optional<std::uint32_t> find(std::uint32_t hash, IsIt is_it) const {
    if (cells_.empty()) return std::nullopt;
    for (std::size_t at = hash & mask(); cells_[at].slot != none; at = (at + 1) & mask())
      if (cells_[at].hash == hash && is_it(cells_[at].slot)) return cells_[at].slot;
    return std::nullopt;
  }
  std::size_t size() const { return size_; }

 private:
  static constexpr std::uint32_t none = 0xffffffff;
  struct Cell {
    std::uint32_t slot = none;
    std::uint32_t hash = 0;
  };
  std::size_t mask() const { return cells_.size() - 1; }
  void put(Cell cell);
  void grow();

  std::vector<Cell> cells_;  // a power of two
  std::size_t size_ = 0;
};

// The slots that are free, lowest first: two levels of bits.
class FreeSlots {
 public:
  explicit FreeSlots(std::uint32_t slots);
  std::optional<std::uint32_t> take();
  void take(std::uint32_t slot);  // one that is free
  void give_back(std::uint32_t slot);
  bool is_free(std::uint32_t slot) const { return (words_[slot / 64] >> slot % 64 & 1) != 0; }
  std::uint32_t next_taken(std::uint32_t slot) const;  // the first from `slot` on; the number of slots: there is none
  std::uint32_t count() const { return count_; }

 private:
  std::vector<std::uint64_t> words_, summary_;  // a bit for each free slot, and for each word that has one
  std::uint32_t slots_, count_;
};

// Any thread may call; a call is short.
class FlowLabels {
 public:
  static constexpr std::uint32_t default_slots = 262144;  // 32 MiB of address space

  // By the supervisor, which keeps the file for as long as it lives and looks at nothing in it.
  static base::Result<base::sys::UniqueFd> create(std::uint32_t slots = default_slots);
  // The same by name, with what an earlier life has left in it. Only root may write where it lies.
  static base::Result<base::sys::UniqueFd> open(const std::string& path, std::uint32_t slots = default_slots);
  // By each gateway in its turn; never two at once. What is in the file is believed only where it is whole.
  static base::Result<std::unique_ptr<FlowLabels>> attach(int file);
  FlowLabels(const FlowLabels&) = delete;
  FlowLabels& operator=(const FlowLabels&) = delete;
  ~FlowLabels();

  // In place of the label that this flow has, if it has one. False: the table is full, and the flow has none now.
  bool add(const FlowLabel& label);
  bool remove(const base::FiveTuple& tuple);  // false: there is none
  std::optional<FlowLabel> find(const base::FiveTuple& tuple) const;
  // Every label that is there all the while; one that comes or goes meanwhile may be told or not. `visitor` may call
  // whatever it likes here.
  void for_each(const std::function<void(const FlowLabel&)>& visitor) const;
  std::size_t size() const;
  std::size_t dropped() const { return dropped_; }  // labels that attach() did not believe

 private:
  struct Slot;
  static off_t size_of(std::uint32_t slots);
  FlowLabels(Slot* slots, std::uint32_t count);
  void adopt(int file);
  void adopt_slot(std::uint32_t slot);
  std::optional<std::uint32_t> slot_of(const base::FiveTuple& tuple, std::uint32_t hash) const;
  void release(std::uint32_t slot, std::uint32_t hash);
  std::optional<FlowLabel> decode(std::uint32_t slot) const;
  std::uint64_t checksum(std::uint32_t slot) const;
  bool is_sound(std::uint32_t slot) const;

  Slot* slots_;
  std::uint32_t count_;
  std::uint64_t seed_ = 0;
  mutable std::mutex mutex_;
  FreeSlots free_;
  SlotIndex index_;
  std::size_t dropped_ = 0;
};

}  // namespace sluiced

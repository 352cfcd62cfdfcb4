// What has been counted and is not written yet: minutes, hours, and whatever a disk that stays full makes of them. Pure.
//
// Batches are merged by period, who and what, so its size grows with the variety of the traffic, not with time between
// two writes. Two bounds hold it:
//
//   hosts_while_open  hosts that one Who has in one hour; further ones count as "(other)", their categories kept
//   most_rows         of everything. Beyond it, oldest first: minutes become hours, hosts become "(other)", hours become
//                     days, the minutes in use of the oldest hours go, days become months. Bytes are never lost, only
//                     their detail. 100 bytes a row, so 20 MB when the disk has been full for long.
//
// Who and What are kept once each and rows name them by number.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "accounting/calendar.hpp"
#include "accounting/usage.hpp"

namespace accounting {

inline constexpr const char* other_hosts = "(other)";

struct Traffic {
  std::uint64_t up = 0, down = 0;
  Traffic& operator+=(const Traffic& more) {
    up += more.up;
    down += more.down;
    return *this;
  }
  bool operator==(const Traffic&) const = default;
};

class Ledger {
 public:
  struct Limits {
    std::size_t hosts_while_open = 500;
    std::size_t most_rows = 200'000;
  };
  using Id = std::uint32_t;
  // The finest period that rows of this slot may be counted in.
  struct Slot {
    Level level{};
    std::int64_t start = 0;
    auto operator<=>(const Slot&) const = default;
  };
  template <class Row>
  using Rows = std::map<Slot, std::map<Id, Row>>;

  Ledger() = default;
  explicit Ledger(Limits limits) : limits_(limits) {}
  Ledger(Ledger&&) = default;  // rows point into it
  Ledger& operator=(Ledger&&) = default;

  void add(const Batch& batch, const Calendar& calendar);
  // Takes everything about a user, device or client of that name out; returns how many rows that were.
  std::size_t erase(const std::string& name);
  void clear() { *this = Ledger(limits_); }
  bool empty() const { return rows_ == 0; }
  std::size_t rows() const { return rows_; }

  const Who& who(Id id) const { return *whos_[id]; }
  const What& what(Id id) const { return *whats_[id]; }
  const Rows<Counts>& totals() const { return totals_; }
  const std::map<Slot, std::map<Id, std::map<Id, Traffic>>>& details() const { return details_; }  // who -> what
  // Per hour: bit n is set where minute n had traffic.
  const std::map<std::int64_t, std::map<Id, std::uint64_t>>& minutes() const { return minutes_; }
  const std::map<Slot, std::map<std::string, Counts>>& interfaces() const { return interfaces_; }

 private:
  template <class Value>
  struct Dictionary {
    std::map<Value, Id> ids;
    Id of(const Value& value, std::vector<const Value*>& values);
  };
  void count(Slot slot, Id who, const What& what, const Traffic& traffic);
  void shrink(const Calendar& calendar);
  void coarsen(Level level, std::size_t enough, const Calendar& calendar);
  std::size_t fold_hosts(std::map<Id, std::map<Id, Traffic>>& of_slot);
  void recount();

  Limits limits_{};
  Dictionary<Who> who_ids_;
  Dictionary<What> what_ids_;
  std::vector<const Who*> whos_;  // keys of who_ids_
  std::vector<const What*> whats_;
  Rows<Counts> totals_;
  std::map<Slot, std::map<Id, std::map<Id, Traffic>>> details_;
  std::map<std::int64_t, std::map<Id, std::uint64_t>> minutes_;
  std::map<Slot, std::map<std::string, Counts>> interfaces_;
  std::size_t rows_ = 0;
};

}  // namespace accounting

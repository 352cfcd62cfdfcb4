// The keeper's usage store: takes what the gateway has counted, writes it once an interval, answers `usage` and `person`.
#pragma once

#include <optional>
#include <string>

#include "accounting/store.hpp"
#include "base/time.hpp"
#include "control/protocol.hpp"
#include "daemon/accounting_settings.hpp"

namespace sluiced {

class UsageKeeper {
 public:
  struct Now {
    base::WallTime wall{};
    base::Monotonic uptime{};
  };
  void configure(const std::string& text, Now now);  // MessageType::accounting_settings; again after a reload
  void take(const std::string& batch);               // MessageType::usage
  void tick(Now now);                                // about once a second
  void finish(Now now);                              // the last write

  static bool answers(const std::string& verb) { return verb == "usage" || verb.starts_with("person "); }
  // `asker`: for the log.
  control::Reply answer(const control::Request& request, const std::string& asker, Now now);
  std::string trouble() const { return store_ ? store_->trouble() : std::string(); }

 private:
  control::Reply usage(const control::Request& request, Now now);
  control::Reply person(const control::Request& request, const std::string& asker);
  void flush(Now now);
  void tell_news();

  std::optional<accounting::Store> store_;
  AccountingSettings settings_;
  base::Monotonic flushed_{};
  std::uint64_t unreadable_ = 0;  // batches
};

}  // namespace sluiced

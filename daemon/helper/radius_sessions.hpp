// Who is logged in where, as RADIUS accounting tells. Values and time as arguments: no socket, no file, no clock.
//
// A session begins with a Start, or with an Interim whose Start was lost. It ends
//   - with its Stop, or with the Accounting-On or -Off of its NAS
//   - when a newer session has its MAC or one of its addresses: a device and an address belong to one person at a time
//   - when it is not heard of any more (a lost Stop): after `timeout`, where the admin gives one; else after three of the
//     longest gaps between its Interims, at least 10 min, and 1 h while only one has come; without Interims after
//     Session-Timeout, else 12 h.
//
// What comes late changes nothing, and is acknowledged, so that its NAS stops sending it:
//   - anything with an Event-Timestamp more than 5 min older than what is known of that session, or older than the
//     Accounting-On of its NAS, or more than a day old
//   - a Start or Interim of a session that has been stopped or replaced. Ended sessions are remembered for a day; a
//     later Event-Timestamp than the Stop's tells that a NAS has taken the number again.
//   - an Accounting-On or -Off with an Event-Timestamp 5 min older than the latest of its NAS
//
// Deadlines are kept by the monotonic clock, so that a clock that jumps ends nobody's session.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hpp"
#include "policy/identities.hpp"
#include "proto/radius/accounting.hpp"

namespace sluiced {

struct Moment {
  base::Monotonic monotonic{};
  std::int64_t wall = 0;  // unix seconds
};

class RadiusSessions {
 public:
  static constexpr std::size_t most_sessions = 20'000, most_ended = 20'000;

  explicit RadiusSessions(std::optional<std::chrono::seconds> timeout = {}) : timeout_(timeout) {}

  enum class Effect {
    nothing,
    refreshed,  // it lasts longer
    changed,    // somebody is somewhere else
    full,       // not taken: there are most_sessions already
  };
  Effect apply(const base::IpAddress& source, proto::radius::Accounting told, Moment now);
  bool expire(base::Monotonic now);  // true: some session has ended

  std::size_t size() const { return sessions_.size(); }
  // Those that say something: a user or a role, behind an address or a MAC.
  std::vector<policy::Session> sessions(Moment now) const;

  // For STATE/identities/sessions.json. load() takes a whole text or nothing, and counts the time between by the wall
  // clock, unless that went back.
  std::string to_text(Moment now) const;
  bool load(std::string_view text, Moment now);

 private:
  struct Session {
    base::IpAddress source;
    std::string nas, user;
    std::vector<std::string> roles;
    std::vector<base::IpAddress> addresses;
    std::vector<base::IpPrefix> prefixes;
    std::optional<base::MacAddress> mac;
    std::int64_t since = 0;
    std::optional<std::uint32_t> event;  // the latest Event-Timestamp
    base::Monotonic started{}, heard{};
    std::uint32_t interims = 0;
    std::chrono::seconds gap{};                 // the longest between two Interims; or what Acct-Interim-Interval says
    std::optional<std::chrono::seconds> limit;  // Session-Timeout
  };
  struct Ended {
    std::optional<std::uint32_t> event;
    base::Monotonic at{};
    bool replaced = false;  // by a newer one: its Interims may go on for a while
  };
  struct Nas {
    std::optional<std::uint32_t> latest, restarted;  // Event-Timestamps
  };
  using Sessions = std::map<std::string, Session>;

  Effect begin_or_refresh(const std::string& id, const base::IpAddress& source, const proto::radius::Accounting& told,
                          Moment now);
  Effect stop(const std::string& id, const proto::radius::Accounting& told, Moment now);
  Effect restart(const base::IpAddress& source, const proto::radius::Accounting& told);
  bool is_late(const std::string& id, const Nas& nas, const proto::radius::Accounting& told, Moment now) const;
  bool end_older(const std::string& id, const Session& now_there, Moment now);
  void own(const std::string& id, const Session& session);
  void disown(const std::string& id, const Session& session);
  Sessions::iterator end(Sessions::iterator session);
  void remember_end(const std::string& id, Ended ended);
  base::Monotonic deadline(const Session& session) const;

  std::optional<std::chrono::seconds> timeout_;
  Sessions sessions_;
  // Whose each address, prefix and MAC is: the id of a session.
  std::map<base::IpPrefix, std::string> owners_;
  std::map<base::MacAddress, std::string> owners_of_macs_;
  std::map<std::string, Ended> ended_;
  std::map<std::string, Nas> nases_;  // by nas_key()
};

}  // namespace sluiced

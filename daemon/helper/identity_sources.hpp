// The helper's part in knowing who is behind an address: it hears RADIUS accounting and reads lease files, and tells the
// gateway all of what they say (identity_text.hpp), each time that it has changed, and anew to each new gateway. Bytes of
// strangers are parsed here, where there is no privilege.
//
// A NAS is answered when the gateway has been told and the disk has it: until then it asks again, and a Stop that has
// been answered is not forgotten. Who only lasts longer is told of later, and answered at once. Sessions are kept in
// STATE/identities/sessions.json: written at most once a second, at most once a minute for those that only last longer.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/helper/radius_server.hpp"
#include "daemon/helper/radius_socket.hpp"
#include "daemon/identity_settings.hpp"
#include "daemon/lease_files.hpp"
#include "daemon/loop.hpp"

namespace sluiced {

class IdentitySources {
 public:
  // `tell` hands text to the gateway: false if there is none, or it cannot take it now.
  IdentitySources(Loop& loop, const std::string& state, std::function<bool(const std::string&)> tell);

  void begin(std::string_view settings);  // the supervisor's text; once
  void meet_gateway();                    // a new one, which knows nothing and waits: it is told at once
  void tend();                            // a few times a second

 private:
  struct Ear final : Watcher {
    std::function<void()> hear;
    void ready(std::uint32_t) override { hear(); }
  };
  struct Waiting {  // an answer, until gateway and disk know
    RadiusSocket::Peer peer;
    std::string bytes;
  };
  void open_socket();
  void hear_radius();
  void tell_in(base::Duration delay);
  void note_change();   // somebody is somewhere else
  void note_refresh();  // somebody stays for longer
  void answer_those_that_wait();
  void tell_gateway();
  void tell_refusals();
  void load();
  void save();
  Moment moment() const;

  Loop& loop_;
  std::string folder_;
  std::function<bool(const std::string&)> tell_;
  std::optional<IdentitySettings> settings_;
  RadiusSessions sessions_;
  std::optional<RadiusServer> server_;
  std::optional<RadiusSocket> socket_;
  Ear ear_;
  std::optional<LeaseFiles> leases_;
  std::vector<Waiting> waiting_;
  std::optional<base::Monotonic> tell_at_;
  bool untold_ = false, unkept_ = false;  // a change
  base::Monotonic open_again_{}, say_refusals_{}, saved_{}, save_at_ = base::Monotonic::max();
  base::Duration clock_offset_{};  // wall less monotonic: it jumps when somebody sets the clock
  bool open_was_said_ = false, save_was_said_ = false;
};

}  // namespace sluiced

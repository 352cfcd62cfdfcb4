// What the gateway's own page says (states/portal.hpp).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "flow/block_page.hpp"
#include "flow/enrolment.hpp"
#include "flow/proceed.hpp"
#include "policy/facts.hpp"

namespace flow {

inline constexpr std::string_view portal_name = "sluice.lan";    // wherever DNS points it at the gateway
inline constexpr std::string_view portal_check_path = "/check";  // the picture that only loads with the CA installed

struct PortalRequest {
  const Enrolment* enrolment;  // null: there is no CA
  Gatekeeper* gatekeeper;      // null: nothing is known of refusals
  const policy::Snapshot& snapshot;
  const policy::Client& client;
  base::WallTime now;
  std::string_view method, target, user_agent, authority;
  std::string_view body;         // of a form
  std::uint16_t check_port = 0;  // of the page over TLS; 0: there is none
};

// /            what was refused lately, with the form that gets past it (proceed.hpp); how to trust the CA, for every platform, the
//              asker's own first
// proceed_path what the form sends
// /ca.crt      the certificate in PEM, /ca.cer in DER, /ca.mobileconfig as Apple's profile
// /check       a picture
Answer portal_answer(const PortalRequest& request);

}  // namespace flow

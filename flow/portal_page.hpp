// What the gateway's own page says (states/portal.hpp).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "flow/block_page.hpp"
#include "flow/enrolment.hpp"
#include "policy/facts.hpp"

namespace flow {

inline constexpr std::string_view portal_name = "sluice.lan";    // wherever DNS points it at the gateway
inline constexpr std::string_view portal_check_path = "/check";  // the picture that only loads with the CA installed

struct PortalRequest {
  const Enrolment* enrolment;  // null: there is no CA
  const policy::Client& client;
  std::string_view method, target, user_agent, authority;
  std::uint16_t check_port = 0;  // of the page over TLS; 0: there is none
};

// /            what to do, for every platform, the asker's own first
// /ca.crt      the certificate in PEM, /ca.cer in DER, /ca.mobileconfig as Apple's profile
// /check       a picture
Answer portal_answer(const PortalRequest& request);

}  // namespace flow

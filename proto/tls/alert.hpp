// TLS alerts that a gateway sends before any key exists (RFC 8446 6, 6.2).
#pragma once

#include <array>
#include <cstdint>

namespace proto::tls {

enum class AlertDescription : std::uint8_t {
  handshake_failure = 40,
  decode_error = 50,
  access_denied = 49,  // "a valid request was received, but access control was applied"
};

// A fatal alert in one plaintext record, ready to send.
constexpr std::array<std::uint8_t, 7> fatal_alert(AlertDescription description) {
  return {21, 3, 3, 0, 2, 2, static_cast<std::uint8_t>(description)};
}

}  // namespace proto::tls

// One TLS connection end on a socket (OpenSSL on the descriptor): non-blocking, told as a few plain outcomes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/bytes.hpp"
#include "tls-intercept/openssl_types.hpp"

namespace tls_intercept {

class TlsEnd {
 public:
  // Takes `ssl` (from Contexts) over; the socket stays the caller's and must outlive this.
  TlsEnd(SslPtr ssl, int socket);

  enum class State : std::uint8_t {
    done,        // the call did what it should
    wants_read,  // nothing more until the socket is readable
    wants_write,
    ended,      // the peer has closed properly (close_notify)
    truncated,  // the peer's stream just stopped
    failed,     // see alert() and failure()
  };
  State handshake();
  // Up to `size` bytes; `count` may be above 0 whatever the state says, which is then about what comes next.
  State read(std::uint8_t* buffer, std::size_t size, std::size_t& count);
  // `count` bytes were taken. What was not must be offered again, at the same beginning.
  State write(base::Bytes bytes, std::size_t& count);
  // Says close_notify, once and as far as the socket takes it. Nothing is sent afterwards.
  void close_notify();

  bool established() const { return established_; }
  SSL* ssl() const { return ssl_.get(); }
  // After `failed`: the alert that the peer sent (RFC 8446 6), or -1; and what happened, for logs and pages.
  int peer_alert() const { return alert_; }
  const std::string& failure() const { return failure_; }
  bool was_reset() const { return was_reset_; }  // or the socket failed otherwise: TLS has not
  std::string alpn() const;                      // what was agreed on; empty: nothing

 private:
  State outcome(int result);

  SslPtr ssl_;
  bool established_ = false, closed_ = false, was_reset_ = false;
  int alert_ = -1;
  std::string failure_;
};

}  // namespace tls_intercept

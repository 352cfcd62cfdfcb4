#include "tls-intercept/tls_end.hpp"

#include <cerrno>
#include <cstring>

namespace tls_intercept {

TlsEnd::TlsEnd(SslPtr ssl, int socket) : ssl_(std::move(ssl)) {
  SSL_set_fd(ssl_.get(), socket);
}

TlsEnd::State TlsEnd::outcome(int result) {
  int saved = errno;
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_NONE:
      return State::done;
    case SSL_ERROR_WANT_READ:
      return State::wants_read;
    case SSL_ERROR_WANT_WRITE:
      return State::wants_write;
    case SSL_ERROR_ZERO_RETURN:
      return State::ended;
    case SSL_ERROR_SYSCALL:
      failure_ = saved != 0 ? std::strerror(saved) : "the connection ended";
      ERR_clear_error();
      closed_ = true;  // nothing may be said any more (SSL_get_error(3))
      was_reset_ = saved != 0;
      return saved == 0 ? State::truncated : State::failed;
    default:
      break;
  }
  closed_ = true;
  unsigned long error = ERR_peek_error();
  int reason = ERR_GET_REASON(error);
  if (ERR_GET_LIB(error) == ERR_LIB_SSL && reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
    ERR_clear_error();
    failure_ = "the connection ended";
    return State::truncated;
  }
  if (ERR_GET_LIB(error) == ERR_LIB_SSL && reason >= SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256)
    alert_ = reason - SSL_AD_REASON_OFFSET;
  failure_ = openssl_error();
  return State::failed;
}

TlsEnd::State TlsEnd::handshake() {
  ERR_clear_error();
  errno = 0;
  int result = SSL_do_handshake(ssl_.get());
  State state = outcome(result);
  established_ = state == State::done;
  return state;
}

TlsEnd::State TlsEnd::read(std::uint8_t* buffer, std::size_t size, std::size_t& count) {
  count = 0;
  ERR_clear_error();
  while (count < size) {
    std::size_t piece = 0;
    errno = 0;
    int result = SSL_read_ex(ssl_.get(), buffer + count, size - count, &piece);
    if (result != 1) return outcome(result);
    count += piece;
  }
  return State::done;
}

TlsEnd::State TlsEnd::write(base::Bytes bytes, std::size_t& count) {
  count = 0;
  ERR_clear_error();
  while (count < bytes.size()) {
    std::size_t piece = 0;
    errno = 0;
    int result = SSL_write_ex(ssl_.get(), bytes.data() + count, bytes.size() - count, &piece);
    if (result != 1) return outcome(result);
    count += piece;
  }
  return State::done;
}

void TlsEnd::close_notify() {
  if (closed_ || !established_) return;
  closed_ = true;
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

std::string TlsEnd::alpn() const {
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_.get(), &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

}  // namespace tls_intercept

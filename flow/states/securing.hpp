// Securing: TLS is being taken apart. The order is the point of it (FACTS 5.1):
//
//   call the origin -> its handshake, its certificate verified -> a leaf for the same name -> the client's handshake
//   -> the client's first bytes tell what is inside: HTTP/1 (Http), HTTP/2 (H2), or something else (Splicing, TLS on both
//      legs)
//
// Until the client's handshake begins nothing of the client was read, so whatever turns out before can still be left alone:
// an origin that asks its clients for certificates is called again and spliced. The client gets the protocol that the
// origin chose among those it offered: HTTP/1 and HTTP/2 are never translated into each other (decision 0012).
//
// An origin that cannot be trusted is never answered for: the client's handshake then leads to a page that names the
// fault, or with bad_certificate = "pass" to the origin itself, spliced, for the client to judge.
//
// show_refusal: the same end without an origin, for a name that was refused.
//
// What the client does with our certificate is told to the Enrolment: took it (its first bytes inside TLS), refused it (an
// alert about it, or an orderly end without a byte), or nothing that can be told (everything else).
#pragma once

#include <optional>

#include "flow/states/state.hpp"
#include "flow/tls_plan.hpp"

namespace flow {

class Securing : public StateBase {
 public:
  static Next begin(Flow& flow, TlsTarget target, bool origin_connected, std::size_t hello_length);
  // The subject's verdict refuses; the client's hello is still unread.
  static Next show_refusal(Flow& flow, TlsTarget target, bool origin_connected);

  using StateBase::on;
  Next on(Flow& flow, const Connected& event);
  Next on(Flow& flow, const ConnectFailed& event);
  Next on(Flow& flow, const Secured& event);
  Next on(Flow& flow, const TlsFailed& event);
  Next on(Flow& flow, const Received& event);
  Next on(Flow& flow, const Expired& event);
  Next on(Flow& flow, const Aborted& event);
  Next on_refused(Flow& flow);

 private:
  enum class Step : std::uint8_t { calling, origin, client, listening };
  explicit Securing(TlsTarget target, std::size_t hello_length)
      : target_(std::move(target)), hello_length_(hello_length) {}

  void answer_client(Flow& flow, std::string alpn);
  Next leave_alone(Flow& flow, const char* why);
  Next fail(Flow& flow, std::string fault);
  Next look_inside(Flow& flow, const Received& event);

  TlsTarget target_;
  std::size_t hello_length_;
  Step step_ = Step::calling;
  bool alone_ = false;  // no origin: what follows is a page
  std::string alpn_;
  base::WallTime secured_at_{};
};

}  // namespace flow

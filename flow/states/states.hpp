// The states of a connection and the one variant that holds them. Who follows whom:
//
//                                                .---- a hello was judged -----> Answering -- answered --> Splicing
//                                                |                                  | the origin wants another hello
//                                                |                                  '--> Retrying -------> Splicing
//   Peeking --- TLS or another protocol, allowed ----> Connecting -- no hello was judged ---------------> Splicing
//      |  ^---- the client speaks at last ----.
//      |------- the client says nothing ----> Silent -- the origin speaks ------------------------------> Splicing
//      '------- HTTP -----------------------> Http ---- 101 --------------------------------------------> Splicing
//      |------- TLS to be decrypted -----> Securing -- HTTP/1 inside -> Http, HTTP/2 inside -> H2, else --> Splicing
//      |                                      '--- it cannot be -----------------------------------------> Connecting
//   Portal, for connections to the gateway's own page, begins and ends alone.
//   and from anywhere to Done, after Close or Reset.
#pragma once

#include <optional>
#include <variant>

#include "flow/states/answering.hpp"
#include "flow/states/connecting.hpp"
#include "flow/states/h2.hpp"
#include "flow/states/http.hpp"
#include "flow/states/peeking.hpp"
#include "flow/states/portal.hpp"
#include "flow/states/retrying.hpp"
#include "flow/states/securing.hpp"
#include "flow/states/silent.hpp"
#include "flow/states/splicing.hpp"

namespace flow {

// Close or Reset was said: nothing is said after it.
struct Done {};

using State =
    std::variant<Peeking, Silent, Connecting, Answering, Retrying, Splicing, Securing, Http, H2, Portal, Done>;

struct Next {
  std::optional<State> state;
};

}  // namespace flow

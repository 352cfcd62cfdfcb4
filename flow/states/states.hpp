// The states of a connection and the one variant that holds them. Who follows whom:
//
//   Peeking --- TLS or another protocol, allowed ----> Connecting ---> Splicing
//      |  ^---- the client speaks at last ----.
//      |------- the client says nothing ----> Silent -- the origin speaks --> Splicing
//      '------- HTTP -----------------------> Http ---- 101 ----------------> Splicing
//   and from anywhere to Done, after Close or Reset.
#pragma once

#include <optional>
#include <variant>

#include "flow/states/connecting.hpp"
#include "flow/states/http.hpp"
#include "flow/states/peeking.hpp"
#include "flow/states/silent.hpp"
#include "flow/states/splicing.hpp"

namespace flow {

// Close or Reset was said: nothing is said after it.
struct Done {};

using State = std::variant<Peeking, Silent, Connecting, Splicing, Http, Done>;

struct Next {
  std::optional<State> state;
};

}  // namespace flow

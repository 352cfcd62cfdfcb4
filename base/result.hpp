// A value or an error that says whose fault it is. Nothing throws on the data path.
#pragma once

#include <cassert>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace base {

// Decides what happens next: an answer to the peer, a line for the admin, or an exit.
enum class Fault {
  malformed,         // the bytes break their format
  peer,              // well-formed, but not what this peer may do now
  no_common_ground,  // both sides are right and cannot meet
  environment,       // the kernel, the disk, a missing file or permission
  bug,               // we broke our own promise
};

struct Error {
  Fault fault = Fault::environment;
  std::string message;

  // "what we were doing: what went wrong", added on the way up.
  Error context(std::string_view doing) && {
    message.insert(0, std::string(doing) + ": ");
    return std::move(*this);
  }
};

struct Nothing {};

template <class T = Nothing>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}      // NOLINT(google-explicit-constructor): `return value;`
  Result(Error error) : state_(std::move(error)) {}  // NOLINT(google-explicit-constructor): `return Error{...};`

  explicit operator bool() const { return state_.index() == 0; }
  bool ok() const { return state_.index() == 0; }

  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const& { return std::get<1>(state_); }
  Error&& error() && { return std::get<1>(std::move(state_)); }

 private:
  std::variant<T, Error> state_;
};

inline Error environment_error(std::string message) {
  return {Fault::environment, std::move(message)};
}
inline Error malformed(std::string message) {
  return {Fault::malformed, std::move(message)};
}

}  // namespace base

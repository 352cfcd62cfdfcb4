// The life of one diverted connection: events in, commands out. No socket, no clock, no exception.
//
// States are types, one file each in flow/states: Peeking, Silent, Connecting, Answering, Retrying, Splicing, Securing,
// Http, H2, Portal, Done. Who follows whom is drawn in states.hpp, their rules are told in docs/life-of-a-flow.md.
#pragma once

#include <memory>
#include <string>

#include "base/endpoint.hpp"
#include "base/time.hpp"
#include "flow/command.hpp"
#include "flow/enrolment.hpp"
#include "flow/event.hpp"
#include "flow/proceed.hpp"
#include "policy/facts.hpp"
#include "policy/snapshot.hpp"

namespace flow {

enum class UnknownProtocol { tunnel, block };

// What all flows of a worker share; the worker changes it and then tells the machines (PolicyChanged).
struct Surroundings {
  std::shared_ptr<const policy::Snapshot> snapshot;
  policy::ScheduleSet active;
  UnknownProtocol unknown_protocol = UnknownProtocol::tunnel;
  Gatekeeper* gatekeeper = nullptr;  // null: nobody gets past warn and code
  Enrolment* enrolment = nullptr;    // null: nothing is decrypted
  base::WallTime now{};              // set by the driver before each call
  std::uint64_t id_seed = 0;         // random, per worker
  std::uint64_t next_id = 0;         // decision ids are made from both
};

// How a flow begins: what the listener knows.
struct Opening {
  base::FiveTuple tuple;
  policy::Client client;
  enum class Portal : std::uint8_t { no, http, https } portal = Portal::no;  // for our own page
  std::uint16_t portal_check_port = 0;                                       // where that is over TLS
};

// Bytes so far, kept by the driver: up = client to origin.
struct Counters {
  std::uint64_t up = 0, down = 0;
};

// For `sluicectl connections`.
struct Label {
  std::string proto, name, group, action, rule;
};

class Machine {
 public:
  Machine(Opening opening, Surroundings& surroundings, const Counters& counters);
  Machine(Machine&&) noexcept;
  Machine& operator=(Machine&&) noexcept = delete;
  ~Machine();

  // The first commands (reading the client, the first deadline).
  void start(CommandList& out);
  // After Close or Reset no event may follow.
  void on(const Event& event, CommandList& out);

  const Opening& opening() const;
  Label label() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace flow

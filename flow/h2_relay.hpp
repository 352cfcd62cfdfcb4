// HTTP/2 between one client and one origin: two ends (proto/http/h2) and the streams that pair them.
//
// A stream is a subject of its own: judged at its request and at its response, logged when it ends. Refused, it is answered
// by a page and never reaches the origin. Bodies are passed on as windows allow, and window is given back to the sender when
// the bytes have left toward the receiver: nothing is held but what one side has sent and the other has not taken yet.
//
// What is answered here whatever the policy says: a request for another host than the connection's (421: connections are
// judged by one name), CONNECT (403), a request whose URL can be read in two ways (400). Push is switched off. Extended
// CONNECT (RFC 8441) is offered to the client once the origin has offered it to us, for WebSockets.
//
// A stream that one side resets is reset on the other, with the same error; a body that the policy cuts is reset on both.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "flow/block_page.hpp"
#include "flow/flow.hpp"
#include "proto/http/h2.hpp"

namespace flow {

class H2Relay {
 public:
  H2Relay(Flow& flow, std::string name);

  // One step: all that `side` has sent. False: the connection has broken and shall end; what is to be said was sent.
  bool receive(Flow& flow, Side side, base::Bytes bytes);
  // A side has ended: streams that the other still waits on are reset.
  void ended(Flow& flow, Side side);
  void policy_changed(Flow& flow);
  // No stream is open.
  bool is_idle() const { return streams_.empty(); }
  // No stream is open and a side wants no more of them.
  bool is_over() const { return streams_.empty() && (leaving_ || client_.session.wants_end()); }
  // Tells the client to open no more streams here.
  void say_goodbye(Flow& flow);
  // The connection ends with streams open: each leaves its line in the log.
  void note_all(Flow& flow, std::string_view aborted);

 private:
  struct Stream {
    std::int32_t client = 0, origin = -1;        // ids; -1: not there (any more)
    std::int32_t client_id = 0, origin_id = -1;  // ids as they were: a session wants them for window of what is gone
    Subject subject;
    bool asked = false;     // the request was allowed and passed on
    bool answered = false;  // the final answer's head was sent to the client
    bool request_over = false, response_over = false;
    std::uint64_t passed_down = 0;                 // bytes of the response's body
    std::size_t up_waiting = 0, down_waiting = 0;  // bytes that have left one side and not yet reached the other
    bool is_proceed = false;                       // a block page's form
    std::string form;
  };
  struct End final : proto::http::H2Handler {
    End(H2Relay& owner, Side which)
        : relay(owner),
          side(which),
          session(which == Side::client ? proto::http::H2Session::Role::server : proto::http::H2Session::Role::client,
                  *this) {}
    void on_headers(std::int32_t id, Kind kind, std::vector<proto::http::H2Field> fields, bool ends) override;
    void on_data(std::int32_t id, base::Bytes bytes, bool ends) override;
    void on_end(std::int32_t id) override;
    void on_sent(std::int32_t id, std::size_t bytes) override;
    void on_closed(std::int32_t id, std::uint32_t error) override;
    void on_settings() override;
    void on_goaway(std::int32_t last_stream, std::uint32_t error) override;
    void pass_data(Stream& stream, std::int32_t id, base::Bytes bytes);

    H2Relay& relay;
    Side side;
    proto::http::H2Session session;
    std::unordered_map<std::int32_t, Stream*> streams;
  };
  using Fields = std::vector<proto::http::H2Field>;

  Stream* find(Side side, std::int32_t id);
  void request(std::int32_t id, Fields fields, bool ends);
  void response(Stream& stream, Fields fields, bool ends);
  void proceed(Stream& stream);
  bool judge(Stream& stream);
  void answer(Stream& stream, const Answer& answer);
  void block(Stream& stream);
  void reset(Stream& stream, std::uint32_t error);
  void note(Stream& stream, std::string_view aborted = {});
  void forget_if_over(Stream& stream);
  void pump();

  const std::string name_;
  Flow* flow_ = nullptr;  // of the step in hand
  End client_, origin_;
  std::unordered_map<std::int32_t, std::unique_ptr<Stream>> streams_;  // by the client's id
  bool leaving_ = false;
};

}  // namespace flow

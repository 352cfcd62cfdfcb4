// Theory of operation
//
// nghttp2 reads and writes frames, keeps the states of streams and checks messages (RFC 9113 8.1.1): pseudo-header
// fields that are wrong, twice or late, connection-specific fields, a body that is not as long as Content-Length. Such a
// message is a reset of its stream. What is refused beyond that: a field with characters that nghttp2 would let fall
// silently, and a header list beyond our limits. One leniency: white space around an origin's values is cut off, for
// origins send it and nobody is in doubt about its meaning.
//
// Body bytes. What goes out waits in Stream::kept, and nghttp2 takes it a frame at a time as windows allow; the user
// looks at unsent() before it reads more from the other side. What comes in is charged to the window until the user
// says consumed(), so a slow other side stalls the peer. Bytes of a stream that is gone still fill the connection's
// window: they are counted as orphans until consumed() is said for them, and never given back twice. Bytes that the
// handler never sees (stream reset, padding) are given back at once.
//
// END_STREAM is told after the frame has been checked, not with the first half of it: a body shorter than its
// Content-Length must not look whole to the other side. So the data of such a frame is held until then, which is within
// one receive(); if the frame is not complete by its end, data goes on and on_end() comes later.
//
// receive() must say whether the connection broke, but nghttp2 only queues a GOAWAY. Hence stage(): what is urgent is
// taken out at the end of each receive(), DATA excepted (the reader of bodies says PAUSE, which changes nothing), and a
// GOAWAY with an error is seen there. Not when much is staged already: a peer that does not read its answers shall run
// into nghttp2's limit of queued acknowledgements.
//
// Floods (FACTS 2.3), and what ends the connection:
//   rapid reset      RST_STREAM faster than 33 a second after a burst of 1000: nghttp2, which reads a clock for it; it
//                    is the one thing here that is not a function of the input
//   made to reset    1000 streams more that we had to reset than went well
//   CONTINUATION     more than 16 frames after a HEADERS: 16 KiB each, far above the list limit
//   HPACK bomb       64 KiB of names and values, 32 more for each, and 200 fields, counted after decompression: the
//                    stream ends, the rest of the block is decoded but not kept
//   PING, SETTINGS   200 acknowledgements that nobody takes; 32 entries in one SETTINGS
//   interim          64 before one response: they are not under flow control
//   PUSH_PROMISE     we say ENABLE_PUSH 0
// Priorities are not followed (SETTINGS_NO_RFC7540_PRIORITIES), closed streams not remembered.
#include "proto/http/h2.hpp"

#include <algorithm>

#include "proto/http/h1.hpp"
#include "proto/http/h2_calls.hpp"

namespace proto::http {
namespace {

constexpr std::uint64_t reset_burst = 1000, reset_rate = 33;  // a browser that leaves a page resets 100 at most
// Four hold a list of 64 KiB, but nghttp2 counts a frame once for each piece in which its 9 bytes of head arrive.
constexpr std::size_t continuation_limit = 16;
constexpr std::size_t ack_limit = 200;      // of 17 bytes; a client has one or two PINGs under way
constexpr std::size_t settings_limit = 32;  // entries of one frame; seven are registered
constexpr std::size_t staged_limit = 16 * 1024;
constexpr std::size_t sent_head_limit = 2 * head_limit;  // nghttp2's own bound adds 12 a field to what came in

using Options = std::unique_ptr<nghttp2_option, void (*)(nghttp2_option*)>;

Options options(H2Session::Role role) {
  nghttp2_option* raw = nullptr;
  require_memory(nghttp2_option_new(&raw));
  nghttp2_option_set_no_auto_window_update(raw, 1);
  nghttp2_option_set_no_closed_streams(raw, 1);
  nghttp2_option_set_max_outbound_ack(raw, ack_limit);
  nghttp2_option_set_max_settings(raw, settings_limit);
  nghttp2_option_set_max_continuations(raw, continuation_limit);
  nghttp2_option_set_stream_reset_rate_limit(raw, reset_burst, reset_rate);
  nghttp2_option_set_max_send_header_block_length(raw, sent_head_limit);
  if (role == H2Session::Role::client) nghttp2_option_set_no_rfc9113_leading_and_trailing_ws_validation(raw, 1);
  return {raw, nghttp2_option_del};
}

bool has(const std::vector<H2Field>& fields, std::string_view name) {
  return std::any_of(fields.begin(), fields.end(), [&](const H2Field& field) { return field.name == name; });
}

}  // namespace

H2Session::H2Session(Role role, H2Handler& handler) : role_(role), handler_(handler) {
  H2Callbacks callbacks = Calls::table();
  Options chosen = options(role);
  std::vector<nghttp2_settings_entry> settings = {
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, h2_stream_window},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, head_limit},
  };
  if (role == Role::server) {
    require_memory(nghttp2_session_server_new2(&session_, callbacks.get(), this, chosen.get()));
    settings.push_back({NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, h2_concurrent_streams});
    settings.push_back({NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1});
  } else {
    require_memory(nghttp2_session_client_new2(&session_, callbacks.get(), this, chosen.get()));
    settings.push_back({NGHTTP2_SETTINGS_ENABLE_PUSH, 0});
  }
  require_memory(nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size()));
  require_memory(nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, h2_connection_window));
}

H2Session::~H2Session() {
  nghttp2_session_del(session_);
}

bool H2Session::receive(base::Bytes bytes) {
  if (broken_) return false;
  if (!bytes.empty()) {
    ssize_t read = nghttp2_session_mem_recv(session_, bytes.data(), bytes.size());
    deliver_held(false);
    if (read < 0) break_off(read == NGHTTP2_ERR_BAD_CLIENT_MAGIC ? NGHTTP2_PROTOCOL_ERROR : NGHTTP2_ENHANCE_YOUR_CALM);
  }
  stage();
  return !broken_;
}

std::string H2Session::output(std::size_t most) {
  std::string out = std::exchange(staged_, {});
  if (out.size() > most) {
    staged_ = out.substr(most);
    out.resize(most);
  }
  pull(out, most);
  return out;
}

bool H2Session::wants_end() const {
  return staged_.empty() && gone_.empty() && !nghttp2_session_want_write(session_) &&
         (broken_ || !nghttp2_session_want_read(session_));
}

void H2Session::pull(std::string& into, std::size_t most) {
  while (into.size() < most) {
    const std::uint8_t* frame = nullptr;
    ssize_t size = nghttp2_session_mem_send(session_, &frame);
    if (size < 0) broken_ = true;  // no memory, or a bug
    if (size <= 0) break;
    into.append(base::as_text({frame, static_cast<std::size_t>(size)}));
  }
  for (auto [id, error] : std::exchange(gone_, {})) close(id, error);
}

void H2Session::stage() {
  control_only_ = true;
  pull(staged_, staged_limit);
  control_only_ = false;
}

void H2Session::break_off(std::uint32_t error) {
  nghttp2_session_terminate_session(session_, error);
  broken_ = true;
}

void H2Session::deliver_held(bool ends) {
  base::Bytes bytes = std::exchange(held_, {});
  if (bytes.empty()) return;
  Stream* stream = find(held_stream_);
  if (!stream || stream->resetting) {
    nghttp2_session_consume_connection(session_, bytes.size());
    return;
  }
  stream->unconsumed += bytes.size();
  handler_.on_data(held_stream_, bytes, ends);
}

void H2Session::close(std::int32_t id, std::uint32_t error) {
  auto at = streams_.find(id);
  if (at == streams_.end()) return;
  orphaned_ += at->second.unconsumed;
  bool announced = at->second.announced;
  if (error == NGHTTP2_NO_ERROR && faults_ > 0) --faults_;
  streams_.erase(at);
  if (announced) handler_.on_closed(id, error);
}

void H2Session::close_unopened(std::uint32_t error) {
  for (auto& [id, stream] : streams_) {
    if (stream.resetting || in_session(id)) continue;
    stream.resetting = true;
    gone_.emplace_back(id, error);
  }
}

H2Session::Stream* H2Session::find(std::int32_t id) {
  auto at = streams_.find(id);
  return at == streams_.end() ? nullptr : &at->second;
}

H2Session::Stream* H2Session::writable(std::int32_t id) {
  Stream* stream = find(id);
  return stream && !stream->resetting && !stream->finished ? stream : nullptr;
}

bool H2Session::in_session(std::int32_t id) const {
  return nghttp2_session_get_stream_local_close(session_, id) != -1;
}

// Fails where nothing waits: before the headers are out, or without a body.
void H2Session::resume(std::int32_t id) {
  nghttp2_session_resume_data(session_, id);
}

std::int32_t H2Session::request(const std::vector<H2Field>& fields, bool ends) {
  if (broken_ || !nghttp2_session_check_request_allowed(session_)) return -1;
  if (has(fields, ":protocol") && !peer_allows_connect_protocol()) return -1;
  auto nv = to_nv(fields);
  nghttp2_data_provider body = Calls::body();
  std::int32_t id = nghttp2_submit_request(session_, nullptr, nv.data(), nv.size(), ends ? nullptr : &body, nullptr);
  if (id < 0) return id;
  Stream& stream = streams_[id];
  stream.announced = true;
  stream.finished = ends;
  return id;
}

bool H2Session::headers(std::int32_t id, const std::vector<H2Field>& fields, bool ends) {
  Stream* stream = find(id);
  if (!stream || stream->resetting || stream->answered || role_ != Role::server) return false;
  auto nv = to_nv(fields);
  nghttp2_data_provider body = Calls::body();
  if (nghttp2_submit_response(session_, id, nv.data(), nv.size(), ends ? nullptr : &body) != 0) return false;
  stream->answered = true;
  stream->finished |= ends;
  return true;
}

bool H2Session::interim(std::int32_t id, const std::vector<H2Field>& fields) {
  Stream* stream = find(id);
  if (!stream || stream->resetting || stream->answered || role_ != Role::server) return false;
  auto nv = to_nv(fields);
  return nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, id, nullptr, nv.data(), nv.size(), nullptr) == 0;
}

void H2Session::send(std::int32_t id, base::Bytes bytes) {
  Stream* stream = writable(id);
  if (!stream || bytes.empty()) return;
  stream->kept.append(base::as_text(bytes));
  resume(id);
}

void H2Session::finish(std::int32_t id) {
  trailers(id, {});
}

void H2Session::trailers(std::int32_t id, std::vector<H2Field> fields) {
  Stream* stream = writable(id);
  if (!stream) return;
  stream->trailers = std::move(fields);
  stream->finished = true;
  resume(id);
}

std::size_t H2Session::unsent(std::int32_t id) const {
  auto at = streams_.find(id);
  return at == streams_.end() ? 0 : at->second.kept.size() - at->second.kept_from;
}

void H2Session::consumed(std::int32_t id, std::size_t bytes) {
  Stream* stream = find(id);
  std::size_t& owed = stream ? stream->unconsumed : orphaned_;
  bytes = std::min(bytes, owed);
  owed -= bytes;
  // A side that has ended needs no window of its own.
  if (stream && nghttp2_session_get_stream_remote_close(session_, id) == 0) {
    nghttp2_session_consume(session_, id, bytes);
  } else {
    nghttp2_session_consume_connection(session_, bytes);
  }
}

void H2Session::reset(std::int32_t id, std::uint32_t error) {
  Stream* stream = find(id);
  if (!stream || stream->resetting) return;
  stream->resetting = true;
  stream->kept = {};
  stream->kept_from = 0;
  if (!in_session(id)) gone_.emplace_back(id, error);  // a request that waits its turn: nghttp2 lets it fall
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, error);
}

void H2Session::go_away(std::uint32_t error) {
  if (error != NGHTTP2_NO_ERROR) {
    nghttp2_session_terminate_session(session_, error);
  } else {
    std::int32_t last = nghttp2_session_get_last_proc_stream_id(session_);
    nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, nullptr, 0);
  }
}

void H2Session::allow_connect_protocol() {
  if (role_ != Role::server || std::exchange(connect_protocol_, true)) return;
  nghttp2_settings_entry entry{NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, &entry, 1);
}

bool H2Session::peer_allows_connect_protocol() const {
  return nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

}  // namespace proto::http

// What nghttp2 calls. The theory of operation is at the top of h2.cpp.
#include "proto/http/h2_calls.hpp"

#include <algorithm>

#include "proto/http/h1.hpp"

namespace proto::http {
namespace {

constexpr std::uint32_t fault_limit = 1000;
constexpr std::uint8_t interim_limit = 64;     // 102 every few seconds for minutes
constexpr std::size_t entry_overhead = 32;     // RFC 9113 6.5.2
constexpr std::size_t kept_slack = 64 * 1024;  // sent bytes kept before the buffer moves up

std::string_view trimmed(std::string_view value) {
  auto first = value.find_first_not_of(" \t");
  return first == value.npos ? std::string_view{} : value.substr(first, value.find_last_not_of(" \t") - first + 1);
}

std::uint8_t* unowned(const std::string& text) {  // nghttp2 copies
  return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data()));
}

}  // namespace

std::vector<nghttp2_nv> to_nv(const std::vector<H2Field>& fields) {
  std::vector<nghttp2_nv> nv;
  nv.reserve(fields.size());
  for (const H2Field& field : fields) {
    std::uint8_t flags = field.sensitive ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE;
    nv.push_back({unowned(field.name), unowned(field.value), field.name.size(), field.value.size(), flags});
  }
  return nv;
}

int H2Session::Calls::begin_frame(nghttp2_session* session, const nghttp2_frame_hd* frame, void* user) {
  // Before its header block is looked at, and before the peer has acknowledged our SETTINGS.
  if (frame->type == NGHTTP2_PUSH_PROMISE && self(user).role_ == Role::client)
    nghttp2_session_terminate_session(session, NGHTTP2_PROTOCOL_ERROR);
  return 0;
}

int H2Session::Calls::begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user) {
  H2Session& me = self(user);
  me.fields_.clear();
  me.fields_size_ = 0;
  if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
    me.streams_.try_emplace(frame->hd.stream_id);
  return 0;
}

int H2Session::Calls::header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name,
                             std::size_t name_size, const std::uint8_t* value, std::size_t value_size,
                             std::uint8_t flags, void* user) {
  H2Session& me = self(user);
  me.fields_size_ += name_size + value_size + entry_overhead;
  if (me.fields_.size() == field_limit || me.fields_size_ > head_limit)
    return refuse_block(me, frame->hd.stream_id, NGHTTP2_ENHANCE_YOUR_CALM);
  H2Field field{std::string(base::as_text({name, name_size})), std::string(trimmed(base::as_text({value, value_size}))),
                (flags & NGHTTP2_NV_FLAG_NO_INDEX) != 0};
  me.fields_.push_back(std::move(field));
  return 0;
}

int H2Session::Calls::invalid_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t*, std::size_t,
                                     const std::uint8_t*, std::size_t, std::uint8_t, void* user) {
  return refuse_block(self(user), frame->hd.stream_id, NGHTTP2_PROTOCOL_ERROR);
}

int H2Session::Calls::refuse_block(H2Session& me, std::int32_t id, std::uint32_t error) {
  me.fields_ = {};
  nghttp2_submit_rst_stream(me.session_, NGHTTP2_FLAG_NONE, id, error);  // else it is INTERNAL_ERROR
  return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

int H2Session::Calls::data_chunk(nghttp2_session*, std::uint8_t flags, std::int32_t id, const std::uint8_t* data,
                                 std::size_t size, void* user) {
  H2Session& me = self(user);
  me.deliver_held(false);
  me.held_stream_ = id;
  me.held_ = {data, size};
  if (!(flags & NGHTTP2_FLAG_END_STREAM)) me.deliver_held(false);
  return 0;
}

int H2Session::Calls::frame_received(nghttp2_session*, const nghttp2_frame* frame, void* user) {
  H2Session& me = self(user);
  std::int32_t id = frame->hd.stream_id;
  bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
      headers_received(me, frame, ends);
      break;
    case NGHTTP2_DATA:
      if (Stream* stream = me.find(id); ends && stream && !stream->resetting) {
        if (me.held_.empty() || me.held_stream_ != id) {
          me.handler_.on_end(id);
        } else {
          me.deliver_held(true);
        }
      }
      break;
    case NGHTTP2_SETTINGS:
      if (!(frame->hd.flags & NGHTTP2_FLAG_ACK)) me.handler_.on_settings();
      break;
    case NGHTTP2_GOAWAY:
      me.handler_.on_goaway(frame->goaway.last_stream_id, frame->goaway.error_code);
      me.close_unopened(NGHTTP2_REFUSED_STREAM);  // RFC 9113 6.8: they will never be sent
      break;
    default:
      break;
  }
  return 0;
}

void H2Session::Calls::headers_received(H2Session& me, const nghttp2_frame* frame, bool ends) {
  std::int32_t id = frame->hd.stream_id;
  Stream* stream = me.find(id);
  if (!stream || stream->resetting) return;
  using Kind = H2Handler::Kind;
  Kind kind = Kind::trailers;
  if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
    kind = Kind::request;
  } else if (me.role_ == Role::client && !me.fields_.empty() && me.fields_[0].name == ":status") {
    kind = me.fields_[0].value[0] == '1' ? Kind::interim : Kind::response;
  }
  if (kind == Kind::interim && ++stream->interims > interim_limit) {
    nghttp2_submit_rst_stream(me.session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_ENHANCE_YOUR_CALM);
    return;
  }
  stream->announced = true;
  me.handler_.on_headers(id, kind, std::exchange(me.fields_, {}), ends);
}

int H2Session::Calls::frame_sent(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
  H2Session& me = self(user);
  Stream* stream = frame->hd.stream_id ? me.find(frame->hd.stream_id) : nullptr;
  if (frame->hd.type == NGHTTP2_DATA) {  // we add no padding
    if (stream && !stream->resetting && frame->hd.length > 0)
      me.handler_.on_sent(frame->hd.stream_id, frame->hd.length);
  } else if (frame->hd.type == NGHTTP2_RST_STREAM) {
    if ((!stream || !stream->resetting) && ++me.faults_ > fault_limit)
      nghttp2_session_terminate_session(session, NGHTTP2_ENHANCE_YOUR_CALM);
  } else if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR) {
    me.broken_ = true;
  }
  return 0;
}

int H2Session::Calls::frame_not_sent(nghttp2_session* session, const nghttp2_frame* frame, int error, void* user) {
  // A response that cannot be packed must not leave its stream hanging. A request's is closed by nghttp2.
  Stream* stream = frame->hd.type == NGHTTP2_HEADERS ? self(user).find(frame->hd.stream_id) : nullptr;
  if (stream && frame->headers.cat != NGHTTP2_HCAT_REQUEST && error != NGHTTP2_ERR_STREAM_CLOSING)
    nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_INTERNAL_ERROR);
  return 0;
}

int H2Session::Calls::stream_closed(nghttp2_session*, std::int32_t id, std::uint32_t error, void* user) {
  self(user).close(id, error);
  return 0;
}

ssize_t H2Session::Calls::read_body(nghttp2_session* session, std::int32_t id, std::uint8_t* buffer, std::size_t length,
                                    std::uint32_t* flags, nghttp2_data_source*, void* user) {
  H2Session& me = self(user);
  if (me.control_only_) return NGHTTP2_ERR_PAUSE;
  Stream* stream = me.find(id);
  if (!stream || stream->resetting) return NGHTTP2_ERR_DEFERRED;
  std::size_t size = std::min(length, stream->kept.size() - stream->kept_from);
  std::copy_n(stream->kept.data() + stream->kept_from, size, buffer);
  stream->kept_from += size;
  if (stream->kept_from == stream->kept.size()) {
    stream->kept = {};
    stream->kept_from = 0;
    if (stream->finished) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (!stream->trailers.empty()) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        auto nv = to_nv(stream->trailers);
        if (nghttp2_submit_trailer(session, id, nv.data(), nv.size()) != 0)
          return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
      }
    } else if (size == 0) {
      return NGHTTP2_ERR_DEFERRED;
    }
  } else if (stream->kept_from >= kept_slack && stream->kept_from >= stream->kept.size() / 2) {
    stream->kept.erase(0, std::exchange(stream->kept_from, 0));  // each byte moves once at most
  }
  return static_cast<ssize_t>(size);
}

H2Callbacks H2Session::Calls::table() {
  nghttp2_session_callbacks* raw = nullptr;
  require_memory(nghttp2_session_callbacks_new(&raw));
  nghttp2_session_callbacks_set_on_begin_frame_callback(raw, begin_frame);
  nghttp2_session_callbacks_set_on_begin_headers_callback(raw, begin_headers);
  nghttp2_session_callbacks_set_on_header_callback(raw, header);
  nghttp2_session_callbacks_set_on_invalid_header_callback(raw, invalid_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(raw, data_chunk);
  nghttp2_session_callbacks_set_on_frame_recv_callback(raw, frame_received);
  nghttp2_session_callbacks_set_on_frame_send_callback(raw, frame_sent);
  nghttp2_session_callbacks_set_on_frame_not_send_callback(raw, frame_not_sent);
  nghttp2_session_callbacks_set_on_stream_close_callback(raw, stream_closed);
  return {raw, nghttp2_session_callbacks_del};
}

nghttp2_data_provider H2Session::Calls::body() {
  nghttp2_data_provider provider{};
  provider.read_callback = read_body;
  return provider;
}
}  // namespace proto::http

#include "proto/http/h2.hpp"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <unordered_map>
#include <utility>

namespace proto::http {
namespace {

constexpr std::int32_t stream_window = 256 * 1024;      // bytes
constexpr std::int32_t connection_window = 1024 * 1024;  // bytes, of all streams together
constexpr std::uint32_t concurrent_streams = 100;
// A browser resets some dozens of streams when somebody leaves a page; an attack resets thousands a second.
constexpr std::uint64_t resets_at_once = 500, resets_a_second = 50;
constexpr std::size_t most_continuations = 8;
constexpr std::size_t most_answers_waiting = 1000;  // to PING and SETTINGS
constexpr std::size_t most_settings = 32;

nghttp2_nv to_nv(const H2Field& field) {
  auto bytes = [](const std::string& text) { return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data())); };
  return {bytes(field.name), bytes(field.value), field.name.size(), field.value.size(),
          static_cast<std::uint8_t>(field.sensitive ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE)};
}
std::vector<nghttp2_nv> to_nv(const std::vector<H2Field>& fields) {
  std::vector<nghttp2_nv> all;
  all.reserve(fields.size());
  for (const H2Field& each : fields) all.push_back(to_nv(each));
  return all;
}

}  // namespace

struct H2Session::Impl {
  struct Stream {
    std::vector<H2Field> incoming;
    std::size_t incoming_size = 0;
    std::string out;             // waits for the peer's window
    std::size_t out_begin = 0;   // already framed
    bool finish = false;
    bool deferred = false;
    bool has_body = false;       // a data source was given with the headers
    std::optional<std::vector<H2Field>> trailers;
  };

  Impl(Role which, H2Handler& who) : role(which), handler(who) {}
  ~Impl() { nghttp2_session_del(session); }

  static Impl& of(void* user) { return *static_cast<Impl*>(user); }
  Stream* find(std::int32_t id) {
    auto found = streams.find(id);
    return found == streams.end() ? nullptr : &found->second;
  }

  void wake(std::int32_t id, Stream& stream) {
    if (std::exchange(stream.deferred, false)) nghttp2_session_resume_data(session, id);
  }

  static int on_begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    Stream& stream = of(user).streams[frame->hd.stream_id];
    stream.incoming.clear();
    stream.incoming_size = 0;
    return 0;
  }

  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size,
                       const std::uint8_t* value, std::size_t value_size, std::uint8_t flags, void* user) {
    Stream* stream = of(user).find(frame->hd.stream_id);
    if (stream == nullptr) return 0;
    stream->incoming_size += name_size + value_size + 32;
    if (stream->incoming_size > header_list_limit || stream->incoming.size() >= field_limit)
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // the stream is reset
    stream->incoming.push_back({std::string(reinterpret_cast<const char*>(name), name_size),
                                std::string(reinterpret_cast<const char*>(value), value_size),
                                (flags & NGHTTP2_NV_FLAG_NO_INDEX) != 0});
    return 0;
  }

  static int on_frame(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    Impl& impl = of(user);
    std::int32_t id = frame->hd.stream_id;
    bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS: {
        Stream* stream = impl.find(id);
        if (stream == nullptr) return 0;
        H2Handler::Kind kind = H2Handler::Kind::trailers;
        if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) kind = H2Handler::Kind::request;
        if (frame->headers.cat == NGHTTP2_HCAT_RESPONSE || frame->headers.cat == NGHTTP2_HCAT_HEADERS) {
          bool has_status = !stream->incoming.empty() && stream->incoming[0].name == ":status";
          if (has_status) kind = stream->incoming[0].value[0] == '1' ? H2Handler::Kind::interim : H2Handler::Kind::response;
          if (has_status && stream->incoming[0].value == "101") {  // RFC 9113 8.6
            nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_PROTOCOL_ERROR);
            return 0;
          }
        }
        auto fields = std::exchange(stream->incoming, {});
        impl.handler.on_headers(id, kind, std::move(fields), ends);
        if (ends) impl.handler.on_end(id);
        return 0;
      }
      case NGHTTP2_DATA:
        if (ends && impl.find(id) != nullptr) impl.handler.on_end(id);
        return 0;
      case NGHTTP2_SETTINGS:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) impl.handler.on_settings();
        return 0;
      case NGHTTP2_GOAWAY:
        impl.handler.on_goaway(frame->goaway.error_code);
        return 0;
      default:
        return 0;
    }
  }

  static int on_data(nghttp2_session* session, std::uint8_t, std::int32_t id, const std::uint8_t* bytes,
                     std::size_t size, void* user) {
    Impl& impl = of(user);
    if (impl.find(id) == nullptr)
      nghttp2_session_consume_connection(session, size);
    else
      impl.handler.on_data(id, {bytes, size});
    return 0;
  }

  static int on_close(nghttp2_session*, std::int32_t id, std::uint32_t error, void* user) {
    Impl& impl = of(user);
    auto found = impl.streams.find(id);
    if (found == impl.streams.end()) return 0;
    std::size_t left = found->second.out.size() - found->second.out_begin;
    impl.streams.erase(found);
    if (left != 0) impl.handler.on_dropped(id, left);
    impl.handler.on_closed(id, error);
    return 0;
  }

  static ssize_t on_read(nghttp2_session* session, std::int32_t id, std::uint8_t* buffer, std::size_t size,
                         std::uint32_t* flags, nghttp2_data_source*, void* user) {
    Impl& impl = of(user);
    Stream* stream = impl.find(id);
    if (stream == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    std::size_t count = std::min(size, stream->out.size() - stream->out_begin);
    if (count == 0 && !stream->finish) {
      stream->deferred = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    std::memcpy(buffer, stream->out.data() + stream->out_begin, count);
    stream->out_begin += count;
    bool last = stream->out_begin == stream->out.size();
    if (last) {
      stream->out.clear();
      stream->out_begin = 0;
      if (stream->out.capacity() > 64 * 1024) stream->out.shrink_to_fit();
    }
    if (last && stream->finish) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (stream->trailers) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        auto fields = to_nv(*stream->trailers);
        nghttp2_submit_trailer(session, id, fields.data(), fields.size());
      }
    }
    if (count != 0) impl.handler.on_sent(id, count);
    return static_cast<ssize_t>(count);
  }

  Role role;
  H2Handler& handler;
  nghttp2_session* session = nullptr;
  std::unordered_map<std::int32_t, Stream> streams;
  bool broken = false;
  bool connect_allowed = false;
};

H2Session::H2Session(Role role, H2Handler& handler) : impl_(std::make_unique<Impl>(role, handler)) {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, Impl::on_begin_headers);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Impl::on_header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Impl::on_frame);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Impl::on_data);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Impl::on_close);
  nghttp2_option* options = nullptr;
  nghttp2_option_new(&options);
  nghttp2_option_set_no_auto_window_update(options, 1);
  nghttp2_option_set_no_closed_streams(options, 1);
  nghttp2_option_set_stream_reset_rate_limit(options, resets_at_once, resets_a_second);
  nghttp2_option_set_max_continuations(options, most_continuations);
  nghttp2_option_set_max_outbound_ack(options, most_answers_waiting);
  nghttp2_option_set_max_settings(options, most_settings);
  nghttp2_option_set_max_send_header_block_length(options, 2 * header_list_limit);
  if (role == Role::server)
    nghttp2_session_server_new2(&impl_->session, callbacks, impl_.get(), options);
  else
    nghttp2_session_client_new2(&impl_->session, callbacks, impl_.get(), options);
  nghttp2_option_del(options);
  nghttp2_session_callbacks_del(callbacks);

  std::vector<nghttp2_settings_entry> settings = {
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, stream_window},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, header_list_limit},
  };
  if (role == Role::server)
    settings.push_back({NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, concurrent_streams});
  else
    settings.push_back({NGHTTP2_SETTINGS_ENABLE_PUSH, 0});
  nghttp2_submit_settings(impl_->session, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(impl_->session, NGHTTP2_FLAG_NONE, 0, connection_window);
}

H2Session::~H2Session() = default;

bool H2Session::receive(base::Bytes bytes) {
  if (impl_->broken) return false;
  ssize_t taken = nghttp2_session_mem_recv(impl_->session, bytes.data(), bytes.size());
  if (taken >= 0 && static_cast<std::size_t>(taken) == bytes.size()) return true;
  // A flood that nghttp2 does not answer by itself; everything else it has queued a GOAWAY for.
  if (taken == NGHTTP2_ERR_FLOODED) go_away(h2_error::enhance_your_calm);
  impl_->broken = true;
  return false;
}

std::string H2Session::output(std::size_t most) {
  std::string out;
  while (out.size() < most) {
    const std::uint8_t* bytes = nullptr;
    ssize_t size = nghttp2_session_mem_send(impl_->session, &bytes);
    if (size <= 0) {
      if (size < 0) impl_->broken = true;
      break;
    }
    out.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
  }
  return out;
}

bool H2Session::is_over() const {
  return nghttp2_session_want_read(impl_->session) == 0 && nghttp2_session_want_write(impl_->session) == 0;
}

std::int32_t H2Session::request(const std::vector<H2Field>& fields, bool ends) {
  auto all = to_nv(fields);
  nghttp2_data_provider provider{{}, Impl::on_read};
  std::int32_t id =
      nghttp2_submit_request(impl_->session, nullptr, all.data(), all.size(), ends ? nullptr : &provider, nullptr);
  if (id < 0) return -1;
  impl_->streams[id].has_body = !ends;
  return id;
}

void H2Session::headers(std::int32_t stream, const std::vector<H2Field>& fields, bool ends) {
  auto all = to_nv(fields);
  nghttp2_data_provider provider{{}, Impl::on_read};
  nghttp2_submit_response(impl_->session, stream, all.data(), all.size(), ends ? nullptr : &provider);
}

void H2Session::interim(std::int32_t stream, const std::vector<H2Field>& fields) {
  auto all = to_nv(fields);
  nghttp2_submit_headers(impl_->session, NGHTTP2_FLAG_NONE, stream, nullptr, all.data(), all.size(), nullptr);
}

void H2Session::send(std::int32_t stream, base::Bytes bytes) {
  Impl::Stream* found = impl_->find(stream);
  if (found == nullptr || found->finish) return;
  found->out.append(base::as_text(bytes));
  impl_->wake(stream, *found);
}

void H2Session::finish(std::int32_t stream) {
  Impl::Stream* found = impl_->find(stream);
  if (found == nullptr) return;
  found->finish = true;
  impl_->wake(stream, *found);
}

void H2Session::trailers(std::int32_t stream, std::vector<H2Field> fields) {
  Impl::Stream* found = impl_->find(stream);
  if (found == nullptr) return;
  found->trailers = std::move(fields);
  found->finish = true;
  impl_->wake(stream, *found);
}

void H2Session::consumed(std::int32_t stream, std::size_t bytes) {
  if (bytes == 0) return;
  if (impl_->find(stream) != nullptr)
    nghttp2_session_consume(impl_->session, stream, bytes);
  else
    nghttp2_session_consume_connection(impl_->session, bytes);
}

void H2Session::reset(std::int32_t stream, std::uint32_t error) {
  nghttp2_submit_rst_stream(impl_->session, NGHTTP2_FLAG_NONE, stream, error);
}

void H2Session::go_away(std::uint32_t error) {
  if (error == h2_error::none)
    nghttp2_submit_goaway(impl_->session, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(impl_->session), error, nullptr, 0);
  else
    nghttp2_session_terminate_session(impl_->session, error);
}

void H2Session::allow_connect_protocol() {
  if (std::exchange(impl_->connect_allowed, true)) return;
  nghttp2_settings_entry entry{NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1};
  nghttp2_submit_settings(impl_->session, NGHTTP2_FLAG_NONE, &entry, 1);
}

bool H2Session::peer_allows_connect_protocol() const {
  return nghttp2_session_get_remote_settings(impl_->session, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

}  // namespace proto::http

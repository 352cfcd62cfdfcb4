// Between H2Session and nghttp2: what nghttp2 calls. Included by h2.cpp and h2_calls.cpp only.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdlib>
#include <memory>

#include "proto/http/h2.hpp"

namespace proto::http {

using H2Callbacks = std::unique_ptr<nghttp2_session_callbacks, void (*)(nghttp2_session_callbacks*)>;

struct H2Session::Calls {
  static H2Callbacks table();
  static nghttp2_data_provider body();  // the reader of Stream::kept

  static H2Session& self(void* user) { return *static_cast<H2Session*>(user); }
  static int begin_frame(nghttp2_session* session, const nghttp2_frame_hd* frame, void* user);
  static int begin_headers(nghttp2_session* session, const nghttp2_frame* frame, void* user);
  static int header(nghttp2_session* session, const nghttp2_frame* frame, const std::uint8_t* name,
                    std::size_t name_size, const std::uint8_t* value, std::size_t value_size, std::uint8_t flags,
                    void* user);
  static int invalid_header(nghttp2_session* session, const nghttp2_frame* frame, const std::uint8_t* name,
                            std::size_t name_size, const std::uint8_t* value, std::size_t value_size,
                            std::uint8_t flags, void* user);
  static int data_chunk(nghttp2_session* session, std::uint8_t flags, std::int32_t id, const std::uint8_t* data,
                        std::size_t size, void* user);
  static int frame_received(nghttp2_session* session, const nghttp2_frame* frame, void* user);
  static int frame_sent(nghttp2_session* session, const nghttp2_frame* frame, void* user);
  static int frame_not_sent(nghttp2_session* session, const nghttp2_frame* frame, int error, void* user);
  static int stream_closed(nghttp2_session* session, std::int32_t id, std::uint32_t error, void* user);
  static ssize_t read_body(nghttp2_session* session, std::int32_t id, std::uint8_t* buffer, std::size_t length,
                           std::uint32_t* flags, nghttp2_data_source* source, void* user);

  static int refuse_block(H2Session& me, std::int32_t id, std::uint32_t error);
  static void headers_received(H2Session& me, const nghttp2_frame* frame, bool ends);
};

// nghttp2 fails so only without memory, where operator new would end the process as well.
inline void require_memory(int error) {
  if (error != 0) std::abort();
}

// Views of `fields`: nghttp2 copies what it is given.
std::vector<nghttp2_nv> to_nv(const std::vector<H2Field>& fields);

}  // namespace proto::http

// The hello parser under any bytes, with three promises that no input may break:
//   - what is said about a beginning holds for the whole: a hello stays that hello, a fault stays a fault, and
//     `at_least` is never more than the hello takes
//   - a hello cut into other records is the same hello
//   - a hello without records, as QUIC carries it, is the same hello
#include "proto/tls/client_hello.hpp"

#include <cstdlib>
#include <cstring>

#include "proto/tls/record.hpp"
#include "tests/unit/proto/tls/hello_builder.hpp"

namespace {

using namespace proto::tls;  // NOLINT(google-build-using-namespace): what is tested
using proto::Malformed;
using proto::NeedMore;
using proto::Parse;

void require(bool promise) {
  if (!promise) std::abort();
}

bool same_content(const ClientHello& a, const ClientHello& b) {
  return a.server_name == b.server_name && a.alpn == b.alpn && a.ech_offered == b.ech_offered && a.version == b.version;
}

void check_beginning(base::Bytes stream, std::size_t length, const Parse<ClientHello>& whole) {
  Parse<ClientHello> part = parse_client_hello(stream.first(length));
  auto* hello = std::get_if<ClientHello>(&whole);
  if (auto* early = std::get_if<ClientHello>(&part)) {
    require(hello && same_content(*early, *hello) && early->stream_length == hello->stream_length);
    require(early->stream_length <= length);
  } else if (auto* more = std::get_if<NeedMore>(&part)) {
    require(more->at_least > length && more->at_least <= hello_limit);
    if (hello) require(more->at_least <= hello->stream_length);
    if (auto* later = std::get_if<NeedMore>(&whole)) require(more->at_least <= later->at_least);
  } else {
    require(std::holds_alternative<Malformed>(whole));
  }
}

void check_beginnings(base::Bytes stream, const Parse<ClientHello>& whole) {
  // All of the first ones, where the headers are; further on a sample.
  for (std::size_t length = 0; length < stream.size(); length += 1 + length / 16)
    check_beginning(stream, length, whole);
  if (auto* hello = std::get_if<ClientHello>(&whole)) {
    check_beginning(stream, hello->stream_length - 1, whole);
    check_beginning(stream, hello->stream_length, whole);
  }
}

void check_other_cuts(base::Bytes stream, const ClientHello& hello) {
  auto first = read_client_hello_message(stream, hello_limit);
  base::Bytes message = std::get<FirstMessage>(first).bytes;
  for (std::size_t size : {std::size_t{1}, std::size_t{3}, std::size_t{30}, std::size_t{517}, max_fragment_size}) {
    std::string again = hello_builder::in_records(base::as_text(message), size);
    if (again.size() > hello_limit) continue;
    auto parsed = parse_client_hello(base::as_bytes(again));
    require(std::holds_alternative<ClientHello>(parsed) && same_content(std::get<ClientHello>(parsed), hello));
  }
  auto parsed = parse_client_hello_message(message);
  require(std::holds_alternative<ClientHello>(parsed) && same_content(std::get<ClientHello>(parsed), hello));
}

void check(base::Bytes stream) {
  Parse<ClientHello> whole = parse_client_hello(stream);
  check_beginnings(stream, whole);
  if (auto* hello = std::get_if<ClientHello>(&whole)) check_other_cuts(stream, *hello);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  base::Bytes input{data, size};
  check(input);
  parse_client_hello_message(input);
  // The same bytes where mutation does not stumble over every length: as a message's body, and as its extensions.
  check(base::as_bytes(hello_builder::in_records(hello_builder::message(base::as_text(input)))));
  check(base::as_bytes(hello_builder::in_records(hello_builder::message_with(base::as_text(input)))));
  return 0;
}

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

// Now and then begins again from a good hello: nothing binary needs to be kept as a seed.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  if (seed % 64 == 0) {
    std::string extensions = hello_builder::server_name("www.example.org") +
                             hello_builder::supported_versions({0x0304, 0x0303}) + hello_builder::alpn({"h2"});
    std::string fresh = seed % 128 == 0
                            ? extensions
                            : hello_builder::in_records(hello_builder::message_with(extensions), 1 + seed % 97);
    size = std::min(fresh.size(), max_size);
    std::memcpy(data, fresh.data(), size);
  }
  return LLVMFuzzerMutate(data, size, max_size);
}

#include "proto/tls/client_hello.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/proto/tls/hello_builder.hpp"

namespace proto::tls {
namespace {

using namespace hello_builder;  // NOLINT(google-build-using-namespace): the vocabulary of this test
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Parse<ClientHello> parse(std::string_view stream) {
  return parse_client_hello(base::as_bytes(stream));
}

// "the name", "-" without one, "need N", or "malformed: why".
std::string outcome(const Parse<ClientHello>& parsed) {
  if (auto* hello = std::get_if<ClientHello>(&parsed)) return hello->server_name ? hello->server_name->text() : "-";
  if (auto* more = std::get_if<NeedMore>(&parsed)) return "need " + std::to_string(more->at_least);
  return "malformed: " + std::get<Malformed>(parsed).reason;
}
std::string outcome_of(std::string_view extensions) {
  return outcome(parse(in_records(message_with(extensions))));
}

TEST(ClientHello, IsReadWithGreaseEverywhere) {
  std::string stream = in_records(message_with(browser_extensions("www.example.org")));
  Parse<ClientHello> parsed = parse(stream);
  auto* hello = std::get_if<ClientHello>(&parsed);
  ASSERT_TRUE(hello) << outcome(parsed);
  EXPECT_EQ(hello->server_name->text(), "www.example.org");
  EXPECT_THAT(hello->alpn, ElementsAre("h2", "http/1.1"));
  EXPECT_TRUE(hello->ech_offered);
  EXPECT_EQ(hello->version, 0x0304);
  EXPECT_EQ(hello->stream_length, stream.size());
}

TEST(ClientHello, NeedsNoExtensions) {
  for (const std::string& body : {fixed_part(), fixed_part() + number(0, 2)}) {
    Parse<ClientHello> parsed = parse(in_records(message(body)));
    auto* hello = std::get_if<ClientHello>(&parsed);
    ASSERT_TRUE(hello) << outcome(parsed);
    EXPECT_FALSE(hello->server_name);
    EXPECT_THAT(hello->alpn, IsEmpty());
    EXPECT_FALSE(hello->ech_offered);
    EXPECT_EQ(hello->version, 0x0303);
  }
}

TEST(ClientHello, EndsWhereItsRecordEnds) {
  std::string stream = in_records(message_with(server_name("a.test")));
  std::string with_early_data = stream + record("\x01", 20) + record("early data", 23);
  Parse<ClientHello> parsed = parse(with_early_data);
  ASSERT_EQ(outcome(parsed), "a.test");
  EXPECT_EQ(std::get<ClientHello>(parsed).stream_length, stream.size());
}

TEST(ClientHello, IgnoresTheVersionOfTheRecord) {
  std::string hello = message_with(server_name("a.test"));
  for (unsigned version : {0x0300, 0x0301, 0x0303, 0x0304, 0x03ff}) {
    EXPECT_EQ(outcome(parse(record(hello, 22, version))), "a.test") << version;
  }
}

TEST(ClientHello, TellsTheHighestVersionThatIsOne) {
  auto version_of = [](const std::string& extensions) {
    return std::get<ClientHello>(parse(in_records(message_with(extensions)))).version;
  };
  EXPECT_EQ(version_of(supported_versions({0x0303, 0x0304, 0x0302})), 0x0304);
  EXPECT_EQ(version_of(supported_versions({0xfafa, 0x7f1c, 0x0302})), 0x0302) << "GREASE and drafts are none";
  EXPECT_EQ(version_of(supported_versions({0xfafa})), 0x0303) << "the hello's own";
}

// The name decides everything: what is read as which name, as none, and what is refused.
TEST(ClientHello, ReadsOneNameWithCertaintyOrRefuses) {
  struct Case {
    std::string extensions, expected;
  };
  const std::string a = server_name_entry("a.test"), b = server_name_entry("b.test");
  const Case cases[] = {
      {server_name("WWW.Example.ORG"), "www.example.org"},
      {server_name("www.example.org."), "www.example.org"},
      {server_name("localhost"), "localhost"},
      {server_name("_dmarc.a-b.test"), "_dmarc.a-b.test"},
      {server_name("xn--bcher-kva.example"), "xn--bcher-kva.example"},
      {server_name("192.0.2.1"), "-"},
      {server_name("2001:db8::1"), "-"},
      {extension(0x1234, "anything"), "-"},
      {server_name(""), "no host name"},
      {server_name("."), "no host name"},
      {server_name("a.test.."), "no host name"},
      {server_name("a..test"), "no host name"},
      {server_name(std::string("a.test\0.b.test", 14)), "no host name"},
      {server_name("a.test "), "no host name"},
      {server_name("a.test/b"), "no host name"},
      {server_name("b\xc3\xbc"
                   "cher.example"),
       "no host name"},
      {server_name("[2001:db8::1]"), "no host name"},
      {server_name("192.0.2.1."), "no host name"},
      {server_name("192.0.2.300"), "no host name"},
      {server_name(std::string(64, 'a') + ".test"), "no host name"},
      {extension(0, ""), "does not add up"},
      {extension(0, vector_of("", 2)), "does not add up"},
      {extension(0, vector_of(a, 2) + "x"), "does not add up"},
      {extension(0, number(a.size() + 1, 2) + a), "does not add up"},
      {extension(0, number(a.size() - 1, 2) + a), "does not add up"},
      {extension(0, vector_of(a + b, 2)), "more than one entry"},
      {extension(0, vector_of(a + a, 2)), "more than one entry"},
      {extension(0, vector_of(server_name_entry("a.test", 1), 2)), "unknown type"},
      {extension(0, vector_of(server_name_entry("a.test", 1) + b, 2)), "more than one entry"},
      {server_name("a.test") + server_name("b.test"), "an extension twice"},
      {server_name("a.test") + server_name("a.test"), "an extension twice"},
      {extension(0x1234, "") + server_name("a.test") + extension(0x1234, ""), "an extension twice"},
  };
  for (const Case& c : cases) EXPECT_THAT(outcome_of(c.extensions), HasSubstr(c.expected)) << c.extensions;
}

TEST(ClientHello, RefusesOtherExtensionsThatDoNotAddUp) {
  const std::string name = server_name("a.test");
  for (const std::string& broken : {
           alpn({}),
           alpn({"h2", ""}),
           extension(16, "\x01"),
           extension(16, std::string("\0\x05\x02h2", 5)),
           extension(16, vector_of("\x03h2", 2)),
           extension(16, vector_of("\x02h2", 2) + "x"),
           extension(43, "\x03\x03\x04\x03"),
           extension(43, std::string("\x02\x03\x04\x03", 4)),
           extension(43, ""),
           std::string("\0\x0a\0", 3),
           number(10, 2) + number(1, 2),
       }) {
    EXPECT_THAT(outcome_of(name + broken), HasSubstr("malformed")) << broken;
    EXPECT_THAT(outcome_of(broken + name), HasSubstr("malformed")) << broken;
  }
}

TEST(ClientHello, RefusesFixedFieldsThatDoNotAddUp) {
  const std::string start = number(0x0303, 2) + std::string(32, 'R');
  const std::string id = vector_of("", 1), suites = vector_of("\x13\x01", 2), compression = vector_of("0", 1);
  const std::string extensions = vector_of(server_name("a.test"), 2);
  ASSERT_EQ(outcome(parse(in_records(message(start + id + suites + compression + extensions)))), "a.test");
  for (const std::string& body : {
           std::string(),
           start,
           start + id + suites,
           start + vector_of(std::string(33, 'S'), 1) + suites + compression + extensions,
           start + id + vector_of("", 2) + compression + extensions,
           start + id + vector_of("\x13\x01\x13", 2) + compression + extensions,
           start + id + suites + vector_of("", 1) + extensions,
           start + id + suites + compression + extensions + "x",
           start + id + suites + compression + extensions.substr(0, extensions.size() - 1),
           start + id + suites + compression + "x",
       }) {
    EXPECT_THAT(outcome(parse(in_records(message(body)))), HasSubstr("malformed")) << body.size();
  }
}

TEST(ClientHelloMessage, IsReadWithoutRecords) {
  const std::string hello = message_with(browser_extensions("a.test"));
  for (std::size_t length = 0; length < hello.size(); ++length) {
    Parse<ClientHello> parsed = parse_client_hello_message(base::as_bytes(hello).first(length));
    ASSERT_EQ(outcome(parsed), length < 4 ? "need 4" : "need " + std::to_string(hello.size()));
  }
  Parse<ClientHello> parsed = parse_client_hello_message(base::as_bytes(hello + "behind it"));
  ASSERT_EQ(outcome(parsed), "a.test");
  EXPECT_EQ(std::get<ClientHello>(parsed).stream_length, hello.size());
  EXPECT_THAT(outcome(parse_client_hello_message(base::as_bytes("\x02"))), HasSubstr("not a ClientHello"));
  EXPECT_THAT(outcome(parse_client_hello_message(base::as_bytes("\x01\x01\xff\xff"))), HasSubstr("longer than"));
}

// No byte of a hello, whatever it becomes, may crash the parser or leave it waiting for more than the limit. Sanitizers
// watch.
TEST(ClientHello, SurvivesEverySingleByteMutation) {
  for (std::size_t record_size : {std::size_t{7}, std::size_t{1} << 14}) {
    std::string stream = in_records(
        message_with(server_name("www.example.org") + supported_versions({0x0304}) + alpn({"h2", "http/1.1"})),
        record_size);
    for (std::size_t at = 0; at < stream.size(); ++at) {
      const char before = stream[at];
      for (int value = 0; value < 256; ++value) {
        stream[at] = static_cast<char>(value);
        Parse<ClientHello> parsed = parse(stream);
        if (auto* more = std::get_if<NeedMore>(&parsed)) {
          ASSERT_GT(more->at_least, stream.size()) << at << " = " << value;
          ASSERT_LE(more->at_least, hello_limit) << at << " = " << value;
        }
      }
      stream[at] = before;
    }
  }
}

}  // namespace
}  // namespace proto::tls

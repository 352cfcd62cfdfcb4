// Hellos of real clients, from public captures in ../shared/corpora: each one's name, ALPN and ECH as other tools read
// them, whole and at every point where a segment could have ended.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "proto/tls/client_hello.hpp"
#include "tests/vectors/pcap.hpp"

namespace {

using proto::tls::ClientHello;

const std::filesystem::path corpora = std::filesystem::path(SLUICE_SOURCE_DIR) / "../shared/corpora";

#define SKIP_WITHOUT_CORPORA() \
  if (!std::filesystem::exists(corpora)) GTEST_SKIP() << "no captures: " << corpora << " is absent"

using Row = std::vector<std::string>;

// Tab-separated; lines that begin with '#' are headings.
std::vector<Row> read_table(const std::filesystem::path& path) {
  std::vector<Row> rows;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    Row row;
    std::istringstream fields(line + '\t');
    for (std::string field; std::getline(fields, field, '\t');) row.push_back(field);
    rows.push_back(std::move(row));
  }
  return rows;
}

// Names are compared as policy has them: lower case.
std::string normalised(const std::string& sni) {
  auto name = base::DomainName::parse(sni);
  return name ? name->text() : sni;
}
std::string name_in(const ClientHello& hello) {
  return hello.server_name ? hello.server_name->text() : "";
}
std::string joined_alpn(const ClientHello& hello) {
  std::string joined;
  for (const std::string& protocol : hello.alpn) joined += (joined.empty() ? "" : ",") + protocol;
  return joined;
}

std::optional<ClientHello> hello_in(const std::string& stream, std::string& fault) {
  proto::Parse<ClientHello> parsed = proto::tls::parse_client_hello(base::as_bytes(stream));
  if (auto* hello = std::get_if<ClientHello>(&parsed)) return *hello;
  if (auto* malformed = std::get_if<proto::Malformed>(&parsed)) fault = malformed->reason;
  return std::nullopt;
}

// Every beginning of a good hello asks for more, and for no more than there is.
void expect_patience(const std::string& stream, const ClientHello& hello) {
  for (std::size_t length = 0; length < hello.stream_length; ++length) {
    auto parsed = proto::tls::parse_client_hello(base::as_bytes(stream).first(length));
    auto* more = std::get_if<proto::NeedMore>(&parsed);
    ASSERT_TRUE(more) << length;
    ASSERT_GT(more->at_least, length);
    ASSERT_LE(more->at_least, hello.stream_length);
  }
}

enum Column {
  pcap_file,
  transport,
  client,
  client_port,
  server,
  server_port,
  kind,
  sni,
  alpn,
  ech,
  hello_length,
  scope = 18
};

base::Endpoint endpoint(const std::string& address, const std::string& port) {
  return {base::IpAddress::parse(address).value(), static_cast<std::uint16_t>(std::stoi(port))};
}

TEST(TlsVectors, CapturedHellosCarryTheNamesThatOthersRead) {
  SKIP_WITHOUT_CORPORA();
  std::map<std::string, std::vector<Row>> rows_by_file;
  for (Row& row : read_table(corpora / "pcap/expected_sni.tsv"))
    if (row.at(transport) == "tcp" && row.at(kind) == "tls" && row.at(scope) == "required")
      rows_by_file[row[pcap_file]].push_back(std::move(row));
  ASSERT_GT(rows_by_file.size(), 100U);

  for (const auto& [file, rows] : rows_by_file) {
    const std::string content = pcap::read_file(corpora / "pcap" / file);
    pcap::TcpStreams streams = pcap::tcp_streams(base::as_bytes(content));
    for (const Row& row : rows) {
      SCOPED_TRACE(file + " " + row[client] + " " + row[client_port]);
      std::string fault = "no hello in the stream";
      bool found = false;
      for (const auto& stream :
           streams[{endpoint(row[client], row[client_port]), endpoint(row[server], row[server_port])}]) {
        std::string bytes = stream.bytes();
        auto hello = hello_in(bytes, fault);
        if (!hello) continue;
        found = true;
        EXPECT_EQ(name_in(*hello), normalised(row[sni]));
        EXPECT_EQ(joined_alpn(*hello), row[alpn]);
        EXPECT_EQ(hello->ech_offered, row[ech] == "ech");
        expect_patience(bytes, *hello);
        break;
      }
      EXPECT_TRUE(found) << fault;
    }
  }
}

TEST(TlsVectors, RawHellosCarryTheirNames) {
  SKIP_WITHOUT_CORPORA();
  int seen = 0;
  for (const Row& row : read_table(corpora / "hello/expected.tsv")) {
    if (row.at(1) != "tls-hello") continue;
    SCOPED_TRACE(row[0]);
    ++seen;
    const std::string bytes = pcap::read_file(corpora / "hello" / row[0]);
    // Some are messages as QUIC carries them, without records.
    bool in_record = bytes.starts_with('\x16');
    auto parsed = in_record ? proto::tls::parse_client_hello(base::as_bytes(bytes))
                            : proto::tls::parse_client_hello_message(base::as_bytes(bytes));
    auto* hello = std::get_if<ClientHello>(&parsed);
    if (!hello) {
      ADD_FAILURE() << (parsed.index() == 2 ? std::get<2>(parsed).reason : "needs more");
      continue;
    }
    EXPECT_EQ(name_in(*hello), normalised(row[2]));
    EXPECT_EQ(hello->stream_length, bytes.size());
    if (in_record) expect_patience(bytes, *hello);
  }
  EXPECT_GE(seen, 8);
}

}  // namespace

// QUIC hellos of real clients, from public captures in ../shared/corpora: each client's datagrams go through a gate,
// and it finds the names that other tools read.
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "flow/quic_gate.hpp"
#include "tests/vectors/pcap.hpp"

namespace {

using flow::QuicGate;
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
  versions = 14,
  scope = 18,
  oracle = 19
};

// By sender and receiver, in the order of the capture.
using UdpFlows = std::map<std::pair<base::Endpoint, base::Endpoint>, std::vector<std::string>>;

UdpFlows udp_flows(const std::string& file) {
  UdpFlows flows;
  pcap::for_each_datagram(base::as_bytes(file), [&](const pcap::Datagram& datagram) {
    if (datagram.protocol != 17) return;
    base::ByteReader reader(datagram.payload);
    base::Endpoint sender{datagram.source, reader.u16()}, receiver{datagram.destination, reader.u16()};
    std::size_t length = reader.u16();
    reader.skip(2);
    base::Bytes payload = reader.rest();
    if (!reader.ok() || length < 8) return;
    flows[{sender, receiver}].emplace_back(base::as_text(payload.first(std::min(payload.size(), length - 8))));
  });
  return flows;
}

// What a gate whose owner allows everything makes of a client's datagrams.
struct Outcome {
  std::vector<ClientHello> hellos;
  std::string refused;
};

Outcome run(const std::vector<std::string>& datagrams) {
  Outcome outcome;
  QuicGate gate;
  for (const std::string& datagram : datagrams) {
    // What the kernel keeps for itself once a flow is allowed, and drops before that.
    if (!proto::quic::has_long_header(base::as_bytes(datagram)) && !outcome.hellos.empty()) continue;
    QuicGate::Step step = gate.on_client(base::as_bytes(datagram), {});
    if (auto* refuse = std::get_if<QuicGate::Refuse>(&step)) {
      outcome.refused = refuse->why;
      break;
    }
    if (auto* found = std::get_if<QuicGate::Hellos>(&step)) {
      for (ClientHello& hello : found->hellos) outcome.hellos.push_back(std::move(hello));
      gate.allow();
    }
  }
  return outcome;
}

std::string described(const ClientHello& hello) {
  std::string text = (hello.server_name ? hello.server_name->text() : "") + '|';
  for (const std::string& protocol : hello.alpn) text += (text.ends_with('|') ? "" : ",") + protocol;
  return text + (hello.ech_offered ? "|ech" : "|");
}
std::string described(const Outcome& outcome) {
  std::string text = outcome.refused.empty() ? "" : "refused: " + outcome.refused;
  for (const ClientHello& hello : outcome.hellos) text += "\n  hello " + described(hello);
  return text;
}

base::Endpoint endpoint(const std::string& address, const std::string& port) {
  return {base::IpAddress::parse(address).value(), static_cast<std::uint16_t>(std::stoi(port))};
}

// Of drafts nothing is read.
bool is_draft(const Row& row) {
  return row[versions].starts_with("0xff0000");
}
// Snapchat's calls begin with QUIC and go on in a protocol of their own.
bool becomes_another_protocol(const Row& row) {
  return row[versions].find(",0x65644464,") != std::string::npos;
}

TEST(QuicVectors, CapturedHellosCarryTheNamesThatOthersRead) {
  SKIP_WITHOUT_CORPORA();
  std::map<std::string, std::vector<Row>> rows_by_file;
  for (Row& row : read_table(corpora / "pcap/expected_sni.tsv"))
    if (row.at(kind) == "quic" && row.at(scope) == "required") rows_by_file[row[pcap_file]].push_back(std::move(row));

  int read = 0;
  for (const auto& [file, rows] : rows_by_file) {
    UdpFlows flows = udp_flows(pcap::read_file(corpora / "pcap" / file));
    for (const Row& row : rows) {
      SCOPED_TRACE(file + " " + row[client] + " " + row[client_port] + " " + row[sni]);
      Outcome outcome = run(flows[{endpoint(row[client], row[client_port]), endpoint(row[server], row[server_port])}]);
      auto name = base::DomainName::parse(row[sni]);
      if (is_draft(row)) {
        EXPECT_TRUE(outcome.hellos.empty() && !outcome.refused.empty()) << described(outcome);
      } else if (!row[sni].empty() && !name) {  // "server4:443"
        EXPECT_TRUE(outcome.hellos.empty() && outcome.refused.find("sound") != std::string::npos) << described(outcome);
      } else {
        ++read;
        const std::string expected =
            (name ? name->text() : "") + '|' + row[alpn] + '|' + (row[ech] == "ech" ? "ech" : "");
        auto is_expected = [&](ClientHello hello) {
          if (row[oracle] == "ndpi") hello.ech_offered = false;  // it does not tell
          return described(hello) == expected;
        };
        EXPECT_TRUE(std::any_of(outcome.hellos.begin(), outcome.hellos.end(), is_expected))
            << "expected " << expected << "; got " << described(outcome);
        EXPECT_EQ(!outcome.refused.empty(), becomes_another_protocol(row)) << described(outcome);
      }
    }
  }
  EXPECT_GE(read, 60);
}

TEST(QuicVectors, RawInitialsCarryTheirNames) {
  SKIP_WITHOUT_CORPORA();
  int seen = 0;
  for (const Row& row : read_table(corpora / "hello/expected.tsv")) {
    if (row.at(1) != "quic-initial") continue;
    SCOPED_TRACE(row[0]);
    ++seen;
    Outcome outcome = run({pcap::read_file(corpora / "hello" / row[0])});
    ASSERT_EQ(outcome.hellos.size(), 1U) << described(outcome);
    outcome.hellos[0].ech_offered = false;  // not in the table
    EXPECT_EQ(described(outcome.hellos[0]), row[2] + '|' + row[4] + '|');
    EXPECT_EQ(outcome.hellos[0].stream_length, std::stoul(row[6]));
  }
  EXPECT_GE(seen, 6);
}

}  // namespace

// Requests of real clients, from public captures in ../shared/corpora: where our parser accepts one, method, Host and
// target are what tshark read. Captures of attacks and of broken clients may be refused; how many is pinned below.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/text.hpp"
#include "proto/http/h1.hpp"
#include "proto/http/sniff.hpp"
#include "proto/http/url.hpp"
#include "tests/vectors/pcap.hpp"

namespace {

using namespace proto::http;  // NOLINT(google-build-using-namespace): what is tested

const std::filesystem::path captures = std::filesystem::path(SLUICE_SOURCE_DIR) / "../shared/corpora/pcap";

struct Request {
  std::string method, host, target;
  bool operator==(const Request&) const = default;
};

void PrintTo(const Request& request, std::ostream* out) {
  *out << request.method << ' ' << request.host << ' ' << request.target;
}

using Flow = std::pair<base::Endpoint, base::Endpoint>;  // client, server
using Capture = std::map<Flow, std::vector<Request>>;

std::map<std::string, Capture> read_expectations() {
  std::map<std::string, Capture> expected;
  std::ifstream file(captures / "expected_http.tsv");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    std::vector<std::string> row;
    std::istringstream fields(line);
    for (std::string field; std::getline(fields, field, '\t');) row.push_back(field);
    auto client = base::IpAddress::parse(row.at(2)), server = base::IpAddress::parse(row.at(4));
    if (!client || !server || row.at(6) != "http1") continue;
    Flow flow{{*client, static_cast<std::uint16_t>(std::stoi(row[3]))},
              {*server, static_cast<std::uint16_t>(std::stoi(row[5]))}};
    // Several requests in one packet are one row: "POST|GET". A '|' in a lone target stays.
    auto methods = base::split(row.at(7), '|'), hosts = base::split(row.at(8), '|'),
         targets = base::split(row.at(9), '|');
    if (methods.size() == 1) targets = {row[9]};
    if (methods.size() != targets.size()) continue;
    for (std::size_t i = 0; i < methods.size(); ++i) {
      std::string_view host = hosts.size() == methods.size() ? hosts[i] : std::string_view(row[8]);
      expected[row[0]][flow].push_back({std::string(methods[i]), std::string(host), std::string(targets[i])});
    }
  }
  return expected;
}

std::string_view host_of(const RequestHead& head) {
  for (const Field& field : head.fields)
    if (base::equal_ignoring_case(field.name, "host")) return field.value;
  return {};
}

// The bytes of the body at the start of `rest`; nullopt if it does not end there.
std::optional<std::size_t> body_length(const Framing& framing, base::Bytes rest) {
  if (framing.kind == Framing::Kind::none) return 0;
  if (framing.kind == Framing::Kind::length) {
    if (framing.length > rest.size()) return std::nullopt;
    return framing.length;
  }
  ChunkedBody body;
  auto progress = body.feed(rest);
  if (!progress.complete) return std::nullopt;
  return progress.consumed;
}

// The requests of one stream, up to the first that is refused or not whole; `fault` says why it ended.
std::vector<Request> requests_in(std::string_view stream, std::string& fault) {
  std::vector<Request> found;
  base::Bytes rest = base::as_bytes(stream);
  while (!rest.empty()) {
    auto parse = parse_request(rest);
    if (auto* malformed = std::get_if<proto::Malformed>(&parse)) fault = malformed->reason;
    if (parse.index() != 0) break;
    const auto& head = std::get<0>(parse);
    EXPECT_EQ(sniff(rest), Protocol::http);
    found.push_back({std::string(head.method), std::string(host_of(head)), std::string(head.target)});
    if (head.method != "CONNECT") {
      EXPECT_TRUE(head.authority.empty() || Url::from_request("http", head.authority, head.target));
    }
    if (head.method == "CONNECT" || head.upgrade != Upgrade::none) break;
    rest = rest.subspan(head.length);
    auto body = body_length(head.body, rest);
    if (!body) break;
    rest = rest.subspan(*body);
  }
  return found;
}

TEST(HttpVectors, CapturedRequestsAreReadAsOthersReadThem) {
  if (!std::filesystem::exists(captures)) GTEST_SKIP() << "no captures: " << captures << " is absent";
  std::size_t total = 0, accepted = 0, refused = 0;
  for (const auto& [file, flows] : read_expectations()) {
    const std::string content = pcap::read_file(captures / file);
    pcap::TcpStreams streams = pcap::tcp_streams(base::as_bytes(content));
    for (const auto& [flow, expected] : flows) {
      SCOPED_TRACE(file + " " + flow.first.to_string());
      total += expected.size();
      std::vector<Request> found;
      for (const auto& stream : streams[flow]) {
        std::string fault;
        for (Request& request : requests_in(stream.bytes(), fault)) found.push_back(std::move(request));
        if (!fault.empty()) ++refused;
      }
      accepted += found.size();
      ASSERT_LE(found.size(), expected.size());
      for (std::size_t i = 0; i < found.size(); ++i) EXPECT_EQ(found[i], expected[i]);
    }
  }
  // Of what is missing most is over UDP (SSDP), behind a gap in the capture, or on a stream that a refusal ended.
  RecordProperty("accepted", std::to_string(accepted) + " of " + std::to_string(total));
  RecordProperty("refused", static_cast<int>(refused));
  EXPECT_GE(accepted, 513U);
  EXPECT_LE(refused, 22U);  // hostile ones, HTTP/0.9, CONNECT without Host, folded lines of a UPnP client
}

}  // namespace

// replay FILE.pcap: captures by libpcap (pcap and pcapng), one JSON line a flow; the summary goes to standard error.
// replay --log FILE: lines of the access log that the files of today would judge otherwise.
#include "sluicectl/replay_verb.hpp"

#include <pcap/pcap.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>

#include "base/text.hpp"
#include "control/explain.hpp"
#include "policy/names.hpp"
#include "replay/flow_table.hpp"
#include "replay/judge.hpp"
#include "sluicectl/answer.hpp"
#include "sluicectl/files.hpp"

namespace sluicectl {
namespace {

using control::Json;

constexpr std::size_t longest_line = 64 * 1024;  // of the access log

void print_line(const Json& json) {
  std::puts(json.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
}

int complain(const std::string& what) {
  std::fprintf(stderr, "sluicectl: %s\n", what.c_str());
  return exit_usage;
}

base::WallTime now() {
  return std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

// The policy of the files; null, and said, if they have errors.
std::shared_ptr<const policy::Snapshot> load_policy(const Arguments& arguments) {
  FromFiles files = load_files(arguments);
  if (!rules::has_errors(files.diagnostics) && files.loaded.snapshot) return files.loaded.snapshot;
  std::fputs(told(files.diagnostics).c_str(), stderr);
  return nullptr;
}

const char* source_word(policy::NameSource source) {
  switch (source) {
    case policy::NameSource::sni:
      return "sni";
    case policy::NameSource::host:
      return "host";
    case policy::NameSource::dns:
      return "dns";
    case policy::NameSource::none:
      break;
  }
  return nullptr;
}

Json to_json(const replay::Story& story) {
  Json urls = Json::array(), source = nullptr, name = nullptr;
  for (const replay::RequestStory& request : story.requests) urls.push_back(request.url.to_string());
  if (!story.name.empty()) name = story.name;
  if (const char* word = source_word(story.name_source)) source = word;
  return {{"client", story.tuple.client.to_string()},
          {"origin", story.tuple.origin.to_string()},
          {"proto", story.protocol},
          {"name", name},
          {"name_source", source},
          {"alpn", story.alpn},
          {"urls", urls}};
}

void add_verdict(Json& json, const policy::Snapshot& snapshot, const policy::Verdict& verdict) {
  Json categories = Json::array();
  verdict.categories.for_each([&](policy::TagId tag) {
    std::string_view name = snapshot.tag_name(tag);
    if (name.starts_with("category:")) categories.push_back(name.substr(9));
  });
  bool refused = replay::refuses(verdict);
  json["categories"] = std::move(categories);
  json["verdict"] = refused ? std::string(policy::to_string(verdict.outcome)) : "allow";
  json["rule"] = verdict.rule == policy::no_rule ? Json(nullptr) : Json(snapshot.rules[verdict.rule.value].name);
}

// --- captures

int replay_capture(const Arguments& arguments, const std::string& path) {
  std::shared_ptr<const policy::Snapshot> snapshot;
  if (arguments.config_given) {
    snapshot = load_policy(arguments);
    if (!snapshot) return exit_usage;
  }
  std::optional<base::WallTime> at;
  if (auto given = arguments.options.find("time"); given != arguments.options.end()) {
    auto parsed = control::parse_time(given->second, snapshot ? snapshot->zone : policy::Zone{}, now());
    if (!parsed) return complain(parsed.error().message);
    at = *parsed;
  }
  char words[PCAP_ERRBUF_SIZE] = "";
  std::unique_ptr<pcap_t, void (*)(pcap_t*)> capture(pcap_open_offline(path.c_str(), words), pcap_close);
  if (!capture) return complain("cannot read the capture: " + std::string(words));
  int link_type = pcap_datalink(capture.get());
  if (!replay::is_known_link_type(link_type)) {
    const char* name = pcap_datalink_val_to_name(link_type);
    return complain(path + ": captures of link type " + (name != nullptr ? name : std::to_string(link_type)) +
                    " are not read here");
  }
  replay::FlowTable table;
  pcap_pkthdr* header = nullptr;
  const u_char* bytes = nullptr;
  int result;
  while ((result = pcap_next_ex(capture.get(), &header, &bytes)) == 1) {
    base::Bytes frame(bytes, header->caplen);
    base::WallTime time(std::chrono::seconds(header->ts.tv_sec) + std::chrono::milliseconds(header->ts.tv_usec / 1000));
    table.add(replay::network_packet(link_type, frame), time);
  }
  if (result == PCAP_ERROR)
    std::fprintf(stderr, "sluicectl: %s: damaged, used up to here: %s\n", path.c_str(), pcap_geterr(capture.get()));
  std::uint64_t left_out = table.left_out(), unreadable = table.unreadable();
  std::map<std::string, std::uint64_t> protocols, verdicts;
  std::uint64_t flows = 0;
  for (const replay::Story& story : std::move(table).finish()) {
    Json json = to_json(story);
    ++flows;
    ++protocols[story.protocol];
    if (snapshot) {
      add_verdict(json, *snapshot, replay::judge(*snapshot, story, at.value_or(story.began)));
      ++verdicts[json["verdict"]];
    }
    print_line(json);
  }
  std::string summary = std::to_string(flows) + " flows:";
  for (const auto& [word, count] : protocols) summary += " " + std::to_string(count) + " " + word;
  for (const auto& [word, count] : verdicts) summary += "; " + std::to_string(count) + " " + word;
  if (unreadable > 0) summary += "; " + std::to_string(unreadable) + " packets left out (fragments, other protocols)";
  if (left_out > 0) summary += "; " + std::to_string(left_out) + " flows too many";
  std::fprintf(stderr, "%s\n", summary.c_str());
  return exit_ok;
}

// --- the access log

std::optional<replay::PastRequest> read_line(const std::string& line, const policy::Zone& zone) {
  Json json = Json::parse(line, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  auto text = [&](const char* key) {
    auto found = json.find(key);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string{};
  };
  replay::PastRequest request;
  auto client = base::IpAddress::parse(text("client")), origin = base::IpAddress::parse(text("dst"));
  std::string time = text("time");
  if (std::size_t dot = time.find('.'); dot != time.npos) time = time.substr(0, dot) + "Z";
  auto at = control::parse_time(time, zone, now());
  if (!client || !at) return std::nullopt;
  request.client = *client;
  if (origin) request.origin.address = *origin;
  if (auto port = json.find("dport"); port != json.end() && port->is_number_unsigned())
    request.origin.port = static_cast<std::uint16_t>(std::min<std::uint64_t>(port->get<std::uint64_t>(), 65535));
  request.protocol = text("proto");
  request.name = text("name");
  request.url = text("url");
  request.method = text("method");
  request.time = *at;
  request.rule = text("rule");
  std::string action = text("action");
  request.was_refused = action == "block" || action == "warn" || action == "code";
  return request;
}

int replay_log(const Arguments& arguments, const std::string& path) {
  auto snapshot = load_policy(arguments);
  if (!snapshot) return exit_usage;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "re"), std::fclose);
  if (!file) return complain("cannot read " + path + ": " + std::strerror(errno));
  struct Flip {
    Json json;
    std::uint64_t count = 0;
  };
  std::map<std::string, Flip> flips;
  std::uint64_t lines = 0, flipped = 0, unreadable = 0, first_unreadable = 0, untold = 0;
  std::string line;
  for (int c = 0; c != EOF;) {
    line.clear();
    while ((c = std::getc(file.get())) != EOF && c != '\n')
      if (line.size() < longest_line) line += static_cast<char>(c);
    if (line.empty()) continue;
    ++lines;
    auto request = read_line(line, snapshot->zone);
    if (!request) {
      if (unreadable++ == 0) first_unreadable = lines;
      continue;
    }
    policy::Verdict verdict = replay::judge(*snapshot, *request);
    if (verdict.outcome == policy::Outcome::look_further && request->url.empty() && request->protocol == "http") {
      ++untold;
      continue;
    }
    bool refused = replay::refuses(verdict);
    if (refused == request->was_refused) continue;
    ++flipped;
    std::string what = request->url.empty() ? request->name : request->url;
    Json rule = verdict.rule == policy::no_rule ? Json(nullptr) : Json(snapshot->rules[verdict.rule.value].name);
    Json json = {{"client", request->client.to_string()},
                 {"host", what.empty() ? request->origin.to_string() : what},
                 {"was", request->was_refused ? "block" : "allow"},
                 {"now", refused ? std::string(policy::to_string(verdict.outcome)) : "allow"},
                 {"rule_was", request->rule.empty() ? Json(nullptr) : Json(request->rule)},
                 {"rule_now", rule}};
    Flip& flip = flips[json.dump(-1, ' ', false, Json::error_handler_t::replace)];
    flip.json = std::move(json);
    ++flip.count;
  }
  for (auto& [key, flip] : flips) {
    flip.json["count"] = flip.count;
    print_line(flip.json);
  }
  std::string summary = std::to_string(lines) + " requests, " + std::to_string(flipped) + " would be judged otherwise";
  if (untold > 0) summary += "; " + std::to_string(untold) + " depend on a URL that the log does not have";
  if (unreadable > 0)
    summary += "; " + std::to_string(unreadable) + " lines are no records, the first is line " +
               std::to_string(first_unreadable);
  std::fprintf(stderr, "%s\n", summary.c_str());
  return exit_ok;
}

}  // namespace

int replay(const Arguments& arguments) {
  auto log = arguments.options.find("log");
  if (log != arguments.options.end() && arguments.operands.empty()) return replay_log(arguments, log->second);
  if (log != arguments.options.end() || arguments.operands.size() != 1)
    return usage_error(
        "usage: sluicectl replay FILE.pcap [--config DIR] [--time T] | replay --log ACCESS.jsonl [--config DIR]");
  return replay_capture(arguments, arguments.operands[0]);
}

}  // namespace sluicectl

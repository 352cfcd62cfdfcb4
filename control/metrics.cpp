// Theory of operation. One table says for each series its name, type, help, labels and the place of its value in the
// JSON that the roles answer with. It is walked once; rows of one name stand together, because HELP and TYPE are said once
// for all series of a name. Names follow Prometheus' rules (`promtool check metrics`): prefix, base units, `_total` for
// what only grows.
//
// Cardinality. Every series costs the server memory for as long as it keeps data, so labels have few values: lanes,
// outcomes, roles; groups, which an admin wrote, up to a limit; clients only where the admin set a number. What does not
// fit of groups is summed up as "(other)": they come in the order of the configuration, so that none moves in and out of
// that sum between two scrapes, which would make a counter go backwards. Of clients those with the most bytes have
// series and the others none, for the same reason.
//
// A counter that is missing is a gap, one that is too small is taken for a restart: when a worker gave no answer in time
// (`complete` is false) its sums are left out, and sluice_up is 0.
#include "control/metrics.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <vector>

namespace control {
namespace {

constexpr std::size_t most_groups = 100;

struct Definition {
  const char* name;
  const char* type;
  const char* help;    // of the first row of a name
  const char* labels;  // `lane="proxy"`, or empty
  const char* place;   // JSON pointer: a number, a truth, something to be counted, or the word "ok"
};

constexpr const char* counter = "counter";
constexpr const char* gauge = "gauge";

constexpr auto definitions = std::to_array<Definition>({
    {"sluice_uptime_seconds", gauge, "Seconds since the gateway process began.", "", "/gateway/uptime_s"},
    {"sluice_process_restarts_total", counter, "How often the supervisor started a process again.",
     R"(process="gateway")", "/restarts/gateway"},
    {"sluice_process_restarts_total", counter, "", R"(process="keeper")", "/restarts/keeper"},
    {"sluice_process_restarts_total", counter, "", R"(process="helper")", "/restarts/helper"},
    {"sluice_process_restarts_total", counter, "", R"(process="signer")", "/restarts/signer"},
    {"sluice_workers", gauge, "Threads that judge and relay.", "", "/gateway/workers"},
    {"sluice_heartbeat_ok", gauge, "1 while the ruleset hears that every worker lives; 0: if_down holds.", "",
     "/gateway/heartbeat"},
    {"sluice_clock_before_build_date", gauge, "1 while the clock is not set; schedules are inactive then.", "",
     "/gateway/clock_before_build_date"},

    {"sluice_rules", gauge, "Rules in force.", "", "/gateway/rules"},
    {"sluice_groups", gauge, "Groups in force.", "", "/gateway/groups"},
    {"sluice_list_entries", gauge, "Entries of all lists in force.", "", "/gateway/list_entries"},
    {"sluice_policy_warnings", gauge, "Warnings of the configuration in force.", "", "/gateway/warnings"},
    {"sluice_lists_in_trouble", gauge, "Lists whose last update came to nothing.", "", "/keeper/lists_in_trouble"},
    {"sluice_grants", gauge, "Clients let past a warn or code rule, or by a temporary grant, now.", "",
     "/gateway/grants"},
    {"sluice_quotas", gauge, "Quotas that somebody has used of since their reset.", "", "/gateway/quotas"},
    {"sluice_quotas_spent", gauge, "Quotas that are used up now.", "", "/gateway/quotas_spent"},

    {"sluice_connections", gauge, "Connections open now.", R"(lane="proxy")", "/gateway/connections"},
    {"sluice_connections", gauge, "", R"(lane="kernel")", "/gateway/kernel_lane/running"},
    {"sluice_flows_undecided", gauge, "Flows of the kernel lane whose hello is not whole yet.", "",
     "/gateway/kernel_lane/undecided"},
    {"sluice_flows_total", counter,
     "Flows by what became of them. Proxied ones are accepted first and judged by what they say: see "
     "sluice_access_records_total.",
     R"(lane="proxy",outcome="accepted")", "/gateway/accepted"},
    {"sluice_flows_total", counter, "", R"(lane="proxy",outcome="refused_by_limit")", "/gateway/refused_by_limit"},
    {"sluice_flows_total", counter, "", R"(lane="proxy",outcome="accept_error")", "/gateway/accept_errors"},
    {"sluice_flows_total", counter, "", R"(lane="kernel",outcome="allowed")", "/gateway/kernel_lane/allowed"},
    {"sluice_flows_total", counter, "", R"(lane="kernel",outcome="blocked")", "/gateway/kernel_lane/blocked"},
    {"sluice_flows_total", counter, "", R"(lane="kernel",outcome="refused_by_limit")",
     "/gateway/kernel_lane/refused_by_limit"},
    {"sluice_flows_total", counter, "", R"(lane="kernel",outcome="timed_out")", "/gateway/kernel_lane/timed_out"},
    {"sluice_kernel_packets_total", counter, "Packets of the kernel lane that belong to no flow that could be judged.",
     R"(outcome="unknown")", "/gateway/kernel_lane/unknown"},
    {"sluice_kernel_packets_total", counter, "", R"(outcome="unreadable")", "/gateway/kernel_lane/unreadable"},
    {"sluice_kernel_unlabelled_flows_total", counter,
     "Allowed flows of the kernel lane beyond what can be remembered: they have no line in the access log.", "",
     "/gateway/kernel_lane/unlabelled"},
    {"sluice_access_records_total", counter,
     "Requests and connections with a line in the access log, by action (none of what log = \"none\" leaves out).",
     R"(action="allow")", "/gateway/records/allow"},
    {"sluice_access_records_total", counter, "", R"(action="block")", "/gateway/records/block"},
    {"sluice_access_records_total", counter, "", R"(action="warn")", "/gateway/records/warn"},
    {"sluice_access_records_total", counter, "", R"(action="code")", "/gateway/records/code"},
    {"sluice_access_records_total", counter, "", R"(action="abort")", "/gateway/records/abort"},
    {"sluice_proxied_bytes_total", counter, "Bytes relayed by the proxy lane; up is from the client.",
     R"(direction="up")", "/gateway/bytes_up"},
    {"sluice_proxied_bytes_total", counter, "", R"(direction="down")", "/gateway/bytes_down"},

    {"sluice_bytes_total", counter, "IP bytes of all clients as conntrack counts them; up is from the client.",
     R"(direction="up")", "/gateway/accounting/bytes_up"},
    {"sluice_bytes_total", counter, "", R"(direction="down")", "/gateway/accounting/bytes_down"},
    {"sluice_unattributed_bytes_total", counter, "Bytes that LAN interfaces carried and no client was found for.", "",
     "/gateway/accounting/unattributed_bytes"},
    {"sluice_clients", gauge, "Clients that accounting knows.", "", "/gateway/accounting/clients"},
    {"sluice_conntrack_entries", gauge, "Entries of conntrack at the last look.", "",
     "/gateway/accounting/conntrack_entries"},
    {"sluice_conntrack_dumps_total", counter, "Looks at the whole of conntrack.", "", "/gateway/accounting/dumps"},
    {"sluice_conntrack_events_lost_total", counter, "Times that conntrack's events came too fast to be heard.", "",
     "/gateway/accounting/events_lost"},

    {"sluice_devices_enrolled", gauge, "Devices that trust the local CA.", "", "/gateway/interception/enrolled"},
    {"sluice_bypasses", gauge, "Names that are not decrypted because a device refused it.", "",
     "/gateway/interception/bypasses"},
    {"sluice_signer_up", gauge, "1 while the process with the CA's key is there.", "", "/gateway/interception/signer"},
    {"sluice_certificates_signed_total", counter, "Certificates signed by the local CA.", "",
     "/gateway/interception/leaves_minted"},

    {"sluice_log_lines_lost_total", counter, "Lines of the access log that were lost, by who lost them.",
     R"(process="gateway")", "/gateway/log_lines_lost"},
    {"sluice_log_lines_lost_total", counter, "", R"(process="keeper")", "/keeper/log_lines_lost"},
    {"sluice_log_trouble", gauge, "1 while the access log cannot be written.", "", "/keeper/log_trouble"},
    {"sluice_store_trouble", gauge, "1 while the usage store cannot be written; counts go on in memory.", "",
     "/keeper/store_trouble"},
});

std::string escaped(std::string_view value) {
  std::string text;
  for (char c : value) {
    if (c == '\\' || c == '"') text += '\\';
    if (c == '\n')
      text += "\\n";
    else
      text += c;
  }
  return text;
}

// Whole numbers stay whole: above 2^53 a double would lose bytes.
std::string number_text(const Json& value) {
  if (value.is_number_unsigned()) return std::to_string(value.get<std::uint64_t>());
  if (value.is_number_integer()) return std::to_string(value.get<std::int64_t>());
  if (value.is_number()) {
    std::array<char, 40> buffer;
    auto end = std::to_chars(buffer.begin(), buffer.end(), value.get<double>()).ptr;
    return {buffer.begin(), end};
  }
  if (value.is_boolean()) return value.get<bool>() ? "1" : "0";
  if (value.is_array()) return std::to_string(value.size());
  if (value.is_string()) return value.get_ref<const std::string&>() == "ok" ? "1" : "0";
  return {};
}

class Writer {
 public:
  void family(const std::string& name, const char* type, const char* help) {
    if (name == family_) return;
    family_ = name;
    text_ += "# HELP " + name + " " + help + "\n# TYPE " + name + " " + type + "\n";
  }
  void sample(const std::string& labels, const std::string& value) {
    text_ += family_ + (labels.empty() ? "" : "{" + labels + "}") + " " + value + "\n";
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_, family_;
};

std::string string_of(const Json& object, const char* key) {
  auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string{};
}
std::uint64_t count_of(const Json& object, const char* key) {
  auto found = object.find(key);
  bool is_count = found != object.end() && found->is_number_integer() && *found >= 0;
  return is_count ? found->get<std::uint64_t>() : 0;
}

struct Bytes {
  std::uint64_t up = 0, down = 0;
};

void write_both(Writer& out, const std::string& labels, const Bytes& bytes) {
  out.sample(labels + R"(,direction="up")", std::to_string(bytes.up));
  out.sample(labels + R"(,direction="down")", std::to_string(bytes.down));
}

void write_groups(Writer& out, const Json& gateway) {
  auto groups = gateway.find("groups");
  if (groups == gateway.end() || !groups->is_array() || groups->empty()) return;
  out.family("sluice_group_bytes_total", counter, "IP bytes of a group's clients; up is from the client.");
  Bytes others;
  std::size_t written = 0;
  for (const Json& group : *groups) {
    if (!group.is_object()) continue;
    Bytes bytes{count_of(group, "bytes_up"), count_of(group, "bytes_down")};
    if (written < most_groups) {
      write_both(out, "group=\"" + escaped(string_of(group, "name")) + "\"", bytes);
    } else {
      others.up += bytes.up;
      others.down += bytes.down;
    }
    ++written;
  }
  if (written > most_groups) write_both(out, "group=\"(other)\"", others);
}

void write_clients(Writer& out, const Json& top, std::size_t most) {
  auto clients = top.find("clients");
  if (most == 0 || clients == top.end() || !clients->is_array()) return;
  // By name: a series must not come twice, and a person with two devices is one.
  std::map<std::pair<std::string, std::string>, Bytes> sums;
  for (const Json& each : *clients) {
    if (!each.is_object()) continue;
    std::string name = string_of(each, "user");
    if (name.empty()) name = string_of(each, "device");
    if (name.empty()) name = string_of(each, "client");
    Bytes& sum = sums[{name, string_of(each, "group")}];
    sum.up += count_of(each, "bytes_up");
    sum.down += count_of(each, "bytes_down");
  }
  std::vector<std::pair<std::string, Bytes>> rows;
  for (const auto& [who, bytes] : sums)
    rows.emplace_back("client=\"" + escaped(who.first) + "\",group=\"" + escaped(who.second) + "\"", bytes);
  std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
    return a.second.up + a.second.down > b.second.up + b.second.down;
  });
  if (rows.size() > most) rows.resize(most);
  if (rows.empty()) return;
  out.family("sluice_client_bytes_total", counter,
             "IP bytes of the clients that moved the most since the gateway began; up is from the client.");
  for (const auto& [labels, bytes] : rows) write_both(out, labels, bytes);
}

}  // namespace

std::string exposition(const MetricsInput& input) {
  Json facts = {{"keeper", input.keeper}, {"restarts", input.restarts}};
  bool whole = input.gateway.is_object() && input.gateway.value("complete", true);
  if (whole) facts["gateway"] = input.gateway;

  Writer out;
  out.family("sluice_build_info", gauge, "The version that runs; always 1.");
  out.sample("version=\"" SLUICE_VERSION "\"", "1");
  out.family("sluice_up", gauge, "1 if the gateway and all its workers answered; 0: what only they know is left out.");
  out.sample("", whole ? "1" : "0");
  const char* help = "";
  for (const Definition& row : definitions) {
    if (*row.help != '\0') help = row.help;
    Json::json_pointer place(row.place);
    if (!facts.contains(place)) continue;
    std::string value = number_text(facts.at(place));
    if (value.empty()) continue;
    out.family(row.name, row.type, help);
    out.sample(row.labels, value);
  }
  if (whole) write_groups(out, input.gateway);
  if (whole && input.top.is_object()) write_clients(out, input.top, input.clients);
  return out.take();
}

}  // namespace control

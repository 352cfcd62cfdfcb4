#include "daemon/gateway/gateway_answers.hpp"

#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "base/text.hpp"
#include "control/explain.hpp"
#include "control/protocol.hpp"
#include "policy/names.hpp"
#include "proto/http/url.hpp"

namespace sluiced {
namespace {

using control::Json;
using control::Reply;
using namespace std::chrono_literals;

constexpr auto worker_patience = 2s;            // then the answer says that a worker did not
constexpr std::size_t most_connections = 5000;  // lines of one answer

// Runs `look` on every worker's own thread and waits. False: one did not answer in time (its share is missing).
bool ask_workers(std::vector<std::unique_ptr<Worker>>& workers, std::function<void(Worker&, Json& share)> look,
                 Json& shares) {
  struct Gathering {
    std::mutex mutex;
    std::condition_variable done;
    std::size_t missing;
    Json shares = Json::array();
  };
  auto gathering = std::make_shared<Gathering>();  // outlives us if a worker is late
  gathering->missing = workers.size();
  for (auto& worker : workers) {
    worker->post([gathering, look, worker = worker.get()] {
      Json share;
      look(*worker, share);
      std::lock_guard lock(gathering->mutex);
      gathering->shares.push_back(std::move(share));
      if (--gathering->missing == 0) gathering->done.notify_one();
    });
  }
  std::unique_lock lock(gathering->mutex);
  bool complete = gathering->done.wait_for(lock, worker_patience, [&] { return gathering->missing == 0; });
  shares = gathering->shares;
  return complete;
}

std::string seconds_in_words(std::int64_t seconds) {
  std::string words;
  if (seconds >= 86400) words += std::to_string(seconds / 86400) + " d ";
  if (seconds >= 3600) words += std::to_string(seconds / 3600 % 24) + " h ";
  if (seconds >= 60) words += std::to_string(seconds / 60 % 60) + " min ";
  return words + std::to_string(seconds % 60) + " s";
}

Json records_of(const WorkerTotals& totals) {
  Json records = Json::object();
  for (std::size_t i = 0; i < record_actions.size(); ++i) records[std::string(record_actions[i])] = totals.records[i];
  return records;
}

// Roles that are confined alike share a line.
void add_confinement(std::string_view lines, std::string& text, Json& data) {
  std::vector<std::pair<std::string, std::string>> shared;  // what holds, of which roles
  for (std::string_view line : base::split(lines, '\n')) {
    std::size_t blank = line.find(' ');
    if (blank == line.npos) continue;
    std::string role(line.substr(0, blank)), what(line.substr(blank + 1));
    data["confined"][role] = what;
    auto found = std::find_if(shared.begin(), shared.end(), [&](const auto& each) { return each.first == what; });
    if (found == shared.end())
      shared.emplace_back(what, role);
    else
      found->second += ", " + role;
  }
  for (const auto& [what, roles] : shared) text += "confined     " + what + " (" + roles + ")\n";
}

Reply status(const GatewayView& view, const control::Request& request) {
  Json shares;
  bool complete = ask_workers(
      view.workers,
      [](Worker& worker, Json& share) {
        WorkerTotals totals = worker.totals();
        for (const auto& flow : worker.flows()) {
          totals.bytes_up += flow->counters().up;
          totals.bytes_down += flow->counters().down;
        }
        share = {{"connections", worker.flows().size()},
                 {"accepted", totals.accepted},
                 {"refused_by_limit", totals.refused_by_limit},
                 {"accept_errors", totals.accept_errors},
                 {"log_lines_lost", totals.records_lost},
                 {"bytes_up", totals.bytes_up},
                 {"bytes_down", totals.bytes_down},
                 {"records", records_of(totals)}};
        if (worker.gate() == nullptr) return;
        const GateTotals& gate = worker.gate()->totals();
        share["kernel_lane"] = {{"undecided", worker.gate()->undecided()},
                                {"flows", gate.flows},
                                {"allowed", gate.allowed},
                                {"blocked", gate.blocked},
                                {"unknown", gate.unknown},
                                {"unreadable", gate.unreadable},
                                {"refused_by_limit", gate.refused_by_limit},
                                {"timed_out", gate.timed_out},
                                {"unlabelled", gate.unlabelled}};
      },
      shares);
  auto sum = [&](const char* key) {
    std::uint64_t total = 0;
    for (const Json& share : shares) total += share.value(key, std::uint64_t{0});
    return total;
  };
  std::int64_t uptime = std::chrono::duration_cast<std::chrono::seconds>(view.now - view.started).count();
  std::uint64_t lost =
      sum("log_lines_lost") + base::parse_number(request.argument("log_lines_lost"), ~0ull).value_or(0);

  Json lane = nullptr;  // no kernel lane
  if (view.kernel_flows != nullptr) {
    lane = {{"running", view.kernel_flows->size()}};
    for (const Json& share : shares)
      if (auto of_worker = share.find("kernel_lane"); of_worker != share.end())
        for (const auto& [key, value] : of_worker->items())
          lane[key] = lane.value(key, std::uint64_t{0}) + value.get<std::uint64_t>();
    if (!view.kernel_flows->complaint().empty()) lane["trouble"] = view.kernel_flows->complaint();
  }

  Json records = Json::object();
  for (const Json& share : shares)
    if (auto of_worker = share.find("records"); of_worker != share.end())
      for (const auto& [action, count] : of_worker->items())
        records[action] = records.value(action, std::uint64_t{0}) + count.get<std::uint64_t>();

  Json active = Json::array();
  std::string active_words;
  view.active.for_each([&](policy::ScheduleId id) {
    const std::string& name = view.snapshot->schedules[id.value].name;
    active.push_back(name);
    active_words += (active_words.empty() ? "" : ", ") + name;
  });
  bool clock_wrong = view.now < view.build_date;

  Json interception = nullptr;  // no CA
  if (view.interception != nullptr) interception = view.interception->to_json(base::seconds_of(view.now));
  Json accounting = nullptr, groups = Json::array();
  if (view.meter != nullptr) {
    accounting = view.meter->to_json();
    groups = accounting["groups"];
    accounting.erase("groups");
  }
  Json quotas = view.quotas.to_json(*view.snapshot, view.now);
  auto spent = std::count_if(quotas.begin(), quotas.end(), [](const Json& each) { return each["spent"].get<bool>(); });
  Json data = {{"version", SLUICE_VERSION},
               {"quotas_used", quotas.size()},
               {"quotas_spent", spent},
               {"groups_bytes", std::move(groups)},
               {"interception", interception},
               {"accounting", accounting},
               {"uptime_s", uptime},
               {"gateway_pid", getpid()},
               {"policy", view.snapshot->digest},
               {"rules", view.snapshot->rules.size()},
               {"groups", view.snapshot->groups.size()},
               {"list_entries", view.snapshot->index.entries()},
               {"schedules_active", active},
               {"next_schedule_edge", view.next_edge ? control::format_time(*view.next_edge, view.snapshot->zone) : ""},
               {"clock_before_build_date", clock_wrong},
               {"connections", sum("connections")},
               {"accepted", sum("accepted")},
               {"refused_by_limit", sum("refused_by_limit")},
               {"accept_errors", sum("accept_errors")},
               {"bytes_up", sum("bytes_up")},
               {"bytes_down", sum("bytes_down")},
               {"kernel_lane", lane},
               {"log_lines_lost", lost},
               {"heartbeat", view.heartbeat_complaint.empty() ? "ok" : view.heartbeat_complaint},
               {"workers", view.workers.size()},
               {"shape_troubles", view.shape_troubles},
               {"records", records},
               {"grants", view.grants.to_json(view.now).size()},
               {"complete", complete},  // else a worker's share is missing
               {"warnings", view.warnings}};
  std::string text = "sluice " SLUICE_VERSION ", up " + seconds_in_words(uptime) + "\n";
  text += "policy       " + view.snapshot->digest + ": " + std::to_string(view.snapshot->rules.size()) + " rules, " +
          std::to_string(view.snapshot->groups.size()) + " groups, " + std::to_string(view.snapshot->index.entries()) +
          " list entries\n";
  text += "schedules    " + (clock_wrong ? std::string("inactive: the clock is before the build date")
                                         : "active: " + (active_words.empty() ? "none" : active_words));
  if (view.next_edge) text += "; next change " + control::format_time(*view.next_edge, view.snapshot->zone);
  text += "\nconnections  " + std::to_string(sum("connections")) + " now, " + std::to_string(sum("accepted")) +
          " since start, " + std::to_string(sum("refused_by_limit")) + " refused by a limit\n";
  text += "bytes        " + std::to_string(sum("bytes_up")) + " up, " + std::to_string(sum("bytes_down")) + " down\n";
  if (!lane.is_null()) {
    auto count = [&](const char* key) { return std::to_string(lane.value(key, std::uint64_t{0})); };
    text += "kernel lane  " + count("running") + " running, " + count("undecided") + " undecided; since start " +
            count("allowed") + " allowed, " + count("blocked") + " blocked, " + count("refused_by_limit") +
            " refused by a limit\n";
    if (lane.contains("trouble")) text += "kernel lane  " + lane["trouble"].get<std::string>() + "\n";
  } else {
    text += "kernel lane  off\n";
  }
  if (!accounting.is_null()) {
    text += "accounting   " + std::to_string(accounting["bytes_up"].get<std::uint64_t>()) + " bytes up, " +
            std::to_string(accounting["bytes_down"].get<std::uint64_t>()) + " down by " +
            std::to_string(accounting["clients"].get<std::size_t>()) + " clients, " +
            std::to_string(accounting["conntrack_entries"].get<std::size_t>()) + " connections in the kernel's table\n";
    if (auto missed = accounting["events_lost"].get<std::size_t>(); missed != 0)
      text += "accounting   the ends of " + std::to_string(missed) + " connections were missed\n";
    if (accounting.contains("trouble")) text += "accounting   " + accounting["trouble"].get<std::string>() + "\n";
  }
  if (!interception.is_null())
    text += "inspection   " + std::to_string(interception["enrolled"].size()) + " devices trust the local CA, " +
            std::to_string(interception["bypasses"].get<std::size_t>()) + " bypasses, " +
            std::to_string(interception["leaves_minted"].get<std::uint64_t>()) + " certificates signed" +
            (interception["signer"].get<bool>() ? "" : "; the signer is not there") + "\n";
  if (!view.heartbeat_complaint.empty()) text += "heartbeat    " + view.heartbeat_complaint + "\n";
  if (lost != 0) text += "access log   " + std::to_string(lost) + " lines lost\n";
  if (std::string trouble = request.argument("list_trouble"); !trouble.empty()) {
    for (std::string_view line : base::split(trouble, '\n'))
      if (!line.empty()) text += "lists        " + std::string(line) + "\n";
    data["list_trouble"] = trouble;
  }
  if (!request.argument("log_trouble").empty()) {
    text += "access log   " + request.argument("log_trouble") + "\n";
    data["log_trouble"] = request.argument("log_trouble");
  }
  if (!request.argument("usage_trouble").empty()) {
    text += "usage store  " + request.argument("usage_trouble") + "\n";
    data["usage_trouble"] = request.argument("usage_trouble");
  }
  if (!request.argument("confinement").empty()) add_confinement(request.argument("confinement"), text, data);
  if (!complete) text += "a worker did not answer\n";
  for (const std::string& trouble : view.shape_troubles) text += "shape        " + trouble + "\n";
  for (const std::string& warning : view.warnings) text += "warning      " + warning + "\n";
  return {0, std::move(text), std::move(data)};
}

Reply connections(const GatewayView& view) {
  Json shares;
  ask_workers(
      view.workers,
      [](Worker& worker, Json& share) {
        share = Json::array();
        for (const auto& flow : worker.flows()) {
          if (share.size() >= most_connections) break;
          const flow::Opening& opening = flow->machine().opening();
          flow::Label label = flow->machine().label();
          auto age = std::chrono::duration_cast<std::chrono::seconds>(worker.loop().now() - flow->opened_at());
          share.push_back({{"client", opening.tuple.client.to_string()},
                           {"origin", opening.tuple.origin.to_string()},
                           {"lane", "proxy"},
                           {"proto", label.proto},
                           {"name", label.name},
                           {"group", label.group},
                           {"action", label.action},
                           {"rule", label.rule},
                           {"bytes_up", flow->counters().up},
                           {"bytes_down", flow->counters().down},
                           {"age_s", age.count()}});
        }
      },
      shares);
  Reply reply;
  reply.data = {{"connections", Json::array()}};
  for (Json& share : shares)
    for (Json& each : share) reply.data["connections"].push_back(std::move(each));
  if (view.kernel_flows != nullptr)
    for (const KernelFlows::Shown& each : view.kernel_flows->show(most_connections))
      reply.data["connections"].push_back(
          {{"client", each.label.tuple.client.to_string()},
           {"origin", each.label.tuple.origin.to_string()},
           {"lane", "kernel"},
           {"proto", known_of(each.label).protocol},
           {"name", each.label.name ? each.label.name->text() : ""},
           {"group", each.group},
           {"action", "allow"},
           {"rule", ""},
           {"bytes_up", each.bytes_up},
           {"bytes_down", each.bytes_down},
           {"age_s", std::chrono::duration_cast<std::chrono::seconds>(view.now - each.label.began).count()}});
  for (const Json& each : reply.data["connections"]) {
    auto field = [&](const char* key) { return each[key].get<std::string>(); };
    reply.text += field("client") + " -> " + field("origin") + "  " + field("proto") + "  " +
                  (field("name").empty() ? "-" : field("name")) + "  " + field("group") + "  up " +
                  std::to_string(each["bytes_up"].get<std::uint64_t>()) + "  down " +
                  std::to_string(each["bytes_down"].get<std::uint64_t>()) + "  " +
                  std::to_string(each["age_s"].get<std::int64_t>()) + " s\n";
  }
  if (reply.text.empty()) reply.text = "no connections\n";
  return reply;
}

Reply explain(const GatewayView& view, const control::Request& request) {
  auto address = base::IpAddress::parse(request.argument("client"));
  if (!address)
    return {
        2, "sluicectl: '" + request.argument("client") + "' is not an address\n", {{"error", "bad client address"}}};
  base::WallTime time = view.now;
  if (!request.argument("time").empty()) {
    auto parsed = control::parse_time(request.argument("time"), view.snapshot->zone, view.now);
    if (!parsed) return {2, "sluicectl: " + parsed.error().message + "\n", {{"error", parsed.error().message}}};
    time = *parsed;
  }
  policy::Client client = view.snapshot->clients.identify(view.sightings->look_up(*address));
  view.grants.look_up(*view.snapshot, client, time);
  view.quotas.look_up(*view.snapshot, client, time);
  control::ExplainInput input{*view.snapshot,  std::move(client),          time,
                              view.build_date, request.argument("target"), view.kernel_flows != nullptr};
  if (view.interception != nullptr) {
    using Device = control::ExplainInput::Device;
    input.device = view.interception->enrolled(input.client) ? Device::trusts_ca : Device::does_not;
    if (auto url = proto::http::Url::parse(input.target))
      input.bypassed = view.interception->bypassed(input.client, std::string(url->view().host), time);
  }
  return control::explain(input);
}

}  // namespace

bool wait_for_workers(std::vector<std::unique_ptr<Worker>>& workers) {
  Json nothing;
  return ask_workers(
      workers, [](Worker&, Json&) {}, nothing);
}

std::string answer_query(const GatewayView& view, const std::string& line) {
  auto request = control::parse_request(line);
  if (!request) return control::to_line({2, "sluicectl: " + request.error().message + "\n", Json::object()});
  if (!view.snapshot) return control::to_line({3, "sluicectl: the gateway has no policy yet\n", Json::object()});
  if (request->verb == "status") return control::to_line(status(view, *request));
  if (request->verb == "heard")  // the keeper's own: what it has told before is known to every worker
    return control::to_line({wait_for_workers(view.workers) ? 0 : 1, "", Json::object()});
  if (request->verb == "top")
    return control::to_line({0, "", view.meter != nullptr ? view.meter->top() : Json::object()});
  if (request->verb == "quotas") return control::to_line(answer_quotas(view));
  if (request->verb == "clients") return control::to_line(answer_clients(view));
  if (request->verb == "login" || request->verb == "logout")
    return control::to_line(view.logins->answer(*request, view.now));
  if (request->verb == "grants") return control::to_line(answer_grants(view));
  if (request->verb == "connections") return control::to_line(connections(view));
  if (request->verb == "explain") return control::to_line(explain(view, *request));
  return control::to_line({2, "sluicectl: the gateway knows no verb '" + request->verb + "'\n", Json::object()});
}

}  // namespace sluiced

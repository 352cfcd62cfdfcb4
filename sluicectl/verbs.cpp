#include "sluicectl/verbs.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <thread>

#include "base/sys/unique_fd.hpp"
#include "control/client.hpp"
#include "control/explain.hpp"
#include "netfilter/backend.hpp"
#include "netfilter/policy_route.hpp"
#include "netfilter/shaper.hpp"
#include "rules/load.hpp"
#include "sluicectl/answer.hpp"
#include "sluicectl/ca_verbs.hpp"
#include "sluicectl/code_verbs.hpp"
#include "sluicectl/files.hpp"
#include "sluicectl/identity_verbs.hpp"
#include "sluicectl/list_verbs.hpp"
#include "sluicectl/replay_verb.hpp"
#include "sluicectl/top_verb.hpp"
#include "sluicectl/uci_verb.hpp"
#include "sluicectl/usage_verbs.hpp"

namespace sluicectl {
namespace {

using control::Json;
using control::Reply;

constexpr int reload_patience_s = 330;  // lists are compiled first
constexpr int restart_patience_s = 30;
constexpr int other_restart_patience_s = 5;  // with one that is under way: nobody answers then

// --- with the files alone

int check(const Arguments& arguments) {
  if (!arguments.operands.empty()) return usage_error("check takes no operands");
  FromFiles files = load_files(arguments);
  bool good = !rules::has_errors(files.diagnostics) && files.loaded.snapshot;
  auto errors = std::count_if(files.diagnostics.begin(), files.diagnostics.end(),
                              [](const auto& each) { return each.severity == rules::Severity::error; });
  auto warnings = static_cast<std::ptrdiff_t>(files.diagnostics.size()) - errors;
  std::string text = told(files.diagnostics);
  for (const rules::ListReport& report : files.image.reports)
    if (report.ignored > 0) text += told(report);
  text += std::to_string(errors) + " errors, " + std::to_string(warnings) + " warnings";
  if (good)
    text += "; " + std::to_string(files.loaded.snapshot->rules.size()) + " rules, " +
            std::to_string(files.loaded.snapshot->index.entries()) + " list entries";
  text += "\n";
  Json data = {{"ok", good},
               {"errors", errors},
               {"warnings", warnings},
               {"diagnostics", to_json(files.diagnostics)},
               {"lists", to_json(files.image.reports)}};
  return print(arguments, {good ? exit_ok : exit_usage, std::move(text), std::move(data)});
}

int explain_from_files(const Arguments& arguments, const base::IpAddress& client) {
  FromFiles files = load_files(arguments);
  if (rules::has_errors(files.diagnostics) || !files.loaded.snapshot)
    return print(arguments, {exit_usage, told(files.diagnostics), {{"diagnostics", to_json(files.diagnostics)}}});
  const policy::Snapshot& snapshot = *files.loaded.snapshot;
  auto now = std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
  base::WallTime time = now;
  auto given = arguments.options.find("time");
  if (given != arguments.options.end()) {
    auto parsed = control::parse_time(given->second, snapshot.zone, now);
    if (!parsed) return usage_error(parsed.error().message);
    time = *parsed;
  }
  policy::Sighting sighting;
  sighting.address = client;
  return print(arguments, control::explain({snapshot,
                                            snapshot.clients.identify(sighting),
                                            time,
                                            {},
                                            arguments.operands[0],
                                            files.loaded.settings.network.kernel_lane}));
}

int explain(const Arguments& arguments) {
  auto client = arguments.options.find("client");
  if (arguments.operands.size() != 1 || client == arguments.options.end())
    return usage_error("usage: sluicectl explain --client ADDRESS [--time T] [--config DIR] URL|HOST");
  auto address = base::IpAddress::parse(client->second);
  if (!address) return usage_error("'" + client->second + "' is not an address");
  if (arguments.config_given) return explain_from_files(arguments, *address);
  control::Request request{"explain", arguments.options};
  request.args["target"] = arguments.operands[0];
  return ask_daemon(arguments, request, answer_patience_s);
}

// --- with the daemon

int simple(const Arguments& arguments, const char* verb, int patience_s) {
  if (!arguments.operands.empty()) return usage_error(std::string(verb) + " takes no operands");
  return ask_daemon(arguments, {verb, {}}, patience_s);
}
int reload(const Arguments& arguments) {
  return simple(arguments, "reload", reload_patience_s);
}
// The daemon answers, goes on as its successor, and is asked until that judges.
int restart(const Arguments& arguments) {
  if (!arguments.operands.empty()) return usage_error("restart takes no operands");
  std::string socket = arguments.run + "/control.sock";
  auto ask = [&](const char* verb, int patience_s) {
    auto reply = control::ask(socket, {verb, {}}, patience_s);
    for (int attempt = 0; !reply && attempt < other_restart_patience_s * 5; ++attempt) {
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
      reply = control::ask(socket, {verb, {}}, patience_s);
    }
    return reply;
  };
  auto before = ask("status", answer_patience_s);
  auto begun = before ? ask("restart", reload_patience_s) : before;
  if (!begun) {
    std::fprintf(stderr, "sluicectl: %s\n", begun.error().message.c_str());
    return exit_unreachable;
  }
  if (begun->exit != exit_ok) return print(arguments, *begun);
  for (int attempt = 0; attempt < restart_patience_s * 10; ++attempt) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    auto reply = control::ask(socket, {"status", {}}, answer_patience_s);
    if (!reply || reply->exit != exit_ok) continue;
    if (before && before->data.value("gateway_pid", 0) == reply->data.value("gateway_pid", 0)) continue;
    reply->text = begun->text + "restarted: sluice " + reply->data.value("version", "") + ", policy " +
                  reply->data.value("policy", "") + "\n";
    return print(arguments, *reply);
  }
  std::fputs("sluicectl: no answer since the restart; the log tells why\n", stderr);
  return exit_unreachable;
}
int status(const Arguments& arguments) {
  return simple(arguments, "status", answer_patience_s);
}
int connections(const Arguments& arguments) {
  return simple(arguments, "connections", answer_patience_s);
}

// The daemon takes its rules away and stops; without a daemon we take away what a dead one has left.
int down(const Arguments& arguments) {
  if (!arguments.operands.empty()) return usage_error("down takes no operands");
  auto reply = control::ask(arguments.run + "/control.sock", {"down", {}}, answer_patience_s);
  if (reply) return print(arguments, *reply);
  if (geteuid() != 0) {
    std::fprintf(stderr, "sluicectl: %s; only root can remove the rules without it\n", reply.error().message.c_str());
    return exit_unreachable;
  }
  // Held until we have done: a daemon that lives would put its rules back, one that begins must wait.
  base::sys::UniqueFd lock(open((arguments.run + "/sluiced.lock").c_str(), O_RDWR | O_CLOEXEC));
  if (lock && flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    std::fprintf(stderr,
                 "sluicectl: %s, and yet it runs: it may be starting, or hang, and would put its rules back. Stop it "
                 "first (systemctl "
                 "stop sluiced, or service sluice stop), then try again\n",
                 reply.error().message.c_str());
    return exit_unreachable;
  }
  unlink((arguments.run + "/ruleset.nft").c_str());  // a firewall that loads anew must not bring it back
  auto removed = netfilter::remove_all();
  auto routes = netfilter::remove_policy_route();
  auto shapes = netfilter::remove_shapes();
  for (const auto* each : {&removed, &routes, &shapes}) {
    if (*each) continue;
    std::fprintf(stderr, "sluicectl: %s\n", each->error().message.c_str());
    return exit_no;
  }
  return print(
      arguments,
      {exit_ok, "no daemon answers; every rule of sluice is removed, traffic flows unfiltered\n", {{"down", true}}});
}

}  // namespace

const std::vector<Verb> verbs = {
    {"check", "[--config DIR]", "every error and warning of the configuration files", check},
    {"explain", "--client ADDRESS [--time T] URL|HOST", "who, which rule, which list, and why", explain},
    {"list", "build|lookup|stats|update|rollback ...", "what lists hold, and fetching them", list},
    {"code", "new|list|revoke ...", "codes for rules with action = \"code\"", code},
    {"ca", "init|show|export|rotate ...", "the local certificate authority", ca},
    {"bypass", "list|revoke NAME [--client DEVICE]", "names that a device refuses to have decrypted", bypass},
    {"allow", "--client C [--to T] --for 30m", "let somebody have something for a while", allow},
    {"block", "--client C [--to T] --for 30m", "and keep them from it", block},
    {"grants", "[revoke NAME]", "what holds for a while: allow, block, clicks and codes", grants},
    {"quotas", "", "what people have had of their quotas", quotas},
    {"usage", "[--by WHAT] [--since T] [--csv] ...", "who used how much, on what, when", usage},
    {"person", "export|erase NAME", "all that is kept about somebody, or its removal", person},
    {"replay", "FILE.pcap | --log ACCESS.jsonl", "what a capture or past requests would meet", replay},
    {"uci2toml", "[FILE] --output DIR ...", "OpenWrt's configuration as sluice.toml and policy.toml", uci2toml},
    {"reload", "", "the new files go live, or nothing changes", reload},
    {"restart", "", "in place, without a gap: for a new version and for keys that need it", restart},
    {"clients", "", "who is there, how we know, and by which addresses", clients},
    {"login", "--client ADDRESS --user NAME [--role R] [--for 8h]", "a person is behind an address from now on", login},
    {"logout", "--client ADDRESS | --user NAME", "and is not any more", logout},
    {"status", "", "what is in force, and how it goes", status},
    {"connections", "", "what is open now", connections},
    {"top", "[--once]", "who moves how much just now, live", top},
    {"down", "", "removes every rule of ours and stops the daemon", down},
};

}  // namespace sluicectl

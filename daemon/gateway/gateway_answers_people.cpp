// What the gateway answers about people: who is there, what they have had of their quotas, what holds for a while.
#include <algorithm>
#include <map>

#include "control/explain.hpp"
#include "daemon/gateway/gateway_answers.hpp"
#include "policy/names.hpp"

namespace sluiced {

using control::Json;
using control::Reply;

Reply answer_grants(const GatewayView& view) {
  Reply reply;
  Json all = view.grants.to_json(view.now);
  for (const Json& each : all)
    reply.text += each["client"].get<std::string>() + "  '" + each["rule"].get<std::string>() + "'  by " +
                  each["how"].get<std::string>() + ", " +
                  std::to_string(each["until"].get<std::int64_t>() - base::seconds_of(view.now)) + " s left\n";
  Json rules = view.temporary.to_json(view.now);
  for (const Json& each : rules)
    reply.text += "'" + each["name"].get<std::string>() + "'  " + each["client"].get<std::string>() + "  " +
                  (each["to"].get<std::string>().empty() ? "everything" : each["to"].get<std::string>()) + "  by " +
                  each["by"].get<std::string>() + ", " +
                  std::to_string(each["until"].get<std::int64_t>() - base::seconds_of(view.now)) + " s left\n";
  if (all.empty() && rules.empty())
    reply.text = "nobody has been let past a warn or code rule, and nothing is allowed or blocked for a while\n";
  reply.data = {{"grants", std::move(all)}, {"temporary", std::move(rules)}};
  return reply;
}

Reply answer_quotas(const GatewayView& view) {
  Reply reply;
  Json all = view.quotas.to_json(*view.snapshot, view.now);
  for (const Json& each : all) {
    auto number = [&](const char* key) { return each[key].get<std::int64_t>(); };
    reply.text += each["person"].get<std::string>() + "  '" + each["rule"].get<std::string>() + "'  ";
    reply.text +=
        number("of_seconds") != 0
            ? std::to_string(number("seconds") / 60) + " of " + std::to_string(number("of_seconds") / 60) + " min"
            : std::to_string(number("bytes") / 1000) + " of " + std::to_string(number("of_bytes") / 1000) + " kB";
    reply.text += std::string(each["spent"].get<bool>() ? ", used up" : "") + "; begins anew " +
                  control::format_time(base::WallTime(std::chrono::seconds(number("back"))), view.snapshot->zone) +
                  "\n";
  }
  if (all.empty()) reply.text = "nobody has used anything of a quota in the period that runs\n";
  reply.data = {{"quotas", std::move(all)}};
  return reply;
}

// One entry an address; people see them joined by who they are.
Reply answer_clients(const GatewayView& view) {
  struct Line {
    std::string address;
    Json entry;
  };
  std::map<std::string, std::vector<Line>> by_person;
  const std::vector<std::string>& lan = view.settings->network.lan;
  for (const auto& [address, client] : view.people->all()) {
    bool outside = !client.interface.empty() && std::find(lan.begin(), lan.end(), client.interface) == lan.end();
    if (outside) continue;  // the kernel knows its neighbours on the WAN's side too
    std::int64_t since = base::seconds_of(view.sightings->since(address));
    by_person[policy::person_of(*view.snapshot, client)].push_back(
        {address.to_string(),
         {{"address", address.to_string()},
          {"user", client.user},
          {"roles", client.roles},
          {"device", policy::device_name(*view.snapshot, client)},
          {"hostname", client.hostname},
          {"mac", client.mac ? client.mac->to_string() : ""},
          {"interface", client.interface},
          {"group", view.snapshot->groups[client.group.value].name},
          {"identity", policy::how_known(client)},
          {"since", since}}});
  }
  Reply reply;
  reply.data = {{"clients", Json::array()}};
  for (auto& [person, lines] : by_person) {
    std::sort(lines.begin(), lines.end(), [](const Line& a, const Line& b) { return a.address < b.address; });
    const Json& first = lines.front().entry;
    auto text = [&](const char* key) { return first[key].get<std::string>(); };
    reply.text += person + "  group " + text("group") + "  known by " + text("identity");
    if (auto since = first["since"].get<std::int64_t>(); since != 0)
      reply.text += ", since " + control::format_time(base::WallTime(std::chrono::seconds(since)), view.snapshot->zone);
    reply.text += "\n";
    for (Line& line : lines) {
      std::string mac = line.entry["mac"], hostname = line.entry["hostname"], interface = line.entry["interface"];
      reply.text += "  " + line.address + (mac.empty() ? "" : "  " + mac) + (hostname.empty() ? "" : "  " + hostname) +
                    (interface.empty() ? "" : "  " + interface) + "\n";
      reply.data["clients"].push_back(std::move(line.entry));
    }
  }
  if (reply.text.empty()) reply.text = "no client has been seen yet\n";
  return reply;
}

}  // namespace sluiced

#include "control/top_table.hpp"

#include <algorithm>

#include "control/terminal_text.hpp"

namespace control {
namespace {

constexpr std::size_t who_least = 12, who_most = 32, group_width = 12, number_width = 9, count_width = 5;
constexpr std::size_t hosts_least = 16;

double number_of(const Json& object, const char* key) {
  auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}
std::string string_of(const Json& object, const char* key) {
  auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string{};
}
const Json& member(const Json& object, const char* key) {
  static const Json nothing = Json::object();
  auto found = object.find(key);
  return found != object.end() ? *found : nothing;
}

// "alice (phone)", "phone", "10.0.0.7"; "+2" where there are more addresses.
std::string who_text(const Json& client) {
  std::string user = string_of(client, "user"), device = string_of(client, "device");
  std::string who = user.empty() ? device : user;
  if (!user.empty() && !device.empty()) who += " (" + device + ")";
  if (who.empty()) who = string_of(client, "client");
  return who.empty() ? "?" : who;
}

std::string hosts_text(const Json& client) {
  std::string text;
  for (const Json& host : member(client, "hosts"))
    if (host.is_object()) text += (text.empty() ? "" : ", ") + string_of(host, "name");
  return text;
}

double weight(const Json& client, TopOrder order) {
  switch (order) {
    case TopOrder::up:
      return number_of(client, "rate_up");
    case TopOrder::down:
      return number_of(client, "rate_down");
    case TopOrder::total:
      return number_of(client, "bytes_up") + number_of(client, "bytes_down");
    case TopOrder::rate:
      break;
  }
  return number_of(client, "rate_up") + number_of(client, "rate_down");
}

const char* order_word(TopOrder order) {
  switch (order) {
    case TopOrder::up:
      return "rate up";
    case TopOrder::down:
      return "rate down";
    case TopOrder::total:
      return "total";
    case TopOrder::rate:
      break;
  }
  return "rate";
}

// Which columns there is room for, and how wide those are that stretch.
struct Layout {
  std::size_t who = 0, hosts = 0;
  bool rates = false, totals = false, group = false, count = false;

  explicit Layout(std::size_t columns) {
    std::size_t left = columns;
    auto take = [&](std::size_t width) {
      bool fits = left >= width + 1;
      if (fits) left -= width + 1;
      return fits;
    };
    who = std::min(left, who_least);
    left -= who;
    rates = take(2 * number_width + 1);
    totals = rates && take(2 * number_width + 1);
    group = totals && take(group_width);
    count = group && take(count_width);
    std::size_t spare = count && left > hosts_least ? std::min((left - hosts_least) / 3, who_most - who_least)
                                                    : std::min(left, who_most - who_least);
    if (columns > who_least) {
      who += spare;
      left -= spare;
    }
    if (count && left > hosts_least) hosts = left - 1;
  }

  std::string line(const std::vector<std::string>& cells) const {
    std::string text = fit(cells[0], who);
    auto add = [&](bool wanted, const std::string& cell, std::size_t width, bool to_the_right) {
      if (wanted) text += " " + fit(cell, width, to_the_right);
    };
    add(group, cells[1], group_width, false);
    add(rates, cells[2], number_width, true);
    add(rates, cells[3], number_width, true);
    add(totals, cells[4], number_width, true);
    add(totals, cells[5], number_width, true);
    add(count, cells[6], count_width, true);
    if (hosts > 0) text += " " + plain(cells[7], hosts);
    return text;
  }

  std::string line_of(const std::string& name, const Json& row) const {
    auto bytes = [&](const char* key) { return bytes_text(number_of(row, key)); };
    return line(
        {name, string_of(row, "group"), bytes("rate_up"), bytes("rate_down"), bytes("bytes_up"), bytes("bytes_down"),
         row.contains("connections") ? std::to_string(static_cast<long long>(number_of(row, "connections"))) : "",
         hosts_text(row)});
  }
};

}  // namespace

std::vector<std::string> top_table(const Json& data, const TopView& view) {
  std::vector<const Json*> clients;
  for (const Json& each : member(data, "clients"))
    if (each.is_object()) clients.push_back(&each);
  std::stable_sort(clients.begin(), clients.end(),
                   [&](const Json* a, const Json* b) { return weight(*a, view.order) > weight(*b, view.order); });

  const Json& total = member(data, "total");
  const Json& nobody = member(data, "unattributed");
  Layout layout(view.columns);
  std::vector<std::string> lines;
  lines.push_back(plain("up " + bytes_text(number_of(total, "rate_up")) + "/s, down " +
                            bytes_text(number_of(total, "rate_down")) + "/s, " + std::to_string(clients.size()) +
                            (clients.size() == 1 ? " client" : " clients") + ", by " + order_word(view.order),
                        view.columns));
  lines.push_back(layout.line({"WHO", "GROUP", "UP/s", "DOWN/s", "UP", "DOWN", "CONN", "WITH"}));

  bool has_nobody = number_of(nobody, "bytes_up") + number_of(nobody, "bytes_down") > 0;
  std::size_t room = view.rows == 0 ? clients.size() : view.rows > 2 ? view.rows - 2 : 0;
  if (view.rows != 0 && has_nobody && room > 0) --room;
  bool all = clients.size() <= room;
  if (!all && room > 0) --room;
  for (std::size_t i = 0; i < std::min(room, clients.size()); ++i)
    lines.push_back(layout.line_of(who_text(*clients[i]), *clients[i]));
  if (!all && (view.rows == 0 || lines.size() < view.rows))
    lines.push_back(plain("... and " + std::to_string(clients.size() - room) + " more", view.columns));
  if (has_nobody && (view.rows == 0 || lines.size() < view.rows))
    lines.push_back(layout.line_of("(unattributed)", nobody));
  if (view.rows != 0 && lines.size() > view.rows) lines.resize(view.rows);
  return lines;
}

}  // namespace control

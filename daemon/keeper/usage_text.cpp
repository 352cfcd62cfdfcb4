#include "daemon/keeper/usage_text.hpp"

#include <algorithm>
#include <cstdio>
#include <vector>

#include "control/explain.hpp"
#include "rules/units.hpp"

namespace sluiced {
namespace {

using accounting::Report;
using accounting::ReportRow;
using accounting::Seconds;
using control::Json;
using control::Reply;

Seconds seconds_of(base::WallTime time) {
  return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
}
base::WallTime wall(Seconds time) {
  return base::WallTime(std::chrono::seconds(time));
}

Json moment(Seconds time) {
  if (time == accounting::ever || time == accounting::open_end) return nullptr;
  std::string text = control::format_time(wall(time), policy::Zone{});
  text[10] = 'T';
  return text + "Z";
}

Json to_json(const ReportRow& row) {
  return {{"bytes_up", row.traffic.up},
          {"bytes_down", row.traffic.down},
          {"bytes", row.traffic.up + row.traffic.down},
          {"minutes", row.minutes ? Json(*row.minutes) : Json()}};
}

// RFC 4180: quoted where it must be, a quote inside doubled.
std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == text.npos) return text;
  std::string quoted = "\"";
  for (char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

std::string as_csv(const Report& report, std::string_view by, std::size_t most) {
  std::string text = std::string(by) + ",bytes_up,bytes_down,bytes,minutes\r\n";
  for (std::size_t i = 0; i < std::min(most, report.rows.size()); ++i) {
    const ReportRow& row = report.rows[i];
    text += csv_field(row.key) + ',' + std::to_string(row.traffic.up) + ',' + std::to_string(row.traffic.down) + ',' +
            std::to_string(row.traffic.up + row.traffic.down) + ',' +
            (row.minutes ? std::to_string(*row.minutes) : std::string()) + "\r\n";
  }
  return text;
}

// Names come from devices and log-ins: nothing that a terminal would obey.
std::string printable(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return text;
}

std::size_t columns(const std::string& text) {  // UTF-8: what begins a character
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string as_table(const Report& report, std::string_view by, std::size_t most) {
  std::vector<std::vector<std::string>> lines{{std::string(by), "up", "down", "total", "time"}};
  auto add = [&](const std::string& key, const ReportRow& row) {
    lines.push_back({printable(key), human_bytes(row.traffic.up), human_bytes(row.traffic.down),
                     human_bytes(row.traffic.up + row.traffic.down), row.minutes ? human_minutes(*row.minutes) : "-"});
  };
  for (std::size_t i = 0; i < std::min(most, report.rows.size()); ++i) add(report.rows[i].key, report.rows[i]);
  if (report.rows.size() > most) lines.push_back({"and " + std::to_string(report.rows.size() - most) + " more"});
  add("total", report.total);
  std::vector<std::size_t> widths;
  for (const auto& line : lines)
    for (std::size_t i = 0; i < line.size(); ++i) {
      if (widths.size() <= i) widths.push_back(0);
      widths[i] = std::max(widths[i], columns(line[i]));
    }
  std::string text;
  for (const auto& line : lines) {
    for (std::size_t i = 0; i < line.size(); ++i) {
      std::string padding(widths[i] - columns(line[i]), ' ');
      if (i > 0) text += "  ";
      text += i == 0 ? line[i] + (line.size() > 1 ? padding : "") : padding + line[i];
    }
    text += '\n';
  }
  return text;
}

std::string span_words(const Report& report, const policy::Zone& zone) {
  auto local = [&](Seconds time) { return control::format_time(wall(time), zone).substr(0, 16); };
  std::string words = report.since == accounting::ever ? "everything" : "since " + local(report.since);
  if (report.until != accounting::open_end) words += " until " + local(report.until);
  return words + " (" + zone.name + ")";
}

}  // namespace

base::Result<Seconds> parse_moment(std::string_view text, const policy::Zone& zone, base::WallTime now) {
  if (auto ago = rules::parse_duration(text)) return seconds_of(now) - ago->count();
  std::string time(text);
  if (text == "today" || text == "yesterday") {
    std::string today = control::format_time(now, zone).substr(0, 10);
    auto midnight = control::parse_time(today + " 00:00", zone, now);
    if (!midnight || text == "today") {
      time = today + " 00:00";
    } else {  // noon of the day before lies 12 hours back, give or take a change of the clock
      time = control::format_time(*midnight - std::chrono::hours(12), zone).substr(0, 10) + " 00:00";
    }
  } else if (text.size() == 10 && text[4] == '-') {
    time += " 00:00";
  }
  auto parsed = control::parse_time(time, zone, now);
  if (!parsed)
    return base::malformed(
        "'" + std::string(text) +
        "' is no time, expected \"30d\", \"12h\", \"today\", \"2026-11-01\" or \"2026-11-01 10:15\"");
  return seconds_of(*parsed);
}

Reply told(const Report& report, const accounting::Question& question, std::string_view by, const policy::Zone& zone,
           const UsageStyle& style) {
  std::size_t most = style.most == 0 ? report.rows.size() : style.most;
  Reply reply;
  Json rows = Json::array();
  for (std::size_t i = 0; i < std::min(most, report.rows.size()); ++i) {
    rows.push_back(to_json(report.rows[i]));
    rows.back()["key"] = report.rows[i].key;
  }
  Json residual;
  if (report.residual)
    residual = {{"interface_bytes_up", report.residual->interfaces.up},
                {"interface_bytes_down", report.residual->interfaces.down},
                {"bytes", report.residual->bytes},
                {"percent", report.residual->percent}};
  reply.data = {{"by", by},
                {"since", moment(report.since)},
                {"until", moment(report.until)},
                {"rows", std::move(rows)},
                {"rows_left_out", report.rows.size() - std::min(most, report.rows.size())},
                {"total", to_json(report.total)},
                {"residual", std::move(residual)}};
  if (style.csv) {
    reply.text = as_csv(report, by, most);
    return reply;
  }
  reply.text = "by " + std::string(by);
  for (auto [word, condition] :
       {std::pair("user", &question.user), std::pair("device", &question.device), std::pair("group", &question.group)})
    if (*condition) reply.text += std::string(", ") + word + " " + printable(**condition);
  reply.text += ", " + span_words(report, zone) + "\n\n" + as_table(report, by, most);
  if (report.residual) {
    char percent[32];
    std::snprintf(percent, sizeof percent, "%.2f %%", report.residual->percent);
    std::uint64_t carried = report.residual->interfaces.up + report.residual->interfaces.down;
    bool over = report.residual->bytes < 0;
    auto size = static_cast<std::uint64_t>(over ? -report.residual->bytes : report.residual->bytes);
    reply.text += "\nthe interfaces carried " + human_bytes(carried) + ", " + human_bytes(size) +
                  (over ? " less than" : " more than") + " was counted (" + percent + ")\n";
  }
  return reply;
}

std::string human_bytes(std::uint64_t bytes) {
  constexpr const char* units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 999.5 && unit + 1 < std::size(units)) {
    value /= 1000;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, "%.*f %s",
                unit == 0 || value >= 99.95 ? 0
                : value >= 9.995            ? 1
                                            : 2,
                value, units[unit]);
  return text;
}

std::string human_minutes(std::uint64_t count) {
  if (count < 60) return std::to_string(count) + " min";
  std::string minutes = std::to_string(count % 60);
  return std::to_string(count / 60) + " h " + (minutes.size() < 2 ? "0" : "") + minutes + " min";
}

}  // namespace sluiced

#include "flow/block_page.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <vector>

#include "flow/record.hpp"

namespace flow {
namespace {

// Values are escaped, the form is HTML: it is put in afterwards. No value has control characters.
constexpr std::string_view place_of_form = "\x01";

std::string_view reason_phrase(int status) {
  switch (status) {
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 408:
      return "Request Timeout";
    case 431:
      return "Request Header Fields Too Large";
    case 502:
      return "Bad Gateway";
  }
  return "Error";
}

// The connection ends with the answer, so that whatever the client has sent after the refused request is never read
// as a request. no-store: a page that was blocked during lessons must not be remembered after them.
std::string answer(int status, std::string_view type, std::string_view body, std::string_view method) {
  std::string text = "HTTP/1.1 " + std::to_string(status) + " ";
  text += reason_phrase(status);
  text += "\r\nContent-Type: ";
  text += type;
  text += "; charset=utf-8\r\nContent-Length: " + std::to_string(body.size());
  text += "\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n";
  if (method != "HEAD") text += body;
  return text;
}

// "2026-03-29 14:05 (Europe/Paris)": on the policy's own clock, which its schedules follow.
std::string local_time(base::WallTime now, const policy::Zone& zone) {
  using namespace std::chrono;
  std::int64_t seconds = floor<std::chrono::seconds>(now).time_since_epoch().count();
  auto after =
      std::upper_bound(zone.changes.begin(), zone.changes.end(), seconds,
                       [](std::int64_t time, const policy::Zone::Change& change) { return time < change.from; });
  if (after != zone.changes.begin()) seconds += std::prev(after)->offset_seconds;
  sys_seconds local{std::chrono::seconds(seconds)};
  sys_days day = floor<days>(local);
  year_month_day date{day};
  hh_mm_ss clock{local - day};
  char text[40];
  std::snprintf(text, sizeof text, "%04d-%02u-%02u %02d:%02d", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()));
  return std::string(text) + " (" + zone.name + ")";
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

// Who the page is talking to, as the admin knows them.
std::string client_text(const PageContext& context) {
  std::string address = context.client.address.to_string();
  if (!context.client.user.empty()) return context.client.user + " (" + address + ")";
  if (context.client.device) return context.snapshot.devices[context.client.device->value] + " (" + address + ")";
  return address;
}

}  // namespace

std::string why_sentence(const policy::Snapshot& snapshot, const policy::Verdict& verdict) {
  switch (verdict.reason) {
    case policy::Reason::malformed:
      return "The request breaks the rules of its protocol.";
    case policy::Reason::unknown_protocol:
      return "This protocol is not known here.";
    case policy::Reason::limit:
      return "A limit of this gateway was reached.";
    case policy::Reason::rule:
    case policy::Reason::no_rule:
    case policy::Reason::waiting:
      break;
  }
  std::string text = "Blocked by the rule '" + std::string(rule_name(snapshot, verdict.rule)) + "'";
  if (verdict.outcome == policy::Outcome::warn) text += ", which asks for a confirmation";
  if (verdict.outcome == policy::Outcome::code) text += ", which asks for a code";
  std::string categories = joined(category_names(snapshot, verdict.categories));
  if (!categories.empty()) text += " (" + categories + ")";
  return text + ".";
}

std::string block_response(const Subject& subject, const PageContext& context) {
  std::string host = subject.name ? subject.name->text() : context.tuple.origin.address.to_string();
  if (subject.url && !subject.name) host = subject.url->view().host;
  std::string url = subject.url ? subject.url->to_string() : std::string{};
  std::string what = url.empty() ? host : url;
  std::string why = context.why.empty() ? why_sentence(context.snapshot, subject.verdict) : std::string(context.why);

  const base::TextTemplate& page = context.snapshot.block_page;
  if (page.empty()) {
    std::string text = "Blocked: " + what + "\n" + why + "\nDecision: " + std::string(context.id) + "\n";
    return answer(403, "text/plain", text, subject.method);
  }
  std::string client = client_text(context);
  std::string time = local_time(context.now, context.snapshot.zone);
  std::string category = joined(category_names(context.snapshot, subject.verdict.categories));
  const std::array<std::pair<std::string_view, std::string_view>, 11> values{{
      {"what", what},
      {"why", why},
      {"rule", rule_name(context.snapshot, subject.verdict.rule)},
      {"id", context.id},
      {"client", client},
      {"url", url},
      {"host", host},
      {"time", time},
      {"group", context.snapshot.groups[context.client.group.value].name},
      {"category", category},
      {"proceed", place_of_form},
  }};
  std::string html = page.render_html(values);
  std::size_t place = html.find(place_of_form);
  if (place != html.npos) html.replace(place, place_of_form.size(), context.form);
  return answer(403, "text/html", html, subject.method);
}

std::string see_other(std::string_view url) {
  std::string text = "HTTP/1.1 303 See Other\r\nLocation: ";
  for (char c : url)
    if (static_cast<std::uint8_t>(c) > 0x20 && c != 0x7f) text += c;
  return text + "\r\nContent-Length: 0\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n";
}

std::string error_response(int status, std::string_view explanation, std::string_view method) {
  std::string body = std::to_string(status) + " ";
  body += reason_phrase(status);
  body += "\n";
  body += explanation;
  body += "\n";
  return answer(status, "text/plain", body, method);
}

}  // namespace flow

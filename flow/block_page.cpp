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
    case 200:
      return "OK";
    case 303:
      return "See Other";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 421:
      return "Misdirected Request";
    case 431:
      return "Request Header Fields Too Large";
    case 502:
      return "Bad Gateway";
  }
  return "Error";
}

Answer answer(int status, std::string_view type, std::string body) {
  return {status,
          {{"content-type", std::string(type) + "; charset=utf-8"}, {"cache-control", "no-store"}},
          std::move(body)};
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
    case policy::Reason::bad_certificate:
      return "This site cannot be trusted.";
    case policy::Reason::not_enrolled:
      return "This device does not trust the certificate authority of this network yet.";
    case policy::Reason::rule:
    case policy::Reason::no_rule:
    case policy::Reason::waiting:
      break;
  }
  if (verdict.outcome == policy::Outcome::quota)
    return "What the rule '" + std::string(rule_name(snapshot, verdict.rule)) + "' gives you is used up.";
  std::string text = "Blocked by the rule '" + std::string(rule_name(snapshot, verdict.rule)) + "'";
  if (verdict.outcome == policy::Outcome::warn) text += ", which asks for a confirmation";
  if (verdict.outcome == policy::Outcome::code) text += ", which asks for a code";
  std::string categories = joined(category_names(snapshot, verdict.categories));
  if (!categories.empty()) text += " (" + categories + ")";
  return text + ".";
}

std::string when_it_comes_back(const policy::Snapshot& snapshot, const policy::Client& client, policy::RuleId rule) {
  for (const policy::Client::Spent& spent : client.spent)
    if (spent.rule == rule) return " It comes back at " + local_time(spent.back, snapshot.zone) + ".";
  return {};
}

Answer block_answer(const Subject& subject, const PageContext& context) {
  int status = subject.verdict.reason == policy::Reason::bad_certificate ? 502 : 403;
  std::string host = subject.name ? subject.name->text() : context.tuple.origin.address.to_string();
  if (subject.url && !subject.name) host = subject.url->view().host;
  std::string url = subject.url ? subject.url->to_string() : std::string{};
  std::string what = url.empty() ? host : url;
  std::string why = context.why.empty() ? why_sentence(context.snapshot, subject.verdict) : std::string(context.why);
  if (subject.verdict.outcome == policy::Outcome::quota)
    why += when_it_comes_back(context.snapshot, context.client, subject.verdict.rule);
  if (!subject.fault.empty())
    why = "This site cannot be trusted: " + subject.fault + ". What you would send to it could be read by others.";

  const base::TextTemplate& page = context.snapshot.block_page;
  if (page.empty()) {
    std::string text = "Blocked: " + what + "\n" + why + "\nDecision: " + std::string(context.id) + "\n";
    return answer(status, "text/plain", std::move(text));
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
  return answer(status, "text/html", std::move(html));
}

Answer error_answer(int status, std::string_view explanation) {
  std::string body = std::to_string(status) + " ";
  body += reason_phrase(status);
  body += "\n";
  body += explanation;
  body += "\n";
  return answer(status, "text/plain", std::move(body));
}

Answer see_other_answer(std::string_view url) {
  std::string location;
  for (char c : url)
    if (static_cast<std::uint8_t>(c) > 0x20 && c != 0x7f) location += c;
  return {303, {{"location", std::move(location)}, {"cache-control", "no-store"}}, {}};
}

std::string to_http1(const Answer& answer, std::string_view method) {
  std::string text = "HTTP/1.1 " + std::to_string(answer.status) + " ";
  text += reason_phrase(answer.status);
  for (const auto& [name, value] : answer.fields) {
    text += "\r\n";
    bool begins_word = true;
    for (char c : name) {
      text += begins_word && c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
      begins_word = c == '-';
    }
    text += ": " + value;
  }
  text += "\r\nContent-Length: " + std::to_string(answer.body.size()) + "\r\nConnection: close\r\n\r\n";
  if (method != "HEAD") text += answer.body;
  return text;
}

std::string block_response(const Subject& subject, const PageContext& context) {
  return to_http1(block_answer(subject, context), subject.method);
}

std::string see_other(std::string_view url) {
  return to_http1(see_other_answer(url), "GET");
}

std::string error_response(int status, std::string_view explanation, std::string_view method) {
  return to_http1(error_answer(status, explanation), method);
}

}  // namespace flow

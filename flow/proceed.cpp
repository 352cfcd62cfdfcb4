#include "flow/proceed.hpp"

#include "base/text.hpp"

namespace flow {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = base::to_lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

std::string form_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      out += ' ';
    } else if (text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0) {
      out += static_cast<char>(hex_digit(text[i + 1]) << 4 | hex_digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

WayPast way_past(const policy::Rule& rule, policy::Outcome outcome, const Gatekeeper& gatekeeper) {
  if (outcome == policy::Outcome::warn) return WayPast::click;
  if (outcome == policy::Outcome::code) return WayPast::code;
  bool takes_lesson = outcome == policy::Outcome::block && rule.tier != policy::Tier::must && gatekeeper.has_lessons();
  return takes_lesson ? WayPast::code : WayPast::none;
}

std::string proceed_html(const ProceedForm& form, bool asks_for_code) {
  auto hidden = [](const char* name, std::string_view value) {
    std::string html = std::string("<input type=\"hidden\" name=\"") + name + "\" value=\"";
    base::append_html_escaped(html, value);
    return html + "\">";
  };
  std::string html = "<form method=\"post\" action=\"" + std::string(proceed_path) + "\">";
  html += hidden("rule", form.rule) + hidden("url", form.url) + hidden("until", std::to_string(form.good_until)) +
          hidden("seal", form.seal);
  if (asks_for_code)
    html +=
        "<label>Code <input name=\"code\" inputmode=\"numeric\" autocomplete=\"off\" maxlength=\"20\" required "
        "autofocus></label> ";
  return html + "<button>Go on</button></form>";
}

std::optional<ProceedForm> parse_proceed(std::string_view body) {
  ProceedForm form;
  for (std::string_view field : base::split(body, '&')) {
    std::size_t equals = field.find('=');
    if (equals == field.npos) continue;
    std::string_view name = field.substr(0, equals);
    std::string value = form_decoded(field.substr(equals + 1));
    if (name == "rule") form.rule = std::move(value);
    if (name == "url") form.url = std::move(value);
    if (name == "code") form.code = std::move(value);
    if (name == "seal") form.seal = std::move(value);
    if (name == "until") {
      auto seconds = base::parse_number(value, 1ull << 40);
      if (!seconds) return std::nullopt;
      form.good_until = static_cast<std::int64_t>(*seconds);
    }
  }
  if (form.rule.empty() || form.url.empty() || form.seal.empty()) return std::nullopt;
  return form;
}

}  // namespace flow

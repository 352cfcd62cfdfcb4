#include "flow/portal_page.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace flow {
namespace {

// A transparent dot (GIF89a).
constexpr std::string_view dot("GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\4\1\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\1D\0;",
                               43);

constexpr std::string_view style =
    "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:42em;margin:2em auto;padding:0 1em;color:#222}"
    "h1{font-size:1.5em}summary{font-weight:600;cursor:pointer;margin:.6em 0}code{background:#eee;padding:0 .25em}"
    "#state{padding:.6em 1em;border-radius:.4em;background:#eee}.yes{background:#dff3e0!important}"
    ".no{background:#fbe9e7!important}a.get{display:inline-block;padding:.5em 1em;background:#1a56b0;color:#fff;"
    "border-radius:.3em;text-decoration:none}</style>";

struct Platform {
  const char* name;
  const char* sign;  // in User-Agent
  const char* download;
  const char* steps;
};
// The first whose sign stands in the User-Agent is the asker's: Android says Linux, too, and an iPad says Mac OS X.
constexpr Platform platforms[] = {
    {"Android", "Android", "/ca.crt",
     "<li>Open the downloaded file, or go to Settings, Security, More security settings, Encryption and credentials, "
     "Install a certificate, <b>CA certificate</b>, and choose it.<li>Confirm with the screen lock.<li>Browsers trust "
     "it "
     "now; most other apps do not, and are left alone."},
    {"iPhone and iPad", "iPhone|iPad", "/ca.mobileconfig",
     "<li>Allow the download, then open Settings: <b>Profile Downloaded</b>, Install.<li>Then Settings, General, "
     "About, "
     "<b>Certificate Trust Settings</b>: switch full trust on for this certificate. Without this step nothing is "
     "trusted."},
    {"Windows", "Windows", "/ca.cer",
     "<li>Open the file: Install Certificate, <b>Local Machine</b> (or Current User), Place in the following store: "
     "<b>Trusted Root Certification Authorities</b>.<li>Firefox uses it as well, unless "
     "<code>security.enterprise_roots.enabled</code> was switched off."},
    {"ChromeOS", "CrOS", "/ca.crt",
     "<li>Settings, Privacy and security, Security, Manage certificates, Authorities, Import, and tick <b>Trust this "
     "certificate for identifying websites</b>. Managed Chromebooks get it from their admin console."},
    {"Mac", "Mac OS X", "/ca.mobileconfig",
     "<li>Open the profile: System Settings, Privacy and Security, Profiles, Install.<li>Or add <a "
     "href=\"/ca.crt\">the certificate</a> to the System keychain and set it to <b>Always Trust</b>."},
    {"Linux, and Firefox anywhere", "Linux", "/ca.crt",
     "<li>Debian: copy it to <code>/usr/local/share/ca-certificates/</code> and run "
     "<code>update-ca-certificates</code>.<li>Chromium: Settings, Privacy and security, Security, Manage certificates, "
     "Authorities, Import.<li>Firefox: Settings, Privacy &amp; Security, View Certificates, Authorities, Import, and "
     "tick "
     "<b>Trust this CA to identify websites</b>."},
};

bool is_sign_of(std::string_view signs, std::string_view user_agent) {
  for (std::string_view sign : base::split(signs, '|'))
    if (user_agent.find(sign) != user_agent.npos) return true;
  return false;
}

// The host that the page was asked by, without its port, if it is safe to repeat.
std::string host_of(std::string_view authority) {
  std::size_t end = authority.starts_with('[') ? authority.find(']') + 1 : authority.find(':');
  std::string host(authority.substr(0, end));
  for (char c : host)
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
          c == '[' || c == ']' || c == ':'))
      return {};
  return host;
}

// A page elsewhere whose name was made to point here (DNS rebinding) may neither read nor click.
bool is_asked_by_our_name(std::string_view authority) {
  std::string host = host_of(authority);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return base::IpAddress::parse(host) || base::equal_ignoring_case(host, portal_name);
}

std::string ago(base::WallTime then, base::WallTime now) {
  auto minutes = std::chrono::duration_cast<std::chrono::minutes>(now - then).count();
  return minutes < 1 ? "just now" : std::to_string(minutes) + " min ago";
}

const policy::Rule* rule_of(const policy::Snapshot& snapshot, const std::string& name) {
  auto found = std::find_if(snapshot.rules.begin(), snapshot.rules.end(),
                            [&](const policy::Rule& rule) { return rule.name == name; });
  return found == snapshot.rules.end() ? nullptr : &*found;
}

// The form by which the client may get past it; empty: there is no way.
std::string form_past(const PortalRequest& request, const RefusedName& refused) {
  const policy::Rule* rule = rule_of(request.snapshot, refused.rule);
  WayPast way = rule != nullptr ? way_past(*rule, refused.outcome, *request.gatekeeper) : WayPast::none;
  if (way == WayPast::none) return {};
  ProceedForm form;
  form.rule = refused.rule;
  form.url = refused.url;
  request.gatekeeper->seal(form, request.snapshot, request.client, request.now);
  return proceed_html(form, way == WayPast::code);
}

// What was refused where no page could be shown. `why`: what became of the form that was sent just now.
std::string refused_lately(const PortalRequest& request, std::string_view why) {
  if (request.gatekeeper == nullptr) return {};
  std::string html = "<h2>Refused lately</h2>";
  if (!is_asked_by_our_name(request.authority))
    return html + "<p>To see what was refused to this device, ask for this page by the gateway's address.";
  if (!why.empty()) {
    html += "<p id=\"state\" class=\"no\">";
    base::append_html_escaped(html, why);
  }
  auto all = request.gatekeeper->refused_lately(request.snapshot, request.client, request.now);
  if (all.empty()) return html + "<p>Nothing, or nothing that still is.";
  html += "<ul>";
  for (const RefusedName& refused : all) {
    html += "<li><b>";
    base::append_html_escaped(html, refused.name);
    html += "</b> " + ago(refused.when, request.now) + ". ";
    base::append_html_escaped(html, refused.why);
    html += " <small>Decision: " + refused.id + "</small>" + form_past(request, refused);
  }
  return html + "</ul>";
}

std::string front_page(const PortalRequest& request, std::string_view why = {}) {
  std::string page =
      "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width\"><title>This network's gateway</title>";
  page += style;
  page += "<h1>This network's gateway</h1>" + refused_lately(request, why);
  if (request.enrolment == nullptr || !request.enrolment->can_sign())
    return page + "<p>There is nothing to install: secure pages are not decrypted here.</html>";
  page +=
      "<h2>The certificate of this network</h2><p>Some secure pages are decrypted and checked on this network. Your "
      "device must trust its certificate for "
      "that; without it such pages show a warning, or are not checked.<p id=\"state\">";
  bool enrolled = request.enrolment->enrolled(request.client);
  std::string host = host_of(request.authority);
  page += enrolled ? "This device trusts the certificate already."
                   : "Whether this device trusts the certificate is not known yet.";
  if (request.check_port != 0 && !host.empty()) {
    std::string check = "https://" + host + ":" + std::to_string(request.check_port) + std::string(portal_check_path);
    page +=
        "</p><img id=\"check\" alt=\"\" width=\"1\" height=\"1\"><script>var s=document.getElementById('state'),"
        "i=document.getElementById('check');i.onload=function(){s.className='yes';s.textContent='This device trusts "
        "the certificate. There is nothing left to do.'};i.onerror=function(){s.className='no';s.textContent='This "
        "device does not trust the certificate yet. Install it as told below, then load this page again.'};i.src='" +
        check + "?'+Date.now()</script>";
  }
  const Platform* own = nullptr;
  for (const Platform& each : platforms)
    if (own == nullptr && is_sign_of(each.sign, request.user_agent)) own = &each;
  auto tell = [&](const Platform& platform) {
    page += "<details" + std::string(&platform == own || own == nullptr ? " open" : "") + "><summary>" + platform.name +
            "</summary><p><a class=\"get\" href=\"" + platform.download + "\">Download the certificate</a><ol>" +
            platform.steps + "</ol></details>";
  };
  if (own != nullptr) tell(*own);
  for (const Platform& each : platforms)
    if (&each != own) tell(each);
  return page + "</html>";
}

// In nobody's frame: a click on a page elsewhere would be one on a form of ours.
Answer file(std::string_view type, std::string body, std::string_view name) {
  Answer answer{200,
                {{"content-type", std::string(type)},
                 {"cache-control", "no-store"},
                 {"x-frame-options", "DENY"},
                 {"content-security-policy", "frame-ancestors 'none'"}},
                std::move(body)};
  if (!name.empty())
    answer.fields.emplace_back("content-disposition", "attachment; filename=\"" + std::string(name) + "\"");
  return answer;
}

Answer take_form(const PortalRequest& request) {
  auto form = parse_proceed(request.body);
  if (!form || request.gatekeeper == nullptr || !is_asked_by_our_name(request.authority))
    return error_answer(400, "This address takes the form of the gateway's page only.");
  std::string why = request.gatekeeper->proceed(*form, request.snapshot, request.client, request.now);
  if (why.empty()) return see_other_answer(form->url);
  Answer page = file("text/html; charset=utf-8", front_page(request, why), {});
  page.status = 403;
  return page;
}

}  // namespace

Answer portal_answer(const PortalRequest& request) {
  std::string_view path = request.target.substr(0, request.target.find('?'));
  if (path.starts_with("http://")) path = path.substr(std::min(path.size(), path.find('/', 7)));
  if (path == proceed_path && request.method == "POST") return take_form(request);
  if (request.method != "GET" && request.method != "HEAD") return error_answer(405, "This page can only be read.");
  if (path == "/" || path.empty()) return file("text/html; charset=utf-8", front_page(request), {});
  if (path == portal_check_path) return file("image/gif", std::string(dot), {});
  if (request.enrolment == nullptr || !request.enrolment->can_sign())
    return error_answer(404, "There is no such page.");
  if (path == "/ca.crt")
    return file("application/x-x509-ca-cert", request.enrolment->authority_file(Enrolment::Form::pem), "sluice-ca.crt");
  if (path == "/ca.cer")
    return file("application/x-x509-ca-cert", request.enrolment->authority_file(Enrolment::Form::der), "sluice-ca.cer");
  if (path == "/ca.mobileconfig")  // Safari installs it only if it is shown, not attached
    return file("application/x-apple-aspen-config", request.enrolment->authority_file(Enrolment::Form::mobileconfig),
                {});
  return error_answer(404, "There is no such page.");
}

}  // namespace flow

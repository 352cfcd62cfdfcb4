#include "sluicectl/ca_verbs.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

#include "base/text.hpp"
#include "rules/load.hpp"
#include "rules/names.hpp"
#include "sluicectl/answer.hpp"
#include "tls-intercept/ca_files.hpp"

namespace sluicectl {
namespace {

using control::Json;
using control::Reply;
using tls_intercept::CaPaths;

constexpr const char* usage =
    "usage: sluicectl ca init [--key ec|rsa] [--days N] [--name TEXT] [--permit DOMAIN,...] [--next] | ca show | "
    "ca export [--format pem|der|mobileconfig] [--output FILE] [--next] | ca rotate";

std::int64_t now() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()).time_since_epoch().count();
}

// As sluice.toml has them; where it says nothing, or is not there yet, in the state folder. The policy may be anything.
base::Result<CaPaths> paths_of(const Arguments& arguments) {
  rules::Settings settings;
  std::string file = arguments.config + "/sluice.toml";
  if (tls_intercept::exists(file)) {
    rules::Diagnostics diagnostics;
    rules::ConfigText text = rules::read_config(arguments.config, diagnostics);
    settings = rules::build(text, {}, diagnostics).settings;
    for (const rules::Diagnostic& each : diagnostics)
      if (each.severity == rules::Severity::error && each.file == text.sluice.path && !each.file.empty())
        return base::malformed(each.to_string());
  }
  return CaPaths{rules::in_state(settings.tls_intercept.ca_cert, arguments.state),
                 rules::in_state(settings.tls_intercept.ca_key, arguments.state)};
}

int fail(const Arguments& arguments, const base::Error& error) {
  return print(arguments, {error.fault == base::Fault::environment ? exit_no : exit_usage,
                           "sluicectl: " + error.message + "\n",
                           {{"error", error.message}}});
}

std::string option_of(const Arguments& arguments, const char* name) {
  auto found = arguments.options.find(name);
  return found == arguments.options.end() ? std::string{} : found->second;
}

struct Told {
  std::string text;
  Json json;
};
base::Result<Told> tell(const std::string& path) {
  auto pem = tls_intercept::read_certificate_file(path);
  if (!pem) return std::move(pem).error();
  auto about = tls_intercept::describe_ca(*pem);
  if (!about) return base::malformed(path + ": " + about.error().message);
  std::string permitted;
  for (const std::string& each : about->permitted) permitted += " " + each;
  Told told;
  told.text = about->subject + "\n  file         " + path + "\n  key          " + about->key + "\n  valid        " +
              about->not_before + " to " + about->not_after + "\n  SHA-256      " + about->fingerprint + "\n";
  if (!permitted.empty()) told.text += "  signs for   " + permitted + "\n";
  told.json = {{"subject", about->subject},       {"file", path},
               {"key", about->key},               {"not_before", about->not_before},
               {"not_after", about->not_after},   {"sha256", about->fingerprint},
               {"permitted", about->permitted}};
  return told;
}

int init(const Arguments& arguments, const CaPaths& paths) {
  tls_intercept::CaOptions options;
  options.name = option_of(arguments, "name");
  std::string key = option_of(arguments, "key"), days = option_of(arguments, "days");
  if (!key.empty() && key != "ec" && key != "rsa") return usage_error(usage);
  options.rsa = key == "rsa";
  if (!days.empty()) {
    auto number = base::parse_number(days, 36500);
    if (!number || *number == 0) return usage_error("--days takes 1 to 36500");
    options.days = static_cast<int>(*number);
  }
  if (options.name.size() > 64) return usage_error("--name takes at most 64 bytes (RFC 5280, ub-common-name)");
  for (std::string_view each : base::split(option_of(arguments, "permit"), ',')) {
    if (each.empty()) continue;
    auto host = rules::parse_host(each);
    if (!host) return usage_error("--permit: " + host.error().message);
    options.permitted.push_back(host->text());
  }
  bool next = arguments.options.contains("next");
  CaPaths target = next ? CaPaths{paths.beside("next.crt"), paths.beside("next.key")} : paths;
  auto made = tls_intercept::make_ca(options, now());
  if (!made) return fail(arguments, made.error());
  auto written = tls_intercept::write_ca(target.certificate, target.key, *made);
  if (!written) return fail(arguments, written.error());
  auto told = tell(target.certificate);
  if (!told) return fail(arguments, told.error());
  std::string advice = next ? "give it to the devices (sluicectl ca export --next), then: sluicectl ca rotate\n"
                            : "devices must trust it: sluicectl ca export, or the gateway's page on its LAN address\n";
  return print(arguments, {exit_ok, told->text + advice, told->json});
}

int show(const Arguments& arguments, const CaPaths& paths) {
  Reply reply;
  for (const auto& [kind, path] : {std::pair<const char*, std::string>{"current", paths.certificate},
                                   {"next", paths.beside("next.crt")},
                                   {"previous", paths.beside("previous.crt")}}) {
    if (!tls_intercept::exists(path)) continue;
    auto told = tell(path);
    if (!told) return fail(arguments, told.error());
    reply.text += std::string(kind) + ": " + told->text;
    reply.data[kind] = told->json;
  }
  if (!reply.data.contains("current"))
    return print(arguments, {exit_no, "there is no CA yet; make one with: sluicectl ca init\n", {{"error", "no CA"}}});
  return print(arguments, reply);
}

int export_certificate(const Arguments& arguments, const CaPaths& paths) {
  std::string path = arguments.options.contains("next") ? paths.beside("next.crt") : paths.certificate;
  std::string format = option_of(arguments, "format");
  auto pem = tls_intercept::read_certificate_file(path);
  if (!pem) return fail(arguments, pem.error());
  base::Result<std::string> bytes = *pem;
  if (format == "der")
    bytes = tls_intercept::ca_der(*pem);
  else if (format == "mobileconfig")
    bytes = tls_intercept::ca_mobileconfig(*pem);
  else if (!format.empty() && format != "pem")
    return usage_error(usage);
  if (!bytes) return fail(arguments, bytes.error());
  std::string output = option_of(arguments, "output");
  int file = output.empty() ? STDOUT_FILENO : ::open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  bool written = file >= 0 && ::write(file, bytes->data(), bytes->size()) == static_cast<ssize_t>(bytes->size());
  if (file > STDOUT_FILENO) close(file);
  return written ? exit_ok : fail(arguments, base::environment_error("cannot write " + output));
}

int rotate(const Arguments& arguments, const CaPaths& paths) {
  auto done = tls_intercept::rotate(paths);
  if (!done) return fail(arguments, done.error());
  auto told = tell(paths.certificate);
  if (!told) return fail(arguments, told.error());
  return print(arguments, {exit_ok, told->text + "it signs from the next reload on: sluicectl reload\n", told->json});
}

}  // namespace

int ca(const Arguments& arguments) {
  if (arguments.operands.size() != 1) return usage_error(usage);
  auto paths = paths_of(arguments);
  if (!paths) return fail(arguments, paths.error());
  const std::string& verb = arguments.operands[0];
  if (verb == "init") return init(arguments, *paths);
  if (verb == "show") return show(arguments, *paths);
  if (verb == "export") return export_certificate(arguments, *paths);
  if (verb == "rotate") return rotate(arguments, *paths);
  return usage_error(usage);
}

int bypass(const Arguments& arguments) {
  const char* how = "usage: sluicectl bypass list | bypass revoke NAME [--client DEVICE]";
  if (arguments.operands.empty()) return usage_error(how);
  const std::string& verb = arguments.operands[0];
  control::Request request{"bypass " + verb, {}};
  if (verb == "revoke" && arguments.operands.size() == 2)
    request.args = {{"name", arguments.operands[1]}, {"client", option_of(arguments, "client")}};
  else if (verb != "list" || arguments.operands.size() != 1)
    return usage_error(how);
  return ask_daemon(arguments, request);
}

}  // namespace sluicectl

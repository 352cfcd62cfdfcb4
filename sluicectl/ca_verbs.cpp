#include "sluicectl/ca_verbs.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>

#include "base/sys/unique_fd.hpp"
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
    "usage: sluicectl ca init [--key ec|rsa] [--days N] [--name TEXT] [--permit DOMAIN]... [--next] | ca show | "
    "ca export [--format pem|der|mobileconfig] [--organisation TEXT] [--output FILE] [--next] | "
    "ca rotate";

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
    std::string wrong;
    for (const rules::Diagnostic& each : diagnostics)
      if (each.severity == rules::Severity::error && each.file == text.sluice.path)
        wrong += (wrong.empty() ? "" : "\n") + each.to_string();
    if (!wrong.empty()) return base::malformed(std::move(wrong));
  }
  return CaPaths{rules::in_state(settings.tls_intercept.ca_cert, arguments.state),
                 rules::in_state(settings.tls_intercept.ca_key, arguments.state)};
}

// What was refused or is not there is 1, what we were asked or given wrong is 2. Never on standard output as text: an
// exported certificate goes there.
int fail(const Arguments& arguments, const base::Error& error) {
  if (arguments.json)
    std::puts(Json{{"error", error.message}}.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
  std::fprintf(stderr, "sluicectl: %s\n", error.message.c_str());
  return error.fault == base::Fault::environment ? exit_no : exit_usage;
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
  for (const auto* kind : {&about->permitted, &about->permitted_addresses})
    for (const std::string& each : *kind) permitted += " " + each;
  Told told;
  told.text = about->subject + "\n  file         " + path + "\n  key          " + about->key + "\n  valid        " +
              about->not_before + " to " + about->not_after + "\n  SHA-256      " + about->fingerprint +
              "\n  serial       " + about->serial + "\n";
  if (!permitted.empty()) told.text += "  signs for   " + permitted + "\n";
  told.json = {{"subject", about->subject},
               {"file", path},
               {"key", about->key},
               {"not_before", about->not_before},
               {"not_after", about->not_after},
               {"sha256", about->fingerprint},
               {"serial", about->serial},
               {"permitted", about->permitted},
               {"permitted_addresses", about->permitted_addresses}};
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
  std::string permit = option_of(arguments, "permit");
  for (std::string_view each : base::split(permit, ',')) {
    if (each.empty()) continue;
    auto host = rules::parse_host(each);
    if (!host) return usage_error("--permit: " + host.error().message);
    options.permitted.push_back(host->text());
  }
  bool next = arguments.options.contains("next");
  if (next && !tls_intercept::exists(paths.certificate))
    return fail(arguments, base::environment_error("there is no CA yet (" + paths.certificate +
                                                   "), so none can follow it; run: sluicectl ca init"));
  CaPaths target = next ? paths.next() : paths;
  auto made = tls_intercept::make_ca(options, now());
  if (!made) return fail(arguments, made.error());
  auto written = tls_intercept::write_ca(target, *made);
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
    // What would stop the daemon, a key that others can read among it. Of the previous one there is no key any more.
    CaPaths both = path == paths.certificate ? paths : paths.next();
    if (std::strcmp(kind, "previous") != 0) {
      told->json["key_file"] = both.key;
      auto loaded = tls_intercept::load_ca_files(both, now());
      if (!loaded) {
        told->text += "  warning      " + loaded.error().message + "\n";
        told->json["warning"] = loaded.error().message;
      }
    }
    reply.text += std::string(kind) + ": " + told->text;
    reply.data[kind] = told->json;
  }
  if (!reply.data.contains("current"))
    return fail(arguments, base::environment_error("there is no CA yet (" + paths.certificate +
                                                   "); make one with: sluicectl ca init"));
  return print(arguments, reply);
}

bool write_whole(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t size = ::write(file, bytes.data(), bytes.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(size));
  }
  return true;
}

// To standard output the certificate and nothing else; with --json inside of the answer, DER as base64.
int export_certificate(const Arguments& arguments, const CaPaths& paths) {
  std::string path = arguments.options.contains("next") ? paths.beside("next.crt") : paths.certificate;
  std::string format = option_of(arguments, "format"), output = option_of(arguments, "output");
  if (format.empty()) format = "pem";
  if (format != "pem" && format != "der" && format != "mobileconfig") return usage_error(usage);
  if (!tls_intercept::exists(path))
    return fail(arguments, base::environment_error(path + " is not there; make it with: sluicectl ca init" +
                                                   (path == paths.certificate ? "" : " --next")));
  auto pem = tls_intercept::read_certificate_file(path);
  if (!pem) return fail(arguments, pem.error());
  auto told = tell(path);
  if (!told) return fail(arguments, told.error());
  base::Result<std::string> bytes = *pem;
  if (format == "der") bytes = tls_intercept::ca_der(*pem);
  if (format == "mobileconfig") bytes = tls_intercept::ca_mobileconfig(*pem, option_of(arguments, "organisation"));
  if (!bytes) return fail(arguments, bytes.error());

  Json data = {{"format", format}, {"certificate", told->json}};
  if (output.empty() && arguments.json) {
    data["data"] = format == "der" ? tls_intercept::base64(*bytes) : *bytes;
    return print(arguments, {exit_ok, "", std::move(data)});
  }
  base::sys::UniqueFd file;
  if (!output.empty()) file.reset(::open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if ((!output.empty() && !file) || !write_whole(output.empty() ? STDOUT_FILENO : file.get(), *bytes))
    return fail(arguments, base::environment_error("cannot write " + (output.empty() ? "the certificate" : output) +
                                                   ": " + std::strerror(errno)));
  if (output.empty()) return exit_ok;
  data["output"] = output;
  return print(arguments, {exit_ok, output + " holds " + told->text, std::move(data)});
}

int rotate(const Arguments& arguments, const CaPaths& paths) {
  auto done = tls_intercept::rotate(paths, now());
  if (!done) return fail(arguments, done.error());
  auto told = tell(paths.certificate);
  if (!told) return fail(arguments, told.error());
  return print(arguments,
               {exit_ok, told->text + "it signs once the daemon has read it; run: sluicectl reload\n", told->json});
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

#include "rules/uci_toml.hpp"

#include <algorithm>
#include <set>

#include "base/text.hpp"
#include "rules/names.hpp"
#include "rules/near_match.hpp"
#include "rules/toml_string.hpp"
#include "rules/uci_options.hpp"
#include "rules/uci_text.hpp"

namespace rules {
namespace {

using uci::Options;
using uci::toml_array;
using uci::Values;
using uci::Writer;

class Generator {
 public:
  Generator(const UciText& uci, const UciPlaces& places, UciToml& out) : uci_(uci), places_(places), out_(out) {}

  void generate() {
    names();
    main();
    for_each("list", [this](Options& o) { list(o); });
    for_each("person", [this](Options& o) { person(o); });
    for_each("group", [this](Options& o) { group(o); });
    default_group();
    schedules();
    all_rules();
  }

  Writer sluice, policy;

 private:
  void error(const std::string& what) { out_.errors.push_back(what); }

  template <class Do>
  void for_each(std::string_view type, Do act) {
    for (const UciSection& section : uci_.sections) {
      if (section.type != type) continue;
      Options options(section, out_.errors);
      act(options);
      options.finish();
    }
  }

  // Sections are referred to by their own name, or by the one that people see.
  void names() {
    static const std::vector<std::string> types = {"sluice",   "list", "person",  "group",
                                                   "schedule", "rule", "bedtime", "quota"};
    for (const UciSection& section : uci_.sections) {
      if (std::find(types.begin(), types.end(), section.type) == types.end()) {
        error(section.label + ": no such kind of section '" + section.type + "'" + did_you_mean(section.type, types));
        continue;
      }
      const UciOption* name = section.find("name");
      std::string shown = name && !name->values[0].empty() ? name->values[0] : section.name;
      auto* names = section.type == "person" ? &people_ : section.type == "group" ? &groups_ : nullptr;
      if (section.type == "schedule") names = &schedules_;
      if (section.type == "list") names = &lists_;
      if (!names || shown.empty()) continue;
      (*names)[shown] = shown;
      if (!section.name.empty()) names->emplace(section.name, shown);
    }
  }

  // --- sluice.toml

  std::string device(Options& options, std::string_view option, const std::string& network) {
    auto found = places_.devices.find(network);
    if (found != places_.devices.end()) return found->second;
    options.error(option, "network '" + network + "' is not there, or has no device");
    return {};
  }

  static void put(Writer& to, Options& options, std::string_view option, const std::string& key,
                  std::string otherwise = {}) {
    std::string value = options.text(option, std::move(otherwise));
    if (!value.empty()) to.line(key + " = " + toml_string(value), options.origin(option));
  }
  static void put_number(Writer& to, Options& options, std::string_view option, const std::string& key,
                         std::string otherwise = {}) {
    std::string value = options.number(option, std::move(otherwise));
    if (value.empty()) return;
    value.erase(0, std::min(value.find_first_not_of('0'), value.size() - 1));  // TOML takes no leading zeros
    to.line(key + " = " + value, options.origin(option));
  }
  static void put_list(Writer& to, Options& options, std::string_view option, const std::string& key) {
    Values values = options.list(option);
    if (!values.empty()) to.line(key + " = " + toml_array(values), options.origin(option));
  }

  void main() {
    bool found = false;
    for_each("sluice", [&](Options& o) {
      if (std::exchange(found, true)) return o.error("", "a second section 'sluice', expected one");
      settings(o);
    });
    if (!found) error("sluice: the section 'sluice' is missing: config sluice 'main'");
  }

  void settings(Options& o) {
    o.of_the_script({"enabled", "conffile", "save_interval"});
    Values lan, wan;
    for (const std::string& network : o.list("network")) {
      lan.push_back(device(o, "network", network));
      judged_[network] = lan.back();
    }
    for (const std::string& network : o.list("wan")) wan.push_back(device(o, "wan", network));
    if (lan.empty())
      o.error("network", "is missing, expected the networks whose clients are judged: list network 'lan'");
    std::string top = o.origin("network");
    sluice.line("[network]", top);
    sluice.line("lan = " + toml_array(lan), top);
    if (!wan.empty()) sluice.line("wan = " + toml_array(wan), o.origin("wan"));
    put_list(sluice, o, "exclude", "exclude");
    put(sluice, o, "firewall", "firewall", "nftables");
    put(sluice, o, "kernel_lane", "kernel_lane");
    put(sluice, o, "upstream_source", "upstream_source");
    sluice.line("[daemon]", top);
    put_number(sluice, o, "workers", "workers", "1");
    sluice.line("[log]", top);
    std::string access = o.text("access_log", "off");
    if (access == "file") access = "/var/log/sluice/access.jsonl";
    sluice.line("access = " + toml_string(access), o.origin("access_log"));
    put(sluice, o, "log_format", "format");
    put(sluice, o, "log_level", "level");
    sluice.line("[accounting]", top);
    std::string store = o.text("store", "flash");
    bool on_flash = store == "flash";
    if (on_flash) store = "/etc/sluice/keep/usage/usage.db";
    if (store == "ram") store = "/var/lib/sluice/usage.db";
    sluice.line("store = " + toml_string(store), o.origin("store"));
    put(sluice, o, "flush", "flush", on_flash ? "6h" : "60s");
    put(sluice, o, "store_size", "max_size", "4MB");
    put_number(sluice, o, "usage_hosts", "hosts", "20");
    sluice.line(R"(keep = { minute = "6h", hour = "8d", day = "100d", month = "3650d" })", top);
    sluice.line("[tls_intercept]", top);
    sluice.line(R"(ca_cert = "/etc/sluice/keep/ca/ca.crt")", top);
    sluice.line(R"(ca_key = "/etc/sluice/keep/ca/ca.key")", top);
    sluice.line("[portal]", top);  // port 80 is LuCI's
    put_number(sluice, o, "portal_http", "http", "0");
    put_number(sluice, o, "portal_https", "https", "0");
    sluice.line("[limits]", top);
    put_number(sluice, o, "connections", "connections", "4000");
    put_number(sluice, o, "connections_per_client", "connections_per_client", "1000");
    sluice.line("[identity]", top);
    if (std::string group = o.text("unknown_device"); !group.empty())
      sluice.line("unknown_mac = " + toml_string(known(o, "unknown_device", groups_, group, "group")),
                  o.origin("unknown_device"));
    sluice.line("[metrics]", top);
    put(sluice, o, "metrics", "listen");
    default_if_down_ = o.text("if_down");
    default_if_down_origin_ = o.origin("if_down");
  }

  // --- policy.toml

  using Names = std::map<std::string, std::string>;

  std::string known(Options& o, std::string_view option, const Names& names, const std::string& wanted,
                    const std::string& kind) {
    auto found = names.find(wanted);
    if (found != names.end()) return found->second;
    std::vector<std::string> all;
    for (const auto& [name, shown] : names) all.push_back(name);
    o.error(option, "no " + kind + " '" + wanted + "'" + did_you_mean(wanted, all));
    return wanted;
  }

  std::string needs_name(Options& o) {
    std::string name = o.shown_name();
    if (name.empty()) o.error("name", "is missing, and the section has no name of its own");
    return name;
  }

  void list(Options& o) {
    policy.line("[list." + toml_string(needs_name(o)) + "]", o.origin("name"));
    for (const char* key : {"format", "url", "path", "category", "match", "every", "max_shrink", "max_grow"})
      put(policy, o, key, key);
    put_list(policy, o, "never", "never");
  }

  void person(Options& o) {
    std::string name = needs_name(o);
    policy.line("[device." + toml_string(name) + "]", o.origin("name"));
    for (const char* key : {"mac", "ip", "hostname"}) put_list(policy, o, key, key);
    if (std::string group = o.text("group"); !group.empty())
      members_[known(o, "group", groups_, group, "group")].push_back({"device:" + name, o.origin("group")});
  }

  void group(Options& o) {
    std::string name = needs_name(o);
    if (name == "default") has_default_ = true;
    policy.line("[group." + toml_string(name) + "]", o.origin("name"));
    Values members;
    for (const auto& [member, origin] : members_[name]) members.push_back(member);
    for (const std::string& network : o.list("network")) members.push_back("iface:" + judged(o, "network", network));
    for (const std::string& address : o.list("address")) members.push_back(address);
    if (!members.empty())
      policy.line("members = " + toml_array(members), o.origin(o.has("address") ? "address" : "name"));
    for (const char* key : {"if_down", "log", "quic", "tls", "not_enrolled", "youtube"}) put(policy, o, key, key);
    put_list(policy, o, "tls_skip", "tls_skip");
    if (o.flag("safe_search", false)) policy.line("safe_search = true", o.origin("safe_search"));
    std::string shape;
    for (const char* key : {"down", "up", "burst"})
      if (std::string value = o.text(key); !value.empty())
        shape += (shape.empty() ? "" : ", ") + std::string(key) + " = " + toml_string(value);
    std::string per = o.text("share");
    if (!per.empty()) shape += (shape.empty() ? "" : ", ") + ("per = " + toml_string(per));
    if (!shape.empty()) policy.line("shape = { " + shape + " }", o.origin(o.has("down") ? "down" : "up"));
  }

  // The clients of no group: what `if_down` of the main section says.
  void default_group() {
    if (default_if_down_.empty()) return;
    if (has_default_)
      return error(default_if_down_origin_ + ": group 'default' is there, and has 'if_down' of its own");
    policy.line("[group.default]", default_if_down_origin_);
    policy.line("if_down = " + toml_string(default_if_down_), default_if_down_origin_);
  }

  std::string judged(Options& o, std::string_view option, const std::string& network) {
    auto found = judged_.find(network);
    if (found != judged_.end()) return found->second;
    o.error(option, "network '" + network + "' is not one of those that are judged: list network in the main section");
    return network;
  }

  void schedules() {
    policy.line("[schedule]", "sluice");
    for_each("schedule", [this](Options& o) {
      policy.line(toml_string(needs_name(o)) + " = " + toml_array(o.list("time")), o.origin("time"));
    });
    for (const UciSection& section : uci_.sections) {  // a bedtime is a schedule and a rule
      if (section.type != "bedtime") continue;
      Options o(section, out_.errors);
      if (!o.flag("enabled", true)) continue;
      std::string days = o.text("days", "mon-sun"), begin = o.text("begin"), end = o.text("end");
      if (begin.empty() || end.empty())
        o.error(begin.empty() ? "begin" : "end", "is missing, expected a time such as '20:30'");
      policy.line(toml_string(bedtime_name(section)) + " = " + toml_array({days + " " + begin + "-" + end}),
                  o.origin("begin"));
    }
  }

  static std::string bedtime_name(const UciSection& section) { return "bedtime " + section.label; }

  // In the order of tiers, which inside a tier is the order of the sections.
  void all_rules() {
    for (std::string_view tier : {"must", "normal", "default"})
      for (const UciSection& section : uci_.sections) {
        bool is_rule = section.type == "rule" || section.type == "bedtime" || section.type == "quota";
        const UciOption* written = section.find("tier");
        std::string of_section = written && !written->values[0].empty() ? written->values[0] : "normal";
        bool is_last_chance = tier == "default" && of_section != "must" && of_section != "normal";
        if (is_rule && (of_section == tier || is_last_chance)) rule(section);
      }
  }

  void rule(const UciSection& section) {
    std::vector<std::string> of_disabled;
    Options probe(section, of_disabled);
    bool enabled = probe.flag("enabled", true);
    // A rule that is switched off is looked at too: it must not become an error by being switched on.
    Writer nowhere;
    Writer& to = enabled ? policy : nowhere;
    Options o(section, out_.errors);
    (void)o.flag("enabled", true);
    to.line("[[rule]]", o.origin("name"));
    to.line("name = " + toml_string(o.text("name", section.name.empty() ? section.label : section.name)),
            o.origin("name"));
    put(to, o, "tier", "tier");
    from(to, o);
    if (section.type == "bedtime") {
      for (const char* key : {"days", "begin", "end"}) (void)o.text(key);
      to.line("when = " + toml_array({bedtime_name(section)}), o.origin("begin"));
      to.line("action = \"block\"", o.origin("name"));
    } else {
      destinations(to, o, "to", "");
      destinations(to, o, "not_to", "not_");
      put_list(to, o, "port", "port");
      when(to, o, "schedule", "when");
      when(to, o, "not_schedule", "not_when");
      bool quota = section.type == "quota";
      if (quota)
        to.line("action = \"quota\"", o.origin("name"));
      else
        put(to, o, "action", "action", "block");
      for (const char* key : {"per_day", "per_week", "reset"}) put(to, o, key, key);
      if (!quota) put_number(to, o, "minutes", "minutes");
    }
    o.finish();
  }

  void from(Writer& to, Options& o) {
    Values from;
    for (const std::string& who : o.list("from")) {
      auto person = people_.find(who);
      auto group = groups_.find(who);
      if (person != people_.end() && group != groups_.end())
        o.error("from", "'" + who + "' is a person and a group; give one of them another name");
      if (group != groups_.end() || who == "default")
        from.push_back(group != groups_.end() ? group->second : who);
      else if (person != people_.end())
        from.push_back("device:" + person->second);
      else if (who.starts_with("network:"))
        from.push_back("iface:" + judged(o, "from", who.substr(8)));
      else if (looks_like_address(who) || who.starts_with("user:") || who.starts_with("role:"))
        from.push_back(who);
      else
        unknown_person(o, who);
    }
    if (o.has("from")) to.line("from = " + toml_array(from), o.origin("from"));
  }

  void unknown_person(Options& o, const std::string& who) {
    std::vector<std::string> all;
    for (const Names* names : {&people_, &groups_})
      for (const auto& [name, shown] : *names) all.push_back(name);
    o.error("from", "no person or group '" + who + "'" + did_you_mean(who, all));
  }

  // Each kind on a line of its own, so that what is wrong is said of the right option.
  void destinations(Writer& to, Options& o, const std::string& key, const std::string& prefix) {
    std::vector<std::pair<std::string, std::string>> items;  // text, origin
    for (const char* kind : {"category", "host", "url", "regex", "list", "ip"}) {
      std::string option = prefix + kind;
      for (std::string value : o.list(option)) {
        if (option.ends_with("list") && value != shipped_list_name) value = known(o, option, lists_, value, "list");
        items.emplace_back(toml_string(std::string(kind) + ":" + value), o.origin(option));
      }
    }
    if (items.empty()) return;
    to.line(key + " = [", items.front().second);
    for (const auto& [text, origin] : items) to.line("  " + text + ",", origin);
    to.line("]", items.back().second);
  }

  void when(Writer& to, Options& o, std::string_view option, const std::string& key) {
    Values names;
    for (const std::string& name : o.list(option)) names.push_back(known(o, option, schedules_, name, "schedule"));
    if (!names.empty()) to.line(key + " = " + toml_array(names), o.origin(option));
  }

  struct MemberOf {
    std::string member, origin;
  };

  const UciText& uci_;
  const UciPlaces& places_;
  UciToml& out_;
  Names people_, groups_, schedules_, lists_;             // what sections are called -> what people call them
  std::map<std::string, std::string> judged_;             // networks of the main section -> devices
  std::map<std::string, std::vector<MemberOf>> members_;  // of groups, by people's own `group`
  std::string default_if_down_, default_if_down_origin_;
  bool has_default_ = false;
};

// Text that TOML could not hold, or that hides in logs: said of its option, before anything is made of it.
void check_text(const UciText& uci, UciToml& out) {
  for (const UciSection& section : uci.sections)
    for (const UciOption& option : section.options)
      for (const std::string& value : option.values)
        if (!base::is_printable_utf8(value))
          out.errors.push_back(section.label + "." + option.name +
                               ": has control characters or a line end, or is not UTF-8");
}

// As any configuration is built; what is wrong with a line is said of the option that it came from.
void verify(const Generator& made, const UciPlaces& places, UciToml& out) {
  Diagnostics diagnostics;
  ConfigText config;
  config.directory = "/etc/sluice";
  config.sluice = {"sluice.toml", made.sluice.text()};
  config.policy = {{"policy.toml", made.policy.text()}};
  ListBytes lists;
  if (places.compile) lists = places.compile(config, diagnostics);
  if (!has_errors(diagnostics)) (void)build(config, std::move(lists), diagnostics);
  for (const Diagnostic& each : diagnostics) {
    bool of_policy = each.file == "policy.toml", of_sluice = each.file == "sluice.toml";
    std::string origin = of_policy   ? made.policy.origin(each.line)
                         : of_sluice ? made.sluice.origin(each.line)
                                     : each.file;
    std::vector<std::string>& to = each.severity == Severity::error ? out.errors : out.warnings;
    to.push_back((origin.empty() ? "sluice" : origin) + ": " + each.message);
  }
}

}  // namespace

UciToml uci_to_toml(std::string_view text, const UciPlaces& places) {
  UciToml out;
  UciText uci = parse_uci(text, "sluice");
  out.errors = uci.errors;
  check_text(uci, out);
  if (!out.errors.empty()) return out;
  Generator made(uci, places, out);
  made.generate();
  if (out.errors.empty()) verify(made, places, out);
  const char* head = "# Made from /etc/config/sluice; what is changed here is lost.\n";
  out.sluice = head + made.sluice.text();
  out.policy = head + made.policy.text();
  return out;
}

}  // namespace rules

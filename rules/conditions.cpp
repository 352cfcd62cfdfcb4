#include "rules/conditions.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "rules/enforcement.hpp"
#include "rules/names.hpp"
#include "rules/near_match.hpp"
#include "rules/units.hpp"

namespace rules {
namespace {

// "kind:rest" taken apart, if the text begins with one of the kinds.
struct Kinded {
  std::string_view kind, rest;
};
std::optional<Kinded> split_kind(std::string_view text, std::initializer_list<std::string_view> kinds) {
  std::size_t colon = text.find(':');
  if (colon == text.npos) return std::nullopt;
  for (std::string_view kind : kinds)
    if (text.substr(0, colon) == kind) return Kinded{kind, text.substr(colon + 1)};
  return std::nullopt;
}

// A token of RFC 9110 5.6.2.
bool is_token(std::string_view text) {
  constexpr std::string_view others = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    char lower = base::to_lower(c);
    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || others.find(c) != others.npos;
  });
}

class ConditionReader {
 public:
  ConditionReader(TableReader& reader, RuleKind kind, const Draft& draft, Diagnostics& diagnostics)
      : reader_(reader), kind_(kind), draft_(draft), diagnostics_(diagnostics) {}

  ConditionsRead read() {
    policy::Conditions& c = out_.conditions;
    both("from", c.from, c.not_from, &ConditionReader::from);
    both("to", c.to, c.not_to, &ConditionReader::to);
    both("port", c.port, c.not_port, &ConditionReader::port);
    both("when", c.when, c.not_when, &ConditionReader::when);
    both("method", c.method, c.not_method, &ConditionReader::method);
    both("response_type", c.response_type, c.not_response_type, &ConditionReader::response_type);
    both("user_agent", c.user_agent, c.not_user_agent, &ConditionReader::user_agent);
    larger_than();
    no_name();
    conditions_of_later();
    return std::move(out_);
  }

 private:
  // KEY and not_KEY, values of one kind.
  template <class Values>
  void both(const std::string& key, std::optional<Values>& plain, std::optional<Values>& negated,
            Values (ConditionReader::*parse)(const std::vector<Text>&)) {
    for (bool is_negated : {false, true}) {
      std::string name = is_negated ? "not_" + key : key;
      std::optional<std::vector<Text>> texts = reader_.strings(name);
      if (!texts) continue;
      if (texts->empty() && reader_.find(name)->value.kind == Node::Kind::array &&
          reader_.find(name)->value.items.empty())
        error(diagnostics_, reader_.place_of(name), "'" + name + "' is empty, expected at least one value");
      negated_ = is_negated;
      (is_negated ? negated : plain) = (this->*parse)(*texts);
    }
  }

  policy::FromSet from(const std::vector<Text>& texts) {
    policy::FromSet set;
    for (const Text& text : texts) from(text, set);
    return set;
  }

  void from(const Text& text, policy::FromSet& set) {
    std::string_view value = text.value;
    if (looks_like_address(value)) {
      auto prefix = parse_prefix(value);
      if (!prefix) return error(diagnostics_, text.place, prefix.error().message);
      set.prefixes.push_back(*prefix);
      return;
    }
    auto kinded = split_kind(value, {"user", "role", "device", "iface"});
    if (!kinded) return group(text, set);
    std::string name(kinded->rest);
    if (name.empty()) return error(diagnostics_, text.place, "'" + text.value + "' has no name after ':'");
    if (kinded->kind == "device") {
      if (auto device = find_name(draft_, draft_.devices, name, text.place, diagnostics_))
        set.devices.push_back(policy::DeviceId{*device});
    } else if (kinded->kind == "iface") {
      const std::vector<std::string>& lan = draft_.settings.network.lan;
      if (draft_.settings_whole && std::find(lan.begin(), lan.end(), name) == lan.end())
        return error(diagnostics_, text.place,
                     "interface '" + name + "' is not in [network].lan" + did_you_mean(name, lan));
      set.interfaces.push_back(name);
    } else {
      (kinded->kind == "user" ? set.users : set.roles).push_back(name);
    }
  }

  void group(const Text& text, policy::FromSet& set) {
    if (!draft_.groups.index.contains(text.value) && draft_.devices.index.contains(text.value))
      return error(diagnostics_, text.place,
                   "unknown group '" + text.value + "', did you mean 'device:" + text.value + "'?");
    if (auto group = find_name(draft_, draft_.groups, text.value, text.place, diagnostics_))
      set.groups.push_back(policy::GroupId{*group});
  }

  policy::ToSet to(const std::vector<Text>& texts) {
    policy::ToSet set;
    std::vector<std::string> patterns;
    for (const Text& text : texts) to(text, set, patterns);
    if (!patterns.empty()) {
      auto compiled = policy::RegexSet::compile(patterns);
      if (compiled)
        set.regexes = *compiled;
      else
        error(diagnostics_, reader_.place_of(negated_ ? "not_to" : "to"), compiled.error().message);
    }
    return set;
  }

  void to(const Text& text, policy::ToSet& set, std::vector<std::string>& patterns) {
    auto kinded = split_kind(text.value, {"category", "list", "host", "url", "regex", "ip"});
    if (!kinded) return without_kind(text);
    auto keep = [&](auto result, auto& values) {
      if (result)
        values.push_back(*result);
      else
        error(diagnostics_, text.place, result.error().message);
    };
    if (kinded->rest.empty()) {
      error(diagnostics_, text.place, "'" + text.value + "' has nothing after ':'");
    } else if (kinded->kind == "category") {
      category(text, kinded->rest, set);
    } else if (kinded->kind == "list") {
      list(text, kinded->rest, set);
    } else if (kinded->kind == "host") {
      keep(parse_host(kinded->rest), set.hosts);
    } else if (kinded->kind == "url") {
      keep(parse_url_prefix(kinded->rest), set.urls);
    } else if (kinded->kind == "ip") {
      keep(parse_prefix(kinded->rest), set.prefixes);
    } else {
      std::vector<std::string> one{std::string(kinded->rest)};
      auto compiled = policy::RegexSet::compile(one);  // alone, so that the error has its place
      if (compiled)
        patterns.push_back(one.front());
      else
        error(diagnostics_, text.place, compiled.error().message);
    }
  }

  void without_kind(const Text& text) {
    std::string hint;
    if (looks_like_address(text.value))
      hint = "ip:";
    else if (draft_.lists.index.contains(text.value))
      hint = "list:";
    else if (draft_.categories.index.contains(text.value))
      hint = "category:";
    else if (text.value.find('/') != std::string::npos)
      hint = "url:";
    else if (base::DomainName::parse(text.value))
      hint = "host:";
    error(diagnostics_, text.place,
          "'" + text.value + "' says not what it is" +
              (hint.empty() ? ", expected one of category:, list:, host:, url:, regex: or ip:"
                            : ", did you mean '" + hint + text.value + "'?"));
  }

  void category(const Text& text, std::string_view name, policy::ToSet& set) {
    auto found = draft_.categories.index.find(name);
    if (found == draft_.categories.index.end()) {
      if (draft_.lists_by_url.empty()) {
        find_name(draft_, draft_.categories, name, text.place, diagnostics_);
        return;
      }
      warning(diagnostics_, text.place,
              "category '" + std::string(name) + "' is in no list that is here; list '" + draft_.lists_by_url.front() +
                  "' (url) is not fetched yet: it holds for nothing so far");
      return;
    }
    policy::TagId tag{found->second};
    set.tags.insert(tag);
    if (kind_.refuses && !negated_ && draft_.snapshot.index.is_white(tag))
      warning(diagnostics_, text.place,
              "category '" + std::string(name) + "' is tagged \"white\" by its publisher: it is meant to be allowed");
  }

  void list(const Text& text, std::string_view name, policy::ToSet& set) {
    if (!find_name(draft_, draft_.lists, name, text.place, diagnostics_)) return;
    const std::vector<std::string>& by_url = draft_.lists_by_url;
    if (std::find(by_url.begin(), by_url.end(), name) != by_url.end())
      warning(diagnostics_, text.place,
              "list '" + std::string(name) + "' (url) is not fetched yet: it holds for nothing so far");
    const std::vector<std::string>& tags = draft_.snapshot.index.tag_names();
    auto tag = std::find(tags.begin(), tags.end(), "list:" + std::string(name));
    if (tag != tags.end()) set.tags.insert(policy::TagId{static_cast<std::uint32_t>(tag - tags.begin())});
  }

  std::vector<policy::PortRange> port(const std::vector<Text>& texts) {
    std::vector<policy::PortRange> ranges;
    for (const Text& text : texts) {
      auto range = parse_port(text.value);
      if (range)
        ranges.push_back(*range);
      else
        error(diagnostics_, text.place, range.error().message);
    }
    return ranges;
  }

  policy::ScheduleSet when(const std::vector<Text>& texts) {
    policy::ScheduleSet set;
    for (const Text& text : texts)
      if (auto id = find_name(draft_, draft_.schedules, text.value, text.place, diagnostics_))
        set.insert(policy::ScheduleId{*id});
    return set;
  }

  std::vector<std::string> method(const std::vector<Text>& texts) {
    std::vector<std::string> methods;
    for (const Text& text : texts) {
      if (!is_token(text.value)) error(diagnostics_, text.place, "'" + text.value + "' is not an HTTP method");
      std::string& upper = methods.emplace_back(text.value);
      for (char& c : upper)
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
    }
    return methods;
  }

  std::vector<std::string> response_type(const std::vector<Text>& texts) {
    std::vector<std::string> types;
    for (const Text& text : texts) {
      std::size_t slash = text.value.find('/');
      if (slash == std::string::npos || !is_token(std::string_view(text.value).substr(0, slash)) ||
          !is_token(std::string_view(text.value).substr(slash + 1)))
        error(diagnostics_, text.place,
              "'" + text.value + "' is not a media type, expected \"application/zip\" or \"video/*\"");
      types.push_back(base::to_lower(text.value));
    }
    return types;
  }

  std::vector<std::string> user_agent(const std::vector<Text>& texts) {
    std::vector<std::string> parts;
    for (const Text& text : texts) {
      if (text.value.empty()) error(diagnostics_, text.place, "an empty 'user_agent' would match everything");
      parts.push_back(text.value);
    }
    return parts;
  }

  void larger_than() {
    if (auto text = reader_.string("larger_than")) {
      out_.conditions.larger_than = parse_size(text->value);
      if (!out_.conditions.larger_than)
        error(diagnostics_, text->place, "'" + text->value + "' is not a size, expected \"200MB\"");
    }
    if (auto text = reader_.string("not_larger_than")) {
      if (!parse_size(text->value))
        error(diagnostics_, text->place, "'" + text->value + "' is not a size, expected \"200MB\"");
      never_holds("not_larger_than");
    }
  }

  void no_name() {
    auto plain = reader_.boolean("no_name"), negated = reader_.boolean("not_no_name");
    if (plain) out_.conditions.no_name = *plain;
    if (!negated) return;
    if (plain && *plain == *negated)
      error(diagnostics_, reader_.place_of("not_no_name"), "'no_name' and 'not_no_name' contradict each other");
    out_.conditions.no_name = !*negated;
  }

  void conditions_of_later() {
    for (const char* key : {"file_type", "not_file_type"})
      if (auto types = reader_.strings(key)) never_holds(key);
    for (const char* key : {"direct_ip", "not_direct_ip"})
      if (reader_.boolean(key)) never_holds(key);
  }

  // Leaving the condition out would make the rule hold for more than the admin meant, so it holds for nothing.
  void never_holds(const std::string& key) {
    not_enforced(diagnostics_, reader_.find(key)->place, "'" + key + "'", "this rule never holds", kind_.must);
    out_.can_hold = false;
  }

  TableReader& reader_;
  RuleKind kind_;
  const Draft& draft_;
  Diagnostics& diagnostics_;
  ConditionsRead out_;
  bool negated_ = false;  // of the key that is being read
};

bool names_something(const std::optional<policy::ToSet>& set) {
  return set && (!set->tags.empty() || !set->hosts.empty() || !set->urls.empty() || !set->regexes.empty());
}

}  // namespace

ConditionsRead read_conditions(TableReader& reader, RuleKind kind, const Draft& draft, Diagnostics& diagnostics) {
  return ConditionReader(reader, kind, draft, diagnostics).read();
}

bool needs_name(const policy::Conditions& conditions) {
  return names_something(conditions.to) || names_something(conditions.not_to) || conditions.no_name ||
         needs_request(conditions);
}

bool needs_request(const policy::Conditions& c) {
  auto urls = [](const std::optional<policy::ToSet>& set) {
    return set && (!set->urls.empty() || !set->regexes.empty());
  };
  return urls(c.to) || urls(c.not_to) || c.method || c.not_method || c.response_type || c.not_response_type ||
         c.user_agent || c.not_user_agent || c.larger_than;
}

}  // namespace rules

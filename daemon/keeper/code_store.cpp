#include "daemon/keeper/code_store.hpp"

#include <sys/random.h>

#include <algorithm>

#include "base/json.hpp"
#include "base/text.hpp"
#include "daemon/code_hash.hpp"
#include "daemon/log.hpp"
#include "daemon/temporary_rules.hpp"
#include "rules/names.hpp"

namespace sluiced {
namespace {

using control::Json;
using control::Reply;

constexpr std::size_t most_codes = 10'000;
constexpr std::uint64_t longest_life = 366 * 86400;

// "4821-7730": eight digits, none more likely than another.
std::string random_code() {
  std::string digits;
  while (digits.size() < 8) {
    std::uint8_t byte;
    if (getrandom(&byte, 1, 0) != 1) return {};
    if (byte < 250) digits += static_cast<char>('0' + byte % 10);
  }
  return digits.substr(0, 4) + "-" + digits.substr(4);
}

}  // namespace

CodeStore::CodeStore(const std::string& folder) : kept_(folder + "/codes.json") {
  if (kept_.text().empty()) return;
  try {
    for (const Json& each : base::parse_json(kept_.text()))
      codes_.push_back({each.at("hash"), each.at("rule"), each.at("note"), each.at("made_by"), each.at("until"),
                        each.at("uses"), each.value("to", ""), each.at("hint")});
  } catch (const Json::exception&) {
    codes_.clear();
    logging::error(folder + "/codes.json is damaged: there are no codes; make new ones with sluicectl code new");
  }
}

Reply CodeStore::answer(const control::Request& request, const std::vector<std::string>& rules, const std::string& who,
                        base::WallTime now) {
  forget_ended(now);
  if (request.verb == "code new") return make(request, rules, who, now);
  if (request.verb == "code revoke") return revoke(request, who);
  return list(now);
}

Reply CodeStore::make(const control::Request& request, const std::vector<std::string>& rules, const std::string& who,
                      base::WallTime now) {
  std::string rule = request.argument("rule");
  auto life = base::parse_number(request.argument("seconds"), longest_life);
  if (!life || *life == 0) return control::refusal(2, "a code is good for at least a second and at most a year");
  std::string uses = request.argument("uses");
  auto count = base::parse_number(uses, 1'000'000);
  if (!uses.empty() && (!count || *count == 0)) return control::refusal(2, "--uses takes a number from 1");
  std::string to = request.argument("to");
  if (!to.empty()) {
    to = TemporaryRules::target_of(to);
    std::string_view kind = std::string_view(to).substr(0, to.find(':') + 1);
    bool is_tag = kind == "category:" || kind == "list:";
    if (is_tag && std::find(rules.begin(), rules.end(), "\t" + to) == rules.end())
      return control::refusal(2, "there is no " + to);
    if (!is_tag && kind != "host:" && kind != "url:" && kind != "ip:")
      return control::refusal(2, "'" + to + "' is not a host, a URL, category:NAME, list:NAME or ip:ADDRESS");
    // As the policy will read it.
    std::string_view rest = std::string_view(to).substr(kind.size());
    std::string why;
    auto look = [&](const auto& parsed) {
      if (!parsed) why = parsed.error().message;
    };
    if (kind == "host:") look(rules::parse_host(rest));
    if (kind == "url:") look(rules::parse_url_prefix(rest));
    if (kind == "ip:") look(rules::parse_prefix(rest));
    if (!why.empty()) return control::refusal(2, "'" + to + "': " + why);
    rule = "lesson " + random_code().substr(0, 4) + " (" + to + ")";
  } else {
    std::vector<std::string> known(rules);
    std::erase_if(known, [](const std::string& name) { return name.starts_with('\t'); });
    if (known.empty())
      return control::refusal(1, "no rule has action = \"code\"; --to makes a code for a host or a category");
    if (rule.empty() && known.size() == 1) rule = known.front();
    if (std::find(known.begin(), known.end(), rule) == known.end()) {
      std::string all;
      for (const std::string& each : known) all += (all.empty() ? "'" : ", '") + each + "'";
      return control::refusal(1, "no rule '" + rule + "' with action = \"code\"; there is " + all);
    }
  }
  if (codes_.size() >= most_codes) return control::refusal(1, "there are too many codes; revoke some");
  std::string code = random_code();
  if (code.empty()) return control::refusal(1, "the system gives no random numbers");
  codes_.push_back({hash_of_code(code), rule, request.argument("note").substr(0, 200), who,
                    base::seconds_of(now) + static_cast<std::int64_t>(*life),
                    count ? static_cast<std::int64_t>(*count) : std::int64_t{-1}, to, code.substr(code.size() - 2)});
  save();
  logging::notice(who + " made a code for the rule '" + rule + "', good for " + std::to_string(*life) + " s");
  return {
      0, code + "\n", {{"code", code}, {"rule", rule}, {"until", codes_.back().until}, {"uses", codes_.back().uses}}};
}

Reply CodeStore::list(base::WallTime now) const {
  Reply reply;
  Json all = Json::array();
  for (const Code& code : codes_) {
    std::int64_t left = code.until - base::seconds_of(now);
    reply.text += "..." + code.hint + "  '" + code.rule + "'  " + std::to_string(left) + " s left, " +
                  (code.uses < 0 ? "any number of uses" : std::to_string(code.uses) + " uses") + ", by " +
                  code.made_by + (code.note.empty() ? "" : ": " + code.note) + "\n";
    all.push_back({{"ends_with", code.hint},
                   {"rule", code.rule},
                   {"until", code.until},
                   {"uses", code.uses},
                   {"made_by", code.made_by},
                   {"note", code.note}});
  }
  if (codes_.empty()) reply.text = "no codes\n";
  reply.data = {{"codes", all}};
  return reply;
}

Reply CodeStore::revoke(const control::Request& request, const std::string& who) {
  std::string rule = request.argument("rule"), hash = hash_of_code(request.argument("code"));
  bool by_code = !request.argument("code").empty();
  std::size_t gone = std::erase_if(
      codes_, [&](const Code& code) { return by_code ? code.hash == hash : !rule.empty() && code.rule == rule; });
  if (gone == 0) return control::refusal(1, "there is no such code");
  save();
  logging::notice(who + " revoked " + std::to_string(gone) + (gone == 1 ? " code" : " codes"));
  return {0, std::to_string(gone) + " revoked\n", {{"revoked", gone}}};
}

void CodeStore::used(const std::string& hash) {
  for (Code& code : codes_)
    if (code.hash == hash && code.uses > 0) {
      --code.uses;
      save();
    }
}

void CodeStore::forget_ended(base::WallTime now) {
  std::erase_if(codes_, [&](const Code& code) { return code.until <= base::seconds_of(now); });
}

std::string CodeStore::for_gateway(base::WallTime now) {
  forget_ended(now);
  Json all = Json::array();
  for (const Code& code : codes_)
    all.push_back(
        {{"hash", code.hash}, {"rule", code.rule}, {"until", code.until}, {"uses", code.uses}, {"to", code.to}});
  return all.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void CodeStore::save() {
  Json all = Json::array();
  for (const Code& code : codes_)
    all.push_back({{"hash", code.hash},
                   {"rule", code.rule},
                   {"note", code.note},
                   {"made_by", code.made_by},
                   {"until", code.until},
                   {"uses", code.uses},
                   {"to", code.to},
                   {"hint", code.hint}});
  kept_.write(all.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace sluiced

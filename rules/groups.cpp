// [group.NAME]: who belongs to it and how its traffic is treated. Group 0 is `default`, written or not; nothing
// inherits from it (POLICY 6).
#include <algorithm>

#include "rules/draft.hpp"
#include "rules/enforcement.hpp"
#include "rules/names.hpp"
#include "rules/near_match.hpp"
#include "rules/rewrites.hpp"
#include "rules/shape.hpp"

namespace rules {
namespace {

constexpr std::string_view nothing_decrypted = "nothing is decrypted";
constexpr std::string_view no_decrypt_categories[] = {"no_decrypt", "no_decrypt_banks", "no_decrypt_health"};

class GroupReader {
 public:
  GroupReader(const Member& member, policy::GroupId id, Draft& draft, Diagnostics& diagnostics)
      : reader_(member, diagnostics), id_(id), draft_(draft), diagnostics_(diagnostics) {}

  void read() {
    policy::Group& group = draft_.snapshot.groups[id_.value];
    tls(group);
    inspection(group);
    quic(group);
    group.if_down =
        reader_.choice<policy::IfDown>("if_down", {{"open", policy::IfDown::open}, {"closed", policy::IfDown::closed}})
            .value_or(group.if_down);
    group.log = reader_
                    .choice<policy::LogDetail>("log", {{"none", policy::LogDetail::none},
                                                       {"category", policy::LogDetail::category},
                                                       {"domain", policy::LogDetail::domain},
                                                       {"url", policy::LogDetail::url}})
                    .value_or(group.log);
    read_rewriting(reader_, group, diagnostics_);
    if (const Member* shape = reader_.find("shape")) group.shape = read_shape(*shape, diagnostics_);
    later_keys();
    reader_.find("members");  // read_members has it
    reader_.finish();
  }

  std::vector<Text> members() { return reader_.strings("members").value_or(std::vector<Text>{}); }

 private:
  void tls(policy::Group& group) {
    auto mode = reader_.choice<policy::TlsMode>(
        "tls", {{"off", policy::TlsMode::off}, {"sni", policy::TlsMode::sni}, {"inspect", policy::TlsMode::inspect}});
    if (!mode) return;
    group.tls = *mode;
    draft_.tls_off[id_.value] = *mode == policy::TlsMode::off;
  }

  // What is decrypted and what is not.
  void inspection(policy::Group& group) {
    group.not_enrolled = reader_
                             .choice<policy::NotEnrolled>("not_enrolled", {{"sni", policy::NotEnrolled::sni},
                                                                           {"inspect", policy::NotEnrolled::inspect},
                                                                           {"refuse", policy::NotEnrolled::refuse}})
                             .value_or(group.not_enrolled);
    for (const Text& text : reader_.strings("tls_skip").value_or(std::vector<Text>{})) add_name(group.tls_skip, text);
    // The shipped list of what breaks, or must not be read, is skipped without being named.
    for (std::string_view category : no_decrypt_categories) {
      auto shipped = draft_.categories.index.find(category);
      if (shipped != draft_.categories.index.end()) group.tls_skip.tags.insert(policy::TagId{shipped->second});
    }
    group.wants_page = reader_.choice<bool>("block_page", {{"reset", false}, {"https", true}}).value_or(false);
    bool pass = reader_.choice<bool>("bad_certificate", {{"error", false}, {"pass", true}}).value_or(false);
    auto hosts = reader_.strings("bad_certificate_hosts");
    for (const Text& text : hosts.value_or(std::vector<Text>{}))
      if (pass) add_name(group.bad_certificate_pass, text);
    if (pass && (!hosts || hosts->empty()))
      error(diagnostics_, reader_.place_of("bad_certificate"),
            "bad_certificate = \"pass\" needs bad_certificate_hosts = [...]: the hosts that it is for");
    if (!pass && hosts)
      warning(diagnostics_, reader_.place_of("bad_certificate_hosts"),
              "bad_certificate_hosts does nothing without bad_certificate = \"pass\"");
  }

  void quic(policy::Group& group) {
    auto mode = reader_.choice<policy::QuicMode>(
        "quic",
        {{"allow", policy::QuicMode::allow}, {"policy", policy::QuicMode::policy}, {"block", policy::QuicMode::block}});
    if (!mode) return;
    group.quic = *mode;
  }

  // Keys with a meaning that this build does not have. A value that asks for nothing is no news.
  void later_keys() {
    later_choice("dns", {"off", "observe", "force"}, "off", "DNS is left alone");
    later_choice("forged_name", {"off", "log", "block"}, "off", "names are not compared with DNS answers");
  }

  void add_name(policy::NameSet& set, const Text& text) {
    std::string_view value = text.value;
    if (value.starts_with("host:")) {
      auto host = parse_host(value.substr(5));
      if (host)
        set.hosts.push_back(std::move(*host));
      else
        error(diagnostics_, text.place, host.error().message);
    } else if (value.starts_with("list:")) {
      if (!find_name(draft_, draft_.lists, value.substr(5), text.place, diagnostics_)) return;
      const std::vector<std::string>& tags = draft_.snapshot.index.tag_names();
      auto tag = std::find(tags.begin(), tags.end(), text.value);
      if (tag != tags.end()) set.tags.insert(policy::TagId{static_cast<std::uint32_t>(tag - tags.begin())});
    } else if (!value.starts_with("category:")) {
      error(diagnostics_, text.place, "'" + text.value + "' is not one of category:, list: or host:");
    } else if (auto known = draft_.categories.index.find(value.substr(9)); known != draft_.categories.index.end()) {
      set.tags.insert(policy::TagId{known->second});
    } else if (draft_.lists_by_url.empty()) {
      find_name(draft_, draft_.categories, value.substr(9), text.place, diagnostics_);
    }
  }

  void later(std::string_view key, std::string_view effect) {
    not_enforced(diagnostics_, reader_.find(key)->place, "'" + std::string(key) + "'", effect);
  }
  // True: a word is there that asks for something.
  bool later_choice(std::string_view key, const std::vector<std::string>& words, std::string_view plain,
                    std::string_view effect) {
    auto text = reader_.string(key);
    if (!text || text->value == plain) return false;
    if (std::find(words.begin(), words.end(), text->value) != words.end()) {
      later(key, effect);
      return true;
    }
    std::vector<std::string> quoted;
    for (const std::string& word : words) quoted.push_back("\"" + word + "\"");
    error(diagnostics_, text->place, "unknown value '" + text->value + "', expected " + one_of(quoted));
    return false;
  }

  TableReader reader_;
  policy::GroupId id_;
  Draft& draft_;
  Diagnostics& diagnostics_;
};

// Puts members into the client table, each into one group only.
class Memberships {
 public:
  Memberships(Draft& draft, Diagnostics& diagnostics) : draft_(draft), diagnostics_(diagnostics) {}

  void add(policy::GroupId group, const Text& text) {
    policy::ClientTable& clients = draft_.snapshot.clients;
    std::string_view value = text.value;
    std::size_t colon = value.find(':');
    std::string_view kind = looks_like_address(value) || colon == value.npos ? "" : value.substr(0, colon);
    std::string name(kind.empty() ? value : value.substr(colon + 1));
    if (!kind.empty() && name.empty())
      return error(diagnostics_, text.place, "'" + text.value + "' has no name after ':'");
    if (kind == "device") {
      auto device = find_name(draft_, draft_.devices, name, text.place, diagnostics_);
      if (device && take(group, text, text.value)) clients.add_member(group, policy::DeviceId{*device});
    } else if (kind == "iface") {
      const std::vector<std::string>& lan = draft_.settings.network.lan;
      if (draft_.settings_whole && std::find(lan.begin(), lan.end(), name) == lan.end())
        error(diagnostics_, text.place, "interface '" + name + "' is not in [network].lan" + did_you_mean(name, lan));
      else if (take(group, text, text.value))
        clients.add_member_interface(group, name);
    } else if (kind == "user" || kind == "role") {
      if (!take(group, text, text.value)) return;
      if (kind == "user")
        clients.add_member_user(group, name);
      else
        clients.add_member_role(group, name);
    } else if (kind.empty()) {
      auto prefix = parse_prefix(value);
      if (!prefix) {
        std::string hint = draft_.devices.index.contains(name) ? ", did you mean 'device:" + name + "'?" : "";
        error(diagnostics_, text.place,
              looks_like_address(value)
                  ? prefix.error().message
                  : "'" + name + "' is not a member" +
                        (hint.empty() ? ", expected an address, a prefix, user:, role:, device: or iface:" : hint));
      } else if (take(group, text, prefix->to_string())) {
        clients.add_member(group, *prefix);
      }
    } else {
      error(diagnostics_, text.place,
            "'" + text.value + "' is not a member, expected an address, a prefix, user:, role:, device: or iface:");
    }
  }

 private:
  struct Holder {
    policy::GroupId group;
    Place place;
  };

  bool take(policy::GroupId group, const Text& text, const std::string& key) {
    auto [other, is_new] = holders_.emplace(key, Holder{group, text.place});
    if (is_new) return true;
    if (other->second.group == group)
      warning(diagnostics_, text.place, "member '" + text.value + "' is listed twice in this group");
    else
      error(diagnostics_, text.place,
            "member '" + text.value + "' is already in group '" +
                draft_.snapshot.groups[other->second.group.value].name + "', at " + to_string(other->second.place));
    return false;
  }

  Draft& draft_;
  Diagnostics& diagnostics_;
  std::map<std::string, Holder> holders_;
};

}  // namespace

void read_groups(const PolicyTree& tree, Draft& draft, Diagnostics& diagnostics) {
  auto add = [&](const std::string& name) {
    draft.groups.index.emplace(name, static_cast<std::uint32_t>(draft.snapshot.groups.size()));
    draft.snapshot.groups.emplace_back().name = name;
    draft.tls_off.push_back(false);
  };
  add("default");
  for (const Member* member : tree.groups) {
    if (member->key.find(':') != std::string::npos || looks_like_address(member->key))
      error(diagnostics, member->place,
            "a group cannot be called '" + member->key + "': in 'from' that is an address or has a meaning of its own");
    if (member->key != "default") add(member->key);
  }
  Memberships memberships(draft, diagnostics);
  for (const Member* member : tree.groups) {
    policy::GroupId id{draft.groups.index.at(member->key)};
    GroupReader reader(*member, id, draft, diagnostics);
    if (member->value.kind != Node::Kind::table) continue;
    for (const Text& text : reader.members()) memberships.add(id, text);
    reader.read();
  }
}

}  // namespace rules

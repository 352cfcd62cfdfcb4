#include "policy/rewrite.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "policy/snapshot.hpp"

namespace policy {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = base::to_lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Whether `text`, decoded once as origins decode it, is `name` in any case.
bool decodes_to(std::string_view text, std::string_view name) {
  std::size_t at = 0;
  for (char expected : name) {
    if (at == text.size()) return false;
    char c = text[at++];
    if (c == '%' && at + 2 <= text.size() && hex_digit(text[at]) >= 0 && hex_digit(text[at + 1]) >= 0) {
      c = static_cast<char>(hex_digit(text[at]) << 4 | hex_digit(text[at + 1]));
      at += 2;
    }
    if (base::to_lower(c) != base::to_lower(expected)) return false;
  }
  return at == text.size();
}

// Where the path begins: behind the authority of an absolute-form.
std::size_t path_begin(std::string_view target) {
  if (target.starts_with('/')) return 0;
  std::size_t authority = target.find("://");
  if (authority == target.npos) return target.size();
  return std::min(target.find_first_of("/?#", authority + 3), target.size());
}

// A path that can be written in two ways is taken for one of `prefixes`: a parameter too many hurts nobody.
bool is_on(std::string_view path, const std::vector<std::string>& prefixes) {
  if (prefixes.empty()) return true;
  for (std::string_view odd : {"%", "//", "/.", "\\"})
    if (path.find(odd) != path.npos) return true;
  return std::any_of(prefixes.begin(), prefixes.end(), [&](const std::string& prefix) {
    return base::equal_ignoring_case(path.substr(0, prefix.size()), prefix);
  });
}

std::string joined(const std::vector<std::string>& values) {
  std::string list;
  for (const std::string& value : values) list += (list.empty() ? "" : ",") + value;
  return list;
}

// Empty: the group does not ask for it.
std::string value_for(RewriteTable::Key key, const Group& group) {
  switch (key) {
    case RewriteTable::Key::youtube:
      if (group.youtube == YouTube::off) return {};
      return group.youtube == YouTube::strict ? "Strict" : "Moderate";
    case RewriteTable::Key::tenant_google:
      return joined(group.tenant_google);
    case RewriteTable::Key::tenant_microsoft:
      return joined(group.tenant_microsoft);
    case RewriteTable::Key::tenant_microsoft_context:
      return group.tenant_microsoft_context;
  }
  return {};
}

void set_parameters(const RewriteTable& table, const RewriteTable::Host& host, std::string_view target,
                    RequestEdit& edit) {
  std::size_t begin = path_begin(target);
  if (begin == target.size() && target.find("://") == target.npos) return;  // "*"
  std::string_view path = target.substr(begin, target.find_first_of("?#", begin) - begin);
  for (std::uint32_t index : host.queries) {
    const RewriteTable::Query& query = table.queries[index];
    if (is_on(path, query.paths))
      edit.target = with_parameter(edit.target ? *edit.target : target, query.name, query.value);
  }
}

void set_fields(const RewriteTable& table, const RewriteTable::Host& host, const Group& group, RequestEdit& edit) {
  for (std::uint32_t index : host.headers) {
    const RewriteTable::Header& header = table.headers[index];
    std::string value = value_for(header.key, group);
    if (value.empty()) continue;
    edit.set_headers.emplace_back(header.name, header.value.empty() ? std::move(value) : header.value);
  }
}

}  // namespace

std::string with_parameter(std::string_view target, std::string_view name, std::string_view value) {
  target = target.substr(0, target.find('#'));
  std::size_t mark = target.find('?');
  std::string out;
  out.reserve(target.size() + name.size() + value.size() + 2);
  out += target.substr(0, mark);
  out += '?';
  bool any = false;  // of the client's parameters is kept, an empty one too
  if (mark != target.npos && mark + 1 < target.size()) {
    std::string_view rest = target.substr(mark + 1);
    for (char before = 0;;) {  // what separates the next parameter from the one before it
      std::size_t end = rest.find_first_of("&;");
      std::string_view parameter = rest.substr(0, end);
      if (!decodes_to(parameter.substr(0, parameter.find('=')), name)) {
        if (any) out += before;
        out += parameter;
        any = true;
      }
      if (end == rest.npos) break;
      before = rest[end];
      rest.remove_prefix(end + 1);
    }
  }
  // Always '&': an origin that takes ';' for a part of a value must see this one.
  if (any) out += '&';
  out += name;
  out += '=';
  out += value;
  return out;
}

RequestEdit edit_request(const RewriteTable& table, const Group& group, const base::DomainName& host,
                         std::string_view target) {
  RequestEdit edit;
  if (!group.wants_rewriting()) return edit;
  auto apply = [&](const std::string& name) {
    auto found = table.hosts.find(name);
    if (found == table.hosts.end()) return;
    if (group.safe_search) set_parameters(table, found->second, target, edit);
    set_fields(table, found->second, group, edit);
  };
  apply(host.text());
  for (std::string_view name = host.text(); !name.empty(); name = base::parent_of(name))
    apply("*." + std::string(name));
  if (edit.target == target) edit.target.reset();
  return edit;
}

}  // namespace policy

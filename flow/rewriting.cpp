#include "flow/rewriting.hpp"

#include <algorithm>
#include <deque>

#include "base/text.hpp"
#include "proto/http/alt_svc.hpp"

namespace flow {
namespace {

using proto::http::Field;

bool sets(const policy::RequestEdit& edit, std::string_view name) {
  return std::any_of(edit.set_headers.begin(), edit.set_headers.end(),
                     [&](const auto& header) { return base::equal_ignoring_case(header.first, name); });
}

// The options of Connection without those that name a field we set: whoever obeys them would drop it (RFC 9110 7.6.1).
std::string without_options(std::string_view options, const policy::RequestEdit& edit) {
  std::string kept;
  for (std::string_view option : base::split(options, ',')) {
    option = base::trim(option);
    if (option.empty() || sets(edit, option)) continue;
    if (!kept.empty()) kept += ", ";
    kept += option;
  }
  return kept;
}

std::string serialize_edited(proto::http::RequestHead head, const policy::RequestEdit& edit) {
  std::deque<std::string> owned;  // what the fields' views point to
  std::vector<Field> fields;
  fields.reserve(head.fields.size() + edit.set_headers.size());
  for (Field field : head.fields) {
    if (sets(edit, field.name)) continue;
    if (base::equal_ignoring_case(field.name, "connection")) {
      field.value = owned.emplace_back(without_options(field.value, edit));
      if (field.value.empty()) continue;
    }
    fields.push_back(field);
  }
  for (const auto& [name, value] : edit.set_headers) fields.push_back({name, value});
  head.fields = std::move(fields);
  if (edit.target) head.target = *edit.target;
  return proto::http::serialize(head);
}

}  // namespace

std::string head_for_origin(const Flow& flow, const proto::http::RequestHead& head) {
  if (!flow.subject.name) return proto::http::serialize(head);
  policy::RequestEdit edit =
      policy::edit_request(flow.snapshot().rewrites, flow.group(), *flow.subject.name, head.target);
  return edit.empty() ? proto::http::serialize(head) : serialize_edited(head, edit);
}

std::string head_for_client(const Flow& flow, const proto::http::ResponseHead& head) {
  const policy::Group& group = flow.group();
  bool refuses_quic = group.quic == policy::QuicMode::block || group.tls == policy::TlsMode::inspect;
  auto is_alt_svc = [](const Field& field) { return base::equal_ignoring_case(field.name, "alt-svc"); };
  if (!refuses_quic || std::none_of(head.fields.begin(), head.fields.end(), is_alt_svc))
    return proto::http::serialize(head);
  std::deque<std::string> owned;  // what the fields' views point to
  proto::http::ResponseHead edited = head;
  edited.fields.clear();
  for (Field field : head.fields) {
    if (is_alt_svc(field)) {
      auto rest = proto::http::without_h3(field.value);
      if (!rest) continue;
      field.value = owned.emplace_back(std::move(*rest));
    }
    edited.fields.push_back(field);
  }
  return proto::http::serialize(edited);
}

void edit_for_origin(const Flow& flow, const Subject& subject, std::vector<proto::http::H2Field>& fields) {
  if (!subject.name) return;
  auto path = std::find_if(fields.begin(), fields.end(), [](const auto& field) { return field.name == ":path"; });
  if (path == fields.end()) return;
  policy::RequestEdit edit = policy::edit_request(flow.snapshot().rewrites, flow.group(), *subject.name, path->value);
  if (edit.target) path->value = *edit.target;
  std::erase_if(fields, [&](const auto& field) { return sets(edit, field.name); });
  for (const auto& [name, value] : edit.set_headers) fields.push_back({base::to_lower(name), value});
}

void edit_for_client(const Flow&, std::vector<proto::http::H2Field>& fields) {
  std::erase_if(fields, [](auto& field) {
    if (field.name != "alt-svc") return false;
    auto rest = proto::http::without_h3(field.value);
    if (rest) field.value = std::move(*rest);
    return !rest;
  });
}

}  // namespace flow

#include "flow/h2_relay.hpp"

#include <algorithm>
#include <utility>

#include "base/text.hpp"
#include "flow/proceed.hpp"
#include "flow/refusal.hpp"
#include "flow/rewriting.hpp"

namespace flow {
namespace {

// RFC 9113 7.
namespace h2_error {
constexpr std::uint32_t none = 0, internal = 2, refused_stream = 7, cancel = 8;
}
using proto::http::H2Field;

constexpr std::size_t output_piece = 64 * 1024;  // bytes asked of a session at once

std::string_view value_of(const std::vector<H2Field>& fields, std::string_view name) {
  for (const H2Field& each : fields)
    if (each.name == name) return each.value;
  return {};
}

bool is_number(std::string_view text) {
  return base::parse_number(text, ~std::uint64_t{0}).has_value();
}

// The connection's subject makes room for a stream's while that is judged.
class InPlace {
 public:
  InPlace(Flow& flow, Subject& subject) : flow_(flow), subject_(subject) { std::swap(flow_.subject, subject_); }
  ~InPlace() { std::swap(flow_.subject, subject_); }
  InPlace(const InPlace&) = delete;

 private:
  Flow& flow_;
  Subject& subject_;
};

}  // namespace

H2Relay::H2Relay(Flow&, std::string name)
    : name_(std::move(name)), client_(*this, Side::client), origin_(*this, Side::origin) {}

// --- steps

bool H2Relay::receive(Flow& flow, Side side, base::Bytes bytes) {
  flow_ = &flow;
  End& from = side == Side::client ? client_ : origin_;
  bool whole = from.session.receive(bytes);
  if (!whole && side == Side::origin) client_.session.go_away(h2_error::internal);
  pump();
  return whole;
}

void H2Relay::ended(Flow& flow, Side side) {
  flow_ = &flow;
  std::vector<Stream*> open;
  for (auto& [id, stream] : streams_) open.push_back(stream.get());
  for (Stream* each : open) reset(*each, side == Side::origin ? h2_error::internal : h2_error::cancel);
  if (side == Side::origin) client_.session.go_away(h2_error::none);
  pump();
}

void H2Relay::policy_changed(Flow& flow) {
  flow_ = &flow;
  std::vector<Stream*> open;
  for (auto& [id, stream] : streams_) open.push_back(stream.get());
  for (Stream* each : open) {
    if (!each->asked) continue;
    bool refused;
    {
      InPlace judged(flow, each->subject);
      refused = flow.judge_again();
    }
    if (refused) reset(*each, h2_error::cancel);
  }
  pump();
}

void H2Relay::say_goodbye(Flow& flow) {
  flow_ = &flow;
  client_.session.go_away(h2_error::none);
  pump();
}

// Those of a connection that is being given up.
void H2Relay::note_all(Flow& flow, std::string_view aborted) {
  flow_ = &flow;
  for (auto& [id, stream] : streams_) note(*stream, aborted);
}

// What one side takes may let the other go on: until nothing moves.
void H2Relay::pump() {
  for (bool moved = true; moved;) {
    moved = false;
    for (End* to : {&client_, &origin_}) {
      std::string bytes = to->session.output(output_piece);
      if (bytes.empty()) continue;
      moved = true;
      flow_->out.send(to->side, std::move(bytes));
    }
  }
}

// --- streams

H2Relay::Stream* H2Relay::find(Side side, std::int32_t id) {
  auto& streams = side == Side::client ? client_.streams : origin_.streams;
  auto found = streams.find(id);
  return found == streams.end() ? nullptr : found->second;
}

bool H2Relay::judge(Stream& stream) {
  InPlace judged(*flow_, stream.subject);
  return flow_->judge();
}

void H2Relay::note(Stream& stream, std::string_view aborted) {
  InPlace noted(*flow_, stream.subject);
  flow_->note(aborted);
}

void H2Relay::reset(Stream& stream, std::uint32_t error) {
  if (stream.origin >= 0) origin_.session.reset(stream.origin, error);
  if (stream.client >= 0) client_.session.reset(stream.client, error);
}

void H2Relay::forget_if_over(Stream& stream) {
  if (stream.client >= 0 || stream.origin >= 0) return;
  note(stream, stream.response_over || refuses(stream.subject.verdict) ? std::string_view{} : "cancelled");
  std::erase_if(streams_, [&](const auto& each) { return each.second.get() == &stream; });
}

// --- requests

void H2Relay::request(std::int32_t id, Fields fields, bool ends) {
  auto owned = std::make_unique<Stream>();
  Stream& stream = *owned;
  stream.client = stream.client_id = id;
  client_.streams[id] = &stream;
  streams_[id] = std::move(owned);

  std::string method(value_of(fields, ":method")), path(value_of(fields, ":path")),
      protocol(value_of(fields, ":protocol"));
  std::string authority(value_of(fields, ":authority"));
  if (authority.empty()) authority = value_of(fields, "host");
  Subject& subject = stream.subject;
  subject.protocol = "http";
  subject.lane = policy::Lane::intercept;
  subject.inspected = true;
  subject.stage = policy::Stage::request;
  subject.to_come = {.response = true};
  subject.began = flow_->now();
  subject.own_bytes = Subject::Bytes{};
  subject.method = method;
  subject.user_agent = value_of(fields, "user-agent");
  subject.url = proto::http::Url::from_request("https", authority, path.empty() ? "/" : path);
  stream.request_over = ends;

  auto refuse = [&](int status, std::string_view why) {
    {
      InPlace refused(*flow_, subject);
      flow_->refuse(policy::Reason::malformed);
    }
    answer(stream, error_answer(status, why));
  };
  if (!subject.url) return refuse(400, "The request names no host, or its path could be read in two ways.");
  std::string host(subject.url->view().host);
  subject.name = base::DomainName::parse(host);
  if (subject.name) subject.name_source = policy::NameSource::host;
  if (host != name_) return refuse(421, "This connection is for " + name_ + ".");
  if (method == "CONNECT" && protocol != "websocket") return refuse(403, "CONNECT is for proxies, and this is none.");
  if (flow_->gatekeeper() != nullptr && path == proceed_path) {
    stream.is_proceed = true;
    if (ends) proceed(stream);
    return;
  }
  if (judge(stream)) return block(stream);

  Fields sent;
  sent.reserve(fields.size());
  for (H2Field& each : fields) {
    if (each.name == "cookie" || each.name == "authorization")
      each.sensitive |= each.value.size() < 20;  // RFC 7541 7.1.3
    sent.push_back(std::move(each));
  }
  edit_for_origin(*flow_, subject, sent);
  stream.origin = leaving_ ? -1 : origin_.session.request(sent, ends);
  if (stream.origin < 0) return reset(stream, h2_error::refused_stream);  // the client tries again elsewhere
  stream.asked = true;
  stream.origin_id = stream.origin;
  origin_.streams[stream.origin] = &stream;
}

// The form of a block page is whole.
void H2Relay::proceed(Stream& stream) {
  Answer what;
  {
    InPlace judged(*flow_, stream.subject);
    what = answer_form(*flow_, flow_->subject.method == "POST" ? parse_proceed(stream.form) : std::nullopt);
  }
  answer(stream, what);
}

void H2Relay::block(Stream& stream) {
  Answer what;
  {
    InPlace judged(*flow_, stream.subject);
    what = refusal(*flow_);
  }
  answer(stream, what);
}

// An answer of our own; the rest of the request is not wanted.
void H2Relay::answer(Stream& stream, const Answer& what) {
  stream.subject.status = what.status;
  stream.answered = stream.response_over = true;
  Fields fields{{":status", std::to_string(what.status)}};
  for (const auto& [name, value] : what.fields) fields.push_back({name, value});
  fields.push_back({"content-length", std::to_string(what.body.size())});
  bool without_body = stream.subject.method == "HEAD" || what.body.empty();
  client_.session.headers(stream.client, fields, without_body);
  if (!without_body) {
    client_.session.send(stream.client, base::as_bytes(what.body));
    client_.session.finish(stream.client);
  }
}

// --- responses

void H2Relay::response(Stream& stream, Fields fields, bool ends) {
  Subject& subject = stream.subject;
  subject.stage = policy::Stage::response;
  subject.to_come = {};
  std::string_view type = value_of(fields, "content-type");
  subject.content_type = base::to_lower(base::trim(type.substr(0, type.find(';'))));
  std::string_view length = value_of(fields, "content-length");
  if (ends)
    subject.content_length = 0;
  else if (is_number(length))
    subject.content_length = base::parse_number(length, ~std::uint64_t{0});
  else
    subject.content_length.reset();
  if (judge(stream)) {
    block(stream);
    origin_.session.reset(stream.origin, h2_error::cancel);
    return;
  }
  subject.status = static_cast<int>(base::parse_number(value_of(fields, ":status"), 999).value_or(0));
  stream.answered = true;
  stream.response_over = ends;
  edit_for_client(*flow_, fields);
  client_.session.headers(stream.client, fields, ends);
}

// --- what the ends tell

void H2Relay::End::on_headers(std::int32_t id, Kind kind, std::vector<H2Field> fields, bool ends) {
  if (side == Side::client && kind == Kind::request) return relay.request(id, std::move(fields), ends);
  Stream* stream = relay.find(side, id);
  if (stream == nullptr) return;
  switch (kind) {
    case Kind::request:
      return;
    case Kind::interim:
      if (!stream->answered) relay.client_.session.interim(stream->client, fields);
      return;
    case Kind::response:
      if (!stream->answered) relay.response(*stream, std::move(fields), ends);
      return;
    case Kind::trailers:
      if (side == Side::client) {
        stream->request_over = true;
        if (stream->origin >= 0) relay.origin_.session.trailers(stream->origin, std::move(fields));
      } else if (!std::exchange(stream->response_over, true)) {
        if (stream->client >= 0) relay.client_.session.trailers(stream->client, std::move(fields));
      }
      return;
  }
}

void H2Relay::End::on_data(std::int32_t id, base::Bytes bytes, bool ends) {
  Stream* stream = relay.find(side, id);
  if (stream == nullptr) return session.consumed(id, bytes.size());
  pass_data(*stream, id, bytes);
  if (ends) on_end(id);
}

// Window is given back when the bytes have left toward the other side, and at once for those that go nowhere.
void H2Relay::End::pass_data(Stream& stream, std::int32_t id, base::Bytes bytes) {
  if (side == Side::client) {
    if (stream.origin >= 0) {
      stream.up_waiting += bytes.size();
      return relay.origin_.session.send(stream.origin, bytes);
    }
    session.consumed(id, bytes.size());
    if (!stream.is_proceed || stream.answered) return;
    stream.form += base::as_text(bytes);
    if (stream.form.size() > largest_form) relay.answer(stream, error_answer(400, "The form is too large."));
    return;
  }
  if (stream.client < 0 || stream.response_over) return session.consumed(id, bytes.size());
  stream.passed_down += bytes.size();
  policy::Verdict& verdict = stream.subject.verdict;
  if (verdict.cut_body_at && stream.passed_down > *verdict.cut_body_at) {
    verdict.outcome = policy::Outcome::block;
    verdict.reason = policy::Reason::rule;
    verdict.rule = verdict.cut_rule;
    session.consumed(id, bytes.size());
    return relay.reset(stream, h2_error::cancel);
  }
  stream.down_waiting += bytes.size();
  relay.client_.session.send(stream.client, bytes);
}

void H2Relay::End::on_end(std::int32_t id) {
  Stream* stream = relay.find(side, id);
  if (stream == nullptr) return;
  if (side == Side::client) {
    stream->request_over = true;
    if (stream->origin >= 0) return relay.origin_.session.finish(stream->origin);
    if (stream->is_proceed && !stream->answered) relay.proceed(*stream);
    return;
  }
  if (std::exchange(stream->response_over, true)) return;
  if (stream->client >= 0) relay.client_.session.finish(stream->client);
}

void H2Relay::End::on_sent(std::int32_t id, std::size_t bytes) {
  Stream* stream = relay.find(side, id);
  if (stream == nullptr) return;
  if (side == Side::client) {
    stream->subject.own_bytes->down += bytes;
    std::size_t passed = std::min(bytes, stream->down_waiting);  // the rest is a page of ours
    stream->down_waiting -= passed;
    relay.origin_.session.consumed(stream->origin_id, passed);
  } else {
    stream->subject.own_bytes->up += bytes;
    stream->up_waiting -= std::min(bytes, stream->up_waiting);
    relay.client_.session.consumed(stream->client_id, bytes);
  }
}

void H2Relay::End::on_closed(std::int32_t id, std::uint32_t error) {
  Stream* stream = relay.find(side, id);
  streams.erase(id);
  if (stream == nullptr) return;
  if (side == Side::client) {
    stream->client = -1;
    relay.origin_.session.consumed(stream->origin_id, std::exchange(stream->down_waiting, 0));
    if (stream->origin >= 0) relay.origin_.session.reset(stream->origin, error != 0 ? error : h2_error::cancel);
  } else {
    stream->origin = -1;
    relay.client_.session.consumed(stream->client_id, std::exchange(stream->up_waiting, 0));
    if (stream->client >= 0 && !stream->response_over)
      relay.client_.session.reset(stream->client, error != 0 ? error : h2_error::internal);
  }
  relay.forget_if_over(*stream);
}

void H2Relay::End::on_settings() {
  if (side == Side::origin && session.peer_allows_connect_protocol()) relay.client_.session.allow_connect_protocol();
}

// The origin takes no more streams: the client is told so, and opens another connection.
void H2Relay::End::on_goaway(std::int32_t, std::uint32_t) {
  if (side == Side::client || std::exchange(relay.leaving_, true)) return;
  relay.client_.session.go_away(h2_error::none);
}

}  // namespace flow

// The two ways to write an access record. JSON keeps POLICY's key order ("Access log") and leaves out what is not
// known; squid's native format (`%ts.%03tu %6tr %>a %Ss/%03>Hs %<st %rm %ru %[un %Sh/%<a %mt`) has ten columns for
// spaces to separate, so that no value may hold one, and readers that refuse a status of 000 and take what is beyond 4096
// bytes for a line of its own (goaccess). Its time is when the request or connection ended.
#include "flow/access_record.hpp"

#include <cstdio>

#include "base/text.hpp"

namespace flow {
namespace {

// Writes members one after the other; quotes and commas are in one place.
class ObjectWriter {
 public:
  explicit ObjectWriter(std::string& out) : out_(out) { out_ += '{'; }
  void close() { out_ += '}'; }

  void text(std::string_view key, std::string_view value) {
    begin(key);
    quoted(value);
  }
  void text_if_any(std::string_view key, std::string_view value) {
    if (!value.empty()) text(key, value);
  }
  void number(std::string_view key, std::uint64_t value) {
    begin(key);
    out_ += std::to_string(value);
  }
  void number_if_any(std::string_view key, std::uint64_t value) {
    if (value != 0) number(key, value);
  }
  void list(std::string_view key, const std::vector<std::string>& values) {
    begin(key);
    out_ += '[';
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (i > 0) out_ += ',';
      quoted(values[i]);
    }
    out_ += ']';
  }

 private:
  void begin(std::string_view key) {
    if (out_.size() > 1) out_ += ',';
    out_ += '"';
    out_ += key;
    out_ += "\":";
  }
  void quoted(std::string_view value) {
    out_ += '"';
    base::append_json_escaped(out_, value);
    out_ += '"';
  }
  std::string& out_;
};

// "2026-03-29T12:05:06.789Z" (RFC 3339).
std::string utc(base::WallTime time) {
  using namespace std::chrono;
  sys_days day = floor<days>(time);
  year_month_day date{day};
  hh_mm_ss clock{time - day};
  char text[40];
  std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d.%03dZ", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                static_cast<int>(clock.seconds().count()), static_cast<int>(clock.subseconds().count()));
  return text;
}

// An origin whose address the group's log does not keep is left as it was made; nobody can connect to 0.0.0.0.
bool is_kept(const base::IpAddress& address) {
  return address != base::IpAddress{};
}

// The longest columns of squid's format. With the fixed ones they make a line of less than 4096 bytes.
constexpr std::size_t longest_url = 2048, longest_user = 768, longest_type = 128, longest_method = 32;

// One column: what could end it, or the line, is percent-encoded, what is too long is cut; nothing at all is "-".
std::string column(std::string_view value, std::size_t longest) {
  if (value.empty()) return "-";
  std::string text;
  for (char c : value) {
    if (text.size() >= longest) break;
    auto byte = static_cast<unsigned char>(c);
    if (byte > ' ' && byte < 0x7f) {
      text += c;
    } else {
      char escaped[4];
      std::snprintf(escaped, sizeof escaped, "%%%02X", byte);
      text += escaped;
    }
  }
  return text;
}

std::string host_text(const AccessRecord& record) {
  if (!record.name.empty()) return record.name;
  if (!is_kept(record.dst.address)) return {};
  std::string address = record.dst.address.to_string();
  return record.dst.address.is_v6() ? "[" + address + "]" : address;
}

bool is_refusal(const AccessRecord& record) {
  return record.action == "block" || record.action == "warn" || record.action == "code" || record.action == "quota";
}

}  // namespace

std::string to_json(const AccessRecord& record) {
  std::string line;
  line.reserve(512);
  ObjectWriter object(line);
  object.text("time", utc(record.time));
  object.text("id", record.id);
  object.text("client", record.client.to_string());
  object.number_if_any("sport", record.sport);
  object.text_if_any("user", record.user);
  object.text_if_any("device", record.device);
  object.text_if_any("identity", record.identity);
  object.text_if_any("group", record.group);
  object.text_if_any("proto", record.proto);
  if (is_kept(record.dst.address)) object.text("dst", record.dst.address.to_string());
  object.number_if_any("dport", record.dst.port);
  object.text_if_any("name", record.name);
  object.text_if_any("name_source", record.name_source);
  object.text_if_any("url", record.url);
  object.text_if_any("method", record.method);
  object.number_if_any("status", static_cast<std::uint64_t>(record.status));
  object.text_if_any("type", record.type);
  object.number("bytes_up", record.bytes_up);
  object.number("bytes_down", record.bytes_down);
  object.number("duration_ms", record.duration_ms);
  object.text("tls", record.tls);
  object.text_if_any("spared", record.spared);
  object.list("categories", record.categories);
  object.text("action", record.action);
  object.text_if_any("rule", record.rule);
  object.text("reason", record.reason);
  object.text_if_any("shadow", record.shadow);
  object.close();
  return line;
}

std::string to_squid(const AccessRecord& record) {
  bool tunnel = record.proto != "http";
  bool refused = is_refusal(record);

  // A flow that ended before its answer has no status; 499 is what other proxies write for it.
  int status = record.status;
  std::string_view code = tunnel ? "TCP_TUNNEL" : "TCP_MISS";
  if (refused) code = "TCP_DENIED";
  if (tunnel || refused) status = status != 0 ? status : refused ? 403 : 200;
  if (status == 0) {
    code = "TCP_MISS_ABORTED";
    status = 499;
  }

  std::string host = host_text(record);
  std::string port = std::to_string(record.dst.port);
  std::string url = record.url;
  if (tunnel)
    url = host.empty() ? "" : host + ":" + port;
  else if (url.empty() && !host.empty())
    url = "http://" + host + (record.dst.port == 80 ? "" : ":" + port) + "/";

  auto milliseconds = record.time.time_since_epoch().count() + static_cast<std::int64_t>(record.duration_ms);
  char begin[80];
  std::snprintf(begin, sizeof begin, "%lld.%03lld %6llu ", static_cast<long long>(milliseconds / 1000),
                static_cast<long long>(milliseconds % 1000), static_cast<unsigned long long>(record.duration_ms));

  std::string line = begin;
  line += record.client.to_string() + " ";
  line += code;
  line += "/" + std::to_string(status) + " " + std::to_string(record.bytes_down) + " ";
  line += (tunnel ? "CONNECT" : column(record.method, longest_method)) + " " + column(url, longest_url) + " ";
  line += column(record.user.empty() ? record.device : record.user, longest_user) + " ";
  line += refused || !is_kept(record.dst.address) ? "HIER_NONE/-" : "HIER_DIRECT/" + record.dst.address.to_string();
  line += " " + column(record.type, longest_type);
  return line;
}

}  // namespace flow

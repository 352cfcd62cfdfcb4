// A TZif file holds the past as a table of transitions and the future as a rule, the footer's POSIX TZ string:
//
//   header v1, data v1 (32-bit times)        skipped by its counts
//   header v2+, data v2+ (64-bit times)      transition times, a type index for each, the types (offset, dst, name)
//   "\n" TZ string "\n"                      "CET-1CEST,M3.5.0,M10.5.0/3"; empty: no change is known to come
//
// policy::Zone has transitions only, so the rule is written out up to `last_year`: two changes a year, some 150 pairs,
// which costs nothing and needs no clock here. A "fat" file already lists the changes up to 2037; the rule goes on
// after its last one. Before the first transition type 0 holds (RFC 8536 3.2). Leap seconds ("right/" zones) are
// ignored.
#include "rules/zone.hpp"

#include <algorithm>
#include <chrono>
#include <limits>
#include <optional>

#include "base/byte_reader.hpp"
#include "base/text.hpp"

namespace rules {
namespace {

constexpr int last_year = 2100;
constexpr std::int64_t beginning = -(std::int64_t{1} << 59);  // RFC 8536 4.1: before it there is no time
constexpr std::int64_t seconds_a_day = 86400;

struct Header {
  std::uint8_t version = 0;
  std::uint32_t utc_flags = 0, standard_flags = 0, leaps = 0, times = 0, types = 0, characters = 0;

  std::uint64_t data_size(std::uint64_t time_size) const {
    return times * (time_size + 1) + types * std::uint64_t{6} + characters + leaps * (time_size + 4) + standard_flags +
           utc_flags;
  }
};

// RFC 8536 3.1.
std::optional<Header> read_header(base::ByteReader& reader) {
  if (base::as_text(reader.take(4)) != "TZif") return std::nullopt;
  Header header;
  header.version = reader.u8();
  reader.skip(15);
  header.utc_flags = reader.u32();
  header.standard_flags = reader.u32();
  header.leaps = reader.u32();
  header.times = reader.u32();
  header.types = reader.u32();
  header.characters = reader.u32();
  return reader.ok() ? std::optional(header) : std::nullopt;
}

// --- POSIX TZ strings (POSIX.1-2017 8.3, with RFC 8536 3.3.1's wider hours) ---

// A date of the year in one of the three spellings.
struct YearDay {
  enum class Form { julian, zero_based, month_week } form = Form::zero_based;
  int day = 0;  // 1-365 without 29 February; 0-365; or 0-6 from Sunday
  int month = 0, week = 0;
  std::int32_t time = 7200;

  // Local seconds since 1970 of this moment in `year`.
  std::int64_t in(int year) const {
    using namespace std::chrono;
    sys_days first = std::chrono::year(year) / January / 1;
    if (form == Form::zero_based) return (first.time_since_epoch().count() + day) * seconds_a_day + time;
    if (form == Form::julian) {
      int after_february = std::chrono::year(year).is_leap() && day >= 60 ? 1 : 0;
      return (first.time_since_epoch().count() + day - 1 + after_february) * seconds_a_day + time;
    }
    std::chrono::month in_month(static_cast<unsigned>(month));
    std::chrono::weekday on(static_cast<unsigned>(day));
    sys_days date = week == 5 ? sys_days(std::chrono::year(year) / in_month / on[last])
                              : sys_days(std::chrono::year(year) / in_month / on[static_cast<unsigned>(week)]);
    return date.time_since_epoch().count() * seconds_a_day + time;
  }
};

struct PosixRule {
  std::int32_t standard = 0;  // seconds east of UTC
  std::optional<std::int32_t> summer;
  YearDay begin, end;
};

class PosixParser {
 public:
  explicit PosixParser(std::string_view text) : rest_(text) {}

  std::optional<PosixRule> parse() {
    PosixRule rule;
    if (!name()) return std::nullopt;
    auto west = offset();
    if (!west) return std::nullopt;
    rule.standard = -*west;
    if (rest_.empty()) return rule;
    if (!name()) return std::nullopt;
    rule.summer = rule.standard + 3600;
    if (!rest_.empty() && rest_.front() != ',') {
      west = offset();
      if (!west) return std::nullopt;
      rule.summer = -*west;
    }
    // Without dates a summer time would mean the United States' ones of the day; the TZ database never does that.
    if (!date(rule.begin) || !date(rule.end) || !rest_.empty()) return std::nullopt;
    return rule;
  }

 private:
  bool skip(char c) {
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  bool name() {
    if (skip('<')) {
      std::size_t close = rest_.find('>');
      if (close == rest_.npos || close < 3) return false;
      rest_.remove_prefix(close + 1);
      return true;
    }
    std::size_t length = 0;
    while (length < rest_.size() && base::to_lower(rest_[length]) >= 'a' && base::to_lower(rest_[length]) <= 'z')
      ++length;
    rest_.remove_prefix(length);
    return length >= 3;
  }

  std::optional<int> number(int least, int most) {
    std::size_t length = std::min(rest_.find_first_not_of("0123456789"), rest_.size());
    auto value = base::parse_number(rest_.substr(0, length), static_cast<std::uint64_t>(most));
    if (!value || static_cast<int>(*value) < least) return std::nullopt;
    rest_.remove_prefix(length);
    return static_cast<int>(*value);
  }

  // [+-]hh[:mm[:ss]], up to a week (RFC 8536 3.3.1).
  std::optional<std::int32_t> offset() {
    int sign = skip('-') ? -1 : (skip('+'), 1);
    auto hours = number(0, 167);
    if (!hours) return std::nullopt;
    int seconds = *hours * 3600;
    for (int unit : {60, 1}) {
      if (!skip(':')) break;
      auto part = number(0, 59);
      if (!part) return std::nullopt;
      seconds += *part * unit;
    }
    return sign * seconds;
  }

  bool date(YearDay& out) {
    if (!skip(',')) return false;
    std::optional<int> day_number;
    if (skip('M')) {
      out.form = YearDay::Form::month_week;
      auto month = number(1, 12);
      bool dot = skip('.');
      auto week = dot ? number(1, 5) : std::nullopt;
      if (!month || !week || !skip('.')) return false;
      out.month = *month;
      out.week = *week;
      day_number = number(0, 6);
    } else if (skip('J')) {
      out.form = YearDay::Form::julian;
      day_number = number(1, 365);
    } else {
      day_number = number(0, 365);
    }
    if (!day_number) return false;
    out.day = *day_number;
    if (skip('/')) {
      auto time = offset();
      if (!time) return false;
      out.time = *time;
    }
    return true;
  }

  std::string_view rest_;
};

// The rule's changes after the last one that is listed.
void write_out(const PosixRule& rule, std::vector<policy::Zone::Change>& changes) {
  if (changes.empty()) changes.push_back({beginning, rule.standard});
  if (!rule.summer) return;  // nothing changes any more: the table's last offset is the rule's
  std::int64_t after = changes.back().from;
  int first_year = 1970;
  if (after > 0) {
    std::chrono::sys_seconds moment{std::chrono::seconds(after)};
    std::chrono::year_month_day date(std::chrono::floor<std::chrono::days>(moment));
    first_year = static_cast<int>(date.year()) - 1;
  }
  std::vector<policy::Zone::Change> future;
  for (int year = first_year; year <= last_year; ++year) {
    future.push_back({rule.begin.in(year)-rule.standard, *rule.summer});
    future.push_back({rule.end.in(year) - *rule.summer, rule.standard});
  }
  std::stable_sort(future.begin(), future.end(), [](const auto& a, const auto& b) { return a.from < b.from; });
  for (const policy::Zone::Change& change : future)
    if (change.from > after) changes.push_back(change);
}

base::Result<policy::Zone> parse_tzif(std::string name, base::Bytes file) {
  base::Error damaged = base::malformed("damaged TZif file");
  base::ByteReader reader(file);
  auto header = read_header(reader);
  if (!header) return damaged;
  std::uint64_t time_size = 4;
  if (header->version >= '2') {
    std::uint64_t skipped = header->data_size(4);
    if (skipped > reader.remaining()) return damaged;
    reader.skip(static_cast<std::size_t>(skipped));
    header = read_header(reader);
    if (!header) return damaged;
    time_size = 8;
  }
  if (header->data_size(time_size) > reader.remaining() || header->types == 0) return damaged;

  base::ByteReader times = reader.sub(header->times * static_cast<std::size_t>(time_size));
  base::ByteReader indices = reader.sub(header->times);
  base::ByteReader types = reader.sub(header->types * std::size_t{6});
  reader.skip(header->characters + header->leaps * static_cast<std::size_t>(time_size + 4) + header->standard_flags +
              header->utc_flags);
  std::vector<std::int32_t> offsets;
  for (std::uint32_t i = 0; i < header->types; ++i) {
    offsets.push_back(static_cast<std::int32_t>(types.u32()));
    if (offsets.back() < -93599 || offsets.back() > 93599) return damaged;  // RFC 8536 3.2: utoff's range
    types.skip(2);
  }
  policy::Zone zone{std::move(name), {{beginning, offsets.front()}}};
  for (std::uint32_t i = 0; i < header->times; ++i) {
    std::int64_t from =
        time_size == 8 ? static_cast<std::int64_t>(times.u64()) : static_cast<std::int32_t>(times.u32());
    std::uint8_t type = indices.u8();
    if (type >= offsets.size() || from > std::numeric_limits<std::int64_t>::max() / 2) return damaged;
    if (from < beginning) from = beginning;
    if (i != 0 && from < zone.changes.back().from) return damaged;
    if (from == zone.changes.back().from)
      zone.changes.back().offset_seconds = offsets[type];
    else
      zone.changes.push_back({from, offsets[type]});
  }
  if (time_size == 8) {
    std::string_view footer = base::as_text(reader.rest());
    std::size_t end = footer.find('\n', 1);
    if (!reader.ok() || !footer.starts_with('\n') || end == footer.npos) return damaged;
    footer = footer.substr(1, end - 1);
    if (!footer.empty()) {
      auto rule = PosixParser(footer).parse();
      if (!rule) return base::malformed("its TZ string '" + std::string(footer) + "' is not understood");
      write_out(*rule, zone.changes);
    }
  }
  return zone;
}

}  // namespace

base::Result<policy::Zone> parse_zone(std::string name, base::Bytes file) {
  if (base::as_text(file).starts_with("TZif")) return parse_tzif(std::move(name), file);
  std::string_view text = base::trim(base::as_text(file));
  if (is_utc(text)) text = "UTC0";  // as OpenWrt writes /etc/TZ where nobody has set a zone
  auto rule = PosixParser(text).parse();
  if (!rule) return base::malformed("neither a TZif file nor a TZ string");
  policy::Zone zone{std::move(name), {}};
  write_out(*rule, zone.changes);
  return zone;
}

bool is_zone_name(std::string_view name) {
  if (name.empty() || name.size() > 100 || name.front() == '/' || name.find("..") != name.npos) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    char lower = base::to_lower(c);
    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') ||
           std::string_view("_-+/").find(c) != std::string_view::npos;
  });
}

bool is_utc(std::string_view name) {
  for (std::string_view utc : {"UTC", "Etc/UTC", "Zulu", "Etc/Zulu", "Universal", "UCT", "Etc/UCT", "Etc/Universal"})
    if (name == utc) return true;
  return false;
}

}  // namespace rules

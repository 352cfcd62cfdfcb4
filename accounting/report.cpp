// How a report is made: the span is covered by the fewest periods (accounting/calendar), each run of them is one range
// scan, and rows are summed up by their numbers; names are looked up once at the end. Reports over a month read days and
// some hours at the edges, whatever the store holds.
#include "accounting/report.hpp"

#include <algorithm>
#include <bit>
#include <map>
#include <set>
#include <unordered_map>

#include "base/text.hpp"

namespace accounting {
namespace {

constexpr const char* none = "(none)";
const std::string& shown(const std::string& key) {
  static const std::string nobody = none;
  return key.empty() ? nobody : key;
}

// The finest level whose periods before `edge`, back to where it begins a coarser one or to `begin`, are all kept.
Level finest_at(const Calendar& calendar, const Kept& kept, Level finest, Seconds edge, Seconds begin) {
  for (Level level : levels) {
    if (level < finest) continue;
    if (level == Level::month) break;
    Seconds needed = std::max(begin, calendar.floor(coarser(level), edge));
    std::int64_t from = kept[index_of(level)];
    if (from == ever || needed >= calendar.begin(level, from)) return level;
  }
  return Level::month;
}

class Reporter {
 public:
  Reporter(Tables& tables, const Calendar& calendar, const Question& question)
      : database_(tables.database()), kept_(tables.kept()), calendar_(calendar), question_(question) {}
  std::optional<Report> make();

 private:
  bool by_detail() const { return question_.by == By::category || question_.by == By::host; }
  void settle_span();
  bool load_whos();
  bool sum_totals();
  bool sum_details();
  bool sum_minutes();
  bool sum_interfaces();
  const std::string& key_of(const Who& who) const;
  std::string day_of(const Piece& piece, std::int64_t start) const {
    return Calendar::date(calendar_.start(Level::day, calendar_.begin(piece.level, start)));
  }
  std::optional<Kind> kind_of_rows() const;
  std::optional<std::pair<Kind, std::string>> kind_of_total() const;
  void add_minutes(Kind kind, std::int64_t id, const std::string& day, std::uint64_t minutes);
  std::string text_of(std::int64_t name);

  struct Sums {
    Traffic traffic;
    std::uint64_t minutes = 0;
  };

  Database& database_;
  Kept kept_;
  const Calendar& calendar_;
  const Question& question_;
  Report report_;
  std::vector<Piece> pieces_;
  std::unordered_map<std::int64_t, Who> whos_;  // those that are asked about
  std::map<std::string, Sums> sums_;
  std::uint64_t minutes_ = 0;
  std::optional<std::int64_t> total_id_;
};

std::optional<Report> Reporter::make() {
  settle_span();
  if (!load_whos() || !sum_totals() || (by_detail() && !sum_details()) || !sum_minutes() || !sum_interfaces())
    return std::nullopt;
  for (auto& [key, sums] : sums_) {
    report_.rows.push_back({key, sums.traffic, std::nullopt});
    if (!by_detail()) report_.rows.back().minutes = sums.minutes;
  }
  report_.total.minutes = minutes_;
  if (question_.by != By::day)
    std::stable_sort(report_.rows.begin(), report_.rows.end(), [](const ReportRow& a, const ReportRow& b) {
      return a.traffic.up + a.traffic.down > b.traffic.up + b.traffic.down;
    });
  return std::move(report_);
}

void Reporter::settle_span() {
  Level finest = by_detail() ? Level::hour : Level::minute;
  Seconds since = question_.since, until = question_.until;
  if (since != ever) since = calendar_.floor(finest_at(calendar_, kept_, finest, since, since), since);
  if (until != open_end) until = calendar_.ceil(finest_at(calendar_, kept_, finest, until, since), until);
  report_.since = since;
  report_.until = until;
  pieces_ = cover(calendar_, since, until, finest, question_.by == By::day ? Level::day : Level::month);
}

bool Reporter::load_whos() {
  Statement statement = database_.prepare("SELECT id, user, device, client, grp FROM who");
  Statement::Step step;
  while ((step = statement.step()) == Statement::Step::row) {
    Who who{statement.text(1), statement.text(2), statement.text(3), statement.text(4)};
    bool asked = (!question_.user || who.user == *question_.user) &&
                 (!question_.device || who.device == *question_.device) &&
                 (!question_.group || who.group == *question_.group);
    if (asked) whos_.emplace(statement.integer(0), std::move(who));
  }
  return step == Statement::Step::done;
}

const std::string& Reporter::key_of(const Who& who) const {
  switch (question_.by) {
    case By::user:
      return shown(who.user);
    case By::device:
      return shown(who.device);
    case By::group:
      return shown(who.group);
    default:
      return shown(who.person());
  }
}

bool Reporter::sum_totals() {
  Statement statement =
      database_.prepare("SELECT start, who, up, down FROM total WHERE level = ? AND start >= ? AND start < ?");
  std::unordered_map<std::int64_t, Traffic> of_who;
  for (const Piece& piece : pieces_) {
    statement.bind(static_cast<int>(piece.level), piece.from, piece.to);
    std::int64_t start = ever;
    Sums* day = nullptr;
    Statement::Step step;
    while ((step = statement.step()) == Statement::Step::row) {
      std::int64_t who = statement.integer(1);
      if (!whos_.contains(who)) continue;
      Traffic traffic{statement.counter(2), statement.counter(3)};
      report_.total.traffic += traffic;
      if (question_.by != By::day) {
        of_who[who] += traffic;
        continue;
      }
      if (day == nullptr || start != statement.integer(0)) {
        start = statement.integer(0);
        day = &sums_[day_of(piece, start)];
      }
      day->traffic += traffic;
    }
    if (step != Statement::Step::done) return false;
  }
  if (!by_detail())
    for (const auto& [who, traffic] : of_who) sums_[key_of(whos_.at(who))].traffic += traffic;
  return true;
}

bool Reporter::sum_details() {
  Statement statement =
      database_.prepare("SELECT who, what, up, down FROM detail WHERE level = ? AND start >= ? AND start < ?");
  bool everybody = !question_.user && !question_.device && !question_.group;
  std::unordered_map<std::int64_t, Traffic> of_what;
  for (const Piece& piece : pieces_) {
    statement.bind(static_cast<int>(piece.level), piece.from, piece.to);
    Statement::Step step;
    while ((step = statement.step()) == Statement::Step::row)
      if (everybody || whos_.contains(statement.integer(0)))
        of_what[statement.integer(1)] += {statement.counter(2), statement.counter(3)};
    if (step != Statement::Step::done) return false;
  }
  Statement find = database_.prepare("SELECT categories, host FROM what WHERE id = ?");
  for (const auto& [what, traffic] : of_what) {
    find.bind(what);
    Statement::Step step = find.step();
    if (step == Statement::Step::failed) return false;
    if (step != Statement::Step::row) continue;
    if (question_.by == By::host) {
      sums_[shown(find.text(1))].traffic += traffic;
      continue;
    }
    std::string categories = find.text(0);
    for (std::string_view category : base::split(categories, ','))
      sums_[shown(std::string(category))].traffic += traffic;
  }
  return true;
}

// Whose minutes the rows are, if one kind says it.
std::optional<Kind> Reporter::kind_of_rows() const {
  bool everybody = !question_.user && !question_.device && !question_.group;
  switch (question_.by) {
    case By::user:
      return everybody ? std::optional(Kind::user) : std::nullopt;
    case By::device:
      return everybody ? std::optional(Kind::device) : std::nullopt;
    case By::group:
      return everybody ? std::optional(Kind::group) : std::nullopt;
    case By::client:
      return everybody ? std::optional(Kind::person) : std::nullopt;
    default:
      return std::nullopt;  // days are as the total is
  }
}

std::optional<std::pair<Kind, std::string>> Reporter::kind_of_total() const {
  int conditions = question_.user.has_value() + question_.device.has_value() + question_.group.has_value();
  if (conditions == 0) return std::pair(Kind::everyone, std::string());
  if (conditions > 1) return std::nullopt;
  if (question_.user) return std::pair(Kind::user, *question_.user);
  if (question_.device) return std::pair(Kind::device, *question_.device);
  return std::pair(Kind::group, *question_.group);
}

std::string Reporter::text_of(std::int64_t name) {
  Statement statement = database_.prepare("SELECT text FROM name WHERE id = ?");
  statement.bind(name);
  return statement.step() == Statement::Step::row ? statement.text(0) : std::string();
}

void Reporter::add_minutes(Kind kind, std::int64_t id, const std::string& day, std::uint64_t minutes) {
  auto of_total = kind_of_total();
  bool is_total =
      of_total ? kind == of_total->first && (!total_id_ || *total_id_ == id) : kind == Kind::who && whos_.contains(id);
  if (is_total) minutes_ += minutes;
  if (question_.by == By::day) {
    if (is_total) sums_[day].minutes += minutes;
    return;
  }
  auto of_rows = kind_of_rows();
  if (by_detail() || kind != of_rows.value_or(Kind::who)) return;
  if (kind != Kind::who) {
    sums_[shown(text_of(id))].minutes += minutes;
  } else if (auto who = whos_.find(id); who != whos_.end()) {
    sums_[key_of(who->second)].minutes += minutes;
  }
}

bool Reporter::sum_minutes() {
  auto of_total = kind_of_total();
  if (of_total && of_total->first != Kind::everyone) {
    Statement find = database_.prepare("SELECT id FROM name WHERE text = ?");
    find.bind(of_total->second);
    total_id_ = find.step() == Statement::Step::row ? find.integer(0) : -1;
  }
  std::set<int> kinds{static_cast<int>(of_total ? of_total->first : Kind::who)};
  if (!by_detail() && question_.by != By::day) kinds.insert(static_cast<int>(kind_of_rows().value_or(Kind::who)));
  int one = *kinds.begin(), other = *kinds.rbegin();
  Statement coarse = database_.prepare(
      "SELECT kind, id, start, minutes FROM active WHERE level = ? AND start >= ? AND start < ? AND kind IN (?, ?)");
  Statement fine = database_.prepare(
      "SELECT kind, id, start, mask FROM active_hour WHERE start >= ? AND start < ? AND kind IN (?, ?)");
  std::map<std::tuple<int, std::int64_t, std::string>, std::uint64_t> sums;  // kind, id, day
  for (const Piece& piece : pieces_) {
    bool by_mask = piece.level == Level::minute || piece.level == Level::hour;
    Statement& statement = by_mask ? fine : coarse;
    if (by_mask)
      fine.bind(piece.level == Level::hour ? piece.from : calendar_.start(Level::hour, piece.from), piece.to, one,
                other);
    else
      coarse.bind(static_cast<int>(piece.level), piece.from, piece.to, one, other);
    Statement::Step step;
    while ((step = statement.step()) == Statement::Step::row) {
      std::int64_t start = statement.integer(2);
      std::uint64_t minutes = statement.counter(3);
      if (by_mask) {  // the minutes of this hour that lie in the piece
        for (int minute = 0; minute < 60; ++minute)
          if (start + minute * 60 < piece.from || start + minute * 60 >= piece.to)
            minutes &= ~(std::uint64_t{1} << minute);
        minutes = static_cast<std::uint64_t>(std::popcount(minutes));
      }
      if (minutes == 0) continue;
      Piece of_row{by_mask ? Level::hour : piece.level, 0, 0};
      std::string day = question_.by == By::day ? day_of(of_row, start) : std::string();
      sums[{static_cast<int>(statement.integer(0)), statement.integer(1), day}] += minutes;
    }
    if (step != Statement::Step::done) return false;
  }
  for (const auto& [key, minutes] : sums)
    add_minutes(static_cast<Kind>(std::get<0>(key)), std::get<1>(key), std::get<2>(key), minutes);
  return true;
}

bool Reporter::sum_interfaces() {
  if (question_.user || question_.device || question_.group) return true;
  Statement statement = database_.prepare(
      "SELECT count(*), sum(up), sum(down) FROM interface WHERE level = ? AND start >= ? AND start < ?");
  Residual residual;
  std::int64_t rows = 0;
  for (const Piece& piece : pieces_) {
    statement.bind(static_cast<int>(piece.level), piece.from, piece.to);
    if (statement.step() != Statement::Step::row) return false;
    rows += statement.integer(0);
    residual.interfaces += {statement.counter(1), statement.counter(2)};
    statement.reset();
  }
  if (rows == 0) return true;
  auto sum = [](const Traffic& traffic) { return static_cast<std::int64_t>(traffic.up + traffic.down); };
  residual.bytes = sum(residual.interfaces) - sum(report_.total.traffic);
  if (sum(residual.interfaces) > 0)
    residual.percent = 100.0 * static_cast<double>(residual.bytes) / static_cast<double>(sum(residual.interfaces));
  report_.residual = residual;
  return true;
}

}  // namespace

std::optional<By> parse_by(std::string_view word) {
  constexpr std::pair<std::string_view, By> words[] = {
      {"user", By::user},         {"device", By::device}, {"client", By::client}, {"group", By::group},
      {"category", By::category}, {"host", By::host},     {"day", By::day}};
  for (const auto& [name, by] : words)
    if (name == word) return by;
  return std::nullopt;
}

std::optional<Report> report(Tables& tables, const Calendar& calendar, const Question& question) {
  return Reporter(tables, calendar, question).make();
}

}  // namespace accounting

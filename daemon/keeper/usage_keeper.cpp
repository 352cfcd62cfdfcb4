#include "daemon/keeper/usage_keeper.hpp"

#include <algorithm>

#include "accounting/batch_text.hpp"
#include "base/text.hpp"
#include "daemon/keeper/usage_text.hpp"
#include "daemon/log.hpp"

namespace sluiced {
namespace {

using control::Json;
using control::Reply;
using namespace std::chrono_literals;

constexpr std::chrono::seconds try_again{60};  // while the store cannot be written, however rarely it is else

accounting::Calendar calendar_of(const policy::Zone& zone) {
  std::vector<accounting::Calendar::Change> changes;
  for (const policy::Zone::Change& change : zone.changes) changes.push_back({change.from, change.offset_seconds});
  return accounting::Calendar(std::move(changes));
}

}  // namespace

void UsageKeeper::configure(const std::string& text, Now now) {
  auto settings = parse_accounting_settings(text);
  if (!settings) return logging::error("the settings of accounting cannot be read: a bug");
  bool same = store_ && settings->store == settings_.store;
  settings_ = std::move(*settings);
  if (same) return store_->set_calendar(calendar_of(settings_.zone));
  if (store_) finish(now);
  store_.reset();
  if (settings_.store.path.empty()) return;
  store_.emplace(settings_.store, calendar_of(settings_.zone));
  flush(now);  // what is wrong with the file is said now
}

void UsageKeeper::take(const std::string& text) {
  if (!store_) return;
  auto batch = accounting::parse_batch(text);
  if (batch) return store_->add(*batch);
  if (unreadable_++ == 0) logging::error("the gateway sent usage that cannot be read: a bug; it is not counted");
}

void UsageKeeper::tick(Now now) {
  if (!store_) return;
  std::chrono::seconds period = store_->trouble().empty() ? settings_.flush : std::min(settings_.flush, try_again);
  if (now.uptime - flushed_ >= period) flush(now);
}

void UsageKeeper::finish(Now now) {
  if (store_) flush(now);
}

void UsageKeeper::flush(Now now) {
  flushed_ = now.uptime;
  store_->flush(now.wall, now.uptime);
  tell_news();
}

void UsageKeeper::tell_news() {
  for (const std::string& line : store_->take_news()) logging::warning(line);
}

Reply UsageKeeper::answer(const control::Request& request, const std::string& asker, Now now) {
  if (!store_) return control::refusal(1, "there is no usage store: [accounting] store is \"off\"");
  Reply reply = request.verb == "usage" ? usage(request, now) : person(request, asker);
  tell_news();
  return reply;
}

Reply UsageKeeper::usage(const control::Request& request, Now now) {
  accounting::Question question;
  std::string by = request.argument("by");
  if (by.empty()) by = "user";
  auto known = accounting::parse_by(by);
  if (!known)
    return control::refusal(
        2, "'" + by + "' is nothing to report by, expected user, device, client, group, category, host or day");
  question.by = *known;
  std::string since = request.argument("since"), until = request.argument("until");
  auto begin = parse_moment(since.empty() ? "30d" : since, settings_.zone, now.wall);
  if (!begin) return control::refusal(2, begin.error().message);
  question.since = *begin;
  if (!until.empty()) {
    auto end = parse_moment(until, settings_.zone, now.wall);
    if (!end) return control::refusal(2, end.error().message);
    question.until = *end;
    if (question.until <= question.since) return control::refusal(2, "--until is not after --since");
  }
  for (auto [key, condition] :
       {std::pair("user", &question.user), std::pair("device", &question.device), std::pair("group", &question.group)})
    if (auto given = request.args.find(key); given != request.args.end()) *condition = given->second;
  std::string limit = request.argument("limit");
  auto most = base::parse_number(limit, 10'000'000);
  if (!limit.empty() && (!most || *most == 0)) return control::refusal(2, "--limit takes a number from 1");
  auto report = store_->usage(question);
  if (!report) return control::refusal(1, store_->trouble());
  UsageStyle style;
  style.csv = request.argument("format") == "csv";
  style.most = most ? static_cast<std::size_t>(*most) : 0;
  return told(*report, question, by, settings_.zone, style);
}

Reply UsageKeeper::person(const control::Request& request, const std::string& asker) {
  std::string name = request.argument("name");
  if (name.empty()) return control::refusal(2, "whose usage? A user, a device or an address");
  if (request.verb == "person export") {
    logging::notice(asker + " exported everything about '" + name + "'");
    Json all = store_->export_person(name);
    if (!all.value("known", false))
      return control::refusal(1, "the usage store knows nobody by the name '" + name + "'");
    std::string text = all.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
    return {0, std::move(text), std::move(all)};
  }
  if (request.verb != "person erase") return control::refusal(2, "the daemon knows no verb '" + request.verb + "'");
  accounting::Store::Erased erased = store_->erase_person(name);
  // Without the name: who is to be forgotten is not put into a log.
  logging::notice(asker + " erased a person from the usage store: " + std::to_string(erased.rows) + " rows" +
                  (erased.left.empty() ? "" : "; " + erased.left));
  if (!erased.left.empty()) return control::refusal(1, "not everything about '" + name + "' is erased: " + erased.left);
  if (erased.rows == 0) return control::refusal(1, "the usage store knows nobody by the name '" + name + "'");
  std::string note = "lines of the access log are not touched: they end with its rotation";
  return {0, std::to_string(erased.rows) + " rows erased; " + note + "\n", {{"erased", erased.rows}, {"note", note}}};
}

}  // namespace sluiced

#include "daemon/helper/identity_sources.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/sys/memory_file.hpp"
#include "daemon/diagnostic_text.hpp"
#include "daemon/identity_text.hpp"
#include "daemon/log.hpp"

namespace sluiced {
namespace {

using namespace std::chrono_literals;
using Effect = RadiusSessions::Effect;

constexpr base::Duration news_wait = 200ms;     // for more of them
constexpr base::Duration refreshed_wait = 10s;  // an Interim only makes a session last longer: three fit into its time
constexpr base::Duration news_saved = 1s, refreshed_saved = 1min;
constexpr base::Duration open_pause = 5s;
constexpr base::Duration refusals_pause = 10s;
constexpr base::Duration clock_slack = 2s;
constexpr int most_at_once = 64;            // datagrams, then others have their turn
constexpr std::size_t most_waiting = 4096;  // answers; the rest is asked again

base::WallTime wall_time(std::int64_t seconds) {
  return base::WallTime(std::chrono::seconds(seconds));
}

}  // namespace

IdentitySources::IdentitySources(Loop& loop, const std::string& state, std::function<bool(const std::string&)> tell)
    : loop_(loop), folder_(state + "/identities"), tell_(std::move(tell)) {
  ear_.hear = [this] { hear_radius(); };
}

Moment IdentitySources::moment() const {
  return {monotonic_now(), wall_seconds()};
}

void IdentitySources::begin(std::string_view text) {
  if (settings_) return;
  settings_ = parse_identity_settings(text);
  if (!settings_) return logging::error("[identity] came damaged");
  if (!settings_->lease_files.empty()) leases_.emplace(settings_->lease_files);
  if (settings_->listen) {
    sessions_ = RadiusSessions(settings_->session_timeout);
    load();
    server_.emplace(settings_->secrets, sessions_);
  }
  clock_offset_ = wall_now().time_since_epoch() - monotonic_now().time_since_epoch();
  tell_in({});
  tend();
}

void IdentitySources::meet_gateway() {
  if (settings_)
    tell_gateway();
  else
    tell_(to_text(Identities{}));  // nobody tells us of anybody; it waits for our word all the same
}

void IdentitySources::tell_in(base::Duration delay) {
  base::Monotonic at = monotonic_now() + delay;
  tell_at_ = tell_at_ ? std::min(*tell_at_, at) : at;
}

void IdentitySources::tend() {
  if (!settings_) return;
  Moment now = moment();
  base::Duration offset = wall_now().time_since_epoch() - now.monotonic.time_since_epoch();
  if (std::chrono::abs(offset - clock_offset_) > clock_slack) tell_in(news_wait);  // "until" is another time now
  clock_offset_ = offset;
  if (leases_ && leases_->look(now.monotonic)) tell_in(news_wait);
  if (server_) {
    if (!socket_ && now.monotonic >= open_again_) open_socket();
    if (sessions_.expire(now.monotonic)) note_change();
    tell_refusals();
    if (now.monotonic >= save_at_) save();
  }
  if (tell_at_ && now.monotonic >= *tell_at_) tell_gateway();
  answer_those_that_wait();
}

void IdentitySources::note_change() {
  untold_ = unkept_ = true;
  tell_in(news_wait);
  save_at_ = std::min(save_at_, saved_ + news_saved);
}

void IdentitySources::note_refresh() {
  base::Duration shortest = settings_->session_timeout.value_or(30min) / 3;  // the gateway ends it by what it was told
  tell_in(std::min(refreshed_wait, shortest));
  save_at_ = std::min(save_at_, saved_ + std::min(refreshed_saved, shortest));
}

void IdentitySources::answer_those_that_wait() {
  if (untold_ || unkept_) return;
  for (const Waiting& each : std::exchange(waiting_, {})) socket_->send(each.peer, each.bytes);
}

// --- RADIUS

void IdentitySources::open_socket() {
  auto opened = RadiusSocket::open(*settings_->listen);
  if (!opened) {
    if (!std::exchange(open_was_said_, true))
      logging::error("RADIUS: " + opened.error().message + "; tried again every 5 s");
    open_again_ = monotonic_now() + open_pause;
    return;
  }
  socket_ = std::move(*opened);
  loop_.add(socket_->fd(), EPOLLIN, &ear_);
  logging::info("RADIUS accounting: listening at " + settings_->listen->to_string() + " for " +
                plural(settings_->secrets.size(), "client") + ", " + plural(sessions_.size(), "session") + " known");
}

void IdentitySources::hear_radius() {
  Moment now = moment();
  for (int i = 0; i < most_at_once; ++i) {
    auto datagram = socket_->receive();
    if (!datagram) return;
    auto outcome = server_->receive(datagram->source, datagram->bytes, now);
    if (outcome.effect == Effect::changed) note_change();
    if (outcome.effect == Effect::refreshed) note_refresh();
    if (outcome.answer.empty()) continue;
    if (!untold_ && !unkept_)
      socket_->send(datagram->peer, outcome.answer);
    else if (waiting_.size() < most_waiting)
      waiting_.push_back({datagram->peer, std::move(outcome.answer)});
  }
}

void IdentitySources::tell_refusals() {
  if (monotonic_now() < say_refusals_) return;
  std::string refused = server_->take_refusals();
  if (refused.empty()) return;
  logging::warning("RADIUS: not answered: " + refused);
  say_refusals_ = monotonic_now() + refusals_pause;
}

// --- to the gateway

void IdentitySources::tell_gateway() {
  Moment now = moment();
  Identities identities;
  if (leases_)
    for (proto::dhcp::Lease& lease : leases_->leases()) {
      if (lease.expires != 0 && lease.expires <= now.wall) continue;
      identities.leases.push_back({lease.address, lease.mac, std::move(lease.hostname), wall_time(lease.expires)});
    }
  if (server_) identities.sessions = sessions_.sessions(now);
  if (!tell_(to_text(identities))) {
    tell_at_ = now.monotonic + news_wait;  // a gateway that comes is told, and so are those that wait for it
    return;
  }
  tell_at_.reset();
  untold_ = false;
}

// --- over a restart

void IdentitySources::load() {
  std::string path = folder_ + "/sessions.json";
  base::sys::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return;
  auto text = base::sys::MappedFile::map(file.get());
  bool loaded = text && sessions_.load(base::as_text(text->bytes()), moment());
  if (!loaded) logging::warning(path + " is damaged: who is logged in is learned anew");
}

void IdentitySources::save() {
  saved_ = monotonic_now();
  save_at_ = base::Monotonic::max();
  unkept_ = false;  // or it cannot be: nobody waits for a full disk
  std::string path = folder_ + "/sessions.json", temporary = path + ".new", text = sessions_.to_text(moment());
  base::sys::UniqueFd file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  std::string_view rest = text;
  while (file && !rest.empty()) {
    ssize_t count = ::write(file.get(), rest.data(), rest.size());
    if (count <= 0) break;
    rest.remove_prefix(static_cast<std::size_t>(count));
  }
  bool written = file && rest.empty() && fsync(file.get()) == 0 && rename(temporary.c_str(), path.c_str()) == 0;
  if (written) {
    save_was_said_ = false;
  } else if (!std::exchange(save_was_said_, true)) {
    logging::warning("cannot keep " + path + ": " + std::strerror(errno) + "; sessions go on without");
  }
}

}  // namespace sluiced

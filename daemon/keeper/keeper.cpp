#include "daemon/keeper/keeper.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "base/text.hpp"
#include "daemon/log.hpp"
#include "daemon/process.hpp"

namespace sluiced {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t most_peers = 64;
constexpr base::Duration patience = 30s;      // with a peer, and with whoever must answer it
constexpr base::Duration held_patience = 2s;  // with a gateway that is to hear of something: nothing fails if not
constexpr base::Duration metrics_patience = 1500ms;  // with the gateway: then what the keeper knows must do
constexpr base::Duration quota_period = 60s;         // what is used of quotas is written once in this
constexpr base::Duration long_patience = 900s;       // with whoever compiles or fetches lists

std::string failure(int exit, std::string text) {
  control::Json data = {{"error", text}};
  return control::to_line(control::Reply{exit, "sluicectl: " + text + "\n", std::move(data)});
}

UsageKeeper::Now now() {
  return {wall_now(), monotonic_now()};
}

std::string who_asks(int peer) {
  ucred who{};
  socklen_t size = sizeof who;
  getsockopt(peer, SOL_SOCKET, SO_PEERCRED, &who, &size);
  return "uid " + std::to_string(who.uid);
}

}  // namespace

Keeper::Keeper(const Options& options)
    : supervisor_(base::sys::UniqueFd(role_channel_fd)),
      codes_(options.state + "/codes"),
      learned_(options.state + "/learned"),
      logins_(options.state + "/logins/logins.json"),
      quotas_(options.state + "/quotas/quotas.json"),
      temporary_rules_(options.state + "/grants/temporary.json") {}

int Keeper::run() {
  supervisor_ear_.hear = [this] { hear_supervisor(); };
  gateway_ear_.hear = [this] { hear_gateway(); };
  predecessor_ear_.hear = [this] { hear_predecessor(); };
  helper_ear_.hear = [this] { hear_helper(); };
  control_ear_.hear = [this] { accept_peer(); };
  loop_.add(supervisor_.fd(), EPOLLIN, &supervisor_ear_);
  loop_.every(1s, [this] { supervisor_.send(MessageType::alive); });
  loop_.every(1s, [this] { drop_stale_peers(); });
  loop_.every(quota_period, [this] { keep_quotas(); });
  loop_.every(1s, [this] { usage_.tick(now()); });
  loop_.run();
  keep_quotas();
  usage_.finish(now());
  return exit_ok;
}

void Keeper::hear_supervisor() {
  Message message;
  for (;;) {
    Channel::State state = supervisor_.receive(message);
    if (state == Channel::State::empty) return;
    if (state == Channel::State::closed) {
      hear_gateway();  // its last lines
      hear_predecessor();
      return loop_.stop();
    }
    switch (message.type) {
      case MessageType::control_socket:
        if (message.fds.empty()) break;
        control_ = std::move(message.fds[0]);
        loop_.add(control_.get(), EPOLLIN, &control_ear_);
        break;
      case MessageType::peer:
        if (message.fds.empty()) break;
        if (gateway_) {
          hear_gateway();
          loop_.remove(gateway_.fd());
          release_held();
        }
        gateway_ = Channel(std::move(message.fds[0]));
        loop_.add(gateway_.fd(), EPOLLIN, &gateway_ear_);
        send_codes();
        send_learned();
        gateway_.send(MessageType::logins, logins_.text());
        gateway_.send(MessageType::temporary_rules, temporary_rules_.text());
        gateway_.send(MessageType::spent, spent_.empty() ? quotas_.text() : spent_);
        break;
      case MessageType::predecessor:
        if (message.fds.empty()) break;
        hear_predecessor();
        if (predecessor_) loop_.remove(predecessor_.fd());
        predecessor_ = Channel(std::move(message.fds[0]));
        loop_.add(predecessor_.fd(), EPOLLIN, &predecessor_ear_);
        break;
      case MessageType::helper_peer:
        if (helper_) loop_.remove(helper_.fd());
        helper_.close();
        list_trouble_.clear();
        if (message.fds.empty()) break;  // there is no helper any more
        helper_ = Channel(std::move(message.fds[0]));
        loop_.add(helper_.fd(), EPOLLIN, &helper_ear_);
        break;
      case MessageType::log_settings: {
        auto fields = base::split(message.text, '\n');
        if (fields.size() < 2) break;
        logging::set_level(fields[0]);
        log_.open(std::string(fields[1]));
        break;
      }
      case MessageType::accounting_settings:
        usage_.configure(message.text, now());
        break;
      case MessageType::reopen_log:
        log_.reopen();
        break;
      case MessageType::restarts:
        restarts_ = control::Json::object();
        for (std::string_view line : base::split(message.text, '\n'))
          if (std::size_t blank = line.find(' '); blank != line.npos)
            restarts_[std::string(line.substr(0, blank))] =
                base::parse_number(line.substr(blank + 1), ~std::uint64_t{0}).value_or(0);
        break;
      case MessageType::confinement:
        confinement_ = std::move(message.text);
        break;
      case MessageType::answer:
        reply_from(message.text);
        break;
      default:
        break;
    }
  }
}

void Keeper::hear_gateway() {
  Message message;
  while (gateway_) {
    Channel::State state = gateway_.receive(message);
    if (state == Channel::State::empty) return;
    if (state == Channel::State::closed) {
      loop_.remove(gateway_.fd());
      gateway_.close();
      return release_held();
    }
    if (message.type == MessageType::access_lines) log_.write(message.text);
    if (message.type == MessageType::reply) reply_from(message.text);
    if (message.type == MessageType::usage) usage_.take(message.text);
    if (message.type == MessageType::code_used) codes_.used(message.text);
    if (message.type == MessageType::spent) spent_ = message.text;
    if (message.type == MessageType::temporary_rules) temporary_rules_.write(message.text);
    if (message.type == MessageType::logins) logins_.write(message.text);
    if (message.type == MessageType::learned_news) learned_.learn(message.text);
    if (message.type != MessageType::code_rules) continue;
    code_rules_.clear();
    for (std::string_view name : base::split(message.text, '\n'))
      if (!name.empty()) code_rules_.emplace_back(name);
  }
}

void Keeper::hear_predecessor() {
  Message message;
  while (predecessor_) {
    Channel::State state = predecessor_.receive(message);
    if (state == Channel::State::empty) return;
    if (state == Channel::State::closed) {
      loop_.remove(predecessor_.fd());
      return predecessor_.close();
    }
    if (message.type == MessageType::access_lines) log_.write(message.text);
    if (message.type == MessageType::code_used) codes_.used(message.text);
    if (message.type == MessageType::learned_news) learned_.learn(message.text);
  }
}

void Keeper::send_codes() {
  gateway_.send(MessageType::codes, codes_.for_gateway(wall_now()));
}

void Keeper::keep_quotas() {
  if (!spent_.empty() && spent_ != quotas_.text()) quotas_.write(spent_);
}

void Keeper::send_learned() {
  gateway_.send(MessageType::learned, learned_.for_gateway(wall_now()));
}

void Keeper::hear_helper() {
  Message message;
  while (helper_) {
    Channel::State state = helper_.receive(message);
    if (state == Channel::State::empty) return;
    if (state == Channel::State::closed) {
      loop_.remove(helper_.fd());
      return helper_.close();
    }
    if (message.type == MessageType::list_trouble) list_trouble_ = std::move(message.text);
    if (message.type == MessageType::reply) reply_from(message.text);
    if (message.type == MessageType::metrics_wanted) begin_metrics(message.text);
  }
}

// --- metrics

// "NUMBER\nCLIENTS". The helper asks one at a time; a newer question means that it gave the older one up.
void Keeper::begin_metrics(const std::string& wanted) {
  std::size_t line_end = wanted.find('\n');
  if (line_end == wanted.npos) return;
  metrics_.emplace();
  metrics_->number = wanted.substr(0, line_end);
  metrics_->since = loop_.now();
  control::MetricsInput& input = metrics_->input;
  input.clients = base::parse_number(std::string_view(wanted).substr(line_end + 1), 1000).value_or(0);
  auto ask_gateway = [this](const char* verb) {
    std::uint64_t number = next_number_++;
    bool sent = gateway_.send(MessageType::query, std::to_string(number) + "\n" + control::to_line({verb, {}}));
    return sent ? number : 0;
  };
  metrics_->status = ask_gateway("status");
  if (input.clients > 0) metrics_->top = ask_gateway("top");
  finish_metrics();
}

// True: the answer was to a question of ours.
bool Keeper::metrics_answer(std::uint64_t number, const std::string& line) {
  if (!metrics_ || (number != metrics_->status && number != metrics_->top)) return false;
  auto reply = control::parse_reply(line);
  bool is_status = number == metrics_->status;
  if (reply && reply->exit == 0) (is_status ? metrics_->input.gateway : metrics_->input.top) = std::move(reply->data);
  (is_status ? metrics_->status : metrics_->top) = 0;
  finish_metrics();
  return true;
}

void Keeper::finish_metrics() {
  bool late = loop_.now() - metrics_->since > metrics_patience;
  if (!late && (metrics_->status != 0 || metrics_->top != 0)) return;
  auto troubles = std::count(list_trouble_.begin(), list_trouble_.end(), '\n');
  metrics_->input.keeper = {{"log_lines_lost", log_.lost()},
                            {"log_trouble", !log_.trouble().empty()},
                            {"store_trouble", !usage_.trouble().empty()},
                            {"lists_in_trouble", troubles}};
  metrics_->input.restarts = restarts_;
  helper_.send(MessageType::metrics, metrics_->number + "\n" + control::exposition(metrics_->input));
  metrics_.reset();
}

// --- sluicectl

void Keeper::accept_peer() {
  for (;;) {
    base::sys::UniqueFd fd(accept4(control_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd && (errno == EMFILE || errno == ENFILE))
      loop_.remove(control_.get());  // till drop_stale_peers(): no spinning
    if (!fd) return;
    if (peers_.size() >= most_peers) continue;
    auto peer = std::make_unique<Peer>();
    peer->keeper = this;
    peer->number = next_number_++;
    peer->since = loop_.now();
    peer->fd = std::move(fd);
    loop_.add(peer->fd.get(), EPOLLIN | EPOLLRDHUP, peer.get());
    peers_.emplace(peer->number, std::move(peer));
  }
}

void Keeper::Peer::ready(std::uint32_t events) {
  // Who has gone has been told, or believes, that nothing comes of it: a `down` that waited for a hung keeper, say.
  if ((events & EPOLLHUP) && !asked) return keeper->drop(number);
  keeper->peer_ready(*this);
}

void Keeper::peer_ready(Peer& peer) {
  if (!peer.output.empty()) return write_out(peer);
  char buffer[4096];
  for (;;) {
    ssize_t size = recv(peer.fd.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size <= 0) return drop(peer.number);
    if (peer.asked) continue;  // one request a connection
    peer.input.append(buffer, static_cast<std::size_t>(size));
    if (peer.input.find('\n') != peer.input.npos) return ask(peer);
    if (peer.input.size() > control::request_limit) return drop(peer.number);
  }
}

void Keeper::ask(Peer& peer) {
  peer.asked = true;
  std::string line = peer.input.substr(0, peer.input.find('\n'));
  auto request = control::parse_request(line);
  if (!request) return reply(peer.number, failure(2, "bad request: " + request.error().message));
  std::string number = std::to_string(peer.number);
  bool passed_on = false;
  peer.may_take_long = request->verb == "reload" || request->verb == "restart" || request->verb == "list update";
  if (request->verb == "reload") {
    passed_on = supervisor_.send(MessageType::reload, number);
  } else if (request->verb == "restart") {
    passed_on = supervisor_.send(MessageType::restart, number);
  } else if (request->verb == "down") {
    passed_on = supervisor_.send(MessageType::down, number);
  } else if (request->verb == "status" || request->verb == "connections" || request->verb == "explain" ||
             request->verb == "grants" || request->verb == "clients" || request->verb == "top" ||
             request->verb == "quotas" || request->verb == "allow" || request->verb == "block" ||
             request->verb == "grants revoke" || request->verb == "login" || request->verb == "logout") {
    request->args["who"] = who_asks(peer.fd.get());
    if (request->verb == "status") {
      request->args["log_lines_lost"] = std::to_string(log_.lost());
      request->args["log_trouble"] = log_.trouble();
      request->args["list_trouble"] = list_trouble_;
      request->args["usage_trouble"] = usage_.trouble();
      request->args["confinement"] = confinement_;
    }
    passed_on = gateway_.send(MessageType::query, number + "\n" + control::to_line(*request));
  } else if (request->verb.starts_with("code ")) {
    auto answer = codes_.answer(*request, code_rules_, who_asks(peer.fd.get()), wall_now());
    send_codes();
    return answer_behind_gateway(peer, control::to_line(answer));
  } else if (request->verb.starts_with("bypass ")) {
    bool changed = false;
    auto answer = learned_.answer(*request, who_asks(peer.fd.get()), wall_now(), changed);
    if (changed) send_learned();
    return answer_behind_gateway(peer, control::to_line(answer));
  } else if (UsageKeeper::answers(request->verb)) {
    auto answer = usage_.answer(*request, who_asks(peer.fd.get()), now());
    // What was used of quotas goes too; nobody (0) waits for the gateway's answer.
    if (request->verb == "person erase")
      gateway_.send(MessageType::query, "0\n" + control::to_line({"quotas forget", request->args}));
    return reply(peer.number, control::to_line(answer));
  } else if (request->verb.starts_with("list ")) {
    if (!helper_) return reply(peer.number, failure(1, "no list has a url, so nothing fetches lists"));
    passed_on = helper_.send(MessageType::query, number + "\n" + control::to_line(*request));
  } else {
    return reply(peer.number, failure(2, "the daemon knows no verb '" + request->verb + "'"));
  }
  if (!passed_on) reply(peer.number, failure(3, "the gateway process is not running just now; try again"));
}

// Who is told of a new code may use it at once. Without a gateway there is nobody to wait for.
void Keeper::answer_behind_gateway(Peer& peer, std::string line) {
  if (!gateway_.send(MessageType::query, std::to_string(peer.number) + "\n" + control::to_line({"heard", {}})))
    return reply(peer.number, std::move(line));
  peer.held = std::move(line);
}

// There is no gateway any more that could say that it has heard.
void Keeper::release_held() {
  std::vector<std::uint64_t> waiting;
  for (auto& [number, peer] : peers_)
    if (!peer->held.empty()) waiting.push_back(number);
  for (std::uint64_t number : waiting) reply(number, {});
}

void Keeper::reply_from(const std::string& numbered) {
  std::size_t line_end = numbered.find('\n');
  if (line_end == numbered.npos) return;
  auto number = base::parse_number(std::string_view(numbered).substr(0, line_end), ~std::uint64_t{0});
  if (!number) return;
  std::string line = numbered.substr(line_end + 1);
  if (!metrics_answer(*number, line)) reply(*number, std::move(line));
}

void Keeper::reply(std::uint64_t number, std::string line) {
  auto found = peers_.find(number);
  if (found == peers_.end()) return;  // it has gone away meanwhile
  Peer& peer = *found->second;
  peer.output = (peer.held.empty() ? std::move(line) : std::exchange(peer.held, {})) + "\n";
  write_out(*found->second);
}

void Keeper::write_out(Peer& peer) {
  while (!peer.output.empty()) {
    ssize_t sent = send(peer.fd.get(), peer.output.data(), peer.output.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN) return loop_.modify(peer.fd.get(), EPOLLOUT, &peer);
    if (sent < 0) break;
    peer.output.erase(0, static_cast<std::size_t>(sent));
  }
  drop(peer.number);
}

void Keeper::drop_stale_peers() {
  std::vector<std::uint64_t> stale, held;
  for (auto& [number, peer] : peers_) {
    base::Duration age = loop_.now() - peer->since;
    if (!peer->held.empty() && age > held_patience)
      held.push_back(number);
    else if (age > (peer->may_take_long ? long_patience : patience))
      stale.push_back(number);
  }
  for (std::uint64_t number : held) reply(number, {});
  for (std::uint64_t number : stale) drop(number);
  if (metrics_) finish_metrics();
  if (control_) loop_.add(control_.get(), EPOLLIN, &control_ear_);  // changes nothing while it is there
}

// The socket closes now, the object when no event of this turn can name it any more.
void Keeper::drop(std::uint64_t number) {
  auto found = peers_.find(number);
  if (found == peers_.end()) return;
  loop_.remove(found->second->fd.get());
  found->second->fd.reset();
  loop_.defer([peer = std::shared_ptr<Peer>(std::move(found->second))] {});
  peers_.erase(found);
}

int run_keeper(const Options& options) {
  return begin_unprivileged_role(Confined::keeper, "keeper", "sluice-keeper", no_ports) ? Keeper(options).run()
                                                                                        : exit_failure;
}

}  // namespace sluiced
